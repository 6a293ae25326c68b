//! What it costs to turn a request's privacy signals into a basis.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use haggle_openrtb::privacy::{Policy, Signal, Signals, decide};
use iab_gpp::sections::tcfeuv2::TcfEuV2;

/// Web-safe base64 of ones: a core segment with all purposes, then bit fields of 800 vendors, all consented to.
fn tc_string() -> String {
    let mut bits = String::from("000010");
    bits.push_str(&"0".repeat(126 + 6));
    bits.push_str("10");
    bits.push_str(&"1".repeat(12 + 24 + 24));
    bits.push_str(&"0".repeat(13));
    for _ in 0..2 {
        bits.push_str(&format!("{:016b}0", 800));
        bits.push_str(&"1".repeat(800));
    }
    bits.push_str(&"0".repeat(12));
    while bits.len() % 6 != 0 {
        bits.push('0');
    }
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let six = |chunk: &[u8]| chunk.iter().fold(0, |value, &bit| value << 1 | usize::from(bit == b'1'));
    bits.as_bytes().chunks(6).map(|chunk| char::from(alphabet[six(chunk)])).collect()
}

fn signals(criterion: &mut Criterion) {
    let policy = Policy { vendor: Some(755) };
    let tc = tc_string();
    let gpp = format!("DBABM~{tc}");
    let gdpr = Signals { gdpr: Signal::Raised, consent: &tc, countries: ["DEU", ""], ..Signals::default() };
    let platform = Signals { gpp: &gpp, gpp_sid: &[2], ..Signals::default() };
    let us =
        Signals { gpp: "DBABLA~BVVqAAAAAqA.QA", gpp_sid: &[7], us_privacy: "1YNN", ..Signals::default() };
    let elsewhere = Signals { countries: ["BRA", ""], ..Signals::default() };
    for (name, signals) in [
        ("consent string of 800 vendors", gdpr),
        ("the same within a GPP string", platform),
        ("a section of the US", us),
        ("no signal", elsewhere),
    ] {
        criterion.bench_function(name, |bencher| bencher.iter(|| decide(black_box(&signals), &policy)));
    }
    criterion.bench_function("the same consent string by iab_gpp, for comparison", |bencher| {
        bencher.iter(|| black_box(tc.as_str()).parse::<TcfEuV2>().is_ok());
    });
}

criterion_group!(benches, signals);
criterion_main!(benches);
