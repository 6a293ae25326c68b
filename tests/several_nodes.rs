//! Three nodes and one budget, as processes on a broker: one is killed, one is halted, and every bill that was taken in counts once.
//!
//! On the broker at `HAGGLE_TEST_KAFKA`, on `tansu` where that program is on the path, or else on the imitation of a broker that Kafka's
//! client brings. `HAGGLE_SEVERAL_ROUNDS` makes it longer.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::Duration;

use haggle::clock::monotonic;
use rdkafka::mocking::MockCluster;
use serde_json::Value;

const NODES: usize = 3;
/// What a bid asks for a thousand impressions, and what an impression costs for that.
const PRICE: &str = "4";
const CHARGE: u64 = 4_000;
const BUDGET: u64 = 40_000_000;
/// What another node may take to go on with a campaign.
const FAILOVER: Duration = Duration::from_secs(10);

const CAMPAIGN: &str = r#"
id = "eager"
name = "Eager"
advertiser_domain = "shop.example"
categories = ["IAB18"]
pacing = "asap"
max_bid_cpm = "5.00"
goal = { cpm = { price = "5.00" } }
budget = { daily = "40.00" }
[[creatives]]
id = "one"
width = 300
height = 250
image = "https://cdn.shop.example/one.jpg"
landing = "https://shop.example/landing"
title = "One"
"#;

/// What keeps the nodes' log, as long as it lives.
enum Broker {
    Theirs(String),
    Tansu { address: String, _running: Running, _folder: tempfile::TempDir },
    Imitation(MockCluster<'static, rdkafka::producer::DefaultProducerContext>),
}

impl Broker {
    fn start() -> Self {
        if let Ok(address) = std::env::var("HAGGLE_TEST_KAFKA") {
            return Self::Theirs(address);
        }
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let tansu = Command::new("tansu")
            .arg("broker")
            .current_dir(folder.path())
            .env("LISTENER_URL", format!("tcp://{address}"))
            .env("ADVERTISED_LISTENER_URL", format!("tcp://{address}"))
            .env("STORAGE_ENGINE", "sqlite://tansu.db")
            .env("CLUSTER_ID", "several")
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match tansu {
            Ok(child) => {
                let running = Running(child);
                while TcpStream::connect(&address).is_err() {
                    sleep(Duration::from_millis(20));
                }
                Self::Tansu { address, _running: running, _folder: folder }
            }
            Err(_) => Self::Imitation(MockCluster::new(1).unwrap()),
        }
    }

    fn address(&self) -> String {
        match self {
            Self::Theirs(address) | Self::Tansu { address, .. } => address.clone(),
            Self::Imitation(cluster) => cluster.bootstrap_servers(),
        }
    }

    /// The imitation makes topics itself, with as many partitions as it likes.
    fn make_topics(&self, prefix: &str, partitions: i32) {
        if let Self::Imitation(cluster) = self {
            for (topic, partitions) in [("events", partitions), ("campaigns", 1), ("keys", 1)] {
                cluster.create_topic(&format!("{prefix}.{topic}"), partitions, 1).unwrap();
            }
        }
    }
}

/// A child that does not outlive a test that fails.
struct Running(Child);

impl Running {
    fn signal(&self, signal: &str) {
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

/// A node, and the addresses that it had when it last started.
struct Node {
    running: Running,
    address: String,
    admin: String,
}

fn start(folder: &Path, node: usize) -> Node {
    let data = format!("data-{node}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_haggle"))
        .current_dir(folder)
        .args(["serve", "--config", "haggle.toml", "--data", &data])
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--drain", "100ms"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let running = Running(child);
    let mut seen = String::new();
    loop {
        let begin = seen.len();
        assert!(log.read_line(&mut seen).unwrap() > 0, "node {node} ended before it served: {seen}");
        let line = &seen[begin..];
        let said =
            |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        if let Some((address, admin)) = said("address=").zip(said("admin=")) {
            // Somebody must go on reading, or its log fills the pipe.
            thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Node { running, address, admin };
        }
    }
}

/// One HTTP exchange; none where the other side is gone. Gives status and body.
fn exchange(address: &str, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn get(address: &str, path: &str) -> Option<(u16, String)> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

fn send(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n"
    );
    exchange(address, &format!("{head}content-type: application/json\r\n\r\n{body}"))
}

/// Asks for a bid; gives the path of its billing notice.
fn bid(address: &str, id: &str) -> Option<String> {
    let body = format!(
        r#"{{"id":"{id}","at":2,"cur":["USD"],"imp":[{{"id":"1","banner":{{"w":300,"h":250}}}}],"site":{{"domain":"news.example"}}}}"#
    );
    let (status, body) = send(address, "POST", "/openrtb2/bid/demo", &body)?;
    if status != 200 {
        return None;
    }
    // A body that a kill cut short is no answer.
    let response: Value = serde_json::from_str(&body).ok()?;
    let url = response["seatbid"][0]["bid"][0]["burl"].as_str()?.replace("${AUCTION_PRICE}", PRICE);
    Some(url[url.find("/n/bill/")?..].to_owned())
}

/// The campaign as a node shows it; none while it shows nothing of it.
fn shown(node: &Node) -> Option<Value> {
    let (status, body) = get(&node.admin, "/campaigns/eager")?;
    let shown: Value = serde_json::from_str(&body).ok()?;
    (status == 200 && shown["state"] != "starting").then_some(shown)
}

fn owns(node: &Node) -> bool {
    shown(node).is_some_and(|shown| shown.get("owner").is_none())
}

/// Waits for something, and says how long it took.
fn wait(what: &str, patience: Duration, mut until: impl FnMut() -> bool) -> Duration {
    let begun = monotonic();
    while !until() {
        assert!(begun.elapsed() < patience, "waited {patience:?} for {what}");
        sleep(Duration::from_millis(50));
    }
    begun.elapsed()
}

/// Bids everywhere, and bills what was bid: several times, anywhere.
fn traffic(
    addresses: &Arc<Mutex<Vec<String>>>,
    stop: &Arc<AtomicBool>,
    billed: &Arc<Mutex<BTreeMap<String, ()>>>,
) -> Vec<thread::JoinHandle<()>> {
    let address = |addresses: &Mutex<Vec<String>>, at: usize| addresses.lock().unwrap()[at % NODES].clone();
    (0..NODES)
        .map(|sender| {
            let (addresses, stop, billed) = (Arc::clone(addresses), Arc::clone(stop), Arc::clone(billed));
            thread::spawn(move || {
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let Some(path) = bid(&address(&addresses, sender), &format!("{sender}-{turn}")) else {
                        sleep(Duration::from_millis(20));
                        continue;
                    };
                    if turn % 3 == 2 {
                        continue;
                    }
                    let mut taken = 0;
                    for to in sender + turn.. {
                        match get(&address(&addresses, to), &path) {
                            Some((200..=204, _)) => taken += 1,
                            Some((503, _)) | None => sleep(Duration::from_millis(20)),
                            Some((status, body)) => panic!("{status} {body}"),
                        }
                        if taken > turn % 2 {
                            break;
                        }
                    }
                    billed.lock().unwrap().insert(path, ());
                }
            })
        })
        .collect()
}

#[test]
fn three_nodes_share_a_budget_whoever_is_killed_or_halted() {
    let rounds = std::env::var("HAGGLE_SEVERAL_ROUNDS").map_or(2, |text| text.parse().unwrap());
    let (broker, folder) = (Broker::start(), tempfile::tempdir().unwrap());
    let prefix = format!("several-{}", std::process::id());
    broker.make_topics(&prefix, 2);
    let settings = format!(
        "kafka = \"{}\"\nkafka_prefix = \"{prefix}\"\nkafka_partitions = 2\nnotice_timeout = \"10m\"\n\
         campaigns = \"campaigns\"\n[[exchange]]\nname = \"demo\"\nbill_on = \"burl\"\n",
        broker.address()
    );
    fs::write(folder.path().join("haggle.toml"), settings).unwrap();
    fs::create_dir(folder.path().join("campaigns")).unwrap();
    fs::write(folder.path().join("campaigns/eager.toml"), CAMPAIGN).unwrap();
    let mut nodes: Vec<Node> = (0..NODES).map(|node| start(folder.path(), node)).collect();
    let patience = Duration::from_secs(60);
    wait("an owner", patience, || nodes.iter().any(owns));
    let addresses = Arc::new(Mutex::new(nodes.iter().map(|node| node.address.clone()).collect::<Vec<_>>()));
    let (stop, billed) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let senders = traffic(&addresses, &stop, &billed);
    sleep(Duration::from_secs(2));
    for round in 0..rounds {
        // A node that came may be about to be given what another had.
        let mut owner = 0;
        wait("an owner", patience, || {
            let found = nodes.iter().position(owns);
            owner = found.unwrap_or_default();
            found.is_some()
        });
        let halted = round % 2 == 1;
        if halted {
            nodes[owner].running.signal("-STOP");
        } else {
            nodes[owner].running.signal("-KILL");
        }
        let others: Vec<usize> = (0..NODES).filter(|node| *node != owner).collect();
        let took = wait("another owner", FAILOVER, || others.iter().any(|node| owns(&nodes[*node])));
        println!(
            "node {owner} {}: another owns its campaign after {took:?}",
            if halted { "halted" } else { "killed" }
        );
        sleep(Duration::from_secs(1));
        if halted {
            nodes[owner].running.signal("-CONT");
            // It reads that it was replaced, and stops.
            wait("the old owner to give way", patience, || {
                nodes.iter().filter(|node| owns(node)).count() == 1
            });
        } else {
            nodes[owner] = start(folder.path(), owner);
            addresses.lock().unwrap()[owner] = nodes[owner].address.clone();
        }
        sleep(Duration::from_secs(1));
    }
    // What is changed on one node is changed on all.
    let document = CAMPAIGN.replace("\"Eager\"", "\"Keen\"").replace("40.00", "39.00");
    let (status, body) = send(&nodes[0].admin, "PUT", "/campaigns/eager", &document).unwrap();
    assert_eq!(status, 200, "{body}");
    // A new campaign has an owner soon wherever it was added, and whoever then asks another node for something else loses nothing.
    let fresh = CAMPAIGN.replace("eager", "fresh").replace("Eager", "Fresh");
    assert_eq!(send(&nodes[1].admin, "PUT", "/campaigns/fresh", &fresh).unwrap().0, 201);
    assert_eq!(send(&nodes[1].admin, "POST", "/campaigns/fresh/pause", "").unwrap().0, 200);
    let other = CAMPAIGN.replace("eager", "other").replace("Eager", "Other");
    assert_eq!(send(&nodes[2].admin, "PUT", "/campaigns/other", &other).unwrap().0, 201);
    for (id, state) in [("fresh", "paused"), ("other", "active")] {
        let is_so = |node: &Node| {
            let (_, body) = get(&node.admin, &format!("/campaigns/{id}"))?;
            let shown: Value = serde_json::from_str(&body).ok()?;
            (shown["state"] == state).then_some(())
        };
        wait("everybody to have the new campaigns", patience, || {
            nodes.iter().all(|node| is_so(node).is_some())
        });
    }
    for (node, id) in [(0, "fresh"), (1, "other")] {
        assert_eq!(send(&nodes[node].admin, "DELETE", &format!("/campaigns/{id}"), "").unwrap().0, 200);
    }
    let removed = |node: &Node, id: &str| {
        let (_, body) = get(&node.admin, "/campaigns").unwrap();
        !body.contains(&format!("\"{id}\"")) || body.contains("removed")
    };
    wait("nobody to have them", patience, || {
        nodes.iter().all(|node| removed(node, "fresh") && removed(node, "other"))
    });
    let file = |node: &Node| shown(node).and_then(|shown| shown["budget_micros"].as_u64());
    wait("the budget to be everybody's", patience, || {
        nodes.iter().all(|node| file(node) == Some(39_000_000))
    });
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let owed = billed.lock().unwrap().len() as u64 * CHARGE;
    assert!(owed > 0 && owed <= BUDGET, "{owed}");
    let spent = |node: &Node| shown(node).and_then(|shown| shown["spend_micros"].as_u64());
    let settled = || nodes.iter().filter_map(spent).collect::<Vec<_>>();
    let begun = monotonic();
    while settled() != [owed; NODES] && begun.elapsed() < patience {
        sleep(Duration::from_millis(100));
    }
    println!("{} bills, {owed} millionths owed, spent as the nodes say: {:?}", owed / CHARGE, settled());
    assert_eq!(settled(), [owed; NODES], "each bill counts once");
    for mut node in nodes {
        node.running.signal("-TERM");
        assert_eq!(node.running.0.wait().unwrap().code(), Some(0));
    }
    // Each node's own copy holds the same.
    for node in 0..NODES {
        let verified = Command::new(env!("CARGO_BIN_EXE_haggle"))
            .current_dir(folder.path())
            .args(["ledger", "verify", "--data", &format!("data-{node}")])
            .output()
            .unwrap();
        let table = String::from_utf8(verified.stdout).unwrap();
        assert_eq!(verified.status.code(), Some(0), "{table}");
        let settled = table.lines().find(|line| line.starts_with("eager ")).unwrap();
        let amount = settled.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap();
        assert_eq!((amount * 1e6).round() as u64, owed, "{table}");
    }
}
