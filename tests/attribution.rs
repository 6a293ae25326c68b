//! Orders end to end: told of by the shop's server or by a pixel, credited once, to whom the user met.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is a failure")]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use awc::http::StatusCode;
use haggle_actors::journal::replay;
use haggle_domain::{Attribution, Event, Micros, Standing, Tag};
use serde_json::{Value, json};
use support::{HandClock, Rig, filled, links, write_config};

const KEY: &str = "Bearer a-key-for-the-tests-only";

/// Tells the shop's orders; answers status and body.
async fn tell(rig: &Rig, orders: &Value) -> (StatusCode, String) {
    let sent = rig
        .client
        .post(rig.url("/conversions"))
        .insert_header(("authorization", KEY))
        .send_body(orders.to_string())
        .await;
    let mut response = sent.unwrap();
    let body = response.body().await.unwrap();
    (response.status(), String::from_utf8(body.to_vec()).unwrap())
}

/// A bid that was billed, seen and, if so, clicked; gives the token that the landing page got.
async fn meet(rig: &Rig, id: &str, clicked: bool) -> Option<String> {
    let bid = rig.bid("demo", id).await;
    assert_eq!(rig.get(&filled(&bid, "burl", "2.0")).await.0, StatusCode::NO_CONTENT);
    let (click, pixel) = links(&bid);
    assert_eq!(rig.get(&pixel).await.0, StatusCode::OK);
    if !clicked {
        return None;
    }
    let (status, location) = rig.get(&click).await;
    assert_eq!(status, StatusCode::FOUND);
    Some(location.unwrap().split("haggle_click=").nth(1).unwrap().to_owned())
}

/// All that was credited, once so many orders were.
async fn credited(rig: &Rig, count: usize) -> Vec<Attribution> {
    for _ in 0..400 {
        let records = replay(&*rig.node.state.journal, 0).map(Result::unwrap);
        let found: Vec<Attribution> = records
            .filter_map(|(_, record)| match record.event {
                Event::Attributed { attribution } => Some(*attribution),
                _ => None,
            })
            .collect();
        if found.len() >= count {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not credited in time");
}

#[actix_rt::test]
async fn orders_are_credited_once_however_and_how_often_they_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    rig.funded().await;
    meet(&rig, "seen", false).await;
    let token = meet(&rig, "clicked", true).await.unwrap();
    clock.advance(Duration::from_secs(600));
    let orders = json!([
        { "order": "A-1", "user": "user-1", "value": "59.90", "lines": [{ "product": "boots", "value": "59.90" }] },
        { "order": "A-2", "user": "a stranger", "value": 10 },
        { "order": "A-3", "clicks": [token], "value": "5" },
    ]);
    for _ in 0..2 {
        assert_eq!(tell(&rig, &orders).await, (StatusCode::NO_CONTENT, String::new()));
    }
    let pixel = rig.url(&format!("/pixel/conversion?token={token}&order=A-4&value=7.5"));
    for _ in 0..2 {
        assert_eq!(rig.get(&pixel).await.0, StatusCode::OK);
    }
    // What the shop tells of a token's order, its campaign's goals count; a pixel's, too.
    rig.settle().await;
    assert_eq!(rig.node.state.campaigns.all()[0].report().unwrap().conversions, 2);
    let change = json!([{ "order": "A-1", "status": "changed", "value": "29.95" }, { "order": "A-3", "status": "cancelled" }]);
    assert_eq!(tell(&rig, &change).await.0, StatusCode::NO_CONTENT);
    let found = credited(&rig, 6).await;
    let shown: Vec<(Tag, Standing, i64)> = found
        .iter()
        .map(|found| {
            let sum = found.credits.iter().fold(Micros::ZERO, |sum, credit| sum + credit.amount);
            (found.order, found.standing, sum.0)
        })
        .collect();
    let of = |id, standing, sum| (Tag::of(id), standing, sum);
    assert_eq!(
        shown,
        [
            of("A-1", Standing::Credited, 59_900_000),
            of("A-2", Standing::Orphan, 0),
            of("A-3", Standing::Credited, 5_000_000),
            of("A-4", Standing::Credited, 7_500_000),
            of("A-1", Standing::Corrected, 29_950_000),
            of("A-3", Standing::Corrected, 0),
        ]
    );
    assert_eq!((found[0].credits[0].touches, found[0].credits[0].clicks), (2, 1));
    let mut metrics = rig.metrics().await;
    for _ in 0..100 {
        // What was credited is shown a moment after it is durable.
        if metrics.contains("haggle_orders_total{outcome=\"corrected\"} 2") {
            break;
        }
        rig.settle().await;
        metrics = rig.metrics().await;
    }
    for line in [
        "haggle_orders_total{outcome=\"credited\"} 3",
        "haggle_orders_total{outcome=\"duplicate\"} 3",
        "haggle_orders_total{outcome=\"orphan\"} 1",
        "haggle_orders_told_total{outcome=\"accepted\"} 8",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    rig.stop().await;

    // The next life knows them all.
    let rig = Rig::start(folder.path(), &clock).await;
    assert_eq!(tell(&rig, &orders).await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        tell(&rig, &json!([{ "order": "B", "user": "user-1", "value": "1" }])).await.0,
        StatusCode::NO_CONTENT
    );
    let found = credited(&rig, 7).await;
    assert_eq!((found.len(), found[6].order, found[6].standing), (7, Tag::of("B"), Standing::Credited));
    rig.stop().await;
}

#[actix_rt::test]
async fn what_is_wrong_with_an_order_is_said_and_nothing_of_the_request_counts() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let end = rig.node.state.journal.durable_end();
    let (status, body) =
        tell(&rig, &json!([{ "order": "A", "value": "1" }, { "order": "B", "value": "one" }])).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["index"], &body["field"]),
        (StatusCode::BAD_REQUEST, &json!(1), &json!("value"))
    );
    assert!(body["error"].as_str().unwrap().starts_with("order 1: `value` \"one\" is not"), "{body}");
    for (orders, expected) in [
        (json!({ "order": "A" }), StatusCode::BAD_REQUEST),
        (json!([{ "order": "A", "value": "1", "clicks": ["forged"] }]), StatusCode::BAD_REQUEST),
        (Value::Array(vec![json!({ "order": "A", "value": "1" }); 1001]), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(tell(&rig, &orders).await.0, expected, "{orders}");
    }
    assert_eq!(rig.post("/conversions", "application/json", "[]").await.0, StatusCode::UNAUTHORIZED);
    for (query, expected) in [
        ("token=forged&order=A&value=1", StatusCode::FORBIDDEN),
        ("order=A&value=1", StatusCode::FORBIDDEN),
        ("user=user-1&order=A&value=1", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(rig.get(&rig.url(&format!("/pixel/conversion?{query}"))).await.0, expected, "{query}");
    }
    let told = replay(&*rig.node.state.journal, end).map(Result::unwrap);
    assert_eq!(told.filter(|(_, record)| matches!(record.event, Event::Ordered { .. })).count(), 0);
    rig.stop().await;
}

#[actix_rt::test]
async fn nobody_who_opted_out_or_was_erased_is_credited_for() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    rig.funded().await;
    meet(&rig, "seen", true).await;
    let sent = rig.client.post(rig.url("/privacy/erase")).insert_header(("authorization", KEY));
    assert_eq!(sent.send_body("[{\"user\": \"user-1\"}]").await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(
        tell(&rig, &json!([{ "order": "A", "user": "user-1", "value": "1" }])).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(credited(&rig, 1).await[0].standing, Standing::Orphan);
    rig.stop().await;
}

fn haggle(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

#[actix_rt::test]
async fn a_stopped_nodes_orders_and_bills_are_reported_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    rig.funded().await;
    meet(&rig, "seen", false).await;
    meet(&rig, "clicked", true).await;
    let lines = json!([{ "product": "boots", "value": "40" }]);
    let orders = json!([{ "order": "A", "user": "user-1", "value": "40", "lines": lines }]);
    assert_eq!(tell(&rig, &orders).await.0, StatusCode::NO_CONTENT);
    credited(&rig, 1).await;
    rig.stop().await;

    let output = haggle(folder.path(), &["attribution", "--data", "data", "--model", "linear", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cell = &report["campaigns"][0]["by_model"][0];
    assert_eq!((&report["campaigns"][0]["id"], &cell["value_micros"]), (&json!("eager"), &json!(40_000_000)));
    // Two impressions at 2.00 for a thousand.
    assert_eq!((&cell["cost_micros"], &cell["roas"]), (&json!(4_000), &json!(10_000.0)));
    assert_eq!(report["products"][0]["by_model"][0]["cost_micros"], json!(4_000));
    let table = haggle(folder.path(), &["attribution", "--data", "data", "--from", "2026-11-24"]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("0 credited"), "{table:?}");

    let report = "day,campaign,impressions,cost\n2026-11-23,eager,2,0.004\n";
    std::fs::write(folder.path().join("report.csv"), report).unwrap();
    let arguments = ["reconcile", "--data", "data", "--exchange", "demo", "--report", "report.csv", "--map"];
    let compare = |more: &[&str]| haggle(folder.path(), &[&arguments[..], more].concat());
    let agreed = compare(&["time=day,spend=cost"]);
    assert_eq!(agreed.status.code(), Some(0), "{agreed:?}");
    assert!(String::from_utf8_lossy(&agreed.stdout).contains("within the tolerance"), "{agreed:?}");
    assert_eq!(compare(&["time=day,spend=cost", "--rate", "1.5"]).status.code(), Some(1));
    assert_eq!(
        compare(&["time=day,spend=cost", "--rate", "1.5", "--tolerance", "50"]).status.code(),
        Some(0)
    );
    assert_eq!(compare(&["time=day,spend=price"]).status.code(), Some(66));
    let elsewhere =
        [&arguments[..3], &["--exchange", "nurl-biller"], &arguments[5..], &["time=day,spend=cost"]].concat();
    assert_eq!(haggle(folder.path(), &elsewhere).status.code(), Some(2));
}

#[actix_rt::test]
async fn a_bill_that_comes_too_late_costs_nothing_and_is_noted_once() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    rig.funded().await;
    let bid = rig.bid("demo", "late").await;
    clock.advance(Duration::from_secs(3 * 3600));
    rig.settle().await;
    for _ in 0..2 {
        assert_eq!(rig.get(&filled(&bid, "burl", "2.5")).await.0, StatusCode::GONE);
    }
    let mut late = Vec::new();
    for _ in 0..200 {
        let records = replay(&*rig.node.state.journal, 0).map(Result::unwrap);
        late = records.filter(|(_, record)| matches!(record.event, Event::BilledLate { .. })).collect();
        if !late.is_empty() {
            break;
        }
        rig.settle().await;
    }
    rig.settle().await;
    let [(_, record)] = &late[..] else { panic!("{late:?}") };
    let Event::BilledLate { price, .. } = &record.event else { panic!("{record:?}") };
    assert_eq!(price.0, 2_500_000);
    assert_eq!(rig.spent().await, 0);
    rig.stop().await;
}
