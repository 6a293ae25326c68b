//! From a node's own journal to a model that serves beside its own, and back, while bids go on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How often the node's metrics are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

fn haggle(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_haggle")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The body of a page on this machine, if it can be had.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Two neighbouring ports that nobody has.
fn two_ports() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

/// A configuration of a node with this data folder and the example campaigns.
fn configuration(folder: &Path, data: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = fs::read_to_string(root.join("config/haggle.toml")).unwrap();
    let own: Vec<&str> = own.lines().filter(|line| !line.starts_with("campaigns")).collect();
    let campaigns = root.join("config/campaigns");
    let text = format!("data = {data:?}\ncampaigns = {campaigns:?}\n{}\n", own.join("\n"));
    let file = folder.join("node.toml");
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn what_a_node_saw_teaches_a_model_that_then_serves_beside_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let data = path("data");
    haggle(&["demo", "--seconds", "10", "--seed", "7", "--data", &data, "--json"]);
    let node = configuration(folder.path(), &data);

    let report = haggle(&[
        "model",
        "train",
        "--data",
        &node,
        "--format",
        "haggle",
        "--model",
        "deep",
        "--out",
        &path("model"),
        "--json",
    ]);
    let report: Value = serde_json::from_str(&report).unwrap();
    // Its features can be left out, too. By the rows that were learned from none can be judged, though.
    let left_out = haggle(&[
        "model",
        "ablate",
        "--data",
        &node,
        "--format",
        "haggle",
        "--test",
        &node,
        "--features",
        "publisher",
        "--json",
    ]);
    let left_out: Value = serde_json::from_str(&left_out).unwrap();
    assert_eq!((&left_out["rows"], &left_out["test_rows"]), (&report["rows"], &report["rows"]));
    assert_eq!(left_out["features"][0]["feature"], "publisher");
    let (rows, clicks) = (report["rows"].as_u64().unwrap(), report["clicks"].as_u64().unwrap());
    assert!(rows > 500 && clicks > 0 && clicks < rows, "{report}");
    assert!(report["train_log_loss"].as_f64().unwrap() < 0.5, "{report}");
    // Clicks whose wait for an order is over, and orders that came later than that.
    let (settled, orders) =
        (report["conversion_rows"].as_u64().unwrap(), report["conversions"].as_u64().unwrap());
    assert!(settled > 20 && settled <= clicks && orders > 0 && orders < settled, "{report}");
    // Going on from it, the format need not be said again.
    let from = path("model");
    let further = path("further");
    let report = haggle(&["model", "train", "--data", &node, "--from", &from, "--out", &further, "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((report["rows"].as_u64(), report["model"].as_str()), (Some(rows), Some("deep")), "{report}");
    assert_eq!(report["conversion_rows"].as_u64(), Some(settled));
    // The same journal, as a smaller model sees it.
    haggle(&[
        "model",
        "compress",
        "--model",
        &path("model"),
        "--data",
        &node,
        "--method",
        "i8",
        "--out",
        &path("small"),
    ]);
    let judged = haggle(&["model", "evaluate", "--model", &path("small"), "--data", &node, "--json"]);
    let judged: Value = serde_json::from_str(&judged).unwrap();
    assert_eq!(judged["rows"].as_u64(), Some(rows));
    assert_eq!(judged["conversion_rows"].as_u64(), Some(settled));
    assert!(judged["conversion_log_loss"].as_f64().unwrap() < 1.0, "{judged}");

    // What it would do is tried in worlds of the same kind.
    let world = path("world.toml");
    let text = "name = \"small\"\nteaches = \"a quarter of a day\"\ndays = 0.25\nrequests_a_day = 6000\nusers = 500\n";
    fs::write(&world, text).unwrap();
    let vary = format!("model={}", path("small"));
    let tried = haggle(&["simulate", &world, "--seeds", "10", "--vary", &vary, "--json"]);
    let tried: Value = serde_json::from_str(&tried).unwrap();
    let closed = |variant: usize| tried["variants"][variant]["metrics"]["gap_closed"].as_f64().unwrap();
    assert!(closed(1) > closed(0), "who has learned knows more of clicks: {} and {}", closed(0), closed(1));
    assert_eq!(tried["variants"][1]["metrics"]["problems"], 0.0);
    // What was forecast is set against what the node's campaigns delivered.
    let forecast = path("forecast.json");
    fs::write(&forecast, tried.to_string()).unwrap();
    let scored = haggle(&["simulate", "score", &forecast, "--data", &data, "--json"]);
    let scored: Value = serde_json::from_str(&scored).unwrap();
    let boots = scored["campaigns"].as_array().unwrap().iter().find(|it| it["campaign"] == "trail-boots");
    let came = boots.unwrap()["came"].as_f64().unwrap();
    assert!(came > 0.0 && came <= 1.0, "{scored}");

    let registry = format!("{data}/models");
    let id = haggle(&["model", "register", &path("small"), "--registry", &registry]);
    haggle(&["model", "promote", &id, "--registry", &registry]);
    // One that a node cannot ask is said to be so, and keeps no other from serving.
    let weights = path("weights");
    haggle(&[
        "model", "train", "--data", &node, "--format", "haggle", "--model", "logistic", "--out", &weights,
        "--passes", "3",
    ]);
    let other = haggle(&["model", "register", &weights, "--registry", &registry]);
    let said = Command::new(env!("CARGO_BIN_EXE_haggle"))
        .args(["model", "shadow", &other, "--registry", &registry])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains(&format!("nodes cannot ask {other}: ")), "{said}");

    // The node goes on where it was, with the model.
    let port = two_ports();
    let demo = Command::new(env!("CARGO_BIN_EXE_haggle"))
        .args([
            "demo",
            "--seconds",
            "40",
            "--seed",
            "8",
            "--data",
            &data,
            "--json",
            "--port",
            &port.to_string(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let examples = |metrics: &str| -> Option<f64> {
        let start = format!("haggle_archive_model_examples{{model=\"{id}\",role=\"serving\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
    };
    let mut last = String::new();
    // It learns what the model's word is worth: examples rise.
    let learned = (0..300).any(|_| {
        std::thread::sleep(LOOK_EVERY);
        if let Some(metrics) = get(port + 1, "/metrics") {
            last = metrics;
        }
        examples(&last).is_some_and(|count| count > 50.0)
    });
    assert!(learned, "no examples: {last}");
    assert!(
        last.contains(&format!("haggle_archive_model_weight{{model=\"{id}\",role=\"serving\"}}")),
        "{last}"
    );
    // Taken back while bids go on.
    haggle(&["model", "rollback", "--registry", &registry]);
    let gone = (0..150).any(|_| {
        std::thread::sleep(LOOK_EVERY);
        let metrics = get(port + 1, "/metrics").unwrap_or_default();
        metrics.contains("haggle_ready") && examples(&metrics).is_none()
    });
    assert!(gone, "it still serves");
    let output = demo.wait_with_output().unwrap();
    assert!(output.status.success());
    let day: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(day["errors"], 0, "{day}");
    assert!(day["bids"].as_u64().unwrap() > 0);
}
