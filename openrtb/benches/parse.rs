//! What a request costs to read and a response to write.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle_domain::{CpmMicros, ExchangeKey, Size};
use haggle_openrtb::{BannerMarkup, Bid, ResponseHead, ResponseWriter, parse};

fn requests(criterion: &mut Criterion) {
    let exchange = ExchangeKey::of("bench");
    for (name, body) in [("site", include_str!("site.json")), ("app", include_str!("app.json"))] {
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
        group.bench_function("serde_json::Value", |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(body)));
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
