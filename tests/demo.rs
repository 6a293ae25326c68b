//! `haggle demo` as its users run it: one campaign day, and sums that must hold at its end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use haggle_domain::Timestamp;
use serde_json::Value;

/// One day at a time: each wants the machine for itself.
static DAY: Mutex<()> = Mutex::new(());

const SECONDS: u32 = 12;
const QPS: u32 = 400;

/// The shipped configuration in `folder`, altered so that what so short a run does hangs on no luck with clicks: the
/// boots have a fixed price, and a further campaign for lamps has a budget that is soon spent.
fn configured(folder: &Path) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let campaigns = folder.join("config/campaigns");
    fs::create_dir_all(&campaigns).unwrap();
    fs::copy(shipped.join("haggle.toml"), folder.join("config/haggle.toml")).unwrap();
    for entry in fs::read_dir(shipped.join("campaigns")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, campaigns.join(path.file_name().unwrap())).unwrap();
    }
    let altered = |from: &str, to: &str, changes: &[(&str, &str)]| {
        let mut text = fs::read_to_string(campaigns.join(from)).unwrap();
        for (old, new) in changes {
            assert!(text.contains(old), "{from} has changed: {text}");
            text = text.replace(old, new);
        }
        fs::write(campaigns.join(to), text).unwrap();
    };
    let boots = ("cpc = { max = \"0.12\" }", "cpm = { price = \"6.00\" }");
    altered("trail-boots.toml", "trail-boots.toml", &[boots]);
    let small = [
        ("id = \"lamp-flash-sale\"", "id = \"last-lamps\""),
        ("price = \"3.20\"", "price = \"3.60\""),
        ("daily = \"1.20\"", "daily = \"0.15\""),
    ];
    altered("lamp-flash-sale.toml", "last-lamps.toml", &small);
}

fn haggle(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_haggle"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the demo; its summary is all that is on standard output.
fn demo(folder: &Path, more: &[&str]) -> Value {
    let (seconds, qps) = (SECONDS.to_string(), QPS.to_string());
    let common = ["demo", "--seconds", &seconds, "--seed", "7", "--qps", &qps, "--json"];
    // A day that failed leaves nothing behind that another could trip over.
    let _alone = DAY.lock().unwrap_or_else(PoisonError::into_inner);
    let printed = haggle(folder, &[&common[..], more].concat());
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

fn count(summary: &Value, key: &str) -> u64 {
    summary[key].as_u64().unwrap_or_else(|| panic!("{key} is no count in {summary}"))
}

fn campaigns(summary: &Value) -> &Vec<Value> {
    summary["campaigns"].as_array().unwrap()
}

fn campaign<'a>(summary: &'a Value, id: &str) -> &'a Value {
    campaigns(summary).iter().find(|campaign| campaign["id"] == id).unwrap()
}

fn check_money(summary: &Value) {
    for campaign in campaigns(summary) {
        let committed = count(campaign, "spend_micros") + count(campaign, "reserved_micros");
        assert!(committed <= count(campaign, "budget_micros"), "{campaign}");
    }
}

#[test]
fn a_day_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    configured(folder.path());
    let summary = demo(folder.path(), &[]);
    let keys = ["requests", "imps", "bids", "wins", "impressions", "clicks", "conversions", "errors", "seed"];
    for key in keys {
        count(&summary, key);
    }
    for key in ["p50", "p99", "p999", "max"] {
        assert!(summary["latency_ms"][key].as_f64().is_some_and(|it| it > 0.0), "{key}: {summary}");
    }
    assert!(count(&summary["model"], "examples") > 0);
    assert!(
        campaigns(&summary).iter().all(|campaign| campaign["id"] != "house-banners"),
        "what is for other exchanges alone takes no part: {summary}"
    );
    for key in ["log_loss", "baseline_log_loss"] {
        assert!(summary["model"][key].as_f64().is_some_and(|it| it > 0.0), "{key}: {summary}");
    }
    let of_each = ["bids", "wins", "impressions", "clicks", "conversions", "revenue_micros", "restarts"];
    for campaign in campaigns(&summary) {
        assert!(campaign["id"].is_string());
        for key in of_each {
            count(campaign, key);
        }
        assert_eq!(count(campaign, "restarts"), 0, "{campaign}");
    }

    assert_eq!((count(&summary, "errors"), count(&summary, "seed")), (0, 7), "{summary}");
    let refused: u64 =
        summary["no_bids"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let (requests, imps, bids) =
        (count(&summary, "requests"), count(&summary, "imps"), count(&summary, "bids"));
    assert_eq!((imps, bids + refused), (requests, requests), "each imp ends in a bid or a reason: {summary}");
    let (wins, impressions, clicks) =
        (count(&summary, "wins"), count(&summary, "impressions"), count(&summary, "clicks"));
    assert!(0 < clicks && clicks < impressions && impressions <= wins && wins < bids, "{summary}");
    for key in ["bids", "wins", "impressions", "clicks", "conversions"] {
        let sum: u64 = campaigns(&summary).iter().map(|campaign| count(campaign, key)).sum();
        assert_eq!(sum, count(&summary, key), "{key}: what the bidder and the exchange saw: {summary}");
    }

    check_money(&summary);
    let lamps = campaign(&summary, "last-lamps");
    let (spend, budget) = (count(lamps, "spend_micros"), count(lamps, "budget_micros"));
    assert_eq!(budget, 150_000);
    assert!(spend * 100 > budget * 95 && spend <= budget, "its small budget is spent and kept: {lamps}");
}

/// No campaign can have made more bids than there were requests in the first `seconds`.
fn requests_within(seconds: f64) -> f64 {
    let midnight: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
    let steps = (1000.0 * seconds) as u32;
    let day_micros = 86_400_000_000;
    let at = |step: u32| Timestamp(midnight.0 + i64::from(step) * day_micros / i64::from(1000 * SECONDS));
    (0..=steps).map(|step| f64::from(QPS) / 1000.0 * haggle_simulator::traffic_share(at(step))).sum()
}

#[test]
fn a_panic_restarts_one_actor_and_the_day_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    configured(folder.path());
    let summary = demo(folder.path(), &["--data", "data", "--fault", "panic:trail-boots@1.5"]);
    for campaign in campaigns(&summary) {
        let expected = u64::from(campaign["id"] == "trail-boots");
        assert_eq!(count(campaign, "restarts"), expected, "{campaign}");
    }
    assert_eq!(count(&summary, "errors"), 0, "{summary}");
    check_money(&summary);
    let boots = campaign(&summary, "trail-boots");
    // The panic comes within a frame of its second; the rest is slack.
    let before = requests_within(2.0);
    println!("{} bids, at most {before:.0} of them before the panic", count(boots, "bids"));
    assert!(count(boots, "bids") as f64 > before, "it bids no more: {boots}, {before} requests before");
    let verified = haggle(folder.path(), &["ledger", "verify", "--data", "data"]);
    assert!(verified.contains("trail-boots") && verified.contains("ok: "), "{verified}");
}
