//! Facts for the partitions that this node owns, from where the owner before has settled them.
//!
//! They come through a reader of their own, so that an owner who is slow with them keeps nobody's commits waiting.
//! A fact comes once, in the log's order. After a claim those come again that the owner before had seen but not
//! settled, and among them a resend of an older one cannot be told from news: whoever acts upon facts must not
//! mind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use haggle_domain::{NodeId, Record, Timestamp};
use tokio::sync::mpsc::{Sender, error::TrySendError};
use tokio::sync::watch;

use super::core::Core;
use super::lanes::Tenures;
use super::log::{Entry, LogError, LogReader};
use super::message::{Message, Term};
use crate::journal::JournalError;

const TURN: Duration = Duration::from_millis(20);
const SHORT: Duration = Duration::from_millis(1);

/// A fact for the owner of its partition.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenFact {
    /// Where it lies.
    pub partition: u32,
    /// At which place; see `settled_below`.
    pub offset: u64,
    /// The claim under which this node is told.
    pub term: Term,
    /// Who saw it.
    pub node: NodeId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub record: Record,
}

/// How far one partition's facts were told.
struct Cursor {
    term: Term,
    next: u64,
    seen: BTreeMap<NodeId, u64>,
}

pub(super) struct Feeder {
    pub(super) core: Arc<Core>,
    pub(super) tenures: watch::Receiver<Tenures>,
    pub(super) facts: Sender<SeenFact>,
}

impl Feeder {
    /// Until the journal stops or nobody listens.
    pub(super) fn run(mut self) {
        if let Err(error) = self.work() {
            self.core.fail(&error);
        }
    }

    fn work(&mut self) -> Result<(), JournalError> {
        let mut cursors: BTreeMap<u32, Cursor> = BTreeMap::new();
        let mut reader: Option<Box<dyn LogReader>> = None;
        // Whether what it was to read is kept no more, and whether it has to be made anew.
        let (mut gone, mut again) = (false, false);
        while !self.core.is_stopped() && !self.facts.is_closed() {
            if self.tenures.has_changed().unwrap_or(false) {
                // Partitions come and go several at once, and a reader of each change would be one for nothing.
                thread::sleep(TURN);
                again |= self.follow(&mut cursors);
            }
            if gone {
                gone = !self.pass_over(&mut cursors)?;
                again |= !gone;
            }
            if std::mem::take(&mut again) {
                reader = self.reader(&cursors)?;
            }
            let Some(reader) = &mut reader else {
                thread::sleep(TURN);
                continue;
            };
            match reader.next(TURN) {
                Ok(Some(entry)) => {
                    if let Some(fact) = judge(&mut cursors, &entry)? {
                        self.tell(fact);
                    }
                }
                Ok(None) => {}
                Err(LogError::Gone { .. }) => gone = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Follows the partitions that are owned now; says whether those are others than before.
    fn follow(&mut self, cursors: &mut BTreeMap<u32, Cursor>) -> bool {
        let tenures = self.tenures.borrow_and_update().clone();
        let mut old = std::mem::take(cursors);
        let before: Vec<_> = old.iter().map(|(partition, cursor)| (*partition, cursor.term)).collect();
        for (partition, tenure) in tenures.iter().filter(|(_, tenure)| tenure.ready) {
            let kept = old.remove(partition).filter(|cursor| cursor.term == tenure.term);
            let anew = || Cursor { term: tenure.term, next: tenure.facts_below, seen: BTreeMap::new() };
            cursors.insert(*partition, kept.unwrap_or_else(anew));
        }
        !cursors.iter().map(|(partition, cursor)| (*partition, cursor.term)).eq(before)
    }

    /// Goes on where the log begins now: facts that were not settled are gone, which is counted. Says whether that could be learned.
    fn pass_over(&self, cursors: &mut BTreeMap<u32, Cursor>) -> Result<bool, JournalError> {
        let ends = match self.core.log.ends() {
            Err(LogError::Unreachable { .. }) => return Ok(false),
            ends => ends?,
        };
        for (partition, cursor) in cursors {
            let begin = ends.get(*partition as usize).map_or(0, |range| range.start);
            let missed = begin.saturating_sub(cursor.next);
            if missed > 0 {
                tracing::error!(
                    partition,
                    from = cursor.next,
                    to = begin,
                    "the log no longer has what was not settled: what nodes saw is lost; keep it for longer (`retention.ms`)"
                );
                self.core.lost.fetch_add(missed, Ordering::Relaxed);
                cursor.next = begin;
            }
        }
        Ok(true)
    }

    /// A reader of them, each from where its facts were told.
    fn reader(&self, cursors: &BTreeMap<u32, Cursor>) -> Result<Option<Box<dyn LogReader>>, JournalError> {
        let from: Vec<_> = cursors.iter().map(|(partition, cursor)| (*partition, cursor.next)).collect();
        if from.is_empty() { Ok(None) } else { Ok(Some(self.core.log.read(&from)?)) }
    }

    /// Waits until there is room for it, unless it is nobody's any more.
    fn tell(&self, fact: SeenFact) {
        let (partition, term) = (fact.partition, fact.term);
        let mut fact = Some(fact);
        while let Some(next) = fact.take() {
            let owned = self.tenures.borrow().get(&partition).is_some_and(|tenure| tenure.term == term);
            if !owned || self.core.is_stopped() {
                return;
            }
            if let Err(TrySendError::Full(next)) = self.facts.try_send(next) {
                fact = Some(next);
                thread::sleep(SHORT);
            }
        }
    }
}

fn judge(cursors: &mut BTreeMap<u32, Cursor>, entry: &Entry) -> Result<Option<SeenFact>, JournalError> {
    let Entry { partition, offset, ref bytes } = *entry;
    let Some(cursor) = cursors.get_mut(&partition).filter(|cursor| cursor.next <= offset) else {
        return Ok(None);
    };
    cursor.next = offset.saturating_add(1);
    let message = Message::decode(bytes).map_err(|why| JournalError::Message { partition, offset, why })?;
    let Message::Fact { node, seq, at, record } = message else { return Ok(None) };
    if cursor.seen.get(&node).is_some_and(|last| seq <= *last) {
        return Ok(None);
    }
    cursor.seen.insert(node, seq);
    Ok(Some(SeenFact { partition, offset, term: cursor.term, node, at, record }))
}
