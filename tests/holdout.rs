//! What a campaign's ads bring, as an operator learns it: users who are left alone, the shop's orders, and what `/campaigns` says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use awc::http::StatusCode;
use haggle_actors::holdout::{Band, Split};
use haggle_domain::{CampaignKey, Event, Group, Holdout, UserKey};
use serde_json::{Value, json};
use support::{HandClock, Rig, links, request, write_config};

const KEY: &str = "Bearer a-key-for-the-tests-only";
/// Users who come.
const USERS: usize = 40;

/// Half of the users are left alone, so the others are all compared with them.
fn write_half(folder: &Path) {
    write_config(folder);
    let file = folder.join("campaigns/eager.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text.replacen("pacing", "holdout = 0.5\npacing", 1)).unwrap();
}

fn name(user: usize) -> String {
    format!("visitor-{user}")
}

fn is_held(user: usize) -> bool {
    let group = Holdout::of(0.5).group(CampaignKey::of("eager"), UserKey::of(&name(user)));
    group.unwrap() == Group::Held
}

/// The answer to a request of a user, and whether they ask not to be tracked.
async fn visit(rig: &Rig, id: &str, user: usize, limits: bool) -> (StatusCode, String) {
    let mut body: Value = serde_json::from_str(&request(id)).unwrap();
    body["user"]["buyeruid"] = json!(name(user));
    if limits {
        body["device"]["lmt"] = json!(1);
    }
    rig.post("/openrtb2/bid/demo", "application/json", &body.to_string()).await
}

/// The same of somebody who is bid for, once there is money for it: a lease holds only so many bids.
async fn bid_for(rig: &Rig, id: &str, user: usize, limits: bool) -> Value {
    for _ in 0..500 {
        if let (StatusCode::OK, body) = visit(rig, id, user, limits).await {
            let response: Value = serde_json::from_str(&body).unwrap();
            return response["seatbid"][0]["bid"][0].clone();
        }
        rig.settle().await;
    }
    panic!("nothing is bid for {user}");
}

async fn shop(rig: &Rig, path: &str, body: Value) {
    let request = rig
        .client
        .post(rig.url(path))
        .insert_header(("authorization", KEY))
        .insert_header(("content-type", "application/json"));
    assert_eq!(request.send_body(body.to_string()).await.unwrap().status(), StatusCode::NO_CONTENT);
}

async fn shown(rig: &Rig) -> Value {
    let url = format!("http://{}/campaigns/eager", rig.node.admin_address);
    serde_json::from_slice(&rig.client.get(url).send().await.unwrap().body().await.unwrap()).unwrap()
}

/// Waits until the learner has seen these groups.
async fn until(rig: &Rig, expected: Split) {
    let mut found = Split::default();
    for _ in 0..500 {
        let report = rig.node.state.learner.load_full();
        found = report.map(|report| report.holdout(CampaignKey::of("eager"))).unwrap_or_default();
        if found == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{found:?} and never {expected:?}");
}

#[actix_rt::test]
async fn held_out_users_get_no_bid_and_their_orders_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    write_half(folder.path());
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    rig.funded().await;
    // Who may not be known belongs to no group: everybody gets a bid, and nobody is noted.
    for user in 0..USERS {
        bid_for(&rig, &format!("limited-{user}"), user, true).await;
    }
    let mut bids = Vec::new();
    for round in 0..3 {
        for user in 0..USERS {
            let id = format!("{round}-{user}");
            if is_held(user) {
                assert_eq!(visit(&rig, &id, user, false).await.0, StatusCode::NO_CONTENT);
            } else {
                bids.push(bid_for(&rig, &id, user, false).await);
            }
        }
    }
    let held: Vec<usize> = (0..USERS).filter(|user| is_held(*user)).collect();
    let control: Vec<usize> = (0..USERS).filter(|user| !is_held(*user)).collect();
    let band = |users: &[usize], buyers| Band { users: users.len() as u64, buyers, followed: 0 };
    until(&rig, Split { held: band(&held, 0), control: band(&control, 0) }).await;

    // All but two of those who were bid for buy, and one of the others; who never came counts for nobody.
    let buyers = control.iter().skip(2).chain(held.first()).copied().chain([USERS]);
    let orders: Vec<Value> =
        buyers.map(|user| json!({ "user": name(user), "did": "bought", "what": "boots" })).collect();
    shop(&rig, "/events", json!(orders)).await;
    let bought = Split { held: band(&held, 1), control: band(&control, control.len() as u64 - 2) };
    until(&rig, bought).await;
    let said = shown(&rig).await;
    assert_eq!(said["holdout"]["verdict"], "more buy with the ads", "{said}");
    assert_eq!((&said["holdout"]["share"], &said["holdout"]["worth"]), (&json!(0.5), &json!(1.0)));
    assert_eq!(said["holdout"]["held"], json!({ "users": held.len(), "buyers": 1, "after_a_click": 0 }));
    let (lift, share) = (bought.lift().unwrap(), bought.incremental().unwrap());
    for (shown, expected) in [("lift", lift), ("incremental", share)] {
        let near =
            |key: &str, value: f64| (said["holdout"][shown][key].as_f64().unwrap() - value).abs() < 1e-9;
        assert!(
            near("low", expected.low) && near("seen", expected.seen) && near("high", expected.high),
            "{said}"
        );
    }
    let refused = &said["funnel"]["refused"];
    assert_eq!(refused["holdout"], held.len() * 3);
    let told: u64 = refused.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(said["funnel"]["imps"], told + said["funnel"]["bids"].as_u64().unwrap(), "reasons sum");

    // All who were bid for order after a click, so an order is worth as much as the share of them who would not have bought.
    let live = || {
        let catalog = Arc::clone(&rig.node.state.snapshot.load().catalog);
        catalog.get(CampaignKey::of("eager")).unwrap().live.incremental()
    };
    assert!(live() >= 1.0, "nobody is known to have ordered after a click");
    for (number, bid) in bids.iter().take(control.len()).enumerate() {
        let (status, page) = rig.get(&links(bid).0).await;
        assert_eq!(status, StatusCode::FOUND);
        let token = page.unwrap().split_once("haggle_click=").unwrap().1.to_owned();
        let order = rig.url(&format!("/n/conv/{token}?value=10&order={number}"));
        assert_eq!(rig.get(&order).await.0, StatusCode::NO_CONTENT);
    }
    let mut bought = bought;
    bought.control.followed = control.len() as u64;
    until(&rig, bought).await;
    assert!(bought.worth() < 1.0);
    assert_eq!(
        (shown(&rig).await["holdout"]["worth"].as_f64(), live()),
        (Some(bought.worth()), bought.worth())
    );

    // Who opts out or is erased was never counted.
    let [first, second] = [held[0], control[5]];
    shop(&rig, "/privacy/erase", json!([{ "user": name(first) }])).await;
    shop(&rig, "/privacy/opt-out", json!([{ "user": name(second) }])).await;
    let mut left =
        Split { held: band(&held[1..], 0), control: band(&control[1..], control.len() as u64 - 3) };
    left.control.followed = control.len() as u64 - 1;
    until(&rig, left).await;
    // Once a user and day, and nothing of who was erased.
    let journal = Arc::clone(&rig.node.state.journal);
    for _ in 0..500 {
        if rig.node.state.audience.suppressed() == (1, 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let records = journal.read_from(0, 1_000_000).unwrap();
    let noted = records.iter().filter_map(|(_, record)| match record.event {
        Event::Eligible { user, .. } => Some(user),
        _ => None,
    });
    let noted: Vec<UserKey> = noted.collect();
    assert_eq!(noted.len(), USERS - 1);
    assert!(!noted.contains(&UserKey::of(&name(first))));
    rig.stop().await;

    // A start that has only the journal counts the same.
    let rig = Rig::start(folder.path(), &clock).await;
    until(&rig, left).await;
    rig.stop().await;
}
