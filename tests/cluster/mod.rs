//! What tests of several nodes share: processes that end with the test, a broker, and a client that gives up.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]
#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use haggle::clock::monotonic;
use serde_json::Value;

/// A child that does not outlive a test that fails.
pub struct Running(pub Child);

impl Running {
    pub fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where a test failed; otherwise it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `tansu`, a broker, on an address that nobody else has; none where there is no such program.
pub fn tansu(address: &str, folder: &Path) -> Option<Running> {
    let child = Command::new("tansu")
        .arg("broker")
        .current_dir(folder)
        .env("LISTENER_URL", format!("tcp://{address}"))
        .env("ADVERTISED_LISTENER_URL", format!("tcp://{address}"))
        .env("STORAGE_ENGINE", "sqlite://tansu.db")
        .env("CLUSTER_ID", "several")
        .env("RUST_LOG", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let running = Running(child.ok()?);
    while TcpStream::connect(address).is_err() {
        sleep(Duration::from_millis(20));
    }
    Some(running)
}

/// One HTTP exchange; none where the other side is gone. Gives status and body.
pub fn exchange(address: &str, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

pub fn get(address: &str, path: &str) -> Option<(u16, String)> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

pub fn send(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n"
    );
    exchange(address, &format!("{head}content-type: application/json\r\n\r\n{body}"))
}

/// A campaign as the node with this admin address shows it; none while it shows nothing of it.
pub fn shown(admin: &str, campaign: &str) -> Option<Value> {
    let (status, body) = get(admin, &format!("/campaigns/{campaign}"))?;
    let shown: Value = serde_json::from_str(&body).ok()?;
    (status == 200 && shown["state"] != "starting").then_some(shown)
}

/// The node with this admin address says that the campaign is its own.
pub fn owns(admin: &str, campaign: &str) -> bool {
    shown(admin, campaign).is_some_and(|shown| shown.get("owner").is_none())
}

/// Waits for something, and says how long it took.
pub fn wait(what: &str, patience: Duration, mut until: impl FnMut() -> bool) -> Duration {
    let begun = monotonic();
    while !until() {
        assert!(begun.elapsed() < patience, "waited {patience:?} for {what}");
        sleep(Duration::from_millis(50));
    }
    begun.elapsed()
}

/// What the ledger of a node's folder says was settled of a campaign, in millionths, once it is verified.
pub fn verified(folder: &Path, data: &str, campaign: &str) -> u64 {
    let verified = Command::new(env!("CARGO_BIN_EXE_haggle"))
        .current_dir(folder)
        .args(["ledger", "verify", "--data", data])
        .output()
        .unwrap();
    let table = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(0), "{data}: {table}");
    let mut lines = table.lines().map(str::split_whitespace);
    let mut line =
        lines.find(|line| line.clone().next() == Some(campaign)).unwrap_or_else(|| panic!("{table}"));
    (line.nth(1).unwrap().parse::<f64>().unwrap() * 1e6).round() as u64
}
