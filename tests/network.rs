//! Three nodes whose network fails: cut off, deaf, mute, on lines that lose, delay and mix up packets, one killed now and then. Every
//! bill that was taken in counts once, no budget is exceeded, and everybody is well again soon after.
//!
//! Needs Linux, a user who may make namespaces of the network, `ip`, `tansu` and `redis-server`; without them it says so and does
//! nothing. `HAGGLE_NETWORK_ROUNDS` makes it longer, `HAGGLE_NETWORK_SEED` another.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod cluster;
#[path = "network/fault.rs"]
mod fault;
#[path = "network/lab.rs"]
mod lab;
#[path = "network/nodes.rs"]
mod nodes;
#[path = "network/round.rs"]
mod round;
#[path = "network/switch.rs"]
mod switch;
#[path = "network/traffic.rs"]
mod traffic;
#[path = "network/view.rs"]
mod view;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::Duration;

use cluster::{Running, tansu, verified, wait};
use fault::Fault;
use haggle::clock::monotonic;
use lab::{APART, BROKER_ADDRESS, Lab, REDIS_ADDRESS};
use nodes::Nodes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use round::Plan;
use traffic::{Seen, Traffic};

const NODES: usize = 3;
/// What another node may take to go on with the campaigns of one that is cut off.
const TAKE_OVER: Duration = Duration::from_secs(10);
/// How long nothing may be settled of a campaign while some node can: others repeat what an owner says within five seconds.
const STALL: Duration = Duration::from_secs(15);
/// How soon after a fault's end all is well again.
const WELL: Duration = Duration::from_secs(20);
/// For what takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// A node that does not answer for so long hangs.
const HANGS: Duration = Duration::from_secs(10);
/// When whatever was reserved is free again: the bids' time, the last lease's, and then some.
const EXPIRED: Duration = Duration::from_secs(180);
/// How many rounds are a short test, whose cuts are short, too.
const SHORT: u64 = 2;
/// How often a user may see the campaign with a cap, as each node knows it.
const MOST: usize = 3;

struct Campaign {
    id: &'static str,
    size: (u32, u32),
    /// It bids only for users whom it knows, and so often for each.
    capped: bool,
}

/// One with money for everything, one that runs out of it, one that asks Redis.
const CAMPAIGNS: [Campaign; 3] = [
    Campaign { id: "eager", size: (300, 250), capped: false },
    Campaign { id: "scarce", size: (728, 90), capped: false },
    Campaign { id: "capped", size: (160, 600), capped: true },
];
const EAGER: usize = 0;
const SCARCE: usize = 1;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Set where the test has begun itself anew, in a network of its own.
const APART_ALREADY: &str = "HAGGLE_NETWORK_APART";

#[test]
fn every_bill_counts_once_whatever_the_network_does() {
    if std::env::var_os(APART_ALREADY).is_some() {
        // Whoever began this has its input; when they are gone, it ends, and everything with it.
        thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(1);
        });
        return run(number("HAGGLE_NETWORK_ROUNDS", SHORT), number("HAGGLE_NETWORK_SEED", 20_261_130));
    }
    if let Some(why) = lab::missing() {
        println!("skipped: {why}");
        return;
    }
    let mut apart = Command::new("unshare")
        .args(APART)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "every_bill_counts_once_whatever_the_network_does", "--nocapture"])
        .env(APART_ALREADY, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for line in BufReader::new(apart.stdout.take().unwrap()).lines() {
        println!("{}", line.unwrap());
    }
    assert!(apart.wait().unwrap().success(), "see what it said");
}

fn redis(folder: &std::path::Path) -> Running {
    let (address, port) = REDIS_ADDRESS.split_once(':').unwrap();
    let server = Command::new("redis-server")
        .args([
            "--port",
            port,
            "--bind",
            address,
            "--protected-mode",
            "no",
            "--save",
            "",
            "--appendonly",
            "no",
        ])
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::null())
        .spawn();
    Running(server.unwrap())
}

fn run(rounds: u64, seed: u64) {
    println!("HAGGLE_NETWORK_SEED={seed} HAGGLE_NETWORK_ROUNDS={rounds}");
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::build(seed);
    let _broker = tansu(BROKER_ADDRESS, folder.path()).unwrap();
    let _redis = redis(folder.path());
    let scarce = rounds * 30_000;
    let mut nodes = Nodes::start(&lab, folder.path(), scarce);
    let (up, _) = nodes.recover(PATIENCE, |_| None);
    println!("all nodes are well {up:.1?} after their start");
    let traffic = Traffic::start(seed);
    sleep(Duration::from_secs(1));
    let mut dice = StdRng::seed_from_u64(seed);
    let longest = if rounds > SHORT { 40.0 } else { 3.0 };
    let (mut taken, mut well) = (Vec::new(), Vec::new());
    for number in 0..rounds {
        let owner = nodes.see().owners(EAGER).first().copied().unwrap_or_default();
        // The first is the plain one; then chance decides.
        let plan = if number == 0 {
            Plan { fault: Fault::Cut, stricken: vec![owner], lasts: Duration::ZERO, death: None }
        } else {
            Plan::any(&mut dice, owner, longest)
        };
        let done = round::run(&mut nodes, &lab, &traffic.seen, plan, number == 0);
        println!("round {number}: {done}");
        assert_eq!(traffic.seen.wrong(), Vec::<String>::new(), "answers to notices");
        taken.extend(done.taken);
        well.push(done.well);
    }
    for (what, times) in [("another owner", &mut taken), ("all were well", &mut well)] {
        times.sort_unstable();
        if let Some((middle, most)) = times.get(times.len() / 2).zip(times.last()) {
            println!("{what}, {} times: after {middle:.1?} in the middle, {most:.1?} at most", times.len());
        }
    }
    let seen = traffic.stop();
    settle(&mut nodes, &seen, scarce);
    if rounds > SHORT {
        let freed = wait("nothing to be reserved", EXPIRED, || nodes.see().reserved() == 0);
        println!("nothing is reserved after {freed:.1?}");
    }
    nodes.stop();
    let (owed, _) = seen.owed();
    for (node, (campaign, owed)) in
        (0..NODES).flat_map(|node| CAMPAIGNS.iter().zip(owed).map(move |it| (node, it)))
    {
        let settled = verified(folder.path(), &format!("data-{node}"), campaign.id);
        assert_eq!(settled, owed, "{} in node {node}'s ledger", campaign.id);
    }
}

/// What was owed is what all nodes say was spent.
fn settle(nodes: &mut Nodes<'_>, seen: &Seen, scarce: u64) {
    let (owed, bills) = seen.owed();
    assert_eq!(seen.wrong(), Vec::<String>::new(), "answers to notices");
    let (begun, all) = (monotonic(), [owed.map(Some); NODES]);
    while nodes.see().spent() != all && begun.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100));
    }
    println!("{bills} bills, {owed:?} millionths owed; all nodes say so after {:.1?}", begun.elapsed());
    let spent = nodes.see().spent();
    if spent != all {
        nodes.fail(&format!("each bill counts once: {owed:?} are owed, spent was {spent:?}"));
    }
    assert!(owed.iter().all(|owed| *owed > 0) && owed[SCARCE] <= scarce, "{owed:?}");
    // Each node holds the cap against all that it knows, so more than that no user can get.
    let most = seen.most_of_one_user();
    println!("one user was bid for {most} times at most, where {MOST} is the cap");
    assert!(most <= MOST * NODES, "{most} bids of one user");
}
