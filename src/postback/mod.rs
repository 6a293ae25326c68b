//! Credited orders, posted to whom the operator names: signed, at least once, from a queue that survives crashes.
//!
//! The queue is the journal itself: a cursor in it and what is still to be sent after a failure are kept as a checkpoint. What
//! could not be delivered in time is kept apart (*dead*), listed and sent again by `haggle postback`.

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
