//! The topics: made where they are absent, looked at where they are there.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::super::log::{LogError, Table};
use super::client::Context;
use super::settings::KafkaOptions;

/// How long a broker may take to answer at a start.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// A hundred years: for how long the events are needed is the operator's to say. Not -1, which is "for ever" to
/// Apache Kafka but "nothing older than now" to a broker that takes it for a number.
const KEPT_MS: &str = "3153600000000";
/// An exabyte, whatever the broker is set to for other topics: facts that are not settled must not go because there are many. Not -1
/// for the same reason.
const KEPT_BYTES: &str = "1000000000000000000";
const SEGMENT_BYTES: &str = "67108864";
/// How often it is looked whether topics that were made have come to be.
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_millis(100);

/// Makes the topics that are absent.
pub(super) fn ensure(
    options: &KafkaOptions,
    consumer: &BaseConsumer<Context>,
    context: &Context,
) -> Result<(), LogError> {
    let missing = missing(options, consumer)?;
    if missing.is_empty() {
        return Ok(());
    }
    create(options, context, &missing)?;
    for _ in 0..LOOKS {
        // Another node may have made them at the same time, maybe otherwise.
        if self::missing(options, consumer)?.is_empty() {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    let why = format!("the topics of {} were made but do not come to be", options.prefix);
    Err(LogError::Unreachable { brokers: options.brokers.clone(), why })
}

/// The names of topics that are absent, and how many partitions they are to have.
fn missing(options: &KafkaOptions, consumer: &BaseConsumer<Context>) -> Result<Vec<(String, u32)>, LogError> {
    // Of all: asked for by name, a broker may make a topic as it likes.
    let metadata = consumer.fetch_metadata(None, PATIENCE).map_err(|error| unreachable(options, &error))?;
    let tables = Table::ALL.map(|table| (options.topic(table.name()), 1));
    let mut missing = Vec::new();
    for (topic, wanted) in [(options.events(), options.partitions)].into_iter().chain(tables) {
        match metadata.topics().iter().find(|found| found.name() == topic) {
            Some(found) if found.partitions().len() == wanted as usize => {}
            Some(found) if !found.partitions().is_empty() => {
                return Err(LogError::Partitions { topic, found: found.partitions().len(), wanted });
            }
            _ => missing.push((topic, wanted)),
        }
    }
    Ok(missing)
}

fn create(options: &KafkaOptions, context: &Context, missing: &[(String, u32)]) -> Result<(), LogError> {
    let failed = |error: KafkaError| unreachable(options, &error);
    let config = options.consumer();
    let admin = AdminClient::from_config_and_context(&config, context.clone());
    let admin = admin.map_err(|error| super::settings(&error))?;
    let events = options.events();
    let copies = options.replication.map_or(-1, i32::from);
    let topics: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|(name, partitions)| {
            let topic = NewTopic::new(name, *partitions as i32, TopicReplication::Fixed(copies));
            if *name == events {
                let topic = topic.set("retention.ms", KEPT_MS).set("retention.bytes", KEPT_BYTES);
                topic.set("cleanup.policy", "delete")
            } else {
                // What was replaced goes when its segment is full, so a short one keeps the topic small.
                topic.set("cleanup.policy", "compact").set("segment.bytes", SEGMENT_BYTES)
            }
        })
        .collect();
    let asked = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let made = wait(admin.create_topics(&topics, &asked)).map_err(failed)?;
    for result in made {
        match result {
            Ok(topic) => tracing::info!(topic, "made a topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => {
                let why = format!("the topic {topic} cannot be made: {error}; make it by hand");
                return Err(LogError::Settings { why });
            }
        }
    }
    Ok(())
}

pub(super) fn unreachable(options: &KafkaOptions, error: &KafkaError) -> LogError {
    LogError::Unreachable { brokers: options.brokers.clone(), why: error.to_string() }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for one answer, which a thread of the client's brings.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut answer = pin!(answer);
    loop {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            return answer;
        }
        thread::park();
    }
}
