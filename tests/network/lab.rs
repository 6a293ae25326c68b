//! Namespaces of the network: one for the test with the broker and Redis, and one for each node.
//!
//! A node has two links. One leads over the [`Switch`] to the broker and Redis, and suffers; by the other the test asks, whatever befalls the
//! first. All of it is in a network and a family of processes that the test's own are apart from, and that end with it: whoever kills the
//! test leaves nothing behind.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::NODES;
use crate::cluster::Running;
use crate::switch::{FIRST_NODE, HUB, Switch, link};

pub const BROKER_ADDRESS: &str = "10.77.0.1:9092";
pub const REDIS_ADDRESS: &str = "10.77.0.2:6379";
/// How a family of processes is begun that has a network of its own.
pub const APART: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

pub struct Lab {
    pub switch: Switch,
    /// They do nothing: a namespace is there as long as somebody is in it.
    holders: Vec<Running>,
}

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Where a node is asked for bids, and where its operators ask.
pub fn addresses(node: usize) -> (String, String) {
    (format!("10.78.{node}.2:8080"), format!("10.78.{node}.2:8081"))
}

/// Why the test cannot be run here, if so.
pub fn missing() -> Option<String> {
    let devices = "ip link add one type veth peer name other && ip tuntap add third mode tun";
    let apart =
        Command::new("unshare").args(APART).args(["sh", "-c", devices]).stderr(Stdio::null()).status();
    if !apart.is_ok_and(|status| status.success()) {
        return Some(format!(
            "this user may not do this in a network of their own (unshare --net): {devices}"
        ));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let absent = |name: &&str| !std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let absent = ["nsenter", "tansu", "redis-server"].into_iter().find(absent)?;
    Some(format!("there is no {absent} on the path"))
}

impl Lab {
    /// Makes the networks. The test is apart already.
    pub fn build(seed: u64) -> Self {
        let switch = Switch::start(seed).unwrap();
        ip("link set lo up");
        ip(&format!("address add 10.77.0.1/24 dev {HUB}"));
        ip(&format!("address add 10.77.0.2/24 dev {HUB}"));
        ip(&format!("link set {HUB} up"));
        let holders = (0..NODES).map(Self::place).collect();
        Self { switch, holders }
    }

    fn place(node: usize) -> Running {
        let ours = fs::read_link("/proc/self/ns/net").unwrap();
        let holder = Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
        let pid = holder.id();
        while fs::read_link(format!("/proc/{pid}/ns/net")).unwrap() == ours {
            sleep(Duration::from_millis(5));
        }
        let (link, last) = (link(node), usize::from(FIRST_NODE) + node);
        ip(&format!("link set {link} netns {pid}"));
        ip(&format!("link add ask{node} type veth peer name asked netns {pid}"));
        ip(&format!("address add 10.78.{node}.1/24 dev ask{node}"));
        ip(&format!("link set ask{node} up"));
        let inside = |words: &str| {
            let net = format!("--net=/proc/{pid}/ns/net");
            let done = Command::new("nsenter").arg(net).arg("ip").args(words.split(' ')).status().unwrap();
            assert!(done.success(), "ip {words}");
        };
        inside("link set lo up");
        inside(&format!("address add 10.77.0.{last}/24 dev {link}"));
        inside(&format!("link set {link} up"));
        inside(&format!("address add 10.78.{node}.2/24 dev asked"));
        inside("link set asked up");
        Running(holder)
    }

    /// A command that runs where a node does.
    pub fn inside(&self, node: usize, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holders[node].0.id())).arg(program);
        command
    }

    /// Ends a node's connections to the broker and Redis at both ends, as a router does that has lost its table; says how many ends that
    /// were: none where the kernel was built without it.
    pub fn reset(&self, node: usize) -> usize {
        let last = usize::from(FIRST_NODE) + node;
        let ends = [
            (self.inside(node, "ss"), "10.77.0.0/24".to_owned()),
            (Command::new("ss"), format!("10.77.0.{last}")),
        ];
        let ended = ends.into_iter().map(|(mut ss, to)| {
            let said = ss.args(["--no-header", "-K", "dst", &to]).stderr(Stdio::null()).output();
            said.map_or(0, |said| said.stdout.iter().filter(|byte| **byte == b'\n').count())
        });
        ended.sum()
    }
}
