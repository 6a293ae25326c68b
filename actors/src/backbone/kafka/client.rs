//! What the clients of Kafka tell while they work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use rdkafka::statistics::Statistics;

use super::super::log::{LogError, OnKept};
use super::trouble::Trouble;

/// What all clients of a log tell.
#[derive(Default)]
pub(super) struct Told {
    failure: Mutex<Option<LogError>>,
    pub(super) kept: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) connected: AtomicBool,
    trouble: Mutex<Trouble>,
}

impl Told {
    pub(super) fn failure(&self) -> Option<LogError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing more is kept. The first reason counts.
    pub(super) fn fail(&self, error: &LogError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
    }

    pub(super) fn passing(&self, error: &KafkaError, reason: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.connected.store(false, Ordering::Relaxed);
        }
        match self.trouble().heard() {
            Some(unsaid) => {
                tracing::warn!(%error, reason, unsaid, "the broker cannot be reached or refuses; it is tried again");
            }
            None => tracing::debug!(%error, reason, "the broker cannot be reached or refuses"),
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A broker is reached, or none is; told in even steps.
    fn connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
        if let Some(unsaid) = self.trouble().step(connected) {
            tracing::info!(unsaid, "the brokers answer again");
        }
    }
}

/// Tells them of one client.
#[derive(Clone, Default)]
pub(super) struct Context(pub(super) Arc<Told>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        match level {
            // Of settings, at a start: no trouble with a broker.
            RDKafkaLogLevel::Warning if fac == "CONFWARN" => {
                tracing::warn!(fac, message, "the client of the broker");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => match self.0.trouble().heard() {
                Some(unsaid) => tracing::warn!(fac, message, unsaid, "the client of the broker"),
                None => tracing::debug!(fac, message, "the client of the broker"),
            },
            _ => tracing::debug!(fac, message, "the client of the broker"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let connected = statistics.brokers.values().any(|broker| broker.state == "UP");
        self.0.connected(connected);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.0.fail(&LogError::Failed { why: reason.to_owned() });
        } else {
            self.0.passing(&error, reason);
        }
    }
}

impl ConsumerContext for Context {}

/// Who is told of one message; the client wants it shareable.
pub(super) struct Waiter(Mutex<Option<OnKept>>);

impl Waiter {
    pub(super) fn new(on_kept: OnKept) -> Box<Self> {
        Box::new(Self(Mutex::new(Some(on_kept))))
    }
}

impl ProducerContext<NoCustomPartitioner> for Context {
    type DeliveryOpaque = Box<Waiter>;

    fn delivery(&self, delivery: &DeliveryResult<'_>, waiter: Box<Waiter>) {
        let on_kept = waiter.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let kept = match delivery {
            Ok(_) => {
                self.0.kept.fetch_add(1, Ordering::Relaxed);
                self.0.connected.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err((error, _)) => {
                let code = error.rdkafka_error_code();
                // The log is being closed: whether they are kept nobody knows.
                if matches!(code, Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)) {
                    return;
                }
                let failed = LogError::Failed { why: error.to_string() };
                self.0.fail(&failed);
                Err(failed)
            }
        };
        if let Some(on_kept) = on_kept {
            on_kept(kept);
        }
    }
}
