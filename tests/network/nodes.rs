//! The nodes' processes, and what is seen of them from outside.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use haggle::clock::monotonic;

use crate::cluster::{Running, get};
use crate::lab::{BROKER_ADDRESS, Lab, REDIS_ADDRESS, addresses};
use crate::view::View;
use crate::{CAMPAIGNS, EAGER, HANGS, MOST, NODES};

/// Of it nodes hold as much as they bid in some ten seconds, so a longer cut shows that they stop.
const AMPLE: u64 = 600_000_000;

pub struct Nodes<'a> {
    lab: &'a Lab,
    folder: PathBuf,
    all: Vec<Node>,
    /// What was settled of the campaign that has money, and since when it is so much.
    progress: (u64, Instant),
    stall: Duration,
    apart: Vec<usize>,
}

struct Node {
    running: Option<Running>,
    /// It has answered since it was started.
    served: bool,
    /// When it last answered, or was started.
    answered: Instant,
}

/// The configuration of all nodes. Leases end soon, so that cuts outlive them; a cut is shorter than the grace, as it must be for what
/// was told to count.
fn configure(folder: &Path, scarce: u64) {
    let settings = format!(
        "kafka = \"{BROKER_ADDRESS}\"\nkafka_prefix = \"network\"\nkafka_partitions = 3\nredis = \"redis://{REDIS_ADDRESS}/0\"\n\
         redis_timeout = \"50ms\"\nnotice_timeout = \"60s\"\nlease_duration = \"20s\"\nnode_grace = \"90s\"\ndrain = \"100ms\"\nadmin_allow_remote = true\ncampaigns = \"campaigns\"\n\
         [[exchange]]\nname = \"demo\"\nbill_on = \"burl\"\nuser_ids = [\"buyeruid\"]\n"
    );
    fs::write(folder.join("haggle.toml"), settings).unwrap();
    fs::create_dir(folder.join("campaigns")).unwrap();
    for campaign in &CAMPAIGNS {
        let budget = if campaign.id == "scarce" { scarce } else { AMPLE };
        let budget = format!("{}.{:06}", budget / 1_000_000, budget % 1_000_000);
        let cap = format!("frequency = [{{ per = \"campaign\", most = {MOST}, within = \"1d\" }}]");
        let (id, (width, height)) = (campaign.id, campaign.size);
        let text = format!(
            r#"
id = "{id}"
name = "{id}"
advertiser_domain = "shop.example"
categories = ["IAB18"]
pacing = "asap"
max_bid_cpm = "5.00"
goal = {{ cpm = {{ price = "5.00" }} }}
budget = {{ daily = "{budget}", total = "{budget}" }}
{}
[[creatives]]
id = "one"
width = {width}
height = {height}
image = "https://cdn.shop.example/one.jpg"
landing = "https://shop.example/landing"
title = "One"
"#,
            if campaign.capped { &cap } else { "" }
        );
        fs::write(folder.join(format!("campaigns/{id}.toml")), text).unwrap();
    }
}

/// What a node's metrics say.
fn metric(node: usize, name: &str) -> Option<u64> {
    let (_, text) = get(&addresses(node).1, "/metrics")?;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name))?;
    Some(line.rsplit(' ').next()?.parse::<f64>().ok()? as u64)
}

impl<'a> Nodes<'a> {
    pub fn start(lab: &'a Lab, folder: &Path, scarce: u64) -> Self {
        configure(folder, scarce);
        let now = monotonic();
        let node = || Node { running: None, served: false, answered: now };
        let mut nodes = Self {
            lab,
            folder: folder.to_owned(),
            all: std::iter::repeat_with(node).take(NODES).collect(),
            progress: (0, now),
            stall: Duration::ZERO,
            apart: Vec::new(),
        };
        nodes.tend();
        nodes
    }

    fn log(&self, node: usize) -> PathBuf {
        self.folder.join(format!("node-{node}.log"))
    }

    /// Starts those that do not run, as whoever supervises them would. One ends by itself only where it cannot start.
    pub fn tend(&mut self) {
        for node in 0..NODES {
            if let Some(running) = &mut self.all[node].running {
                match running.0.try_wait().unwrap() {
                    None => continue,
                    Some(status) if self.all[node].served => {
                        self.fail(&format!("node {node} has ended by itself: {status}"));
                    }
                    Some(_) => {}
                }
            }
            let log = File::options().create(true).append(true).open(self.log(node)).unwrap();
            let (address, admin) = addresses(node);
            let child = self
                .lab
                .inside(node, env!("CARGO_BIN_EXE_haggle"))
                .current_dir(&self.folder)
                .args(["serve", "--config", "haggle.toml", "--data", &format!("data-{node}")])
                .args(["--listen", &address, "--admin-listen", &admin])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn();
            let running = Some(Running(child.unwrap()));
            self.all[node] = Node { running, served: false, answered: monotonic() };
        }
    }

    pub fn kill(&mut self, node: usize) {
        self.all[node].running = None;
        self.all[node].served = false;
    }

    /// Sees that nobody who has served hangs.
    pub fn look(&mut self) {
        for node in 0..NODES {
            if self.all[node].running.is_none() {
                continue;
            }
            let answer = get(&addresses(node).1, "/readyz");
            let it = &mut self.all[node];
            if answer.is_some() {
                it.served |= answer.is_some_and(|(status, _)| status == 200);
                it.answered = monotonic();
            } else if it.served && it.answered.elapsed() > HANGS {
                self.fail(&format!("node {node} has not answered for {HANGS:?}"));
            }
        }
    }

    /// What all say of their campaigns.
    pub fn see(&mut self) -> View {
        let view = View::now();
        let (latest, now) = (view.latest(&self.apart)[EAGER], monotonic());
        if latest > self.progress.0 {
            self.stall = self.stall.max(now.saturating_duration_since(self.progress.1));
            self.progress = (latest, now);
        }
        view
    }

    /// From now on it is measured for how long nothing is settled. Some are cut off, so what they say is known to nobody else.
    pub fn watch(&mut self, apart: &[usize]) {
        self.apart = apart.to_vec();
        self.progress.1 = monotonic();
        self.stall = Duration::ZERO;
    }

    /// The longest that nothing was settled of the campaign that has money.
    pub fn stall(&self) -> Duration {
        self.stall.max(self.progress.1.elapsed())
    }

    /// What a node can still bid, in millionths.
    pub fn purse(&self, node: usize) -> Option<u64> {
        metric(node, "haggle_purse_micros")
    }

    /// What is not as it should be where nothing is broken.
    fn trouble(&self, view: &View) -> Option<String> {
        for node in 0..NODES {
            match get(&addresses(node).1, "/readyz") {
                Some((200, _)) => {}
                answer => return Some(format!("node {node} is not ready: {answer:?}")),
            }
            for name in ["haggle_log_connected", "haggle_user_state_up"] {
                if metric(node, name) != Some(1) {
                    return Some(format!("{name} of node {node} is not 1"));
                }
            }
        }
        view.trouble()
    }

    /// Waits until all is well, and nothing else is wrong; says how long it took, and what for at last.
    pub fn recover(
        &mut self,
        patience: Duration,
        other: impl Fn(&View) -> Option<String>,
    ) -> (Duration, Option<String>) {
        let (begun, mut last) = (monotonic(), None);
        loop {
            self.tend();
            self.look();
            let view = self.see();
            match other(&view).or_else(|| self.trouble(&view)) {
                None => return (begun.elapsed(), last),
                Some(trouble) if begun.elapsed() > patience => {
                    self.fail(&format!("{patience:?} after everything worked: {trouble}"));
                }
                trouble => last = trouble,
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// They stop as they should.
    pub fn stop(&mut self) {
        let mut all: Vec<Running> = self.all.iter_mut().filter_map(|node| node.running.take()).collect();
        all.iter().for_each(|running| running.signal("-TERM"));
        all.iter_mut().for_each(|running| assert_eq!(running.0.wait().unwrap().code(), Some(0)));
    }

    /// Ends the test, with the last of what the nodes have logged.
    pub fn fail(&self, why: &str) -> ! {
        for node in 0..NODES {
            let log = fs::read_to_string(self.log(node)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            println!("--- node {node}\n{}", last.join("\n"));
        }
        panic!("{why}");
    }
}
