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
#[path = "network/switch.rs"]
mod switch;
#[path = "network/traffic.rs"]
mod traffic;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::Duration;

use cluster::{Running, tansu, verified};
use fault::Fault;
use haggle::clock::monotonic;
use lab::{APART, BROKER_ADDRESS, Lab, REDIS_ADDRESS};
use nodes::Nodes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use switch::Weather;
use traffic::{Seen, Traffic};

const NODES: usize = 3;
/// What another node may take to go on with the campaigns of one that is cut off.
const TAKE_OVER: Duration = Duration::from_secs(10);
/// How soon after the last fault all is well again.
const WELL: Duration = Duration::from_secs(60);
/// For what takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// A node that does not answer for so long hangs.
const HANGS: Duration = Duration::from_secs(10);
/// After a node was cut off, what was on its way to it has arrived.
const ARRIVED: Duration = Duration::from_secs(1);
/// How many rounds are a short test, whose cuts are short, too.
const SHORT: u64 = 2;
/// How often a user may see the campaign with a cap, as each node knows it.
const MOST: usize = 3;

struct Plan {
    id: &'static str,
    size: (u32, u32),
    /// It bids only for users whom it knows, and so often for each.
    capped: bool,
}

/// One with money for everything, one that runs out of it, one that asks Redis.
const CAMPAIGNS: [Plan; 3] = [
    Plan { id: "eager", size: (300, 250), capped: false },
    Plan { id: "scarce", size: (728, 90), capped: false },
    Plan { id: "capped", size: (160, 600), capped: true },
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
    let mut test = Test {
        nodes: Nodes::start(&lab, folder.path(), scarce),
        lab: &lab,
        dice: StdRng::seed_from_u64(seed),
        longest: if rounds > SHORT { 40.0 } else { 3.0 },
        deaths: 0,
        taken: Vec::new(),
        well: Vec::new(),
    };
    let up = test.nodes.recover(PATIENCE, |_| None);
    println!("all nodes are well {up:.1?} after their start");
    let traffic = Traffic::start(seed);
    sleep(Duration::from_secs(1));
    for round in 0..rounds {
        // The first is the plain one; then chance decides.
        let owner = test.nodes.owners(EAGER).first().copied().unwrap();
        let (fault, victim) = if round == 0 {
            (Fault::Cut, Some(owner))
        } else {
            let (fault, all) = (Fault::any(&mut test.dice), test.dice.random_bool(0.15));
            // More is at stake where campaigns are owned.
            let any = if test.dice.random_bool(0.5) { owner } else { test.dice.random_range(0..NODES) };
            (fault, (!all).then_some(any))
        };
        let done = test.round(fault, victim, round == 0, &traffic.seen);
        println!("round {round}: {done}");
        assert_eq!(traffic.seen.wrong(), Vec::<String>::new(), "answers to notices");
    }
    for (what, times) in [("another owner", &mut test.taken), ("all were well", &mut test.well)] {
        times.sort_unstable();
        if let Some((middle, most)) = times.get(times.len() / 2).zip(times.last()) {
            println!("{what}, {} times: after {middle:.1?} in the middle, {most:.1?} at most", times.len());
        }
    }
    let seen = traffic.stop();
    settle(test, &seen, scarce, folder.path());
}

/// What was owed is what all nodes say was spent, and their ledgers.
fn settle(mut test: Test<'_>, seen: &Seen, scarce: u64, folder: &std::path::Path) {
    let (owed, bills) = seen.owed();
    assert_eq!(seen.wrong(), Vec::<String>::new(), "answers to notices");
    let begun = monotonic();
    let all = [owed.map(Some); NODES];
    while test.nodes.spent() != all && begun.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100));
    }
    println!("{bills} bills, {owed:?} millionths owed; all nodes say so after {:.1?}", begun.elapsed());
    assert_eq!(test.nodes.spent(), all, "each bill counts once");
    assert!(owed.iter().all(|owed| *owed > 0) && owed[SCARCE] <= scarce, "{owed:?}");
    // Each node holds the cap against all that it knows, and what a node knew that was killed is lost.
    let most = MOST * (NODES + test.deaths);
    assert!(seen.most_of_one_user() <= most, "{} bids of one user", seen.most_of_one_user());
    test.nodes.stop();
    for node in 0..NODES {
        for (campaign, owed) in CAMPAIGNS.iter().zip(owed) {
            assert_eq!(
                verified(folder, &format!("data-{node}"), campaign.id),
                owed,
                "{node} {}",
                campaign.id
            );
        }
    }
}

struct Test<'a> {
    nodes: Nodes<'a>,
    lab: &'a Lab,
    dice: StdRng,
    /// Of a fault, in seconds.
    longest: f64,
    deaths: usize,
    /// How long it took until others owned what was a cut-off node's, and until all were well.
    taken: Vec<Duration>,
    well: Vec<Duration>,
}

/// Somebody is killed some time after a fault's begin, and is started again a while later.
struct Death {
    node: usize,
    at: Duration,
    back: Duration,
}

impl Test<'_> {
    fn death(&mut self, lasts: Duration) -> Option<Death> {
        let node = self.dice.random_range(0..NODES);
        let at = lasts.mul_f64(self.dice.random());
        let back = at + Duration::from_secs_f64(self.dice.random_range(0.0..5.0));
        self.dice.random_bool(0.3).then_some(Death { node, at, back })
    }

    /// A fault at one node or at all: how it went.
    fn round(&mut self, fault: Fault, victim: Option<usize>, plain: bool, seen: &Seen) -> String {
        let lasts = Duration::from_secs_f64(self.dice.random_range(1.0..self.longest));
        let mut death = self.death(lasts).filter(|_| !plain);
        let killed = death.as_ref().map(|death| death.node);
        let stricken: Vec<usize> = victim.map_or((0..NODES).collect(), |victim| vec![victim]);
        let owned: Vec<usize> = (0..CAMPAIGNS.len())
            .filter(|campaign| victim.is_some_and(|victim| self.nodes.owners(*campaign).contains(&victim)))
            .collect();
        let expected = fault.parts() && !owned.is_empty() && killed.is_none();
        let (begun, mut second, mut ended, mut taken) = (monotonic(), None, 0, None);
        let mut held = None;
        let mut dead = None;
        loop {
            let elapsed = begun.elapsed();
            if second.is_none_or(|second| second < elapsed.as_secs()) {
                second = Some(elapsed.as_secs());
                for node in &stricken {
                    self.lab.switch.set(*node, fault.weather(elapsed.as_secs()));
                    if fault == Fault::Reset {
                        ended += self.lab.reset(*node);
                    }
                }
            }
            if elapsed > ARRIVED && held.is_none() && fault.starves() && killed.is_none() {
                let purse = victim.and_then(|victim| self.nodes.purse(victim));
                held = purse.map(|purse| (purse, seen.next_epoch()));
            }
            if let Some(death) = death.take_if(|death| death.at < elapsed) {
                self.nodes.kill(death.node);
                self.deaths += 1;
                dead = Some(death);
            }
            if dead.as_ref().is_none_or(|death| death.back < elapsed) {
                self.nodes.tend();
            }
            if taken.is_none()
                && owned
                    .iter()
                    .all(|campaign| self.nodes.owners(*campaign).iter().any(|owner| Some(*owner) != victim))
            {
                taken = Some(elapsed);
            }
            // The short test's first cut lasts until it is seen that another takes over.
            let over =
                if plain { taken.is_some_and(|taken| taken + ARRIVED < elapsed) } else { elapsed > lasts };
            if over && dead.as_ref().is_none_or(|death| death.back < elapsed) && death.is_none() {
                break;
            }
            if expected && taken.is_none() && elapsed > TAKE_OVER {
                self.nodes.fail(&format!(
                    "{fault:?} of node {victim:?} for {elapsed:.1?}: nobody takes over {owned:?}"
                ));
            }
            self.nodes.look();
            sleep(Duration::from_millis(100));
        }
        let lasted = begun.elapsed();
        let spent = held.zip(victim).map(|((purse, epoch), victim)| {
            // Requests that are sent from now on are of another stretch.
            seen.next_epoch();
            let spent = seen.bids_in(epoch)[victim].worth;
            assert!(spent <= purse, "node {victim} was cut off with {purse} millionths, and has bid {spent}");
            format!(", bid {spent} of {purse} that it held")
        });
        stricken.iter().for_each(|node| self.lab.switch.set(*node, Weather::default()));
        let well = self.recover(seen);
        self.well.push(well);
        let who = victim.map_or("all nodes".to_owned(), |victim| format!("node {victim}"));
        let campaigns: Vec<&str> = owned.iter().map(|campaign| CAMPAIGNS[*campaign].id).collect();
        let killed = killed.map_or(String::new(), |killed| format!(", node {killed} killed"));
        let taken = match taken.filter(|_| !owned.is_empty() && fault.parts()) {
            Some(taken) => {
                self.taken.push(taken);
                format!(", others own {} after {taken:.1?}", campaigns.join(" and "))
            }
            None => String::new(),
        };
        let ended = if ended > 0 { format!(", {ended} connections ended") } else { String::new() };
        let slowest = seen.slowest();
        format!(
            "{fault:?} of {who} for {lasted:.1?}{killed}{taken}{ended}{}; all well after {well:.1?}; slowest answer {slowest:.0?}",
            spent.unwrap_or_default()
        )
    }
    /// Waits until every node is well and bids, and what they had been told is settled.
    fn recover(&mut self, seen: &Seen) -> Duration {
        let (epoch, (owed, _)) = (seen.next_epoch(), seen.owed());
        self.nodes.recover(WELL, |nodes| {
            if let Some(silent) = seen.bids_in(epoch).iter().position(|bids| bids.count[EAGER] == 0) {
                return Some(format!("node {silent} does not bid"));
            }
            (!nodes.have_settled(&owed)).then(|| format!("of {owed:?} was settled {:?}", nodes.spent()))
        })
    }
}
