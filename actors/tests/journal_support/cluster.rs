//! Logs that tests connect to as several nodes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haggle_actors::backbone::{Faults, Log, MemoryCluster, SharedJournal, SharedOptions, Term};
use haggle_actors::journal::JournalError;
use haggle_domain::NodeId;

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
