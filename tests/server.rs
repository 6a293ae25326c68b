//! The server as exchanges, browsers and shops meet it: real sockets, real journal, a clock in the test's hand.

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use awc::http::StatusCode;
use haggle_domain::Clock as _;
use support::{HandClock, Rig, filled, links, request, write_config};

#[actix_rt::test]
async fn a_bid_is_complete_and_its_imps_add_up() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let bid = rig.bid("demo", "first").await;
    assert_eq!(bid["impid"], "1");
    assert_eq!(bid["adomain"][0], "shop.example");
    assert_eq!((bid["w"].as_u64(), bid["h"].as_u64()), (Some(300), Some(250)));
    let price = bid["price"].as_f64().unwrap();
    assert!((price - 4.0).abs() < 1e-9, "the whole value where the second price is paid: {price}");
    for notice in ["nurl", "burl", "lurl"] {
        assert!(bid[notice].as_str().unwrap().starts_with(&rig.url("/n/")), "{notice}");
    }
    let many = r#"{"id":"many","imp":[{"id":"1","banner":{"w":300,"h":250}},{"id":"2","video":{"mimes":["video/mp4"]}},
        {"banner":{"w":1,"h":1}},{"id":"4","banner":{"w":728,"h":90}},{"id":"5","banner":{},"bidfloor":1,"bidfloorcur":"JPY"}]}"#;
    let (status, _) = rig.post("/openrtb2/bid/demo", "application/json", many).await;
    assert_eq!(status, StatusCode::OK);
    rig.settle().await;
    let metrics = rig.metrics().await;
    let sum = |name: &str| -> u64 {
        metrics
            .lines()
            .filter(|line| line.starts_with(name) && !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64)
            .sum()
    };
    assert_eq!(sum("haggle_imps_total"), sum("haggle_no_bids_total") + sum("haggle_bids_total"), "{metrics}");
    rig.stop().await;
}

#[actix_rt::test]
async fn what_is_no_bid_request_gets_a_status_and_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let path = "/openrtb2/bid/demo";
    let huge = "x".repeat(9000);
    let nested = format!("{{\"id\":\"1\",\"imp\":{}", "[".repeat(5000));
    for (path, kind, body, status) in [
        (path, "application/json", "{", 400),
        (path, "application/json", "[]", 400),
        (path, "application/json", "{\"id\":\"1\"}", 400),
        (path, "application/json", nested.as_str(), 400),
        (path, "application/json", huge.as_str(), 413),
        (path, "text/plain", "{}", 415),
        ("/openrtb2/bid/nobody", "application/json", "{}", 404),
    ] {
        let (got, answer) = rig.post(path, kind, body).await;
        assert_eq!(got.as_u16(), status, "{kind} {}", &body[..body.len().min(40)]);
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["message"].as_str().is_some_and(|why| !why.is_empty()), "{answer}");
    }
    let no_size_fits = request("none").replace("300", "301");
    let (status, body) = rig.post(path, "application/json; charset=utf-8", &no_size_fits).await;
    assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""));
    rig.stop().await;
}

#[actix_rt::test]
async fn a_bill_counts_once_over_a_hundred_repeats_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    let bid = rig.bid("demo", "billed").await;
    let burl = filled(&bid, "burl", "1.234");
    let path = burl.strip_prefix(&rig.url("")).unwrap().to_owned();
    for _ in 0..50 {
        assert_eq!(rig.get(&burl).await.0, StatusCode::NO_CONTENT);
    }
    assert_eq!(rig.get(&filled(&bid, "lurl", "")).await.0, StatusCode::CONFLICT, "a billed bid cannot lose");
    assert_eq!(rig.spent().await, 1_234);
    rig.stop().await;
    let rig = Rig::start(folder.path(), &clock).await;
    for _ in 0..50 {
        assert_eq!(rig.get(&rig.url(&path)).await.0, StatusCode::NO_CONTENT);
    }
    assert_eq!(rig.spent().await, 1_234);
    rig.stop().await;
}

#[actix_rt::test]
async fn a_notice_that_is_forged_altered_late_or_of_another_kind_never_charges() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let bid = rig.bid("demo", "victim").await;
    let burl = filled(&bid, "burl", "1");
    let (click, pixel) = links(&bid);
    let event_token = pixel.rsplit('/').next().unwrap();
    let mut altered = burl.clone().into_bytes();
    let middle = burl.find("/n/bill/").unwrap() + 60;
    altered[middle] = if altered[middle] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    for forged in [altered, rig.url("/n/bill/AAAA?p=1"), rig.url(&format!("/n/bill/{event_token}?p=1"))] {
        assert_eq!(rig.get(&forged).await.0, StatusCode::FORBIDDEN, "{forged}");
    }
    for price in ["", "-1", "1e3", "NaN", "$%7BAUCTION_PRICE%7D"] {
        let url = filled(&bid, "burl", price);
        assert_eq!(rig.get(&url).await.0, StatusCode::BAD_REQUEST, "{price:?}");
    }
    rig.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(rig.get(&burl).await.0, StatusCode::GONE);
    assert_eq!(rig.get(&pixel).await.0, StatusCode::GONE);
    assert_eq!(rig.spent().await, 0);
    // A late click is not counted, but the user still gets to the page.
    rig.clock.advance(Duration::from_secs(30 * 3600));
    let (status, page) = rig.get(&click).await;
    assert_eq!(status, StatusCode::FOUND);
    assert!(page.unwrap().starts_with("https://shop.example/landing?from=ad&haggle_click="));
    assert_eq!(rig.node.state.campaigns.all()[0].report().unwrap().clicks, 0);
    rig.stop().await;
}

#[actix_rt::test]
async fn a_lost_bid_is_not_billed_shown_or_clicked_any_more_and_the_contradiction_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let bid = rig.bid("demo", "lost").await;
    for _ in 0..2 {
        assert_eq!(rig.get(&filled(&bid, "lurl", "")).await.0, StatusCode::NO_CONTENT);
    }
    let (click, pixel) = links(&bid);
    // A player that only tells of a click gets no page.
    let told = format!("{click}?track=1");
    for url in [filled(&bid, "burl", "1"), filled(&bid, "nurl", "1"), pixel, told] {
        assert_eq!(rig.get(&url).await.0, StatusCode::CONFLICT, "{url}");
    }
    // A user gets it all the same; but no order follows from an ad that was not shown.
    let (status, page) = rig.get(&click).await;
    assert_eq!(status, StatusCode::FOUND);
    let token = page.unwrap().rsplit_once("haggle_click=").unwrap().1.to_owned();
    let order = rig.url(&format!("/n/conv/{token}?value=10&order=1"));
    assert_eq!(rig.get(&order).await.0, StatusCode::CONFLICT);
    assert_eq!(rig.spent().await, 0);
    assert!(rig.metrics().await.contains(r#"haggle_notices_total{kind="bill",outcome="conflict"} 1"#));
    rig.stop().await;
}

#[actix_rt::test]
async fn a_campaign_that_is_renamed_still_settles_its_open_bids() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    let bid = rig.bid("demo", "open").await;
    let path = filled(&bid, "burl", "1.5").strip_prefix(&rig.url("")).unwrap().to_owned();
    rig.stop().await;
    let file = folder.path().join("campaigns/eager.toml");
    let renamed = std::fs::read_to_string(&file).unwrap().replace("\"eager\"", "\"keen\"");
    std::fs::write(&file, renamed).unwrap();
    let rig = Rig::start(folder.path(), &clock).await;
    assert_eq!(rig.get(&rig.url(&path)).await.0, StatusCode::NO_CONTENT);
    rig.settle().await;
    let report = |id: &str| rig.node.state.campaigns.named(id).unwrap().report().unwrap();
    assert_eq!((report("eager").settled.0, report("keen").settled.0), (1_500, 0));
    assert_eq!(report("eager").unleased.0, 0, "nothing is left to bid with");
    rig.stop().await;
}

#[actix_rt::test]
async fn one_click_brings_no_more_than_a_few_orders() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let bid = rig.bid("demo", "clicked").await;
    let (_, page) = rig.get(&links(&bid).0).await;
    let token = page.unwrap().rsplit_once("haggle_click=").unwrap().1.to_owned();
    let mut answers = Vec::new();
    for order in 0..10 {
        answers.push(rig.get(&rig.url(&format!("/n/conv/{token}?value=1&order={order}"))).await.0.as_u16());
    }
    assert_eq!(answers, [204, 204, 204, 204, 204, 204, 204, 204, 409, 409]);
    rig.stop().await;
}

#[actix_rt::test]
async fn a_price_above_the_ceiling_is_charged_at_the_ceiling_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let bid = rig.bid("demo", "greedy").await;
    let ceiling = (bid["price"].as_f64().unwrap() * 1000.0).round() as i64;
    assert_eq!(rig.get(&filled(&bid, "burl", "999999")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.spent().await, ceiling);
    let counted = r#"haggle_notices_total{kind="bill",outcome="capped"} 1"#;
    assert!(rig.metrics().await.contains(counted));
    rig.stop().await;
}

#[actix_rt::test]
async fn an_exchange_that_bills_on_the_win_is_billed_by_its_win_notice() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let bid = rig.bid("nurl-biller", "won").await;
    assert!(bid["burl"].is_null());
    for _ in 0..3 {
        assert_eq!(rig.get(&filled(&bid, "nurl", "2")).await.0, StatusCode::NO_CONTENT);
    }
    assert_eq!(rig.spent().await, 2_000);
    assert_eq!(rig.node.state.campaigns.all()[0].report().unwrap().wins, 1);
    rig.stop().await;
}

#[actix_rt::test]
async fn an_exchange_that_encrypts_its_prices_is_believed_no_plain_one_and_the_other_way_round() {
    // 1,900 millionths for a thousand, by the example keys of the scheme's documentation.
    const PRICE: &str = "YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCAWJRxOgA";
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let bid = rig.bid("secretive", "encrypted").await;
    let forged = PRICE.replace("OgA", "OgB");
    for price in ["1.9", "0", &forged, ""] {
        assert_eq!(rig.get(&filled(&bid, "burl", price)).await.0, StatusCode::BAD_REQUEST, "{price}");
    }
    let plain = rig.bid("demo", "plain").await;
    assert_eq!(rig.get(&filled(&plain, "burl", PRICE)).await.0, StatusCode::BAD_REQUEST);
    for _ in 0..2 {
        assert_eq!(rig.get(&filled(&bid, "nurl", PRICE)).await.0, StatusCode::NO_CONTENT);
        assert_eq!(rig.get(&filled(&bid, "burl", PRICE)).await.0, StatusCode::NO_CONTENT);
    }
    assert_eq!(rig.spent().await, 2, "a thousandth, rounded up to a whole micro");
    assert!(rig.metrics().await.contains(r#"haggle_notices_total{kind="bill",outcome="bad_price"} 5"#));
    rig.stop().await;
}

#[actix_rt::test]
async fn impression_click_and_order_are_counted_once_each() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let bid = rig.bid("demo", "shown").await;
    let (click, pixel) = links(&bid);
    for _ in 0..3 {
        assert_eq!(rig.get(&pixel).await.0, StatusCode::OK);
        assert_eq!(rig.get(&click).await.0, StatusCode::FOUND);
    }
    // A destination in the query changes nothing.
    let (_, page) = rig.get(&format!("{click}?url=https://evil.example&landing=https://evil.example")).await;
    let page = page.unwrap();
    assert!(page.starts_with("https://shop.example/"), "{page}");
    let token = page.rsplit_once("haggle_click=").unwrap().1;
    let order = |value: &str, id: &str| rig.url(&format!("/n/conv/{token}?value={value}&order={id}"));
    assert_eq!(rig.get(&order("59.90", "A1")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.get(&order("59.90", "A1")).await.0, StatusCode::NO_CONTENT);
    let shown = pixel.rsplit('/').next().unwrap();
    let unclicked = rig.url(&format!("/n/conv/{shown}?value=59.90&order=A9"));
    assert_eq!(rig.get(&unclicked).await.0, StatusCode::FORBIDDEN, "markup alone reports no orders");
    assert_eq!(rig.get(&order("-5", "A2")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(rig.get(&order("1e12", "A3")).await.0, StatusCode::BAD_REQUEST);
    rig.settle().await;
    let report = rig.node.state.campaigns.all()[0].report().unwrap();
    assert_eq!((report.impressions, report.clicks, report.conversions), (1, 1, 1));
    assert_eq!(report.revenue.0, 59_900_000);
    rig.stop().await;
}

#[actix_rt::test]
async fn a_test_request_is_answered_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let body = request("trial").replacen('{', "{\"test\":1,", 1);
    let (status, body) = rig.post("/openrtb2/bid/demo", "application/json", &body).await;
    assert_eq!(status, StatusCode::OK);
    let response: serde_json::Value = serde_json::from_str(&body).unwrap();
    let bid = &response["seatbid"][0]["bid"][0];
    assert_eq!(rig.get(&filled(bid, "burl", "1")).await.0, StatusCode::GONE);
    assert_eq!(rig.spent().await, 0);
    assert_eq!(rig.node.state.campaigns.all()[0].report().unwrap().reserved.0, 0);
    rig.stop().await;
}

#[actix_rt::test]
async fn a_panicking_actor_comes_back_with_its_money_and_open_bids() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let before = rig.bid("demo", "before").await;
    assert!(rig.node.inject_panic("eager"));
    let after = rig.bid("demo", "after").await;
    assert_eq!(rig.get(&filled(&before, "burl", "1")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.get(&filled(&after, "burl", "1")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.spent().await, 2_000);
    assert_eq!(rig.node.state.campaigns.all()[0].supervision().restarts(), 1);
    rig.stop().await;
}

#[actix_rt::test]
async fn shop_events_need_the_key_and_reach_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let send = async |key: &str, body: &str| {
        let request = rig
            .client
            .post(rig.url("/events"))
            .insert_header(("authorization", format!("Bearer {key}")))
            .insert_header(("content-type", "application/json"));
        request.send_body(body.to_owned()).await.unwrap().status()
    };
    let good = r#"[{"user":"user-1","did":"viewed","what":"boots"}]"#;
    assert_eq!(send("wrong", good).await, StatusCode::UNAUTHORIZED);
    let key = "a-key-for-the-tests-only";
    for bad in [
        "{",
        "[{}]",
        r#"[{"user":"","did":"viewed","what":"x"}]"#,
        r#"[{"user":"u","did":"ate","what":"x"}]"#,
    ] {
        assert_eq!(send(key, bad).await, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(send(key, good).await, StatusCode::NO_CONTENT);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let known = rig.node.state.audience.get(haggle_domain::UserKey::of("user-1"), rig.clock.now()).unwrap();
    assert_eq!(known.profile.unwrap().behaviours().len(), 1);
    rig.stop().await;
}

#[actix_rt::test]
async fn health_and_readiness_answer_on_the_admin_listener_alone() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let admin = format!("http://{}{path}", rig.node.admin_address);
        assert_eq!(rig.get(&admin).await.0, StatusCode::OK, "{path}");
        assert_eq!(rig.get(&rig.url(path)).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    rig.stop().await;
}

#[actix_rt::test]
async fn a_body_may_come_in_pieces_but_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let address = rig.node.address;
    let answer = |pieces: &'static [&'static str]| async move {
        let send = move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            let head = "POST /openrtb2/bid/demo HTTP/1.1\r\nhost: a.example\r\ncontent-length: 56\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            for piece in pieces {
                std::thread::sleep(Duration::from_millis(100));
                stream.write_all(piece.as_bytes()).unwrap();
            }
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            String::from_utf8(status.to_vec()).unwrap()
        };
        tokio::task::spawn_blocking(send).await.unwrap()
    };
    let whole: &[&str] = &[r#"{"id":"1","imp":[{"id":"1","#, r#""banner":{"w":300,"h":"#, "250}}]}"];
    assert_eq!(whole.concat().len(), 56);
    assert_eq!(answer(whole).await, "HTTP/1.1 200");
    for cut in [&[][..], &["{"], &[r#"{"id":"1","#, r#""imp":"#]] {
        assert_eq!(answer(cut).await, "HTTP/1.1 408", "{cut:?}");
    }
    rig.stop().await;
}
