//! What notices cost: in another currency, for many impressions at once, by win or by billing notice, and what the
//! campaigns report of it. The configuration is that of `tests/fixtures/openrtb`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

mod support;

use awc::http::StatusCode;
use serde_json::{Value, json};
use support::{HandClock, Rig, configure_for_fixtures, filled, links};
use tempfile::TempDir;

async fn start() -> (Rig, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    configure_for_fixtures(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    (rig, folder)
}

/// A request for the campaign `banner`, with more members in its imp and in itself.
fn request(id: &str, imp: &Value, more: &Value) -> Value {
    let mut request = json!({ "id": id, "imp": [{ "id": "1", "banner": { "w": 300, "h": 250 } }] });
    let add = |to: &mut Value, from: &Value| {
        let members = from.as_object().unwrap().clone();
        to.as_object_mut().unwrap().extend(members);
    };
    add(&mut request["imp"][0], imp);
    add(&mut request, more);
    request
}

/// The first bid for a request, and the response's currency.
async fn bid(rig: &Rig, exchange: &str, request: &Value) -> (Value, String) {
    let path = format!("/openrtb2/bid/{exchange}");
    let (status, body) = rig.post(&path, "application/json", &request.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    (answer["seatbid"][0]["bid"][0].clone(), answer["cur"].as_str().unwrap().to_owned())
}

/// What a campaign has spent and what its open bids hold, in millionths, after its next tick.
async fn money(rig: &Rig, campaign: &str) -> (i64, i64) {
    rig.settle().await;
    let report = rig.node.state.campaigns.named(campaign).unwrap().report().unwrap();
    (report.settled.0, report.reserved.0)
}

/// Sends a notice and expects that it is taken.
async fn notify(rig: &Rig, url: &str) {
    assert_eq!(rig.get(url).await.0, StatusCode::NO_CONTENT, "{url}");
}

#[actix_rt::test]
async fn a_price_in_another_currency_is_paid_in_the_accounts_rounded_up() {
    let (rig, _folder) = start().await;
    let euros = json!({ "cur": ["EUR"] });
    let (first, currency) = bid(&rig, "open", &request("first", &json!({}), &euros)).await;
    assert_eq!((currency.as_str(), first["price"].as_f64()), ("EUR", Some(3.2)));
    assert_eq!(money(&rig, "banner").await, (0, 4_000), "3.2 euros at 1.25, for one impression");
    // 1.234567 × 1.25 = 1.54320875 dollars for a thousand.
    notify(&rig, &filled(&first, "burl", "1.234567")).await;
    assert_eq!(money(&rig, "banner").await, (1_544, 0));
    let (second, _) = bid(&rig, "open", &request("second", &json!({}), &euros)).await;
    notify(&rig, &filled(&second, "burl", "3.2")).await;
    assert_eq!(money(&rig, "banner").await, (5_544, 0), "its own price costs what was reserved");
    let (third, _) = bid(&rig, "open", &request("third", &json!({}), &euros)).await;
    notify(&rig, &filled(&third, "burl", "100")).await;
    assert_eq!(money(&rig, "banner").await, (9_544, 0), "and no price costs more");
    let yen = json!({ "cur": ["JPY"] });
    let (fourth, currency) = bid(&rig, "open", &request("fourth", &json!({}), &yen)).await;
    assert_eq!((currency.as_str(), fourth["price"].as_f64()), ("JPY", Some(625.0)));
    notify(&rig, &filled(&fourth, "burl", "100")).await;
    assert_eq!(money(&rig, "banner").await, (10_184, 0));
    rig.stop().await;
}

#[actix_rt::test]
async fn a_showing_to_many_costs_as_many_impressions_and_never_more_than_was_reserved() {
    let (rig, _folder) = start().await;
    let imp = json!({ "qty": { "multiplier": 12.5, "sourcetype": 1 } });
    let spend = async |id: &str, more: &Value, price: &str, seen: &str| {
        let before = money(&rig, "banner").await.0;
        let (bid, _) = bid(&rig, "open", &request(id, &imp, more)).await;
        assert_eq!(money(&rig, "banner").await.1, 50_000, "12.5 impressions at 4 dollars a thousand");
        for notice in ["nurl", "burl"] {
            let url = filled(&bid, notice, price);
            assert!(url.contains("${AUCTION_MULTIPLIER}"), "{url}");
            notify(&rig, &url.replace("${AUCTION_MULTIPLIER}", seen)).await;
        }
        let (after, reserved) = money(&rig, "banner").await;
        assert_eq!(reserved, 0);
        after - before
    };
    let dollars = json!({});
    assert_eq!(spend("as-expected", &dollars, "2", "12.5").await, 25_000);
    assert_eq!(spend("fewer", &dollars, "2", "10").await, 20_000);
    assert_eq!(spend("less-than-one", &dollars, "2", "0.3333").await, 667, "666.6 millionths, rounded up");
    assert_eq!(spend("more", &dollars, "4", "1000").await, 50_000);
    assert_eq!(spend("not-filled-in", &dollars, "2", "$%7BAUCTION_MULTIPLIER%7D").await, 25_000);
    assert_eq!(spend("in-euros", &json!({ "cur": ["EUR"] }), "1", "10").await, 12_500);
    rig.stop().await;
}

#[actix_rt::test]
async fn a_test_costs_nothing_in_any_currency_for_any_number() {
    let (rig, _folder) = start().await;
    let imp = json!({ "qty": { "multiplier": 100 } });
    for (exchange, notice, more) in [
        ("open", "burl", json!({ "test": 1 })),
        ("open", "burl", json!({ "test": 1, "cur": ["EUR"] })),
        ("explains", "nurl", json!({ "test": 1, "cur": ["JPY"] })),
    ] {
        let (bid, _) = bid(&rig, exchange, &request("trial", &imp, &more)).await;
        assert_eq!(money(&rig, "banner").await, (0, 0));
        let url = filled(&bid, notice, "1").replace("${AUCTION_MULTIPLIER}", "100");
        assert_eq!(rig.get(&url).await.0, StatusCode::GONE, "{url}");
        assert_eq!(money(&rig, "banner").await, (0, 0));
    }
    rig.stop().await;
}

#[actix_rt::test]
async fn where_the_win_notice_bills_it_bills_once_and_there_is_no_other() {
    let (rig, _folder) = start().await;
    let (bid, _) = bid(&rig, "explains", &request("won", &json!({}), &json!({ "cur": ["EUR"] }))).await;
    assert_eq!(bid["burl"], Value::Null);
    for _ in 0..3 {
        notify(&rig, &filled(&bid, "nurl", "1")).await;
    }
    assert_eq!(money(&rig, "banner").await, (1_250, 0));
    rig.stop().await;
}

#[actix_rt::test]
async fn lost_bids_give_their_money_back_and_are_counted_by_reason() {
    let (rig, _folder) = start().await;
    let expected = [
        ("1", "not_shown"),
        ("3", "invalid"),
        ("100", "below_floor"),
        ("102", "outbid"),
        ("104", "seat_blocked"),
        ("205", "creative"),
        ("", "other"),
        ("9999", "other"),
    ];
    for (code, _) in expected {
        let (bid, _) = bid(&rig, "open", &request(&format!("lost-{code}"), &json!({}), &json!({}))).await;
        assert_eq!(money(&rig, "banner").await, (0, 4_000));
        let url = bid["lurl"].as_str().unwrap().replace("${AUCTION_MIN_TO_WIN}", "4.5");
        for _ in 0..2 {
            notify(&rig, &url.replace("${AUCTION_LOSS}", code)).await;
        }
        assert_eq!(money(&rig, "banner").await, (0, 0));
    }
    let metrics = rig.metrics().await;
    for (_, reason) in expected {
        let count = expected.iter().filter(|(_, other)| *other == reason).count();
        let line = format!("haggle_losses_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    rig.stop().await;
}

#[actix_rt::test]
async fn what_becomes_of_each_campaign_sums_to_the_imps_that_were_ranked() {
    let (rig, _folder) = start().await;
    let pod = json!({ "id": "pod", "imp": [
        { "id": "1", "video": { "mimes": ["video/mp4"], "poddur": 60, "maxseq": 4 } },
        { "id": "2", "video": { "mimes": ["video/mp4"], "podid": "p" } },
        { "id": "flawed" },
    ] });
    let dear = json!({ "bidfloor": 100 });
    let (nothing, blocked) = (json!({}), json!({ "badv": ["shop.example"] }));
    for (exchange, request) in [
        ("pods", pod.clone()),
        ("open", pod),
        ("open", request("plain", &nothing, &nothing)),
        ("open", request("dear", &dear, &nothing)),
        ("explains", request("blocked", &nothing, &blocked)),
        ("known", request("unknown", &nothing, &json!({ "regs": { "coppa": 1 } }))),
        ("late", request("late", &nothing, &nothing)),
    ] {
        rig.post(&format!("/openrtb2/bid/{exchange}"), "application/json", &request.to_string()).await;
    }
    let url = format!("http://{}/campaigns", rig.node.admin_address);
    let body = rig.client.get(url).send().await.unwrap().body().await.unwrap();
    let campaigns: Vec<Value> = serde_json::from_slice(&body).unwrap();
    assert_eq!(campaigns.len(), rig.node.state.campaigns.len());
    let refused =
        |campaign: &Value, reason: &str| campaign["funnel"]["refused"][reason].as_u64().unwrap_or(0);
    for campaign in &campaigns {
        let funnel = &campaign["funnel"];
        let all: u64 =
            funnel["refused"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        // Nine imps in seven requests; a flawed one reaches no campaign.
        assert_eq!(funnel["imps"], 9, "{campaign}");
        assert_eq!(funnel["bids"].as_u64().unwrap() + all, 9, "{campaign}");
    }
    let of = |id: &str| campaigns.iter().find(|campaign| campaign["id"] == id).unwrap();
    let banner = of("banner");
    assert_eq!(banner["funnel"]["bids"], 1, "{banner}");
    assert_eq!((refused(banner, "below_floor"), refused(banner, "brand_safety")), (1, 1), "{banner}");
    assert_eq!((refused(of("pod-two"), "pod_separation"), refused(of("pod-two"), "outranked")), (1, 1));
    assert_eq!((refused(of("known"), "no_basis"), refused(of("over"), "outside_flight")), (1, 9));
    rig.stop().await;
}

/// Of every bid each notice, and of every notice a hundred, in any order, over four lives of the node.
#[actix_rt::test]
async fn a_notice_that_comes_a_hundred_times_over_restarts_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    configure_for_fixtures(folder.path());
    let clock = HandClock::new();
    let mut rig = Rig::start(folder.path(), &clock).await;
    rig.funded().await;
    let mut paths = Vec::new();
    for number in 0..3 {
        let (bid, _) = bid(&rig, "open", &request(&format!("again-{number}"), &json!({}), &json!({}))).await;
        let (click, pixel) = links(&bid);
        for url in [filled(&bid, "nurl", "1"), filled(&bid, "burl", "1"), click, pixel] {
            paths.push(url[url.find("/n/").unwrap()..].to_owned());
        }
    }
    let mut calls: Vec<&String> = paths.iter().flat_map(|path| std::iter::repeat_n(path, 100)).collect();
    let mut draw = 20_261_129_u64;
    for last in (1..calls.len()).rev() {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        calls.swap(last, (draw >> 33) as usize % (last + 1));
    }
    for life in calls.chunks(calls.len() / 4) {
        for path in life {
            let (status, _) = rig.get(&rig.url(path)).await;
            assert!(status.is_success() || status.is_redirection(), "{path}: {status}");
        }
        rig.stop().await;
        rig = Rig::start(folder.path(), &clock).await;
    }
    rig.settle().await;
    let report = rig.node.state.campaigns.named("banner").unwrap().report().unwrap();
    assert_eq!((report.settled.0, report.reserved.0), (3_000, 0));
    assert_eq!((report.wins, report.impressions, report.clicks), (3, 3, 3));
    rig.stop().await;
}
