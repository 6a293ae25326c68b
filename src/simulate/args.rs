//! The command line of `haggle simulate`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use url::Url;

use super::calibrate::CalibrateArgs;
use super::check::Assertion;
use super::score::ScoreArgs;
use super::vary::Vary;

/// A scenario to try, or something else to do with scenarios.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct SimulateCommand {
    /// Something else.
    #[command(subcommand)]
    pub action: Option<SimulateAction>,
    /// A scenario.
    #[command(flatten)]
    pub args: Option<SimulateArgs>,
}

/// What else there is to do with scenarios.
#[derive(Clone, Debug, Subcommand)]
pub enum SimulateAction {
    /// Fit a scenario to a log of one's own: a node's journal, recorded auctions, orders.
    Calibrate(CalibrateArgs),
    /// Set earlier forecasts against what a node's campaigns delivered.
    Score(ScoreArgs),
}

/// What to try, and how often.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// The scenario.
    #[arg(value_name = "SCENARIO.toml")]
    pub scenario: PathBuf,
    /// Also try other values of a key: of the scenario (requests_a_day=20000,40000) or of a campaign, * for all
    /// (campaign.trail-boots.budget.daily=20.00,40.00). Repeated, all combinations are tried.
    #[arg(long, value_name = "KEY=A,B")]
    pub vary: Vec<Vary>,
    /// How many worlds each variant is tried in; the same ones.
    #[arg(long, value_name = "N", default_value = "30")]
    pub seeds: NonZeroU32,
    /// The first world's seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Worlds that are simulated side by side; without it one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Keep what comes of each world in this file, and take from it what it holds of the same worlds: what was stopped goes on
    /// where it was, and more --seeds or values need only what is new.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Fail unless this holds in every world of every variant, such as 'overspend_micros == 0'. May be repeated.
    #[arg(long = "assert", value_name = "METRIC OP NUMBER")]
    pub asserts: Vec<Assertion>,
    /// Write a page too: the variants compared, and what each campaign had spent by when.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Send one world's requests to the bidder that runs there, and follow the notices in its answers; the bidder is not simulated then.
    #[arg(long, value_name = "http://HOST:PORT", value_parser = address,
        conflicts_with_all = ["vary", "seeds", "jobs", "asserts", "report", "checkpoint"])]
    pub against: Option<Url>,
    /// How much faster than the scenario's time it is sent.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed, requires = "against")]
    pub speed: f64,
    /// The key that the bidder's shop events carry; without it what users do in the shop is not told.
    #[arg(long, value_name = "FILE", requires = "against")]
    pub event_key_file: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: bool,
}

fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write it like http://127.0.0.1:8080"))?;
    match url.scheme() {
        "http" if url.has_host() && url.query().is_none() => Ok(url),
        _ => Err("is no address of a bidder; write it like http://127.0.0.1:8080".to_owned()),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if (0.01..=100_000.0).contains(&speed) {
        Ok(speed)
    } else {
        Err("must be from 0.01 to 100,000".to_owned())
    }
}
