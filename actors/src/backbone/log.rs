//! The log itself: partitions, each an order of messages that all nodes see alike, and a few tables of latest values.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

/// Called once when a message is kept or never will be, from a thread of the log's; dropped where the log was closed
/// before it was known. It should be short, and must not wait for the log.
pub type OnKept = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// Why the log does not answer or take in. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// As many messages wait for the broker as may.
    #[error("the broker is behind or not reachable; try again shortly")]
    Full,
    /// No message may be that large.
    #[error(
        "a message of {bytes} bytes is more than the broker takes; raise message.max.bytes at the broker and in the \
         properties of its clients"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// This node tells the others nothing that large at once.
    #[error("a message of {bytes} bytes is more than the {most} that are told at once; tell less at a time")]
    TooMuch {
        /// Its size.
        bytes: usize,
        /// What would be told.
        most: usize,
    },
    /// No broker answers.
    #[error("no broker answers at {brokers} ({why}); check the address, the network and whether it runs")]
    Unreachable {
        /// The addresses as they were given.
        brokers: String,
        /// What the client said.
        why: String,
    },
    /// The topic is there, with another number of partitions.
    #[error(
        "topic {topic} has {found} partitions, but {wanted} are configured; campaigns belong to partitions by that \
         number, so it cannot change: configure {found}, or begin anew with another prefix"
    )]
    Partitions {
        /// Its name.
        topic: String,
        /// How many it has.
        found: usize,
        /// How many were asked for.
        wanted: u32,
    },
    /// The client was told what it cannot do.
    #[error("the settings for the broker are wrong: {why}")]
    Settings {
        /// What is wrong.
        why: String,
    },
    /// There is no such partition.
    #[error("the log has no partition {0}")]
    NoPartition(u32),
    /// Nothing more is kept: the client or the broker has given up on a message, so that what would follow had a gap.
    #[error("the log failed ({why}); see to the broker, then start again: what waits is kept")]
    Failed {
        /// What the client said.
        why: String,
    },
    /// What is to be read is no longer kept.
    #[error(
        "the log is kept for less long than this node was behind, and no longer has what it was to read next ({why}); \
         start again, which says what to do"
    )]
    Gone {
        /// What the client said.
        why: String,
    },
    /// It was closed.
    #[error("the log is closed")]
    Closed,
}

/// A message where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In which partition.
    pub partition: u32,
    /// Its place there; places rise, maybe with gaps.
    pub offset: u64,
    /// The message.
    pub bytes: Vec<u8>,
}

/// Tables beside the log: of each name the latest value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Definitions of campaigns that were changed while nodes ran.
    Campaigns,
    /// The key of the notices' tokens.
    Keys,
    /// Models of archives, in parts, and who of them serves.
    Models,
    /// What each partition came to; see [`super::Base`].
    Checkpoints,
}

/// What was done to a name in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// Its place in the table; places rise, maybe with gaps.
    pub offset: u64,
    /// The name.
    pub name: &'a str,
    /// Its value from there on; none if it was forgotten.
    pub bytes: Option<&'a [u8]>,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Campaigns, Self::Keys, Self::Models, Self::Checkpoints];

    /// The end of its topic's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Campaigns => "campaigns",
            Self::Keys => "keys",
            Self::Models => "models",
            Self::Checkpoints => "checkpoints",
        }
    }
}

/// What a log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Messages kept.
    pub kept: u64,
    /// Messages that wait to be kept.
    pub waiting: u64,
    /// Errors that it recovered from or still tries to.
    pub errors: u64,
    /// Whether a broker is connected, as far as is known.
    pub connected: bool,
}

/// The log that nodes share, whatever keeps it.
///
/// What one [`Log`] appends to one partition is kept in that order, maybe some of it more than once. Once something
/// cannot be kept, nothing after it is: the log has failed.
pub trait Log: Send + Sync {
    /// How many partitions there are.
    fn partitions(&self) -> u32;

    /// Has a message kept, after all that were appended to its partition before. Does not wait: [`LogError::Full`]
    /// where there is no room, and then nothing was appended. `key` is for those who look at the log from outside.
    fn append(&self, partition: u32, key: u64, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError>;

    /// Reads partitions from an offset each, and follows them.
    fn read(&self, from: &[(u32, u64)]) -> Result<Box<dyn LogReader>, LogError>;

    /// Each partition's first offset and the one that the next message gets at the earliest. Waits for the broker.
    fn ends(&self) -> Result<Vec<Range<u64>>, LogError>;

    /// Has a name's value in a table replaced.
    fn keep(&self, table: Table, name: &str, bytes: &[u8], on_kept: OnKept) -> Result<(), LogError>;

    /// Has a name and its value go from a table.
    fn forget(&self, table: Table, name: &str, on_kept: OnKept) -> Result<(), LogError>;

    /// What was done in a table from a place on, in order; of what is not the latest of its name some may be left out.
    /// Gives the place to go on from, or of a table that ends before `from`, because it was made anew, its end: then
    /// nothing was told. Waits for the broker.
    fn changes(
        &self,
        table: Table,
        from: u64,
        each: &mut dyn FnMut(Kept<'_>) -> ControlFlow<()>,
    ) -> Result<u64, LogError>;

    /// All that is in a table. Waits for the broker.
    fn kept(&self, table: Table) -> Result<BTreeMap<String, Vec<u8>>, LogError> {
        let mut found = BTreeMap::new();
        self.changes(table, 0, &mut |Kept { name, bytes, .. }| {
            match bytes {
                Some(bytes) => drop(found.insert(name.to_owned(), bytes.to_vec())),
                None => drop(found.remove(name)),
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Why it failed, if it did.
    fn failure(&self) -> Option<LogError>;

    /// Counts since it was opened.
    fn stats(&self) -> LogStats;
}

/// Reads some partitions, each in order.
pub trait LogReader: Send {
    /// The next message of any of them; none if none comes within `patience`.
    fn next(&mut self, patience: Duration) -> Result<Option<Entry>, LogError>;
}
