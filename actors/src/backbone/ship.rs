//! From the spool to the log, in order; what the log has is forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::core::Core;
use super::log::LogError;
use super::spool::{Spool, Spooled};
use crate::journal::JournalError;

/// Messages read from the spool at once.
const BATCH: usize = 256;
/// Messages that the log has not yet answered for.
const UNANSWERED: usize = 8192;
/// How long an empty spool or a log without room is waited for.
const TURN: Duration = Duration::from_millis(20);
const SHORT: Duration = Duration::from_millis(1);

/// What was appended and is not known to be kept.
#[derive(Default)]
struct Unanswered {
    /// Their numbers and sizes.
    messages: BTreeMap<u64, u64>,
    /// The size of what was kept and is not forgotten.
    kept: BTreeMap<u64, u64>,
}

pub(super) struct Shipper {
    pub(super) core: Arc<Core>,
    pub(super) spool: Arc<Spool>,
}

impl Shipper {
    /// Until the journal stops.
    pub(super) fn run(self) {
        if let Err(error) = self.work() {
            self.core.fail(&error);
        }
    }

    fn work(&self) -> Result<(), JournalError> {
        let unanswered = Arc::new(Mutex::new(Unanswered::default()));
        let lock = || unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = self.spool.oldest();
        while !self.core.is_stopped() {
            let room = lock().messages.len() < UNANSWERED;
            let messages = if room {
                self.spool.next(next, BATCH, TURN)?
            } else {
                thread::sleep(SHORT);
                Vec::new()
            };
            for message in messages {
                next = message.seq.saturating_add(1);
                self.append(&message, &unanswered)?;
            }
            let mut open = lock();
            let below = open.messages.first_key_value().map_or(next, |(seq, _)| *seq);
            let rest = open.kept.split_off(&below);
            let gone = std::mem::replace(&mut open.kept, rest);
            drop(open);
            if !gone.is_empty() {
                self.spool.forget(below, gone.values().sum());
            }
        }
        Ok(())
    }

    /// Hands a message to the log when it has room.
    fn append(&self, message: &Spooled, unanswered: &Arc<Mutex<Unanswered>>) -> Result<(), JournalError> {
        let seq = message.seq;
        unanswered.lock().unwrap_or_else(PoisonError::into_inner).messages.insert(seq, message.size());
        while !self.core.is_stopped() {
            let (answered, or_fail) = (Arc::clone(unanswered), self.core.or_fail());
            let on_kept = Box::new(move |kept: Result<(), LogError>| {
                if kept.is_ok() {
                    let mut open = answered.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(size) = open.messages.remove(&seq) {
                        open.kept.insert(seq, size);
                    }
                }
                or_fail(kept);
            });
            match self.core.log.append(message.partition, message.key, &message.bytes, on_kept) {
                Err(LogError::Full) => thread::sleep(SHORT),
                appended => return appended.map_err(JournalError::Log),
            }
        }
        Ok(())
    }
}
