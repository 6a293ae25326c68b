//! Which campaigns orders are credited to: beside the node, as they come, and offline, by every model.

mod args;
mod gather;
mod report;
mod runner;
mod text;

pub(crate) use args::moment;
pub use args::{AttributionArgs, Models};
pub use report::run;
pub use runner::{AttributionDeps, AttributionReport, AttributionThread, Decides};

#[cfg(test)]
mod tests;
