//! Campaigns that change while the node runs, by the admin port.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::time::Duration;

use awc::http::{Method, StatusCode};
use serde_json::Value;
use support::{HandClock, Rig, filled, request, write_config};

/// Asks the admin port.
async fn admin(rig: &Rig, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let url = format!("http://{}{path}", rig.node.admin_address);
    let mut response = rig.client.request(method, url).send_body(body.to_owned()).await.unwrap();
    let body = response.body().await.unwrap();
    (response.status(), serde_json::from_slice(&body).unwrap())
}

fn document(id: &str, price: &str, budget: &str) -> String {
    format!(
        r#"id = "{id}"
name = "Changing"
advertiser_domain = "shop.example"
categories = ["IAB18"]
pacing = "asap"
max_bid_cpm = "9.00"
goal = {{ cpm = {{ price = "{price}" }} }}
budget = {{ daily = "{budget}" }}
[[creatives]]
id = "one"
width = 300
height = 250
image = "https://cdn.shop.example/one.jpg"
landing = "https://shop.example/"
title = "One"
"#
    )
}

/// Who bids how much now; nobody after a second.
async fn best(rig: &Rig) -> Option<(String, f64)> {
    for _ in 0..20 {
        let (status, body) = rig.post("/openrtb2/bid/demo", "application/json", &request("r")).await;
        if status == StatusCode::OK {
            let bid: Value = serde_json::from_str(&body).unwrap();
            let bid = &bid["seatbid"][0]["bid"][0];
            return Some((bid["cid"].as_str().unwrap().to_owned(), bid["price"].as_f64().unwrap()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

#[actix_rt::test]
async fn a_campaign_is_added_changed_paused_and_removed_under_way() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    let put = document("late", "6.00", "2.00");
    assert_eq!(admin(&rig, Method::PUT, "/campaigns/late", &put).await.0, StatusCode::CREATED);
    rig.funded().await;
    assert_eq!(best(&rig).await, Some(("late".to_owned(), 6.0)));
    let bid = rig.bid("demo", "open").await;

    let changed = document("late", "7.00", "2.00");
    assert_eq!(admin(&rig, Method::PUT, "/campaigns/late", &changed).await.0, StatusCode::OK);
    assert_eq!(best(&rig).await, Some(("late".to_owned(), 7.0)), "the very next bid");

    assert_eq!(admin(&rig, Method::POST, "/campaigns/late/pause", "").await.0, StatusCode::OK);
    assert_eq!(best(&rig).await.unwrap().0, "eager", "no bid of it at once");
    rig.stop().await;
    let rig = Rig::start(folder.path(), &clock).await;
    assert_eq!(admin(&rig, Method::GET, "/campaigns/late", "").await.1["state"], "paused", "durably");
    assert_eq!(best(&rig).await.unwrap().0, "eager");
    assert_eq!(admin(&rig, Method::POST, "/campaigns/late/resume", "").await.0, StatusCode::OK);
    rig.funded().await;
    assert_eq!(best(&rig).await, Some(("late".to_owned(), 7.0)));

    assert_eq!(admin(&rig, Method::DELETE, "/campaigns/late", "").await.0, StatusCode::OK);
    assert!(!folder.path().join("campaigns/late.toml").exists());
    assert_eq!(best(&rig).await.unwrap().0, "eager");
    let burl = filled(&bid, "burl", "1.5");
    let path = burl.split_once("/n/").unwrap().1;
    assert_eq!(rig.get(&rig.url(&format!("/n/{path}"))).await.0, StatusCode::NO_CONTENT, "its bids settle");
    rig.settle().await;
    let (_, shown) = admin(&rig, Method::GET, "/campaigns/late", "").await;
    assert_eq!((&shown["state"], &shown["spend_micros"]), (&"retired".into(), &1500.into()));
    assert_eq!(admin(&rig, Method::PUT, "/campaigns/late", &put).await.0, StatusCode::CREATED);
    rig.settle().await;
    let (_, shown) = admin(&rig, Method::GET, "/campaigns/late", "").await;
    assert_eq!(shown["spend_micros"], 1500, "its books are found again");
    rig.stop().await;
}

#[actix_rt::test]
async fn what_is_wrong_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let file = folder.path().join("campaigns/eager.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let bad = before.replace("4.00", "four");
    let (status, body) = admin(&rig, Method::PUT, "/campaigns/eager", &bad).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("eager.toml:8: goal.cpm.price: "), "{message}");
    let (status, _) = admin(&rig, Method::PUT, "/campaigns/other", &before).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "the document is of another id");
    assert_eq!(admin(&rig, Method::DELETE, "/campaigns/nobody", "").await.0, StatusCode::NOT_FOUND);
    std::fs::write(folder.path().join("campaigns/new.toml"), document("new", "6.00", "1.00")).unwrap();
    std::fs::write(folder.path().join("campaigns/bad.toml"), "id = 3").unwrap();
    assert_eq!(admin(&rig, Method::POST, "/campaigns/reload", "").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(best(&rig).await, Some(("eager".to_owned(), 4.0)));
    // What is in a file of another name is changed there.
    std::fs::remove_file(folder.path().join("campaigns/bad.toml")).unwrap();
    std::fs::rename(&file, folder.path().join("campaigns/elsewhere.toml")).unwrap();
    assert_eq!(admin(&rig, Method::PUT, "/campaigns/eager", &before).await.0, StatusCode::CONFLICT);
    let (_, summary) = admin(&rig, Method::POST, "/campaigns/reload", "").await;
    assert_eq!(summary, serde_json::json!({ "added": 1, "changed": 0, "removed": 0, "unchanged": 1 }));
    rig.funded().await;
    assert_eq!(best(&rig).await, Some(("new".to_owned(), 6.0)));
    rig.stop().await;
}

#[actix_rt::test]
async fn bids_go_on_through_two_hundred_changes_and_the_money_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let changes = async {
        for round in 0..200 {
            let (id, price) = (format!("c{}", round % 5), format!("{}.00", 3 + round % 4));
            let (method, path, body) = match round % 10 {
                7 => (Method::POST, format!("/campaigns/{id}/pause"), String::new()),
                8 => (Method::POST, "/campaigns/c2/resume".to_owned(), String::new()),
                9 => (Method::DELETE, format!("/campaigns/{id}"), String::new()),
                _ => (
                    Method::PUT,
                    format!("/campaigns/{id}"),
                    document(&id, &price, &format!("{}.00", 1 + round % 3)),
                ),
            };
            let (status, answer) = admin(&rig, method, &path, &body).await;
            assert!(status.is_success(), "{path}: {answer}");
        }
    };
    let bids = async {
        for round in 0..400 {
            let (status, body) =
                rig.post("/openrtb2/bid/demo", "application/json", &request(&format!("r{round}"))).await;
            assert!(status == StatusCode::OK || status == StatusCode::NO_CONTENT, "{status}: {body}");
            if status == StatusCode::OK && round % 3 == 0 {
                let bid: Value = serde_json::from_str(&body).unwrap();
                let burl = filled(&bid["seatbid"][0]["bid"][0], "burl", "1");
                assert_eq!(rig.get(&burl).await.0, StatusCode::NO_CONTENT, "{round}");
            }
        }
    };
    tokio::join!(changes, bids);
    rig.settle().await;
    for handle in rig.node.state.campaigns.all() {
        let report = handle.report().unwrap();
        let parts = report.settled + report.reserved + report.available + report.unleased;
        assert_eq!(parts, report.budget, "{}", handle.id);
        assert_eq!(report.violations.iter().sum::<u64>(), 0, "{}", handle.id);
    }
    rig.stop().await;
}

#[actix_rt::test]
async fn a_page_in_a_browser_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let url = format!("http://{}/campaigns/eager/pause", rig.node.admin_address);
    for (name, value) in [
        ("origin", "https://elsewhere.example"),
        ("sec-fetch-site", "cross-site"),
        ("host", "rebound.example:9090"),
    ] {
        let sent = rig.client.post(&url).insert_header((name, value)).send().await;
        assert_eq!(sent.unwrap().status(), StatusCode::FORBIDDEN, "{name}");
    }
    assert_eq!(admin(&rig, Method::GET, "/campaigns/eager", "").await.1["state"], "active");
    rig.stop().await;
}

#[actix_rt::test]
async fn an_id_is_not_taken_in_other_letters_case_even_after_a_removal() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let put = |id: &'static str| document(id, "6.00", "2.00");
    assert_eq!(admin(&rig, Method::PUT, "/campaigns/boots", &put("boots")).await.0, StatusCode::CREATED);
    assert_eq!(admin(&rig, Method::DELETE, "/campaigns/boots", "").await.0, StatusCode::OK);
    assert_eq!(admin(&rig, Method::PUT, "/campaigns/Boots", &put("Boots")).await.0, StatusCode::CONFLICT);
    assert!(!folder.path().join("campaigns/Boots.toml").exists());
    assert_eq!(admin(&rig, Method::PUT, "/campaigns/boots", &put("boots")).await.0, StatusCode::CREATED);
    rig.stop().await;
}
