//! The log that several nodes share: what they tell each other, in order, and who may say it.
//!
//! Nodes never speak to one another. Each appends to a log in partitions ([`Message`]), each reads all of it, and each
//! judges every message alike ([`PartitionState`]), so that all agree on what counts, whoever sleeps, wakes or comes late.

mod fence;
mod heard;
mod message;

pub use fence::{PartitionState, Verdict};
pub use heard::Heard;
pub use message::{Message, MessageError, Term};
