//! How the clients of Kafka are set: conservatively, so that what is asked for any broker can give.

use std::collections::BTreeMap;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::super::log::LogError;
use super::trouble::STEP_MS;

/// How to reach the log on Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOptions {
    /// Brokers to begin with: `host:port`, separated by commas.
    pub brokers: String,
    /// What the topics' names begin with: `PREFIX.events` and so on.
    pub prefix: String,
    /// Partitions of a topic that is made; one that exists must have as many.
    pub partitions: u32,
    /// Copies of each partition of a topic that is made; the broker's default where none is given.
    pub replication: Option<u16>,
    /// What this client is called at the brokers.
    pub client: String,
    /// Messages that may wait for the broker.
    pub queue_messages: u32,
    /// Settings of librdkafka that are passed on, such as `sasl.username`. Those on which the log's order and
    /// durability rest cannot be set.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            prefix: "haggle".to_owned(),
            partitions: 12,
            replication: None,
            client: "haggle".to_owned(),
            queue_messages: 20_000,
            properties: BTreeMap::new(),
        }
    }
}

/// What the log rests on.
const SHARED: [(&str, &str); 4] = [
    // A router that has forgotten a connection tells nobody: it ends by these, and no sooner.
    ("socket.timeout.ms", "6000"),
    ("socket.connection.setup.timeout.ms", "4000"),
    ("allow.auto.create.topics", "false"),
    ("socket.keepalive.enable", "true"),
];
const PRODUCER: [(&str, &str); 10] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // A message waits as long as it takes, and what is behind it too.
    ("message.timeout.ms", "0"),
    ("enable.gapless.guarantee", "true"),
    // Order is kept also by a broker that does not look at the numbers of batches.
    ("max.in.flight.requests.per.connection", "1"),
    ("request.timeout.ms", "5000"),
    ("retry.backoff.ms", "100"),
    ("retry.backoff.max.ms", "1000"),
    ("linger.ms", "5"),
    ("queue.buffering.max.kbytes", "131072"),
];
const CONSUMER: [(&str, &str); 9] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // What is gone is said, not skipped.
    ("auto.offset.reset", "error"),
    // There are no transactions, so nothing has to wait for the end of any.
    ("isolation.level", "read_uncommitted"),
    ("check.crcs", "true"),
    // A broker that wakes nobody who waits for news adds half of this to the latency of a commit.
    ("fetch.wait.max.ms", "50"),
    ("fetch.error.backoff.ms", "100"),
    ("fetch.queue.backoff.ms", "20"),
    ("queued.max.messages.kbytes", "16384"),
];
/// Settings that follow from others of ours.
const OURS: [&str; 5] =
    ["bootstrap.servers", "metadata.broker.list", "group.id", "client.id", "queue.buffering.max.messages"];
/// Other names that librdkafka has for some of those, and what its defaults are right in.
const ALSO: [&str; 7] = [
    "max.in.flight",
    "request.required.acks",
    "delivery.timeout.ms",
    "auto.commit.enable",
    "transactional.id",
    "message.send.max.retries",
    "retries",
];
/// Settings of ours that may be set otherwise: they trade one speed for another.
const FREE: [&str; 11] = [
    "socket.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "request.timeout.ms",
    "linger.ms",
    "queue.buffering.max.kbytes",
    "fetch.wait.max.ms",
    "fetch.error.backoff.ms",
    "fetch.queue.backoff.ms",
    "queued.max.messages.kbytes",
    "retry.backoff.ms",
    "retry.backoff.max.ms",
];

impl KafkaOptions {
    /// The name of the topic of all messages.
    pub fn events(&self) -> String {
        self.topic("events")
    }

    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Refuses what would break the log.
    pub(super) fn check(&self) -> Result<(), LogError> {
        let wrong = |why: String| Err(LogError::Settings { why });
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.prefix.is_empty() || self.prefix.len() > 200 || !self.prefix.chars().all(name) {
            return wrong(format!(
                "the prefix of topics {:?} is not of 1 to 200 letters, digits, dots, underscores and hyphens",
                self.prefix
            ));
        }
        if self.partitions == 0 || self.partitions > 1024 {
            return wrong(format!("{} partitions are not 1 to 1024", self.partitions));
        }
        let fixed = SHARED.iter().chain(&PRODUCER).chain(&CONSUMER).map(|(key, _)| *key);
        let fixed = fixed.chain(OURS).chain(ALSO);
        let mut fixed = fixed.filter(|key| !FREE.contains(key));
        match fixed.find(|key| self.properties.contains_key(*key)) {
            Some(key) => {
                wrong(format!("the property {key} cannot be set: the log's order and durability rest on it"))
            }
            None => Ok(()),
        }
    }

    fn config(&self, own: &[(&str, &str)], others: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", &self.client);
        // Short: an outage ends within seconds of the broker's return.
        config.set("reconnect.backoff.ms", "100").set("reconnect.backoff.max.ms", "2000");
        for (key, value) in SHARED.iter().chain(own) {
            config.set(*key, *value);
        }
        // A property of the other kind of client would only be warned about.
        let foreign = |key: &str| others.iter().any(|(other, _)| *other == key);
        for (key, value) in self.properties.iter().filter(|(key, _)| !foreign(key)) {
            config.set(key, value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.config(&PRODUCER, &CONSUMER);
        config.set("queue.buffering.max.messages", self.queue_messages.to_string());
        config.set("statistics.interval.ms", STEP_MS.to_string());
        config
    }

    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.config(&CONSUMER, &PRODUCER);
        // The client asks for one; no offsets are ever kept under it.
        config.set("group.id", self.topic(&format!("readers.{}", self.client)));
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, value: &str) -> KafkaOptions {
        let properties = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        KafkaOptions { properties, ..KafkaOptions::default() }
    }

    #[test]
    fn what_the_log_rests_on_cannot_be_set() {
        let others = ["acks", "enable.idempotence", "auto.offset.reset", "bootstrap.servers", "group.id"];
        let aliases = ["max.in.flight", "request.required.acks", "delivery.timeout.ms", "retries"];
        for key in others.into_iter().chain(aliases) {
            let error = with(key, "1").check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn other_properties_are_passed_on_to_the_clients_that_know_them() {
        let options = with("linger.ms", "50");
        options.check().unwrap();
        assert_eq!(options.producer().get("linger.ms"), Some("50"));
        assert_eq!(options.consumer().get("linger.ms"), None);
        let options = with("sasl.username", "haggle");
        options.check().unwrap();
        assert_eq!(options.producer().get("sasl.username"), Some("haggle"));
        assert_eq!(options.consumer().get("sasl.username"), Some("haggle"));
    }

    #[test]
    fn bad_names_are_named() {
        let error = KafkaOptions { prefix: "a b".to_owned(), ..KafkaOptions::default() }.check().unwrap_err();
        assert!(error.to_string().contains("\"a b\""), "{error}");
        assert!(KafkaOptions { partitions: 0, ..KafkaOptions::default() }.check().is_err());
    }
}
