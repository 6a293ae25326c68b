//! What a request costs to read and a response to write.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use haggle_domain::{
    Category, Codes, CpmMicros, ExchangeKey, Media, MediaFile, NativeAd, NativeAsset, NativeImage,
    NativeKind, NativeSlot, Rates, Size, Stream, StreamSlot, Tag, Template, Verification,
};
use haggle_openrtb::privacy::Policy;
use haggle_openrtb::{
    Asker, BannerMarkup, Bid, Markup, NativeMarkup, ResponseHead, ResponseWriter, UserId, VastMarkup, parse,
};

fn requests(criterion: &mut Criterion) {
    let rates = Rates { account: "USD".to_owned(), pairs: Vec::new() };
    let user_ids = &[UserId::Buyeruid, UserId::Id];
    let asker = Asker { exchange: ExchangeKey::of("bench"), seat: "haggle", user_ids, rates: &rates };
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
                let context = request.context(&asker, request.basis(&Policy::default()).0);
                let biddable =
                    request.imps_for(&context, &asker).filter(|(_, outcome)| outcome.is_ok()).count();
                Ok::<_, haggle_openrtb::RequestError>((black_box(context).user, biddable))
            });
        });
        group.finish();
    }
}

fn response(criterion: &mut Criterion) {
    let notice = format!("https://bid.example/notice/win?t={}&p=${{AUCTION_PRICE}}", "x".repeat(200));
    let verification = Verification {
        vendor: "vendor.example-omid".to_owned(),
        script: "https://vendor.example/omid.js".to_owned(),
        parameters: r#"{"campaign":"spring-shoes"}"#.to_owned(),
    };
    let banner = BannerMarkup {
        click_url: &notice,
        image_url: "https://cdn.example/spring/300x250.png",
        title: "Spring shoes & more",
        size: Size { width: 300, height: 250 },
        impression_url: &notice,
        verification: Some(&verification),
    };
    let player = StreamSlot {
        mimes: [Tag::of("video/mp4")].into_iter().collect(),
        longest: 30,
        most_bitrate: u32::MAX,
        ..StreamSlot::default()
    };
    let files = [640, 960, 1280].map(|width| MediaFile {
        url: format!("https://cdn.example/spring/{width}.mp4"),
        mime: "video/mp4".to_owned(),
        size: Size { width, height: width / 16 * 9 },
        bitrate: 1_200,
    });
    let film = Stream { duration: 15, skip_after: Some(5), media: Media::Files(files.into()) };
    let vast = VastMarkup {
        template: Template::Vast42,
        slot: &player,
        stream: &film,
        ad_id: "bec1f0579c8aa541-1-2f",
        creative_id: "spring-film",
        title: "Spring shoes & more",
        category: "IAB18",
        advertiser: "shop.example",
        click_url: &notice,
        impression_url: &notice,
        error_url: "",
        verification: Some(&verification),
    };
    let asset = |id, kind| NativeAsset { id, required: true, kind };
    let (size, least) = (Size::default(), Size { width: 600, height: 315 });
    let page = NativeSlot {
        assets: [
            asset(1, NativeKind::Title { longest: 90 }),
            asset(2, NativeKind::Image { kind: 3, size, least, mimes: Default::default() }),
            asset(3, NativeKind::Data { kind: 1, longest: 25 }),
        ]
        .into_iter()
        .collect(),
        image_tracker: true,
        event_trackers: true,
        ..NativeSlot::default()
    };
    let picture = NativeImage {
        kind: 3,
        url: "https://cdn.example/spring/1200x627.jpg".to_owned(),
        mime: "image/jpeg".to_owned(),
        size: Size { width: 1200, height: 627 },
    };
    let ad = NativeAd { images: vec![picture], data: vec![(1, "Shop".to_owned())] };
    let native = NativeMarkup {
        slot: &page,
        ad: &ad,
        title: "Spring shoes & more",
        click_url: &notice,
        impression_url: &notice,
        verification: None,
        wrapped: false,
    };
    let head = ResponseHead {
        request_id: "5f0c3a9e-7b1d-4c52",
        response_id: "b-1",
        currency: "USD",
        seat: "haggle",
    };
    let cat = [Category { taxonomy: 1, code: "IAB18-5".to_owned() }];
    let mut out = Vec::with_capacity(8192);
    for (format, markup) in
        [("banner", Markup::Banner(banner)), ("VAST", Markup::Vast(vast)), ("native", Markup::Native(native))]
    {
        let bid = Bid {
            id: "bec1f0579c8aa541-1-2f",
            imp_id: "1",
            price: CpmMicros(1_234_000),
            nurl: &notice,
            burl: &notice,
            lurl: &notice,
            markup,
            adomain: "shop.example",
            bundle: "",
            cid: "spring-shoes",
            crid: "spring",
            cat: &cat,
            cattax: 1,
            attr: Codes::NONE,
            dealid: "",
            language: "en",
            slotinpod: 0,
            exp: 300,
        };
        criterion.bench_function(&format!("response of one {format} bid"), |bencher| {
            bencher.iter(|| {
                out.clear();
                let mut writer = ResponseWriter::new(&mut out, &head);
                writer.bid(black_box(&bid));
                writer.finish();
                out.len()
            });
        });
    }
}

criterion_group!(benches, requests, response);
criterion_main!(benches);
