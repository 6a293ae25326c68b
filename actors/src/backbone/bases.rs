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
