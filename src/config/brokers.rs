//! The addresses of Kafka's brokers, as a setting.

use super::value::Value;

/// Brokers to begin with, as host:port,host:port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brokers(pub String);

impl Value for Option<Brokers> {
    const PLACEHOLDER: &'static str = "HOST:PORT,…";

    fn parse(text: &str) -> Result<Self, String> {
        let is_address = |broker: &str| {
            let parts = broker.trim().rsplit_once(':');
            parts.is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        if text.is_empty() {
            return Ok(None);
        }
        match text.split(',').find(|broker| !is_address(broker)) {
            Some(broker) => Err(format!(
                "{broker:?} is not an address of a broker; write them like \"kafka-1:9092,kafka-2:9092\""
            )),
            None => Ok(Some(Brokers(text.to_owned()))),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), |brokers| brokers.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let parse = <Option<Brokers>>::parse;
        assert_eq!(parse(""), Ok(None));
        for text in ["kafka:9092", "kafka-1:9092, kafka-2:9093", "[::1]:9092"] {
            assert_eq!(parse(text), Ok(Some(Brokers(text.to_owned()))));
        }
        for text in ["kafka", "kafka:", ":9092", "kafka:0", "kafka:70000", "kafka:9092,", ","] {
            assert!(parse(text).is_err_and(|error| error.contains("kafka-1:9092")), "{text}");
        }
    }
}
