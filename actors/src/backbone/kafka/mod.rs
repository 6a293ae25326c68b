//! The log on Kafka: `PREFIX.events` in partitions, and a compacted topic for each table.
//!
//! One producer that is idempotent, waits for all copies, tries for ever and has one request under way, so that
//! what is kept of a partition is always a beginning of what was appended. Each reader has a consumer of its own
//! and says itself from where it reads; no offsets are kept at the broker.

mod client;
mod settings;
mod topics;
mod trouble;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaConfRes;
use rdkafka::{Offset, TopicPartitionList};

use self::client::{Context, Told, Waiter};
use self::topics::{PATIENCE, unreachable};
use super::log::{Entry, Kept, Log, LogError, LogReader, LogStats, OnKept, Table};

pub use settings::KafkaOptions;

/// A node's connection to the log on Kafka.
pub struct KafkaLog {
    options: KafkaOptions,
    events: String,
    told: Arc<Told>,
    producer: ThreadedProducer<Context>,
    /// For questions; readers have their own.
    consumer: BaseConsumer<Context>,
}

/// What is wrong with a setting, without its value: under a name that was misspelt it may be a password.
fn settings(error: &KafkaError) -> LogError {
    let why = match error {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, key, _) => {
            format!("the client of Kafka knows no property {key:?}")
        }
        KafkaError::ClientConfig(_, said, key, _) => {
            // It names the value, then the property, and then maybe why, such as what it was built without.
            let why =
                said.split_once(&format!("{key}\": ")).map_or("its value cannot be used", |(_, why)| why);
            format!("the property {key:?}: {why}")
        }
        other => other.to_string(),
    };
    LogError::Settings { why }
}

impl KafkaLog {
    /// Connects, and makes the topics that are absent. Waits for the broker, some ten seconds at most each time.
    pub fn open(options: KafkaOptions) -> Result<Self, LogError> {
        options.check()?;
        let told = Arc::new(Told::default());
        let context = Context(Arc::clone(&told));
        let consumer = BaseConsumer::from_config_and_context(&options.consumer(), context.clone());
        let consumer = consumer.map_err(|error| settings(&error))?;
        topics::ensure(&options, &consumer, &context)?;
        let producer = ThreadedProducer::from_config_and_context(&options.producer(), context);
        let producer = producer.map_err(|error| settings(&error))?;
        told.connected.store(true, Ordering::Relaxed);
        Ok(Self { events: options.events(), options, told, producer, consumer })
    }

    fn reader(&self, topic: &str, from: &[(u32, u64)], ends: bool) -> Result<KafkaReader, LogError> {
        let mut config = self.options.consumer();
        config.set("enable.partition.eof", if ends { "true" } else { "false" });
        let context = Context(Arc::clone(&self.told));
        let consumer: BaseConsumer<Context> =
            BaseConsumer::from_config_and_context(&config, context).map_err(|error| settings(&error))?;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in from {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            list.add_partition_offset(topic, *partition as i32, offset).map_err(|error| settings(&error))?;
        }
        consumer.assign(&list).map_err(|error| settings(&error))?;
        Ok(KafkaReader { consumer, told: Arc::clone(&self.told) })
    }

    fn send(
        &self,
        topic: &str,
        partition: u32,
        key: &[u8],
        bytes: Option<&[u8]>,
        on_kept: OnKept,
    ) -> Result<(), LogError> {
        if let Some(error) = self.told.failure() {
            return Err(error);
        }
        let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, Waiter::new(on_kept))
            .partition(partition as i32)
            .key(key);
        record.payload = bytes;
        self.producer.send(record).map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => LogError::Full,
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                LogError::TooLarge { bytes: bytes.map_or(0, <[u8]>::len) }
            }
            Some(RDKafkaErrorCode::UnknownPartition) => LogError::NoPartition(partition),
            _ => LogError::Failed { why: error.to_string() },
        })
    }

    fn range(&self, topic: &str, partition: u32) -> Result<Range<u64>, LogError> {
        let ends = self.consumer.fetch_watermarks(topic, partition as i32, PATIENCE);
        let (begin, end) = ends.map_err(|error| unreachable(&self.options, &error))?;
        Ok(begin.try_into().unwrap_or(0)..end.try_into().unwrap_or(0))
    }
}

impl Log for KafkaLog {
    fn partitions(&self) -> u32 {
        self.options.partitions
    }

    fn append(&self, partition: u32, key: u64, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError> {
        self.send(&self.events, partition, &key.to_be_bytes(), Some(bytes), on_kept)
    }

    fn read(&self, from: &[(u32, u64)]) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(self.reader(&self.events, from, false)?))
    }

    fn ends(&self) -> Result<Vec<Range<u64>>, LogError> {
        (0..self.options.partitions).map(|partition| self.range(&self.events, partition)).collect()
    }

    fn keep(&self, table: Table, name: &str, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError> {
        self.send(&self.options.topic(table.name()), 0, name.as_bytes(), Some(bytes), on_kept)
    }

    fn forget(&self, table: Table, name: &str, on_kept: OnKept) -> Result<(), LogError> {
        self.send(&self.options.topic(table.name()), 0, name.as_bytes(), None, on_kept)
    }

    fn changes(
        &self,
        table: Table,
        from: u64,
        each: &mut dyn FnMut(Kept<'_>) -> ControlFlow<()>,
    ) -> Result<u64, LogError> {
        let topic = self.options.topic(table.name());
        let range = self.range(&topic, 0)?;
        if from.max(range.start) >= range.end {
            return Ok(range.end);
        }
        let reader = self.reader(&topic, &[(0, from.max(range.start))], true)?;
        loop {
            match reader.consumer.poll(PATIENCE) {
                Some(Ok(message)) => {
                    let name = String::from_utf8_lossy(message.key().unwrap_or_default());
                    let offset = u64::try_from(message.offset()).unwrap_or(0);
                    let went_on = each(Kept { offset, name: &name, bytes: message.payload() });
                    let next = offset.saturating_add(1);
                    // Compaction may have left nothing at the end; then the end itself is told.
                    if went_on.is_break() || next >= range.end {
                        return Ok(next);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(range.end),
                Some(Err(error)) => return Err(unreachable(&self.options, &error)),
                None => return Err(unreachable(&self.options, &KafkaError::NoMessageReceived)),
            }
        }
    }

    fn failure(&self) -> Option<LogError> {
        let failure = self.told.failure();
        failure.or_else(|| {
            let (_, why) = self.producer.client().fatal_error()?;
            Some(LogError::Failed { why })
        })
    }

    fn stats(&self) -> LogStats {
        LogStats {
            kept: self.told.kept.load(Ordering::Relaxed),
            waiting: self.producer.in_flight_count().try_into().unwrap_or(0),
            errors: self.told.errors.load(Ordering::Relaxed),
            connected: self.told.connected.load(Ordering::Relaxed),
        }
    }
}

struct KafkaReader {
    consumer: BaseConsumer<Context>,
    told: Arc<Told>,
}

impl LogReader for KafkaReader {
    fn next(&mut self, patience: Duration) -> Result<Option<Entry>, LogError> {
        match self.consumer.poll(patience) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(Entry {
                partition: message.partition().try_into().unwrap_or(u32::MAX),
                offset: message.offset().try_into().unwrap_or(u64::MAX),
                bytes: message.payload().unwrap_or_default().to_vec(),
            })),
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    Err(LogError::Gone { why: error.to_string() })
                }
                Some(
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::Fatal,
                ) => Err(LogError::Failed { why: error.to_string() }),
                _ => {
                    self.told.passing(&error, "while reading");
                    Ok(None)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_wrong_property_is_named_without_its_value() {
        const SECRET: &str = "TOPSECRET";
        for (key, value, says) in [
            ("sasl.pasword", SECRET, "knows no property"),
            ("security.protocol", SECRET, "cannot be used"),
            ("socket.timeout.ms", "-77", "cannot be used"),
            ("socket.timeout.ms", SECRET, "cannot be used"),
        ] {
            let properties = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let brokers = "127.0.0.1:1".to_owned();
            let opened = KafkaLog::open(KafkaOptions { brokers, properties, ..KafkaOptions::default() });
            let error = opened.err().unwrap();
            let text = error.to_string();
            assert!(matches!(error, LogError::Settings { .. }), "{error:?}");
            assert!(text.contains(key) && text.contains(says) && !text.contains(value), "{text}");
        }
    }
}
