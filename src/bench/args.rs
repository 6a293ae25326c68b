//! The flags of `haggle bench`.

use clap::{Args, Subcommand};

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Compare the bidder, at some numbers of campaigns, with an empty server that reads the request and answers a constant.
    Serve(ServeArgs),
}

/// How many campaigns, and for how long.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// How many generated campaigns the bidder has; several numbers are measured one after the other.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1000,10000,100000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub campaigns: Vec<u32>,
    /// Seconds that each server is driven at its maximum, and again at the common rate; in five turns each.
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: u32,
    /// Connections to each server.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    pub connections: u16,
    /// Users whose memory is measured.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..=500_000))]
    pub users: u32,
    /// The same seed makes the same requests and campaigns.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    pub json: bool,
}
