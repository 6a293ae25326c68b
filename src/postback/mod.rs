//! Credited orders, posted to whom the operator names: signed, at least once, from a queue that survives crashes.
//!
//! The queue is the journal itself: what is to be delivered and what became of it are records, and how far they were read, with what
//! is still to be sent after a failure, is kept as a checkpoint. What could not be delivered in time is kept apart (*dead*), listed and
//! sent again by `haggle postback`. Of several nodes one sends: whoever credits orders.

mod command;
mod message;
mod queue;
mod send;
mod template;
mod worker;

pub use command::{PostbackCommand, run};
pub use message::{DELIVERY, SIGNATURE, TIMESTAMP, signature};
pub use queue::{Counts, Limits, MOST_DEAD, MOST_WAITING, Queue};
pub use template::Template;
pub use worker::{PostbackDeps, PostbackReport, PostbackThread, Shown};

/// The name of a postback's checkpoint.
pub fn checkpoint_name(postback: &str) -> String {
    format!("postback/{}", postback.to_ascii_lowercase())
}
