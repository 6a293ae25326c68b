//! The demo's flags.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

/// Run the bidder against a simulated exchange for one campaign day, live.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// How long the campaign day takes, in real seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Makes the run's users, prices and clicks repeatable.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Bid requests a second, on average over the day.
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub qps: u32,
    /// Keep journal and model here, or go on with what is here; without it a folder that is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the bidder listens on loopback; metrics are one port above. 0 is any free port.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=65_534))]
    pub port: u16,
    /// Print one JSON object on standard output, and nothing else there.
    #[arg(long)]
    pub json: bool,
    /// Make a campaign's actor panic after so many seconds: panic:CAMPAIGN@SECONDS. May be repeated.
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<Fault>,
}

/// A fault to inject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose actor panics.
    pub campaign: String,
    /// When, in real time from the start.
    pub after: Duration,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (campaign, seconds) = text.strip_prefix("panic:")?.rsplit_once('@')?;
            let seconds: f64 = seconds.parse().ok()?;
            let after = Duration::try_from_secs_f64(seconds).ok()?;
            (!campaign.is_empty()).then(|| Self { campaign: campaign.to_owned(), after })
        };
        parse().ok_or_else(|| "write it like panic:trail-boots@5".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_bad_ones_explained() {
        let fault: Fault = "panic:trail-boots@2.5".parse().unwrap();
        assert_eq!(fault.campaign, "trail-boots");
        assert_eq!(fault.after, Duration::from_millis(2500));
        for bad in ["", "panic:", "panic:x", "panic:@5", "panic:x@-1", "panic:x@NaN", "stop:x@5"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
