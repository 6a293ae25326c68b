//! Opt-out and erasure as a shop and an operator meet them, down to the bytes on the disk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use awc::http::StatusCode;
use haggle::exit::Exit;
use haggle_domain::{Clock, Event, UserKey};
use support::{HandClock, Rig, links, write_config};

/// The user of [`support::request`].
const USER: &str = "user-1";
const KEY: &str = "Bearer a-key-for-the-tests-only";

/// Has the campaign bid only on those who looked at boots.
fn write_retargeting_config(folder: &Path) {
    write_config(folder);
    let file = folder.join("campaigns/eager.toml");
    let targeting =
        "[targeting]\nall = [ { behaviour = { did = \"viewed\", what = \"boots\", within = \"7d\" } } ]\n";
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replace("[[creatives]]", &format!("{targeting}[[creatives]]"))).unwrap();
}

async fn send(rig: &Rig, path: &str, key: &str, body: &str) -> StatusCode {
    let request = rig
        .client
        .post(rig.url(path))
        .insert_header(("authorization", key))
        .insert_header(("content-type", "application/json"));
    request.send_body(body.to_owned()).await.unwrap().status()
}

async fn note_boots(rig: &Rig) {
    let body = format!(r#"[{{"user":"{USER}","did":"viewed","what":"boots"}}]"#);
    assert_eq!(send(rig, "/events", KEY, &body).await, StatusCode::NO_CONTENT);
}

async fn ask(rig: &Rig, path: &str) {
    let body = format!(r#"[{{"user":"{USER}"}}]"#);
    assert_eq!(send(rig, path, KEY, &body).await, StatusCode::NO_CONTENT);
}

/// Waits until something holds; panics if it never does.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

fn profiled(rig: &Rig) -> bool {
    rig.node.state.audience.get(UserKey::of(USER), rig.clock.now()).is_some()
}

async fn has_bid(rig: &Rig, id: &str) -> bool {
    let body = support::request(id);
    rig.post("/openrtb2/bid/demo", "application/json", &body).await.0 == StatusCode::OK
}

/// How often any file below a folder holds the user's key: its eight bytes from the least on, or the number in CBOR.
fn traces(folder: &Path) -> usize {
    let key = UserKey::of(USER);
    let needles = [key.0.to_le_bytes().to_vec(), minicbor::to_vec(key).unwrap()];
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found += traces(&entry.path());
        } else {
            // A file may go between the listing and the reading.
            let bytes = fs::read(entry.path()).unwrap_or_default();
            for needle in &needles {
                found += bytes.windows(needle.len()).filter(|window| window == needle).count();
            }
        }
    }
    found
}

fn haggle(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haggle"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

fn verify(folder: &Path) {
    let output = haggle(folder, &["ledger", "verify", "--data", "data"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Notes behaviour, bids on it, shows and clicks the ad, and puts everything into the journal.
async fn live(rig: &Rig) -> serde_json::Value {
    assert!(!has_bid(rig, "stranger").await);
    note_boots(rig).await;
    until("the profile is known", || profiled(rig)).await;
    let bid = rig.bid("demo", "known").await;
    let (click, pixel) = links(&bid);
    assert_eq!(rig.get(&pixel).await.0, StatusCode::OK);
    assert_eq!(rig.get(&click).await.0, StatusCode::FOUND);
    bid
}

#[actix_rt::test]
async fn an_erased_user_is_unknown_to_bids_and_gone_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    write_retargeting_config(folder.path());
    let data = folder.path().join("data");
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    live(&rig).await;
    // A second bid's pixel comes only after the erasure.
    let open = rig.bid("demo", "open").await;
    assert!(traces(&data) > 0, "the test would not notice");
    ask(&rig, "/privacy/erase").await;
    until("the profile is forgotten", || !profiled(&rig)).await;
    until("it is complete", || rig.node.state.audience.suppressed() == (0, 0)).await;
    assert!(!has_bid(&rig, "forgotten").await);
    assert_eq!(rig.get(&links(&open).1).await.0, StatusCode::OK, "what is billed is still shown");
    rig.settle().await;
    assert_eq!(rig.node.state.campaigns.all()[0].report().unwrap().impressions, 2);
    assert_eq!(traces(&data), 0);
    rig.stop().await;
    assert_eq!(traces(&data), 0);
    verify(folder.path());
    let rig = Rig::start(folder.path(), &clock).await;
    assert!(!profiled(&rig) && !has_bid(&rig, "still forgotten").await);
    // Who is erased may come again.
    clock.advance(Duration::from_secs(60));
    note_boots(&rig).await;
    until("the user is known again", || profiled(&rig)).await;
    rig.stop().await;
}

#[actix_rt::test]
async fn an_opt_out_survives_a_restart_and_nothing_more_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    write_retargeting_config(folder.path());
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    live(&rig).await;
    ask(&rig, "/privacy/opt-out").await;
    assert!(!has_bid(&rig, "opted out").await, "it holds once it is answered");
    assert!(rig.metrics().await.contains("haggle_opted_out_users 1"));
    rig.stop().await;
    let rig = Rig::start(folder.path(), &clock).await;
    assert!(rig.node.state.audience.opted_out(UserKey::of(USER)));
    clock.advance(Duration::from_secs(60));
    note_boots(&rig).await;
    rig.settle().await;
    let end = rig.node.state.journal.durable_end();
    let records = rig.node.state.journal.read_from(0, usize::try_from(end).unwrap()).unwrap();
    let noted = records.iter().filter(|(_, record)| matches!(record.event, Event::Behaviour { .. })).count();
    assert_eq!(noted, 1, "that from before");
    assert!(!profiled(&rig) && !has_bid(&rig, "still opted out").await);
    rig.stop().await;
    verify(folder.path());
}

#[actix_rt::test]
async fn a_request_needs_the_key_and_a_list_and_answers_name_nobody() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    let rig = Rig::start(folder.path(), &HandClock::new()).await;
    for path in ["/privacy/opt-out", "/privacy/erase"] {
        let good = r#"[{"user":"somebody"}]"#;
        assert_eq!(send(&rig, path, "Bearer wrong", good).await, StatusCode::UNAUTHORIZED);
        for bad in ["{", r#"{"user":"somebody"}"#, r#"[{"user":""}]"#, r#"[{"somebody":1}]"#] {
            assert_eq!(send(&rig, path, KEY, bad).await, StatusCode::BAD_REQUEST, "{bad}");
        }
        let many = format!("[{}]", vec![good.trim_matches(['[', ']']); 1001].join(","));
        assert_eq!(send(&rig, path, KEY, &many).await, StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(rig.node.state.audience.suppressed(), (0, 0));
    let mut answer = rig
        .client
        .post(rig.url("/privacy/erase"))
        .insert_header(("authorization", KEY))
        .send_body(r#"[{"somebody":1}]"#)
        .await
        .unwrap();
    let told = String::from_utf8(answer.body().await.unwrap().to_vec()).unwrap();
    assert!(!told.contains("somebody"), "{told}");
    rig.stop().await;
}

#[actix_rt::test]
async fn the_operator_erases_and_opts_out_with_the_node_stopped() {
    let folder = tempfile::tempdir().unwrap();
    write_retargeting_config(folder.path());
    let data = folder.path().join("data");
    let clock = HandClock::new();
    let rig = Rig::start(folder.path(), &clock).await;
    live(&rig).await;
    rig.stop().await;
    assert!(traces(&data) > 0, "the test would not notice");
    fs::write(folder.path().join("users"), format!("\n{USER}\n")).unwrap();
    for (folder_said, file) in [("nowhere", "users"), ("data", "nobody")] {
        let arguments = ["privacy", "erase", "--data", folder_said, "--user-file", file];
        let output = haggle(folder.path(), &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(Exit::IoFailed.code())));
        assert!(!folder.path().join("nowhere").exists(), "a journal is opened, never made");
    }
    for command in ["erase", "opt-out"] {
        let arguments = ["privacy", command, "--data", "data", "--user-file", "users"];
        let output = haggle(folder.path(), &arguments).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && said.starts_with("ok: 1 users "), "{said}");
        assert!(!said.contains(USER), "{said}");
        assert_eq!(traces(&data), 0);
        verify(folder.path());
    }
    let rig = Rig::start(folder.path(), &clock).await;
    assert!(rig.node.state.audience.opted_out(UserKey::of(USER)) && !profiled(&rig));
    assert!(!has_bid(&rig, "gone").await);
    rig.stop().await;
}
