//! Where bases lie: in two slots of a table for each partition, so that one that is being written never takes the last whole one away.
//!
//! A slot has pieces under `PARTITION/SLOT/NUMBER`, then its header under `PARTITION/SLOT`, which has their checksums. Whoever reads holds
//! every piece against them: what a publisher left half, or two wrote over each other, is not whole, and the other slot is taken. Who
//! writes looks in the same way, and writes over what is not whole first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use haggle_domain::{NodeId, Timestamp};

use super::base::{Base, Content, Header, checksum};
use super::log::{Kept, Log, LogError, Table};
use super::message::{seal, unseal};

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

/// What stands in the table of bases, without the pieces themselves.
struct Shelf {
    log: Arc<dyn Log>,
    /// Everything below this place of the table was read.
    read: u64,
    headers: BTreeMap<String, Header>,
    /// The checksum of each piece that is there.
    sums: BTreeMap<String, u64>,
}

impl Shelf {
    fn new(log: Arc<dyn Log>) -> Self {
        Self { log, read: 0, headers: BTreeMap::new(), sums: BTreeMap::new() }
    }

    /// Takes in what was written since.
    fn follow(&mut self) -> Result<(), LogError> {
        let (headers, sums) = (&mut self.headers, &mut self.sums);
        let next = self.log.changes(Table::Checkpoints, self.read, &mut |Kept { name, bytes, .. }| {
            let is_piece = name.matches('/').count() > 1;
            match bytes {
                Some(bytes) if is_piece => drop(sums.insert(name.to_owned(), checksum(bytes))),
                // One of another version is as good as none.
                Some(bytes) => match unseal(bytes) {
                    Ok(header) => drop(headers.insert(name.to_owned(), header)),
                    Err(_) => drop(headers.remove(name)),
                },
                None => drop((sums.remove(name), headers.remove(name))),
            }
            ControlFlow::Continue(())
        })?;
        if next < self.read {
            // It was made anew.
            *self = Self::new(Arc::clone(&self.log));
            return self.follow();
        }
        self.read = next;
        Ok(())
    }

    fn header(&self, partition: u32, slot: char) -> Option<&Header> {
        self.headers.get(&header_name(partition, slot))
    }

    /// Whether all that the header in a slot tells of is there.
    fn is_whole(&self, partition: u32, slot: char, header: &Header) -> bool {
        let mut pieces = header.pieces.iter().enumerate();
        pieces.all(|(number, sum)| self.sums.get(&piece_name(partition, slot, number)) == Some(sum))
    }

    /// The slots of a partition, the better one first: whole before half, then new before old.
    fn slots(&self, partition: u32) -> [(char, Option<&Header>, bool); 2] {
        let mut slots = SLOTS.map(|slot| {
            let header = self.header(partition, slot);
            (slot, header, header.is_some_and(|header| self.is_whole(partition, slot, header)))
        });
        slots.sort_by_key(|(_, header, whole)| {
            let age = header.map(|header| (header.generation, header.state.next));
            std::cmp::Reverse((*whole, age))
        });
        slots
    }
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

/// Publishes bases of partitions.
pub struct Publisher {
    shelf: Shelf,
    node: NodeId,
}

impl Publisher {
    /// Of a node.
    pub fn new(log: Arc<dyn Log>, node: NodeId) -> Self {
        Self { shelf: Shelf::new(log), node }
    }

    /// Puts bases into the table, as of `at`; gives their headers. Blocks until all are kept, and gives up once the partition of one is not
    /// `wanted` any more. After an error the last whole bases are still there.
    pub fn publish(
        &mut self,
        bases: &[Base],
        at: Timestamp,
        wanted: &dyn Fn(u32) -> bool,
    ) -> Result<Vec<(u32, Header)>, PublishError> {
        let mut published = Vec::new();
        for base in bases {
            // Another owner may have written since.
            self.shelf.follow()?;
            let header = self.put(base, at, &|| wanted(base.partition))?;
            published.push((base.partition, header));
        }
        Ok(published)
    }

    /// Writes over what is half or older.
    fn put(&self, base: &Base, at: Timestamp, wanted: &dyn Fn() -> bool) -> Result<Header, PublishError> {
        let slots = self.shelf.slots(base.partition);
        let last = slots.iter().filter_map(|(_, header, _)| Some(header.as_ref()?.generation)).max();
        let [_, (slot, ..)] = slots;
        let (pieces, checksums) = base.pieces();
        for (number, piece) in pieces.iter().enumerate() {
            self.keep(&piece_name(base.partition, slot, number), piece, wanted)?;
        }
        let header = Header {
            generation: last.unwrap_or_default().saturating_add(1),
            node: self.node,
            at,
            state: base.state.clone(),
            pieces: checksums,
            campaigns: base.content.books.len() as u64,
        };
        let bytes = seal(&header).map_err(|why| LogError::Failed { why: why.to_string() })?;
        self.keep(&header_name(base.partition, slot), &bytes, wanted)?;
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
            match self.shelf.log.keep(Table::Checkpoints, name, bytes, on_kept) {
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
    Whole(Box<Base>),
    /// None, because of that.
    Nothing(&'static str),
    /// One that goes beyond the log's end.
    Beyond(u64),
}

const NONE: &str = "there is no base of it";
const OLD: &str = "its newest base is from before that";
pub(super) const TORN: &str = "no base of it is whole";

/// The newest whole base of each partition from which the log still has everything, and where the log begins. Waits for the broker.
pub(super) fn newest(log: &Arc<dyn Log>) -> Result<Vec<(u64, Found)>, LogError> {
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

fn look(log: &Arc<dyn Log>) -> Result<Vec<(u64, Found)>, LogError> {
    let mut shelf = Shelf::new(Arc::clone(log));
    shelf.follow()?;
    // Only then, so that no base lies beyond because it was made meanwhile.
    let ends = log.ends()?;
    let mut chosen: BTreeMap<u32, (char, &Header)> = BTreeMap::new();
    let mut found: Vec<(u64, Found)> = Vec::new();
    for (partition, range) in (0..).zip(&ends) {
        let slots = shelf.slots(partition);
        let there = || slots.iter().filter_map(|(slot, header, whole)| Some((*slot, (*header)?, *whole)));
        let mut usable = there().filter(|(_, header, _)| header.state.next >= range.start);
        let beyond = there().map(|(_, header, _)| header.state.next).find(|next| *next > range.end);
        let first = match (beyond, usable.next(), there().next()) {
            (Some(next), ..) => Found::Beyond(next),
            (None, Some((slot, header, true)), _) => {
                chosen.insert(partition, (slot, header));
                Found::Nothing(TORN)
            }
            (None, Some(_), _) => Found::Nothing(TORN),
            (None, None, Some(_)) => Found::Nothing(OLD),
            (None, None, None) => Found::Nothing(NONE),
        };
        found.push((range.start, first));
    }
    let mut pieces = pieces(&**log, &chosen)?;
    for (partition, (slot, header)) in chosen {
        let whole = whole(partition, slot, header, &mut pieces);
        if let Some((base, (_, found))) = whole.zip(found.get_mut(partition as usize)) {
            *found = Found::Whole(Box::new(base));
        }
    }
    Ok(found)
}

/// The pieces of some bases, by their names.
fn pieces(
    log: &dyn Log,
    bases: &BTreeMap<u32, (char, &Header)>,
) -> Result<BTreeMap<String, Vec<u8>>, LogError> {
    let names: BTreeSet<String> = bases
        .iter()
        .flat_map(|(partition, (slot, header))| {
            (0..header.pieces.len()).map(|number| piece_name(*partition, *slot, number))
        })
        .collect();
    let mut pieces = BTreeMap::new();
    if !names.is_empty() {
        log.changes(Table::Checkpoints, 0, &mut |Kept { name, bytes, .. }| {
            match bytes {
                Some(bytes) if names.contains(name) => drop(pieces.insert(name.to_owned(), bytes.to_vec())),
                _ => drop(pieces.remove(name)),
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(pieces)
}

/// The base of a header, if every piece is still the one that was written with it.
fn whole(
    partition: u32,
    slot: char,
    header: &Header,
    pieces: &mut BTreeMap<String, Vec<u8>>,
) -> Option<Base> {
    let mut bytes = Vec::new();
    for (number, sum) in header.pieces.iter().enumerate() {
        let piece = pieces.remove(&piece_name(partition, slot, number));
        bytes.extend_from_slice(&piece.filter(|piece| checksum(piece) == *sum)?);
    }
    let content: Content = minicbor::decode(&bytes).ok()?;
    Some(Base { partition, state: header.state.clone(), content })
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Mutex;

    use haggle_domain::{CampaignKey, PrivacyKey};
    use proptest::prelude::*;

    use super::super::base::{Books, PIECE};
    use super::super::fence::PartitionState;
    use super::super::log::{LogReader, LogStats, OnKept};
    use super::*;
    use crate::suppression::Suppression;

    type Write = (String, Vec<u8>);

    fn found(board: &Arc<Board>) -> Found {
        look(&(Arc::clone(board) as Arc<dyn Log>)).unwrap().remove(0).1
    }

    /// A table: what was written into it in order, and how much may still be written.
    struct Board {
        written: Mutex<Vec<Write>>,
        left: Mutex<usize>,
        ends: Range<u64>,
        /// What somebody writes between two looks at it.
        between: Mutex<Vec<Write>>,
    }

    impl Board {
        fn new(written: Vec<Write>) -> Arc<Self> {
            let (written, left, between) = (Mutex::new(written), Mutex::new(usize::MAX), Mutex::default());
            Arc::new(Self { written, left, ends: 0..1_000, between })
        }

        fn written(&self) -> Vec<Write> {
            self.written.lock().unwrap().clone()
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
            self.written.lock().unwrap().append(&mut self.between.lock().unwrap());
            Ok(vec![self.ends.clone()])
        }

        fn keep(&self, _: Table, name: &str, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError> {
            let mut left = self.left.lock().unwrap();
            *left = left.checked_sub(1).ok_or(LogError::Closed)?;
            self.written.lock().unwrap().push((name.to_owned(), bytes.to_vec()));
            on_kept(Ok(()));
            Ok(())
        }

        fn forget(&self, _: Table, _: &str, _: OnKept) -> Result<(), LogError> {
            Err(LogError::Closed)
        }

        fn changes(
            &self,
            _: Table,
            from: u64,
            each: &mut dyn FnMut(Kept<'_>) -> ControlFlow<()>,
        ) -> Result<u64, LogError> {
            let written = self.written();
            for (offset, (name, bytes)) in (0..).zip(&written).skip(from as usize) {
                let _ = each(Kept { offset, name, bytes: Some(bytes) });
            }
            Ok(written.len() as u64)
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
        let books = vec![Books { campaign: CampaignKey(7), books: vec![next as u8; PIECE * 2 + 9] }];
        let forgotten = vec![(PrivacyKey(next), Suppression { opted_out: true, ..Suppression::default() })];
        let state = PartitionState { next, facts_below: next - 1, ..PartitionState::default() };
        Base { partition: 0, state, content: Content { books, forgotten, orders: None, beside: Vec::new() } }
    }

    fn publisher(board: &Arc<Board>, node: u64) -> Publisher {
        Publisher::new(Arc::clone(board) as Arc<dyn Log>, NodeId(node))
    }

    fn publish(publisher: &mut Publisher, base: Base) -> Result<Header, PublishError> {
        publisher.publish(&[base], Timestamp(5), &|_| true).map(|mut published| published.remove(0).1)
    }

    #[test]
    fn the_newest_whole_base_is_found() {
        let board = Board::new(Vec::new());
        assert_eq!(found(&board), Found::Nothing(NONE));
        let mut first = publisher(&board, 1);
        for next in 10..15 {
            let header = publish(&mut first, base(next)).unwrap();
            assert_eq!((header.generation, header.trimmable()), (next - 9, next - 1));
            assert_eq!(found(&board), Found::Whole(Box::new(base(next))));
        }
        // Another owner goes on from what it finds, also if it has read less.
        let header = publish(&mut publisher(&board, 2), base(12)).unwrap();
        assert_eq!(header.generation, 6);
        assert_eq!(found(&board), Found::Whole(Box::new(base(12))));
        let names: BTreeSet<String> = board.written().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 2 * (1 + 3), "two slots, and no more");
    }

    #[test]
    fn a_base_that_the_log_does_not_go_on_from_is_none() {
        let written = |bases: Range<u64>| {
            let board = Board::new(Vec::new());
            let mut publisher = publisher(&board, 1);
            bases.for_each(|next| drop(publish(&mut publisher, base(next)).unwrap()));
            board.written()
        };
        let at = |ends: Range<u64>, bases: Range<u64>| {
            let mut board = Board::new(written(bases));
            Arc::get_mut(&mut board).unwrap().ends = ends;
            found(&board)
        };
        assert!(matches!(at(11..20, 10..12), Found::Whole(base) if base.state.next == 11));
        assert_eq!(at(12..20, 10..12), Found::Nothing(OLD));
        assert_eq!(at(0..10, 10..12), Found::Beyond(11));
        assert_eq!(at(0..0, 10..11), Found::Beyond(10));
    }

    /// By the pieces themselves, which differ between all bases that the test makes.
    fn expected(board: &Board) -> Option<Base> {
        let latest: BTreeMap<String, Vec<u8>> = board.written().into_iter().collect();
        let mut whole: Vec<(u64, u64)> = Vec::new();
        for slot in SLOTS {
            let header = latest.get(&header_name(0, slot)).map(|bytes| unseal::<Header>(bytes).unwrap());
            let Some(Header { generation, state: PartitionState { next, .. }, .. }) = header else {
                continue;
            };
            let (pieces, _) = base(next).pieces();
            let is_there =
                |(number, piece): (usize, &Vec<u8>)| latest.get(&piece_name(0, slot, number)) == Some(piece);
            if pieces.iter().enumerate().all(is_there) {
                whole.push((generation, next));
            }
        }
        whole.into_iter().max().map(|(_, next)| base(next))
    }

    #[test]
    fn what_is_written_over_while_it_is_read_is_not_taken_for_whole() {
        let board = Board::new(Vec::new());
        publish(&mut publisher(&board, 1), base(10)).unwrap();
        let other = Board::new(Vec::new());
        publish(&mut publisher(&other, 2), base(20)).unwrap();
        board.between.lock().unwrap().push(other.written().remove(1));
        assert_eq!(found(&board), Found::Nothing(TORN));
    }

    #[test]
    fn whoever_is_not_wanted_any_more_stops() {
        let board = Board::new(Vec::new());
        publish(&mut publisher(&board, 1), base(10)).unwrap();
        let asked = Mutex::new(0);
        let wanted = |_: u32| {
            *asked.lock().unwrap() += 1;
            *asked.lock().unwrap() < 3
        };
        let stopped = publisher(&board, 2).publish(&[base(20)], Timestamp(6), &wanted);
        assert_eq!(stopped, Err(PublishError::GivenUp));
        assert!(matches!(found(&board), Found::Whole(base) if base.state.next == 10));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Some bases are published; then a publisher dies after any write. The last whole one is found, or the new one.
        #[test]
        fn a_publisher_that_dies_leaves_the_last_one_whole(before in 1u64..4, writes in 0usize..10) {
            let board = Board::new(Vec::new());
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
            prop_assert_eq!(found(&board), Found::Whole(Box::new(base(last))));
            // Whoever comes next heals it.
            *board.left.lock().unwrap() = usize::MAX;
            publish(&mut self::publisher(&board, 2), base(70)).unwrap();
            prop_assert_eq!(found(&board), Found::Whole(Box::new(base(70))));
        }

        /// Two publishers write at once, in any order, and may die: what is found was published by one of them, or before.
        #[test]
        fn no_mixture_is_ever_found(
            before in 0u64..4, order in proptest::collection::vec(any::<bool>(), 0..24),
        ) {
            let board = Board::new(Vec::new());
            let mut first = publisher(&board, 1);
            for next in 10..10 + before {
                publish(&mut first, base(next)).unwrap();
            }
            // What each would write, twice in a row, had it been alone.
            let writes = |nexts: [u64; 2], node: u64| {
                let own = Board::new(board.written());
                let mut publisher = publisher(&own, node);
                nexts.into_iter().for_each(|next| drop(publish(&mut publisher, base(next)).unwrap()));
                own.written().into_iter().skip(board.written().len())
            };
            let (mut one, mut other) = (writes([30, 40], 2), writes([50, 60], 3));
            for turn in order {
                let write = if turn { one.next() } else { other.next() };
                let Some(write) = write else { continue };
                board.written.lock().unwrap().push(write);
                match (found(&board), expected(&board)) {
                    (Found::Whole(found), expected) => prop_assert_eq!(Some(*found), expected),
                    // Where both wrote into each slot, blind to one another, or nobody came to an end.
                    (found, expected) => {
                        prop_assert_eq!(expected, None);
                        prop_assert!(found == Found::Nothing(TORN) || before == 0);
                    }
                }
            }
            // Whoever comes next heals it, and dies only then.
            publish(&mut publisher(&board, 4), base(70)).unwrap();
            *board.left.lock().unwrap() = 2;
            publish(&mut publisher(&board, 4), base(80)).unwrap_err();
            prop_assert_eq!(found(&board), Found::Whole(Box::new(base(70))));
        }
    }
}
