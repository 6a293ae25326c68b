//! When the owner of the orders' partition may decide what comes of them.
//!
//! An order is credited by what led to it, and that may lie in any partition. A node that was cut off reads all of them on at once, and
//! claims the orders' as soon as it has read that one, while others may be minutes behind: whoever bought then would be nobody's, for
//! good. So nothing is decided under a claim until every partition was read as far as it went after that claim.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::core::{Core, ORDERS};
use super::log::LogError;
use super::message::Term;
use crate::journal::{Journal, JournalError};

/// How often it is looked whether all is read.
const TURN: Duration = Duration::from_millis(20);

pub(super) struct Deciding {
    pub(super) core: Arc<Core>,
}

/// A claim of the orders' partition, on its way to be decided under.
struct Claimed {
    term: Term,
    /// Where the partitions ended after it.
    ends: Vec<Range<u64>>,
    /// All of that was read, and whether it is durable in this node's copy.
    read: Option<Arc<AtomicBool>>,
}

impl Deciding {
    /// Until the journal stops.
    pub(super) fn run(self) {
        if let Err(error) = self.work() {
            self.core.fail(&error);
        }
    }

    fn work(&self) -> Result<(), JournalError> {
        let mut claimed: Option<Claimed> = None;
        while !self.core.is_stopped() {
            let term = self.core.tenures.borrow().get(&ORDERS).filter(|it| it.ready).map(|it| it.term);
            claimed = claimed.filter(|claimed| Some(claimed.term) == term);
            match (&mut claimed, term) {
                (None, Some(term)) => {
                    // What cannot be learned now is asked again.
                    let ends = match self.core.log.ends() {
                        Err(LogError::Unreachable { .. }) => None,
                        ends => Some(ends?),
                    };
                    claimed = ends.map(|ends| Claimed { term, ends, read: None });
                }
                (Some(claimed), _) => self.advance(claimed),
                (None, None) => {}
            }
            thread::sleep(TURN);
        }
        Ok(())
    }

    fn advance(&self, claimed: &mut Claimed) {
        if let Some(durable) = &claimed.read {
            if durable.load(Ordering::SeqCst) {
                self.core.deciding.store(claimed.term, Ordering::SeqCst);
            }
            return;
        }
        let mut partitions = self.core.read.iter().zip(&claimed.ends);
        if !partitions.all(|(read, range)| read.load(Ordering::SeqCst) >= range.end) {
            return;
        }
        let durable = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&durable);
        let asked = self.core.mirror.barrier(Box::new(move |result: Result<(), JournalError>| {
            done.store(result.is_ok(), Ordering::SeqCst);
        }));
        // Without room it is asked again.
        claimed.read = asked.is_ok().then_some(durable);
    }
}
