//! Which partitions are this node's: a consumer group of the log's topic spreads them over the nodes that are there.
//!
//! It says who should own a partition; a claim in the log alone says who does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::mpsc::UnboundedSender;

use super::kafka::KafkaOptions;

/// After this time without a word from it the group gives a node's partitions to others.
pub const SESSION: Duration = Duration::from_secs(6);
/// A member hears of a change with the answer to its next one, so it is short.
const HEARTBEAT: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(200);

/// What the group says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// These are this node's from now on.
    Given(Vec<u32>),
    /// These are not any more.
    Taken(Vec<u32>),
}

/// A member of the group, until it is dropped: then its partitions go to others at once.
pub struct Placement {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Listener {
    placed: UnboundedSender<Placed>,
}

impl Listener {
    /// A rebalance says little and seldom, so what waits for who follows it is bounded by the number of partitions.
    fn say(&self, placed: Placed) {
        // Whoever listened has gone.
        let _ = self.placed.send(placed);
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<u32> {
    list.elements().iter().filter_map(|element| u32::try_from(element.partition()).ok()).collect()
}

impl ClientContext for Listener {
    /// What the group does is worth knowing only when something is looked for.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "the group's client");
    }
}

impl ConsumerContext for Listener {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            self.say(Placed::Taken(numbers(list)));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                // The group is for placing alone: who reads, reads all partitions, and by its own offsets.
                if let Err(error) = consumer.pause(list) {
                    tracing::debug!(%error, "a partition cannot be paused; what comes of it is not looked at");
                }
                self.say(Placed::Given(numbers(list)));
            }
            Rebalance::Error(error) => tracing::warn!(%error, "the group could not be rebalanced"),
            Rebalance::Revoke(_) => {}
        }
    }
}

impl Placement {
    /// Joins the group of the nodes of a log.
    ///
    /// # Errors
    ///
    /// The settings are wrong, or there is no thread.
    pub fn join(options: &KafkaOptions, placed: UnboundedSender<Placed>) -> io::Result<Self> {
        let millis = |span: Duration| span.as_millis().to_string();
        let mut client = options.member();
        client
            .set("group.id", options.group())
            .set("session.timeout.ms", millis(SESSION))
            .set("heartbeat.interval.ms", millis(HEARTBEAT))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "latest")
            // It fetches next to nothing before it is paused.
            .set("queued.min.messages", "1")
            .set("fetch.message.max.bytes", "1024");
        if tracing::enabled!(tracing::Level::DEBUG) {
            client.set_log_level(RDKafkaLogLevel::Debug);
        }
        let consumer: BaseConsumer<Listener> =
            client.create_with_context(Listener { placed }).map_err(io::Error::other)?;
        consumer.subscribe(&[options.events().as_str()]).map_err(io::Error::other)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Err(error)) = consumer.poll(POLL) {
                    tracing::debug!(%error, "the group's client");
                    thread::sleep(POLL);
                }
            }
            // Dropped, it leaves the group, so that nobody waits for its session to end.
        };
        let thread = thread::Builder::new().name("placement".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It contains nothing that panics.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
