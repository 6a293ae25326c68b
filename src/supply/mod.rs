//! `haggle supply`: fetches `ads.txt`, `app-ads.txt` and `sellers.json` into a local store, and says what the store makes of
//! requests.

mod check;
mod fetch;
mod names;
mod refresh;
mod rows;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

use crate::exit::ExitError;

/// Keep and try the store of ads.txt, app-ads.txt and sellers.json.
#[derive(Clone, Debug, Subcommand)]
pub enum SupplyCommand {
    /// Fetch the files of domains into the store; a file that cannot be fetched now keeps its last good copy.
    Refresh(RefreshArgs),
    /// Show what the store says of requests' sellers and supply chains.
    Check(CheckArgs),
}

/// The flags of `haggle supply refresh`.
#[derive(Clone, Debug, Args)]
pub struct RefreshArgs {
    /// The store's folder; it is made where it is missing.
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
    /// Domains of sites, app developers and exchanges, one a line.
    #[arg(long, value_name = "FILE", required_unless_present = "from_requests")]
    pub domains: Option<PathBuf>,
    /// Bid requests, one a line, whose sites, apps and supply chains name the domains.
    #[arg(long, value_name = "FILE")]
    pub from_requests: Option<PathBuf>,
    /// The most files that are asked for; the rest is left for another time.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max: u32,
    /// How many are fetched at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=128))]
    pub parallel: u8,
    /// How many seconds each may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub patience: u64,
    /// For tests: a name that is not resolved, and the address that is asked in its stead, wherever that is.
    #[arg(long, value_name = "NAME=ADDRESS", hide = true)]
    pub stand_in: Vec<StandIn>,
}

/// The flags of `haggle supply check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The store's folder.
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
    /// Bid requests, one a line: bare, or within {"request": …}.
    #[arg(long, value_name = "FILE")]
    pub requests: PathBuf,
    /// The asking exchange's domain, as ads.txt files name it; without it what needs it is not checked.
    #[arg(long, value_name = "DOMAIN", default_value = "")]
    pub exchange: String,
    /// Print one JSON object on standard output.
    #[arg(long)]
    pub json: bool,
}

/// A name and the address that stands in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The name.
    pub name: String,
    /// Where it is asked for.
    pub address: SocketAddr,
}

impl FromStr for StandIn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(name, address)| Some((name, address.parse().ok()?)));
        let (name, address) =
            parts.ok_or_else(|| format!("{text:?} is not like \"news.example=127.0.0.1:8080\""))?;
        Ok(Self { name: name.to_ascii_lowercase(), address })
    }
}

/// Runs a command.
///
/// # Errors
/// What ends the program, with its exit code.
pub fn run(command: &SupplyCommand) -> Result<(), ExitError> {
    match command {
        SupplyCommand::Refresh(args) => refresh::run(args),
        SupplyCommand::Check(args) => check::run(args),
    }
}
