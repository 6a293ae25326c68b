//! `haggle simulate --against`: a simulated world's requests to a bidder that runs, as its operator sees it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use haggle::clock::WallClock;
use haggle::config::{self, BillOn, Exchange, Secret, SettingsLayer};
use haggle::exit::Exit;
use haggle::server::Node;
use haggle_actors::campaign::CampaignReport;
use haggle_domain::Predicate;
use serde_json::Value;

/// A quarter of an hour in which a lot is asked for.
const SHORT: &str = "name = \"short\"\nteaches = \"a quarter of an hour\"\ndays = 0.01\nrequests_a_day = 60000\nusers = 500\n";
const KEY: &str = "a-key-for-the-tests-only";

fn scenario(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("short.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn against(scenario: &Path, base: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
    command.arg("simulate").arg(scenario).args(["--against", base]).args(arguments).output().unwrap()
}

async fn node(folder: &Path, exchanges: [(&str, BillOn); 2]) -> Node {
    let layer = SettingsLayer::default()
        .with("listen", "127.0.0.1:0")
        .with("admin_listen", "127.0.0.1:0")
        .with("data", folder.join("data").display().to_string())
        .with("workers", "1")
        .with("load_shedding", "off")
        .with("drain", "100ms")
        .with("log", "error");
    let mut loaded = config::load_built_in(&layer).unwrap();
    loaded.event_key = Some(Secret::new(KEY.to_owned()));
    loaded.exchanges = exchanges.map(|(name, bill_on)| Exchange::new(name.to_owned(), bill_on)).into();
    loaded.campaigns.retain(|campaign| {
        !campaign.targeting.all.iter().any(|predicate| matches!(predicate, Predicate::Exchange(_)))
    });
    let node = Node::start(loaded, Arc::new(WallClock::new())).await.unwrap();
    node.ready().await;
    node
}

#[actix_rt::test]
async fn what_the_exchanges_see_is_what_the_bidder_counts() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("event.key");
    std::fs::write(&key, KEY).unwrap();
    let node = node(folder.path(), [("alder", BillOn::Burl), ("birch", BillOn::Nurl)]).await;
    let (base, short) = (format!("http://{}", node.address), scenario(folder.path(), SHORT));
    let asked = tokio::task::spawn_blocking(move || {
        against(&short, &base, &["--speed", "200", "--json", "--event-key-file", key.to_str().unwrap()])
    });
    let output = asked.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |key: &str| seen[key].as_u64().unwrap();
    assert!(count("requests") > 100 && count("bids") > 20 && count("wins") > 0, "{seen}");
    assert_eq!((count("errors"), &seen["stopped"]), (0, &Value::from(false)), "{seen}");
    // Each campaign shows what it counted at its next tick.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let campaigns = node.state.campaigns.all();
    let sum = |of: fn(&CampaignReport) -> u64| -> u64 {
        campaigns.iter().map(|handle| of(&handle.report().unwrap())).sum()
    };
    assert_eq!(
        (sum(|it| it.bids), sum(|it| it.wins), sum(|it| it.impressions)),
        (count("bids"), count("wins"), count("impressions"))
    );
    assert!(!node.state.audience.is_empty(), "what users did in the shop was told");
    node.stop().await.unwrap();
}

#[actix_rt::test]
async fn a_bidder_that_is_not_there_or_does_not_know_the_exchanges_is_told_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let short = scenario(folder.path(), SHORT);
    let node = node(folder.path(), [("elm", BillOn::Burl), ("ash", BillOn::Burl)]).await;
    let base = format!("http://{}", node.address);
    let (of, to) = (short.clone(), base.clone());
    let unknown = tokio::task::spawn_blocking(move || against(&of, &to, &["--speed", "1000"])).await.unwrap();
    node.stop().await.unwrap();
    assert_eq!(unknown.status.code(), Some(i32::from(Exit::CheckFailed.code())));
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains("not one bid") && said.contains("404"), "{said}");
    let gone = against(&short, &base, &[]);
    assert_eq!(gone.status.code(), Some(i32::from(Exit::EndpointUnreachable.code())));
    assert!(String::from_utf8(gone.stderr).unwrap().contains("is the bidder running?"));
    let changing = scenario(folder.path(), &format!("{SHORT}[[change]]\nat = 0.005\nclick_rate = 2.0\n"));
    let refused = against(&changing, &base, &[]);
    assert_eq!(refused.status.code(), Some(i32::from(Exit::Configuration.code())));
}
