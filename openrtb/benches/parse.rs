//! What a request costs to read and a response to write.

mod derived;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle_domain::{CpmMicros, ExchangeKey, Size};
use haggle_openrtb::{BannerMarkup, Bid, ResponseHead, ResponseWriter, parse};

/// A site's and an app's request and, where the recorded ones are at hand, the median of those.
fn bodies() -> Vec<(&'static str, String)> {
    let mut bodies =
        vec![("site", include_str!("site.json").to_owned()), ("app", include_str!("app.json").to_owned())];
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
    let exchange = ExchangeKey::of("bench");
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
                let context = request.context(exchange, "haggle");
                let biddable = request.imps(&context, "USD").filter(|(_, outcome)| outcome.is_ok()).count();
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

fn response(criterion: &mut Criterion) {
    let notice = format!("https://bid.example/notice/win?t={}&p=${{AUCTION_PRICE}}", "x".repeat(200));
    let head = ResponseHead {
        request_id: "5f0c3a9e-7b1d-4c52",
        response_id: "b-1",
        currency: "USD",
        seat: "haggle",
    };
    let cat = ["IAB18-5".to_owned()];
    let bid = Bid {
        id: "bec1f0579c8aa541-1-2f",
        imp_id: "1",
        price: CpmMicros(1_234_000),
        nurl: &notice,
        burl: &notice,
        lurl: &notice,
        markup: BannerMarkup {
            click_url: &notice,
            image_url: "https://cdn.example/spring/300x250.png",
            title: "Spring shoes & more",
            size: Size { width: 300, height: 250 },
            impression_url: &notice,
        },
        adomain: "shop.example",
        cid: "spring-shoes",
        crid: "spring-300x250",
        cat: &cat,
        exp: 300,
    };
    let mut out = Vec::with_capacity(4096);
    criterion.bench_function("response of one bid", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut writer = ResponseWriter::new(&mut out, &head);
            writer.bid(black_box(&bid));
            writer.finish();
            out.len()
        });
    });
}

criterion_group!(benches, requests, response);
criterion_main!(benches);
