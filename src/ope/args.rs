//! The command line of `haggle ope`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::policy::Policy;
use crate::exit::{Exit, ExitError};

/// What a log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A table with the columns of the Open Bandit Dataset, packed where its name ends in .gz.
    OpenBandit,
    /// The journal of a node that is not running, by its configuration.
    Haggle,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "must be a number above 0".to_owned())
}

/// Which log, and which policy.
#[derive(Clone, Debug, Args)]
pub struct OpeArgs {
    /// The log: a table in the format of the Open Bandit Dataset, or the configuration of a node.
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
    /// The policy to evaluate: uniform, greedy (the best on two other fifths of the log), logged (a check: what the
    /// log earned), creative=ID (always that one), or a log that the policy made.
    #[arg(long, value_name = "POLICY")]
    pub policy: Policy,
    /// The log's format; without it open-bandit for .csv and .csv.gz, haggle for .toml.
    #[arg(long, value_enum, value_name = "NAME")]
    pub format: Option<LogFormat>,
    /// How often the log is drawn anew for intervals. 0 gives none; below 40 there are none either.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub bootstrap: u32,
    /// The same seed gives the same report.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The weight above which switch-DR trusts the model alone. A policy that always takes one of N actions has
    /// weights of about N, so a lower one makes it DM.
    #[arg(long, value_name = "WEIGHT", default_value_t = 2.0, value_parser = positive)]
    pub switch: f64,
    /// What the policy earned a row, where that is known: says of each estimator how far it is off, on average over
    /// the runs of the bootstrap.
    #[arg(long, value_name = "REWARD", value_parser = positive)]
    pub truth: Option<f64>,
    /// How many bad rows are left out before the log is refused.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub bad_rows: u64,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

impl OpeArgs {
    /// The log's format, by its name if it is not said.
    pub(super) fn format(&self) -> Result<LogFormat, ExitError> {
        let name = self.log.to_string_lossy();
        match self.format {
            Some(format) => Ok(format),
            None if name.ends_with(".csv") || name.ends_with(".csv.gz") => Ok(LogFormat::OpenBandit),
            None if name.ends_with(".toml") => Ok(LogFormat::Haggle),
            None => {
                let problem = format!(
                    "{name}: its name does not say its format; say --format open-bandit or --format haggle"
                );
                Err(ExitError::new(Exit::Usage, problem))
            }
        }
    }
}
