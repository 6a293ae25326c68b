//! Reading a request beside a bare reader of the same bytes: `sonic-rs` into plain derived types of the same members.
//! The goal is at most twice its time, tolerance, limits, consent and conversion included.

mod derived;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle_domain::{ExchangeKey, Rates};
use haggle_openrtb::privacy::Policy;
use haggle_openrtb::{Asker, UserId, parse};

/// A site's and an app's request and, where the recorded ones are at hand, the median of those.
fn bodies() -> Vec<(&'static str, String)> {
    let mut bodies =
        vec![("site", include_str!("../../openrtb/benches/site.json").to_owned()), ("app", include_str!("../../openrtb/benches/app.json").to_owned())];
    let folder = std::env::var_os("HAGGLE_TEST_DATA").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        std::path::PathBuf::from,
    );
    let recorded = std::fs::read_to_string(folder.join("openrtb/valid.jsonl")).unwrap_or_default();
    let mut requests: Vec<String> = recorded
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|row| row["request"].to_string())
        .collect();
    requests.sort_by_key(String::len);
    if let Some(median) = requests.get(requests.len() / 2) {
        bodies.push(("median of the recorded", median.clone()));
    }
    bodies
}

fn requests(criterion: &mut Criterion) {
    let rates = Rates { account: "USD".to_owned(), pairs: Vec::new() };
    let user_ids = &[UserId::Buyeruid, UserId::Id];
    let asker = Asker { exchange: ExchangeKey::of("bench"), seat: "haggle", user_ids, rates: &rates };
    for (name, body) in bodies() {
        let body = body.trim_end().as_bytes();
        let mut group = criterion.benchmark_group(format!("{name}, {} bytes", body.len()));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("parse", |bencher| {
            bencher.iter(|| parse(black_box(body)).map(|request| request.imps.len()));
        });
        group.bench_function("parse and convert", |bencher| {
            bencher.iter(|| {
                let request = parse(black_box(body))?;
                let context = request.context(&asker, request.basis(&Policy::default()).0);
                let biddable =
                    request.imps_for(&context, &asker).filter(|(_, outcome)| outcome.is_ok()).count();
                Ok::<_, haggle_openrtb::RequestError>((black_box(context).user, biddable))
            });
        });
        group.bench_function("sonic-rs into derived types", |bencher| {
            bencher.iter(|| {
                sonic_rs::from_slice::<derived::BidRequest<'_>>(black_box(body))
                    .map(|request| request.imps.map_or(0, |imps| imps.len()))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, requests);
criterion_main!(benches);
