//! The server: wires configuration, journal, actors and HTTP together, and takes them apart again.

mod admin;
mod admission;
mod backbone;
mod backup;
mod bid;
mod body;
mod clocks;
mod conversions;
mod events;
mod front;
mod gate;
mod guests;
mod late;
mod limit;
mod node;
mod notice;
mod once;
mod orders;
pub(crate) mod privacy;
mod state;
mod steps;
mod urls;

pub use bid::{Reply, reply};
pub use clocks::keep_in_step;
pub use node::{Node, StartError, Stopped, journal_exit};
pub use state::State;
pub use steps::Steps;
pub use urls::CLICK_PARAMETER;
