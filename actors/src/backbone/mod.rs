//! The log that several nodes share: what they tell each other, in order, and who may say it.
//!
//! Nodes never speak to one another. Each appends to a log in partitions ([`Message`]), each reads all of it, and
//! each judges every message alike ([`PartitionState`]): so all agree on what counts, whoever sleeps, wakes or
//! comes late.

mod base;
mod bases;
mod begin;
mod core;
mod facts;
mod fence;
mod heard;
mod kafka;
mod lanes;
mod log;
mod memory;
mod message;
mod mirror;
mod outbox;
mod outstanding;
mod presence;
mod shared;
mod ship;
mod spool;

pub use base::{Base, Beside, Besides, Header, Moment, bases_before};
pub use bases::{PublishError, Publisher};
pub use facts::SeenFact;
pub use fence::{PartitionState, Verdict};
pub use heard::Heard;
pub use kafka::{KafkaLog, KafkaOptions};
pub use lanes::{OnClaimed, Tenure, Tenures};
pub use log::{Entry, Kept, Log, LogError, LogReader, LogStats, OnKept, Table};
pub use memory::{Faults, MemoryCluster, MemoryLog};
pub use message::{Message, MessageError, Term};
pub use mirror::{OnPost, Post};
pub use presence::{Deafness, Presence, Voices};
pub use shared::{SharedJournal, SharedOptions};
pub use spool::Fill;
