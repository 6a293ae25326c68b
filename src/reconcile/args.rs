//! The command line of `haggle reconcile`.

use std::path::PathBuf;

use clap::Args;
use haggle_domain::{Rate, Timestamp};

use crate::attribution::moment;

/// Which report, and how it is read.
#[derive(Clone, Debug, Args)]
pub struct ReconcileArgs {
    /// The data folder of a node that is not running.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The exchange's report: CSV with titles in its first line.
    #[arg(long, value_name = "FILE")]
    pub report: PathBuf,
    /// The exchange, as the configuration names it.
    #[arg(long, value_name = "NAME")]
    pub exchange: String,
    /// From then on: a day, or a time with its zone; where the report begins, if it is left out.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<Timestamp>,
    /// Before then; where the report ends, if it is left out.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<Timestamp>,
    /// What the report's columns are called: time, campaign, creative, bid, impressions, spend, currency or fee, like
    /// spend=Cost,time=Date. Without it each is looked for under its own name.
    #[arg(long, value_name = "FIELD=TITLE,…", value_delimiter = ',', value_parser = mapping)]
    pub map: Vec<(String, String)>,
    /// How far the report's clock is ahead of UTC, like +02:00.
    #[arg(long, value_name = "±HH:MM", default_value = "+00:00", value_parser = offset, allow_hyphen_values = true)]
    pub offset: i32,
    /// What one unit of the report's currency is worth in the account's.
    #[arg(long, value_name = "RATE", default_value = "1")]
    pub rate: Rate,
    /// The share of the spend, in percent, that the report has added as fees, or below 0 left out.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = fee, allow_hyphen_values = true)]
    pub fee: f64,
    /// By how many percent impressions and spend may differ.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    pub tolerance: f64,
    /// Print what was found as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The fields that a report can have.
pub(super) const FIELDS: [&str; 8] =
    ["time", "campaign", "creative", "bid", "impressions", "spend", "currency", "fee"];

fn mapping(text: &str) -> Result<(String, String), String> {
    let (field, title) = text.split_once('=').ok_or_else(|| format!("{text:?} is not FIELD=TITLE"))?;
    if FIELDS.contains(&field) && !title.is_empty() {
        Ok((field.to_owned(), title.to_owned()))
    } else {
        Err(format!("{text:?} is not FIELD=TITLE with one of {}", FIELDS.join(", ")))
    }
}

/// In minutes.
fn offset(text: &str) -> Result<i32, String> {
    let not = || format!("{text:?} is no offset from UTC; write it like +02:00 or -05:30");
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return Err(not()),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(not)?;
    match (hours.parse::<i32>(), minutes.parse::<i32>()) {
        (Ok(hours @ 0..=14), Ok(minutes @ 0..=59)) => Ok(sign * (hours * 60 + minutes)),
        _ => Err(not()),
    }
}

/// An offset as it is written.
pub(super) fn shown(minutes: i32) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

fn fee(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (-50.0..=1000.0).contains(number));
    number.ok_or_else(|| "must be a number of percent, from -50 to 1000".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1000.0).contains(number));
    number.ok_or_else(|| "must be a number of percent, at least 0".to_owned())
}
