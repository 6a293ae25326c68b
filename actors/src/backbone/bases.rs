//! Where bases lie: in two slots of a table for each partition, so that one that is being written never takes the last whole one away.
//!
//! A slot has pieces under `PARTITION/SLOT/NUMBER`, then its header under `PARTITION/SLOT`, which has their checksums. Whoever reads holds
//! every piece against them: what a publisher left half, or two wrote over each other, is not whole, and the other slot is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use haggle_domain::{NodeId, Timestamp};

use super::base::{Base, Content, Header, checksum};
use super::log::{Log, LogError, Table};
use super::message::{Term, seal, unseal};

const SLOTS: [char; 2] = ['a', 'b'];
/// How long until it is looked again whether somebody still wants it.
const TURN: Duration = Duration::from_millis(50);
/// How often everything is read anew while somebody writes.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

fn header_name(partition: u32, slot: char) -> String {
    format!("{partition}/{slot}")
}

fn piece_name(partition: u32, slot: char, number: usize) -> String {
    format!("{partition}/{slot}/{number}")
}

/// The partition and the slot of a header's name.
fn slot_of(name: &str) -> Option<(u32, char)> {
    let (partition, slot) = name.split_once('/')?;
    let slot = SLOTS.into_iter().find(|known| slot == known.to_string())?;
    Some((partition.parse().ok()?, slot))
}

/// A header and where it lies.
#[derive(Clone, Debug, PartialEq)]
struct Placed {
    slot: char,
    header: Header,
}

/// The headers that are there, the newest of each partition first. One of another version is not there.
fn headers(log: &dyn Log) -> Result<BTreeMap<u32, Vec<Placed>>, LogError> {
    let mut all: BTreeMap<u32, Vec<Placed>> = BTreeMap::new();
    for (name, bytes) in log.kept_of(Table::Checkpoints, &|name| slot_of(name).is_some())? {
        let Some((partition, slot)) = slot_of(&name) else { continue };
        match unseal::<Header>(&bytes) {
            Ok(header) => all.entry(partition).or_default().push(Placed { slot, header }),
            Err(error) => tracing::warn!(name, %error, "the header of a base cannot be read"),
        }
    }
    let age = |placed: &Placed| (placed.header.generation, placed.header.state.next);
    all.values_mut().for_each(|placed| placed.sort_by_key(|placed| std::cmp::Reverse(age(placed))));
    Ok(all)
}

/// Why a base was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The log refused or failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Nobody wanted it any more; what it had written is in no one's way.
    #[error("it was given up")]
    GivenUp,
}

/// Publishes bases of partitions, one caller at a time.
pub struct Publisher {
    log: Arc<dyn Log>,
    node: NodeId,
    /// By partition, the claim under which it was looked what there is, and each slot's generation; 0 where there is nothing.
    known: BTreeMap<u32, (Term, [u64; 2])>,
}

impl Publisher {
    /// Of a node.
    pub fn new(log: Arc<dyn Log>, node: NodeId) -> Self {
        Self { log, node, known: BTreeMap::new() }
    }

    /// Puts bases into the table, each under the claim of this node that is given with it, as of `at`; gives their headers. Blocks until all
    /// are kept, and gives up where one is not `wanted` any more. After an error the last whole bases are still there.
    pub fn publish(
        &mut self,
        bases: &[(Term, Base)],
        at: Timestamp,
        wanted: &dyn Fn(u32, Term) -> bool,
    ) -> Result<Vec<(u32, Header)>, PublishError> {
        // Under another claim somebody else may have written since.
        let is_known = |(term, base): &(Term, Base)| {
            self.known.get(&base.partition).is_some_and(|(known, _)| known == term)
        };
        if !bases.iter().all(is_known) {
            let found = headers(&*self.log)?;
            for (term, base) in bases {
                let mut generations = [0; 2];
                for placed in found.get(&base.partition).into_iter().flatten() {
                    for (generation, _) in
                        generations.iter_mut().zip(SLOTS).filter(|(_, slot)| *slot == placed.slot)
                    {
                        *generation = placed.header.generation;
                    }
                }
                self.known.insert(base.partition, (*term, generations));
            }
        }
        let mut published = Vec::new();
        for (term, base) in bases {
            let header = self.put(base, *term, at, &|| wanted(base.partition, *term))?;
            published.push((base.partition, header));
        }
        Ok(published)
    }

    /// Writes into the slot that has the older one.
    fn put(
        &mut self,
        base: &Base,
        term: Term,
        at: Timestamp,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Header, PublishError> {
        let (_, [a, b]) = self.known.get(&base.partition).copied().unwrap_or((term, [0; 2]));
        let generation = a.max(b).saturating_add(1);
        let (slot, then) = if a <= b { (SLOTS[0], [generation, b]) } else { (SLOTS[1], [a, generation]) };
        let (pieces, checksums) = base.pieces();
        for (number, piece) in pieces.iter().enumerate() {
            self.keep(&piece_name(base.partition, slot, number), piece, wanted)?;
        }
        let header = Header {
            generation,
            node: self.node,
            at,
            state: base.state.clone(),
            pieces: checksums,
            campaigns: base.content.books.len() as u64,
        };
        let bytes = seal(&header).map_err(|why| LogError::Failed { why: why.to_string() })?;
        self.keep(&header_name(base.partition, slot), &bytes, wanted)?;
        self.known.insert(base.partition, (term, then));
        Ok(header)
    }

    /// One at a time, so that commits do not wait behind many of them.
    fn keep(&self, name: &str, bytes: &[u8], wanted: &dyn Fn() -> bool) -> Result<(), PublishError> {
        let (sender, kept) = channel();
        loop {
            if !wanted() {
                return Err(PublishError::GivenUp);
            }
            let sender = sender.clone();
            // The receiver is gone where it was given up.
            let on_kept = Box::new(move |result| sender.send(result).unwrap_or(()));
            match self.log.keep(Table::Checkpoints, name, bytes, on_kept) {
                Err(LogError::Full) => thread::sleep(TURN),
                Err(error) => return Err(error.into()),
                Ok(()) => break,
            }
        }
        drop(sender);
        loop {
            match kept.recv_timeout(TURN) {
                Ok(result) => return Ok(result?),
                Err(RecvTimeoutError::Timeout) if wanted() => {}
                Err(RecvTimeoutError::Timeout) => return Err(PublishError::GivenUp),
                Err(RecvTimeoutError::Disconnected) => return Err(LogError::Closed.into()),
            }
        }
    }
}

/// What was found of one partition's bases.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// The newest that is whole and from where the log still goes on.
    Whole(Header, Box<Base>),
    /// None, because of that.
    Nothing(&'static str),
    /// One that goes beyond the log's end.
    Beyond(u64),
}

/// The newest whole base of each partition from which the log still has everything, and where the log begins. Waits for the broker.
pub(super) fn newest(log: &dyn Log) -> Result<Vec<(u64, Found)>, LogError> {
    let mut tries = 0;
    loop {
        let found = look(log)?;
        tries += 1;
        // Somebody may have been writing while it was read.
        if tries == TRIES || !found.iter().any(|(_, found)| *found == Found::Nothing(TORN)) {
            return Ok(found);
        }
        thread::sleep(PAUSE);
    }
}

const NONE: &str = "there is no base of it";
const OLD: &str = "its newest base is from before that";
const TORN: &str = "no base of it is whole";

fn look(log: &dyn Log) -> Result<Vec<(u64, Found)>, LogError> {
    let headers = headers(log)?;
    // Only then, so that no base lies beyond because it was made meanwhile.
    let ends = log.ends()?;
    let none = Vec::new();
    let mut found: Vec<(u64, Found)> = Vec::new();
    let mut candidates: Vec<Vec<&Placed>> = Vec::new();
    for (partition, range) in (0..).zip(&ends) {
        let all = headers.get(&partition).unwrap_or(&none);
        let next = |placed: &&Placed| placed.header.state.next;
        let usable: Vec<&Placed> = all.iter().filter(|it| range.start <= next(it)).collect();
        let first =
            match (usable.iter().map(next).find(|next| *next > range.end), usable.first(), all.first()) {
                (Some(next), ..) => Found::Beyond(next),
                (None, Some(_), _) => Found::Nothing(TORN),
                (None, None, Some(_)) => Found::Nothing(OLD),
                (None, None, None) => Found::Nothing(NONE),
            };
        candidates.push(if matches!(first, Found::Beyond(_)) { Vec::new() } else { usable });
        found.push((range.start, first));
    }
    // First the newest of all; where one is not whole, the one before.
    for rank in 0..SLOTS.len() {
        let tried = |partition: usize| candidates.get(partition).and_then(|usable| usable.get(rank)).copied();
        let missing = |(_, found): &(u64, Found)| *found == Found::Nothing(TORN);
        let wanted: Vec<(u32, &Placed)> = (0..)
            .zip(found.iter().enumerate())
            .filter(|(_, (_, found))| missing(found))
            .filter_map(|(partition, (at, _))| Some((partition, tried(at)?)))
            .collect();
        let names: BTreeSet<String> = wanted
            .iter()
            .flat_map(|(partition, placed)| {
                (0..placed.header.pieces.len()).map(|number| piece_name(*partition, placed.slot, number))
            })
            .collect();
        if names.is_empty() {
            continue;
        }
        let pieces = log.kept_of(Table::Checkpoints, &|name| names.contains(name))?;
        for (partition, placed) in wanted {
            if let Some((base, slot)) =
                whole(partition, placed, &pieces).zip(found.get_mut(partition as usize))
            {
                slot.1 = Found::Whole(placed.header.clone(), Box::new(base));
            }
        }
    }
    Ok(found)
}

/// The base of a header, if every piece is the one that was written with it.
fn whole(partition: u32, placed: &Placed, pieces: &BTreeMap<String, Vec<u8>>) -> Option<Base> {
    let mut bytes = Vec::new();
    for (number, sum) in placed.header.pieces.iter().enumerate() {
        let piece = pieces.get(&piece_name(partition, placed.slot, number));
        bytes.extend_from_slice(piece.filter(|piece| checksum(piece) == *sum)?);
    }
    let content: Content = minicbor::decode(&bytes).ok()?;
    Some(Base { partition, state: placed.header.state.clone(), content })
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Mutex;

    use haggle_domain::{CampaignKey, PrivacyKey};
    use proptest::prelude::*;

    use super::super::base::{Kept, PIECE};
    use super::super::fence::PartitionState;
    use super::super::log::{LogReader, LogStats, OnKept};
    use super::*;
    use crate::suppression::Suppression;

    type Write = (String, Vec<u8>);

    /// A table, what was written into it in order, and how much may still be written.
    struct Board {
        values: Mutex<BTreeMap<String, Vec<u8>>>,
        written: Mutex<Vec<Write>>,
        left: Mutex<usize>,
        ends: Range<u64>,
    }

    impl Board {
        fn new(values: BTreeMap<String, Vec<u8>>) -> Arc<Self> {
            let (values, written, left) = (Mutex::new(values), Mutex::default(), Mutex::new(usize::MAX));
            Arc::new(Self { values, written, left, ends: 0..1_000 })
        }

        fn found(&self) -> Found {
            look(self).unwrap().remove(0).1
        }
    }

    impl Log for Board {
        fn partitions(&self) -> u32 {
            1
        }

        fn append(&self, _: u32, _: u64, _: &[u8], _: OnKept) -> Result<(), LogError> {
            Err(LogError::Closed)
        }

        fn read(&self, _: &[(u32, u64)]) -> Result<Box<dyn LogReader>, LogError> {
            Err(LogError::Closed)
        }

        fn ends(&self) -> Result<Vec<Range<u64>>, LogError> {
            Ok(vec![self.ends.clone()])
        }

        fn keep(&self, _: Table, name: &str, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError> {
            let mut left = self.left.lock().unwrap();
            *left = left.checked_sub(1).ok_or(LogError::Closed)?;
            self.values.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
            self.written.lock().unwrap().push((name.to_owned(), bytes.to_vec()));
            on_kept(Ok(()));
            Ok(())
        }

        fn kept_of(
            &self,
            _: Table,
            wanted: &dyn Fn(&str) -> bool,
        ) -> Result<BTreeMap<String, Vec<u8>>, LogError> {
            let values = self.values.lock().unwrap();
            Ok(values.iter().filter(|(name, _)| wanted(name)).map(|(a, b)| (a.clone(), b.clone())).collect())
        }

        fn failure(&self) -> Option<LogError> {
            None
        }

        fn stats(&self) -> LogStats {
            LogStats::default()
        }
    }

    /// Of three pieces, each other than those of another offset.
    fn base(next: u64) -> Base {
        let books = vec![Kept { campaign: CampaignKey(7), books: vec![next as u8; PIECE * 2 + 9] }];
        let forgotten = vec![(PrivacyKey(next), Suppression { opted_out: true, ..Suppression::default() })];
        let state = PartitionState { next, facts_below: next - 1, ..PartitionState::default() };
        Base { partition: 0, state, content: Content { books, forgotten } }
    }

    fn publisher(board: &Arc<Board>, node: u64) -> Publisher {
        Publisher::new(Arc::clone(board) as Arc<dyn Log>, NodeId(node))
    }

    fn publish(publisher: &mut Publisher, base: Base) -> Result<Header, PublishError> {
        publisher.publish(&[(1, base)], Timestamp(5), &|_, _| true).map(|mut published| published.remove(0).1)
    }

    #[test]
    fn the_newest_whole_base_is_found() {
        let board = Board::new(BTreeMap::new());
        assert_eq!(board.found(), Found::Nothing(NONE));
        let mut first = publisher(&board, 1);
        for next in 10..15 {
            let header = publish(&mut first, base(next)).unwrap();
            assert_eq!((header.generation, header.trimmable()), (next - 9, next - 1));
            assert_eq!(board.found(), Found::Whole(header, Box::new(base(next))));
        }
        // Another owner goes on from what it finds, also if it has read less.
        let header = publish(&mut publisher(&board, 2), base(12)).unwrap();
        assert_eq!(header.generation, 6);
        assert_eq!(board.found(), Found::Whole(header, Box::new(base(12))));
        assert_eq!(board.values.lock().unwrap().len(), 2 * (1 + 3), "two slots, and no more");
    }

    #[test]
    fn a_base_that_the_log_does_not_go_on_from_is_none() {
        let values = |bases: Range<u64>| {
            let board = Board::new(BTreeMap::new());
            let mut publisher = publisher(&board, 1);
            bases.for_each(|next| drop(publish(&mut publisher, base(next)).unwrap()));
            let values = board.values.lock().unwrap().clone();
            values
        };
        let at = |ends: Range<u64>, bases: Range<u64>| {
            let mut board = Board::new(values(bases));
            Arc::get_mut(&mut board).unwrap().ends = ends;
            board.found()
        };
        assert!(matches!(at(11..20, 10..12), Found::Whole(header, _) if header.state.next == 11));
        assert_eq!(at(12..20, 10..12), Found::Nothing(OLD));
        assert_eq!(at(0..10, 10..12), Found::Beyond(11));
        assert_eq!(at(0..0, 10..11), Found::Beyond(10));
    }

    #[test]
    fn whoever_is_not_wanted_any_more_stops() {
        let board = Board::new(BTreeMap::new());
        publish(&mut publisher(&board, 1), base(10)).unwrap();
        let asked = Mutex::new(0);
        let wanted = |_: u32, _: Term| {
            *asked.lock().unwrap() += 1;
            *asked.lock().unwrap() < 3
        };
        let stopped = publisher(&board, 2).publish(&[(2, base(20))], Timestamp(6), &wanted);
        assert_eq!(stopped, Err(PublishError::GivenUp));
        assert!(matches!(board.found(), Found::Whole(header, _) if header.state.next == 10));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Some bases are published; then a publisher dies after any write. The last whole one is found, or the new one.
        #[test]
        fn a_publisher_that_dies_leaves_the_last_one_whole(before in 1u64..4, writes in 0usize..10) {
            let board = Board::new(BTreeMap::new());
            let mut publisher = publisher(&board, 1);
            for next in 10..10 + before {
                publish(&mut publisher, base(next)).unwrap();
            }
            *board.left.lock().unwrap() = writes;
            let mut last = 9 + before;
            // Two in a row, the second maybe in part.
            for next in [50, 60] {
                match publish(&mut publisher, base(next)) {
                    Ok(_) => last = next,
                    Err(error) => prop_assert_eq!(error, PublishError::Log(LogError::Closed)),
                }
            }
            let Found::Whole(header, found) = board.found() else { panic!("{before} {writes}") };
            prop_assert_eq!((header.state.next, *found), (last, base(last)));
            // Whoever comes next heals it.
            *board.left.lock().unwrap() = usize::MAX;
            publish(&mut self::publisher(&board, 2), base(70)).unwrap();
            let Found::Whole(_, found) = board.found() else { panic!("{before} {writes}") };
            prop_assert_eq!(*found, base(70));
        }

        /// Two publishers write at once, in any order, and may die: what is found was published by one of them, or before.
        #[test]
        fn no_mixture_is_ever_found(
            before in 0u64..4, order in proptest::collection::vec(any::<bool>(), 0..24),
        ) {
            let board = Board::new(BTreeMap::new());
            let mut first = publisher(&board, 1);
            for next in 10..10 + before {
                publish(&mut first, base(next)).unwrap();
            }
            // What each would write, twice in a row, had it been alone.
            let writes = |nexts: [u64; 2], node: u64| {
                let own = Board::new(board.values.lock().unwrap().clone());
                let mut publisher = publisher(&own, node);
                nexts.into_iter().for_each(|next| drop(publish(&mut publisher, base(next)).unwrap()));
                let written = std::mem::take(&mut *own.written.lock().unwrap());
                written.into_iter()
            };
            let (mut one, mut other) = (writes([30, 40], 2), writes([50, 60], 3));
            for turn in order {
                let write = if turn { one.next() } else { other.next() };
                let Some((name, bytes)) = write else { continue };
                board.values.lock().unwrap().insert(name, bytes);
                match board.found() {
                    Found::Whole(header, found) => {
                        let next = header.state.next;
                        prop_assert!((10..10 + before).contains(&next) || [30, 40, 50, 60].contains(&next));
                        prop_assert_eq!(*found, base(next));
                    }
                    // Where both wrote into each slot; the next publication heals that.
                    found => prop_assert!(found == Found::Nothing(TORN) || before == 0),
                }
            }
        }
    }
}
