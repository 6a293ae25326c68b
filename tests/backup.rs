//! A node that is backed up while it runs, and what its copy does.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use awc::http::StatusCode;
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions, replay};
use haggle_domain::Event;
use support::{HandClock, Rig, filled, write_config};

fn haggle(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_haggle")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The leases that a journal's records from an offset on grant.
fn leases(data: &Path, from: u64) -> BTreeSet<u32> {
    let journal = EmbeddedJournal::open(&data.join("journal"), &JournalOptions::default()).unwrap();
    let granted = replay(&journal, from).filter_map(|entry| match entry.unwrap().1.event {
        Event::LeaseGranted { lease, .. } => Some(lease),
        _ => None,
    });
    let leases = granted.collect();
    journal.close().unwrap();
    leases
}

async fn ask(rig: &Rig) -> (StatusCode, serde_json::Value) {
    let url = format!("http://{}/backup", rig.node.admin_address);
    let mut response = rig.client.post(url).timeout(Duration::from_secs(30)).send().await.unwrap();
    let body = response.body().await.unwrap();
    (response.status(), serde_json::from_slice(&body).unwrap())
}

#[actix_web::test]
async fn a_copy_of_a_running_node_goes_on_and_gives_out_no_bid_id_again() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [folder.path(), other.path()] {
        write_config(folder);
        let file = folder.join("haggle.toml");
        let settings = fs::read_to_string(&file).unwrap();
        fs::write(file, format!("backups = \"backups\"\n{settings}")).unwrap();
    }
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    rig.funded().await;
    let bid = rig.bid("demo", "1").await;
    rig.get(&filled(&bid, "burl", "3.00")).await;
    let spent = rig.spent().await;
    assert!(spent > 0);
    let (status, made) = ask(&rig).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    // What comes after is not in the copy: another lease, and bids from it.
    clock.advance(Duration::from_secs(700));
    rig.funded().await;
    rig.bid("demo", "2").await;
    rig.settle().await;
    rig.stop().await;

    let (backup, data) = (made["folder"].as_str().unwrap().to_owned(), other.path().join("data"));
    let restored = haggle(&["restore", "--from", &backup, "--data", text(&data)]);
    assert!(restored.status.success(), "{restored:?}");
    let said = String::from_utf8(restored.stdout).unwrap();
    assert!(said.contains("token.key") && said.contains("eager"), "{said}");
    fs::copy(folder.path().join("data/token.key"), data.join("token.key")).unwrap();
    let exported = haggle(&["export", "--data", &backup, "--parquet", text(&other.path().join("tables"))]);
    assert!(exported.status.success(), "{exported:?}");

    let end = made["end"].as_u64().unwrap();
    let lost = leases(&folder.path().join("data"), end);
    assert!(!lost.is_empty(), "the test would not notice");
    clock.advance(Duration::from_secs(5));
    let again = Rig::start(other.path(), &clock).await;
    assert_eq!(again.spent().await, spent);
    again.funded().await;
    again.bid("demo", "3").await;
    again.settle().await;
    again.stop().await;
    let new = leases(&data, end);
    assert!(!new.is_empty() && new.is_disjoint(&lost), "{new:?} after {lost:?}");
    let verified = haggle(&["ledger", "reconcile", "--data", text(&data)]);
    assert!(verified.status.success(), "{verified:?}");
}

#[actix_web::test]
async fn without_a_folder_no_backup_is_made() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    let (status, said) = ask(&rig).await;
    assert_eq!((status, said["error"].as_str()), (StatusCode::CONFLICT, Some("no_folder")));
    // A node in whose folder somebody else works says so.
    let data = folder.path().join("data");
    let refused = haggle(&["backup", "--data", text(&data), "--to", text(&folder.path().join("copy"))]);
    assert_eq!(refused.status.code(), Some(75));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("POST /backup"));
    rig.stop().await;
}
