//! Logs that tests connect to as several nodes.
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haggle_actors::backbone::{
    Faults, KafkaLog, KafkaOptions, Log, MemoryCluster, SharedJournal, SharedOptions, Table, Term,
};
use haggle_actors::journal::JournalError;
use haggle_domain::NodeId;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;

use super::PATIENCE;

/// Something that keeps logs.
pub(crate) trait Cluster: Sync {
    /// A node's connection to the log of that name, which is made where there is none.
    fn connect(&self, name: &str, partitions: u32) -> Arc<dyn Log>;

    /// Nobody reaches it, or everybody again.
    fn cut(&self, cut: bool);
}

/// Logs in this process.
#[derive(Default)]
pub(crate) struct Memory {
    clusters: Mutex<HashMap<String, MemoryCluster>>,
    faults: Mutex<Vec<Arc<Faults>>>,
}

impl Memory {
    pub(crate) fn cluster(&self, name: &str, partitions: u32) -> MemoryCluster {
        let mut clusters = self.clusters.lock().unwrap();
        clusters.entry(name.to_owned()).or_insert_with(|| MemoryCluster::new(partitions)).clone()
    }
}

impl Cluster for Memory {
    fn connect(&self, name: &str, partitions: u32) -> Arc<dyn Log> {
        let log = self.cluster(name, partitions).connect();
        self.faults.lock().unwrap().push(Arc::clone(log.faults()));
        Arc::new(log)
    }

    fn cut(&self, cut: bool) {
        for faults in &*self.faults.lock().unwrap() {
            faults.cut(cut);
        }
    }
}

/// Kafka's client's own imitation of a broker, in this process.
pub(crate) struct Mock {
    brokers: String,
    orders: Sender<MockOrder>,
}

enum MockOrder {
    Topic(String, u32, Sender<()>),
    Cut(bool),
}

impl Mock {
    pub(crate) fn options(&self, name: &str, partitions: u32) -> KafkaOptions {
        kafka(&self.brokers, name, partitions)
    }

    pub(crate) fn start() -> Self {
        let (sender, orders) = channel();
        let (tell, told) = channel();
        // It has to stay in one thread.
        std::thread::spawn(move || {
            let mock = MockCluster::new(1).unwrap();
            tell.send(mock.bootstrap_servers()).unwrap();
            for order in orders {
                match order {
                    MockOrder::Topic(topic, partitions, done) => {
                        match mock.create_topic(&topic, partitions as i32, 1) {
                            Ok(()) | Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) => {}
                            Err(error) => unreachable!("{error}"),
                        }
                        done.send(()).unwrap();
                    }
                    MockOrder::Cut(true) => mock.broker_down(1).unwrap(),
                    MockOrder::Cut(false) => mock.broker_up(1).unwrap(),
                }
            }
        });
        Self { brokers: told.recv().unwrap(), orders: sender }
    }
}

impl Cluster for Mock {
    fn connect(&self, name: &str, partitions: u32) -> Arc<dyn Log> {
        let options = self.options(name, partitions);
        let tables = Table::ALL.map(|table| (table.name(), 1));
        for (topic, partitions) in [("events", partitions)].into_iter().chain(tables) {
            let (sender, done) = channel();
            let topic = format!("{}.{topic}", options.prefix);
            self.orders.send(MockOrder::Topic(topic, partitions, sender)).unwrap();
            done.recv().unwrap();
        }
        Arc::new(KafkaLog::open(options).unwrap())
    }

    fn cut(&self, cut: bool) {
        self.orders.send(MockOrder::Cut(cut)).unwrap();
    }
}

fn kafka(brokers: &str, name: &str, partitions: u32) -> KafkaOptions {
    let letters = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(letters).collect();
    let mut settings = KafkaOptions {
        brokers: brokers.to_owned(),
        prefix: format!("haggle-test{name}"),
        partitions,
        ..KafkaOptions::default()
    };
    // The brokers that are at hand answer a reader who waits at the end of his time, not when something comes.
    settings.properties.insert("fetch.wait.max.ms".to_owned(), "10".to_owned());
    settings
}

/// A real broker: one that is running, or one of our own.
pub(crate) struct Broker {
    address: String,
    own: Option<(Child, tempfile::TempDir)>,
}

impl Broker {
    /// The broker at `HAGGLE_TEST_KAFKA`, or tansu where that program is installed; none where neither is, which it
    /// says.
    pub(crate) fn find() -> Option<Self> {
        if let Ok(address) = std::env::var("HAGGLE_TEST_KAFKA") {
            return Some(Self { address, own: None });
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let dir = tempfile::tempdir().unwrap();
        let Some(child) = tansu(&address, dir.path()) else {
            eprintln!(
                "skipped: no broker at HAGGLE_TEST_KAFKA, and no program `tansu` on PATH; \
                 HAGGLE_TEST_KAFKA=host:port runs this on a broker of yours"
            );
            return None;
        };
        Some(Self { address, own: Some((child, dir)) })
    }

    /// Kills it, where it is our own.
    pub(crate) fn kill(&mut self) {
        if let Some((child, _)) = &mut self.own {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on what it has kept.
    pub(crate) fn restart(&mut self) {
        if let Some((child, dir)) = &mut self.own {
            *child = tansu(&self.address, dir.path()).unwrap();
        }
    }

    /// Whether it may be stopped.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }
}

/// Starts tansu in a folder and waits until it listens; none where there is no such program.
fn tansu(address: &str, dir: &Path) -> Option<Child> {
    let url = format!("tcp://{address}");
    let started = Command::new("tansu")
        .arg("broker")
        .current_dir(dir)
        .env("LISTENER_URL", &url)
        .env("ADVERTISED_LISTENER_URL", &url)
        .env("STORAGE_ENGINE", "sqlite://tansu.db")
        .env("CLUSTER_ID", "haggle-test")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    until("tansu listens", || TcpStream::connect(address).is_ok());
    Some(started)
}

impl Cluster for Broker {
    fn connect(&self, name: &str, partitions: u32) -> Arc<dyn Log> {
        Arc::new(KafkaLog::open(kafka(&self.address, name, partitions)).unwrap())
    }

    fn cut(&self, cut: bool) {
        let Some((child, _)) = &self.own else { return };
        let signal = if cut { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.own {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn options() -> SharedOptions {
    SharedOptions { close_patience: Duration::from_millis(500), ..SharedOptions::default() }
}

/// Opens a node's journal in a folder.
pub(crate) fn open(log: Arc<dyn Log>, dir: &Path, node: u64) -> Arc<SharedJournal> {
    try_open(log, dir, node).unwrap()
}

pub(crate) fn try_open(log: Arc<dyn Log>, dir: &Path, node: u64) -> Result<Arc<SharedJournal>, JournalError> {
    SharedJournal::open(log, dir, NodeId(node), &options(), Box::new(|_| ())).map(Arc::new)
}

/// Claims a partition and waits for it.
pub(crate) fn claim(journal: &SharedJournal, partition: u32) -> Result<Term, JournalError> {
    let (sender, claimed) = channel();
    journal.claim(partition, Box::new(move |result| sender.send(result).unwrap()))?;
    claimed.recv_timeout(PATIENCE).expect("a claim is answered")
}

pub(crate) fn claim_all(journal: &SharedJournal) {
    for partition in 0..journal.partitions() {
        claim(journal, partition).unwrap();
    }
}

/// Waits for what comes soon.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 5 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    unreachable!("it does not come about that {what}");
}
