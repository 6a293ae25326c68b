//! The flags of `haggle load`.

use std::path::PathBuf;

use clap::Args;

/// What to send, where, how fast and for how long.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Where the bidder takes bid requests, such as http://127.0.0.1:8080/openrtb2/bid/demo.
    #[arg(long, value_name = "URL")]
    pub endpoint: String,
    /// Requests to send, one JSON object a line, over and over: bid requests, or {"request": …}.
    #[arg(long, value_name = "FILE")]
    pub requests: PathBuf,
    /// Requests a second, each sent when it is due, whether the ones before are answered or not.
    #[arg(long, value_name = "R", required_unless_present = "max", conflicts_with = "max",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub rate: Option<u32>,
    /// As many as are answered: each connection sends its next request once it has its answer.
    #[arg(long)]
    pub max: bool,
    /// Connections, all kept open; each carries one request at a time.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    pub connections: u16,
    /// How long requests are sent.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// An answer that comes later than this after its request was sent is late, in milliseconds; after five times as long
    /// it is not waited for any more.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub timeout: u32,
    /// Threads that send; one is enough for some hundred thousand requests a second.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub workers: u16,
    /// Keep the first thread on this processor core, the second on the next, and so on.
    #[arg(long, value_name = "CORE")]
    pub cpu: Option<usize>,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    pub json: bool,
    /// Write a page with the latencies' distribution and their course over time.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}
