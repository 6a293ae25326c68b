//! What the tokens of notices cost: sealed twice for a bid, opened once for a notice.
#![allow(clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle::token::{Sealer, TokenKind};
use haggle_domain::{BidId, CampaignKey, CpmMicros, Decision, ExchangeKey, Timestamp, UserKey};

fn decision() -> Decision {
    Decision {
        bid: BidId { campaign: CampaignKey::of("spring-shoes"), lease: 12, number: 3_456 },
        at: Timestamp(1_795_428_000_000_000),
        expires_at: Timestamp(1_795_428_600_000_000),
        ceiling: CpmMicros(3_250_000),
        exchange: ExchangeKey::of("demo"),
        creative: 2,
        propensity: 0.31,
        model_version: 41,
        click_probability: 0.004,
        order_probability: 0.0002,
        value: CpmMicros(4_100_000),
        user: Some(UserKey(0x9e37_79b9_7f4a_7c15)),
        features: (0..20).map(|field: u32| field << 18 | field.wrapping_mul(0x9e37_79b9) >> 14).collect(),
        ..Decision::default()
    }
}

fn tokens(criterion: &mut Criterion) {
    let sealer = Sealer::new([5; 32], [6; 16]);
    let decision = decision();
    for (name, kind) in [("money token", TokenKind::Money), ("event token", TokenKind::Event)] {
        let mut text = String::new();
        sealer.seal(kind, &decision, &mut text);
        sealer.open(kind, &text).expect("a genuine token");
        let mut group = criterion.benchmark_group(format!("{name}, {} characters", text.len()));
        group.throughput(Throughput::Elements(1));
        let mut out = String::new();
        group.bench_function("seal", |bencher| {
            bencher.iter(|| {
                out.clear();
                sealer.seal(kind, black_box(&decision), &mut out);
                out.len()
            });
        });
        group.bench_function("open", |bencher| bencher.iter(|| sealer.open(kind, black_box(&text))));
        // What a stranger can make the server do.
        let mut forged = text.into_bytes();
        if let Some(last) = forged.get_mut(60) {
            *last = if *last == b'A' { b'B' } else { b'A' };
        }
        let forged = String::from_utf8(forged).expect("text");
        group.bench_function("refuse a forged one", |bencher| {
            bencher.iter(|| sealer.open(kind, black_box(&forged)));
        });
        group.finish();
    }
}

criterion_group!(benches, tokens);
criterion_main!(benches);
