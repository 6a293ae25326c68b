//! Three nodes and one budget, as processes on a broker: one is killed, one is halted, and every bill that was taken in counts once.
//! And what is promoted in one node's registry of models serves on another.
//!
//! On the broker at `HAGGLE_TEST_KAFKA`, on `tansu` where that program is on the path, or else on the imitation of a broker that Kafka's
//! client brings. `HAGGLE_SEVERAL_ROUNDS` makes it longer.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod cluster;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::Duration;

use cluster::{Running, get, send, tansu, verified, wait};
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
        match tansu(&address, folder.path()) {
            Some(running) => Self::Tansu { address, _running: running, _folder: folder },
            None => Self::Imitation(MockCluster::new(1).unwrap()),
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
            for (topic, partitions) in
                [("events", partitions), ("campaigns", 1), ("keys", 1), ("models", 1), ("checkpoints", 1)]
            {
                cluster.create_topic(&format!("{prefix}.{topic}"), partitions, 1).unwrap();
            }
        }
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

fn shown(node: &Node) -> Option<Value> {
    cluster::shown(&node.admin, "eager")
}

fn owns(node: &Node) -> bool {
    cluster::owns(&node.admin, "eager")
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
                            // A node that was halted while it was asked says 408 when it wakes.
                            Some((408 | 503, _)) | None => sleep(Duration::from_millis(20)),
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

/// One after the other: each has processes enough of its own.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn three_nodes_share_a_budget_whoever_is_killed_or_halted() {
    let _turn = TURN.lock();
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
    // A new campaign has an owner soon wherever it was added, and whoever then asks another node for something else loses nothing.
    let fresh = CAMPAIGN.replace("eager", "fresh").replace("Eager", "Fresh");
    assert_eq!(send(&nodes[1].admin, "PUT", "/campaigns/fresh", &fresh).unwrap().0, 201);
    assert_eq!(send(&nodes[1].admin, "POST", "/campaigns/fresh/pause", "").unwrap().0, 200);
    let other = CAMPAIGN.replace("eager", "other").replace("Eager", "Other");
    assert_eq!(send(&nodes[2].admin, "PUT", "/campaigns/other", &other).unwrap().0, 201);
    let all_say = |id: &str, states: &[&str]| {
        let state = |node: &Node| {
            let (_, body) = get(&node.admin, &format!("/campaigns/{id}"))?;
            let shown: Value = serde_json::from_str(&body).ok()?;
            shown["state"].as_str().map(str::to_owned)
        };
        wait(&format!("{id} to be {states:?} everywhere"), patience, || {
            nodes.iter().all(|node| state(node).is_some_and(|state| states.contains(&&*state)))
        });
    };
    all_say("fresh", &["paused"]);
    all_say("other", &["active"]);
    for (node, id) in [(0, "fresh"), (1, "other")] {
        assert_eq!(send(&nodes[node].admin, "DELETE", &format!("/campaigns/{id}"), "").unwrap().0, 200);
    }
    all_say("fresh", &["retired"]);
    all_say("other", &["retired"]);
    for mut node in nodes {
        node.running.signal("-TERM");
        assert_eq!(node.running.0.wait().unwrap().code(), Some(0));
    }
    // Each node's own copy holds the same.
    for node in 0..NODES {
        assert_eq!(verified(folder.path(), &format!("data-{node}"), "eager"), owed);
    }
    // One that comes new begins at what the others published when they stopped, and a bill that comes again is known to it.
    let mut fresh = start(folder.path(), NODES);
    wait("the new node to own the campaign", patience, || owns(&fresh) && spent(&fresh) == Some(owed));
    let again = billed.lock().unwrap().keys().next().unwrap().clone();
    assert_eq!(get(&fresh.address, &again).map(|(status, _)| status / 100), Some(2));
    sleep(Duration::from_secs(1));
    assert_eq!(spent(&fresh), Some(owed));
    fresh.running.signal("-TERM");
    assert_eq!(fresh.running.0.wait().unwrap().code(), Some(0));
    let data = format!("data-{NODES}");
    assert_eq!(verified(folder.path(), &data, "eager"), owed);
    let table = haggle(folder.path(), &["ledger", "verify", "--data", &data]);
    assert!(table.contains("the journal begins at offset"), "{table}");
    haggle(folder.path(), &["export", "--data", &data, "--parquet", "exported"]);
}

fn haggle(folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_haggle")).current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_model_that_is_promoted_on_one_node_serves_on_another_until_it_is_taken_back_there() {
    let _turn = TURN.lock();
    let (broker, folder) = (Broker::start(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    // A model of what another node saw.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = fs::read_to_string(root.join("config/haggle.toml")).unwrap();
    let own: Vec<&str> = own.lines().filter(|line| !line.starts_with("campaigns")).collect();
    let campaigns = root.join("config/campaigns");
    let text = format!("data = \"seen\"\ncampaigns = {campaigns:?}\n{}\n", own.join("\n"));
    fs::write(folder.join("seen.toml"), text).unwrap();
    haggle(folder, &["demo", "--seconds", "2", "--qps", "200", "--data", "seen", "--json"]);
    let train = ["--data", "seen.toml", "--format", "haggle", "--model", "deep", "--out", "model"];
    haggle(folder, &[&["model", "train"], &train[..]].concat());

    let prefix = format!("models-{}", std::process::id());
    broker.make_topics(&prefix, 1);
    let settings = format!(
        "kafka = \"{}\"\nkafka_prefix = \"{prefix}\"\nkafka_partitions = 1\ncampaigns = \"campaigns\"\n\
         [[exchange]]\nname = \"demo\"\nbill_on = \"burl\"\n",
        broker.address()
    );
    fs::write(folder.join("haggle.toml"), settings).unwrap();
    fs::create_dir(folder.join("campaigns")).unwrap();
    fs::write(folder.join("campaigns/eager.toml"), CAMPAIGN).unwrap();
    let mut nodes = vec![start(folder, 0), start(folder, 1)];
    let id = haggle(folder, &["model", "register", "model", "--registry", "data-0/models"]);
    haggle(folder, &["model", "promote", &id, "--registry", "data-0/models"]);
    let serves = |node: &Node| {
        let (_, metrics) = get(&node.admin, "/metrics").unwrap_or_default();
        metrics.contains(&format!("haggle_archive_model_weight{{model=\"{id}\",role=\"serving\"}}"))
    };
    let patience = Duration::from_secs(30);
    let took = wait("the other node to let it serve", patience, || serves(&nodes[1]));
    println!("it serves on the other node after {took:?}");
    wait("its own node to let it serve", patience, || serves(&nodes[0]));
    // One that comes later has it, too.
    nodes.push(start(folder, 2));
    let took = wait("a new node to let it serve", patience, || serves(&nodes[2]));
    println!("and on a new one after {took:?}");
    haggle(folder, &["model", "rollback", "--registry", "data-1/models", "--reason", "a try"]);
    let took = wait("it to be taken back everywhere", patience, || !nodes.iter().any(serves));
    println!("taken back everywhere after {took:?}");
    let listed = haggle(folder, &["model", "list", "--registry", "data-0/models", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["state"]["history"][1]["reason"], "a try", "{listed}");
    nodes.iter().for_each(|node| node.running.signal("-TERM"));
    for mut node in nodes {
        assert_eq!(node.running.0.wait().unwrap().code(), Some(0));
    }
}
