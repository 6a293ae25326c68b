//! The flags of `haggle certify`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What to send, where, and how to judge it.
#[derive(Clone, Debug, Args)]
pub struct CertifyArgs {
    /// Where the bidder takes bid requests, such as http://127.0.0.1:8080/openrtb2/bid/demo.
    #[arg(long, value_name = "URL")]
    pub endpoint: String,
    /// Requests to answer, one JSON object a line: bid requests, or {"request": …, "source": …}.
    #[arg(long, value_name = "FILE")]
    pub requests: PathBuf,
    /// Requests with a flaw: each must be refused, or get no bid on what is flawed.
    #[arg(long, value_name = "FILE")]
    pub invalid: Option<PathBuf>,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    pub json: bool,
    /// Exchange rates for floors in another currency than the bid's; without them such floors are not checked.
    #[arg(long, value_name = "FILE")]
    pub rates: Option<PathBuf>,
    /// How long to wait for an answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub timeout: u64,
    /// Requests that are unanswered at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
    /// Send bodies compressed, with Content-Encoding: gzip.
    #[arg(long)]
    pub gzip: bool,
    /// Fail answers that come after the request's tmax; without it they are warned of.
    #[arg(long)]
    pub enforce_tmax: bool,
}

impl CertifyArgs {
    /// With the defaults of the command line.
    pub fn new(endpoint: impl Into<String>, requests: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: endpoint.into(),
            requests: requests.into(),
            invalid: None,
            json: false,
            rates: None,
            timeout: 5_000,
            concurrency: 1,
            gzip: false,
            enforce_tmax: false,
        }
    }

    pub(super) const fn patience(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }
}
