//! The command line of `haggle attribution`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use haggle_domain::{AttributionModel, Timestamp};

use crate::config::parse_span;

/// What to report.
#[derive(Clone, Debug, Args)]
pub struct AttributionArgs {
    /// The data folder of a node that is not running.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The model to credit by: last, first, linear, decay, position, shapley, markov; or all.
    #[arg(long, value_name = "MODEL", default_value = "all", value_parser = models)]
    pub model: Models,
    /// Orders placed, and money charged, from then on: a day, or a time with its zone.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<Timestamp>,
    /// Orders placed, and money charged, before then.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<Timestamp>,
    /// How long before an order a click counts.
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = parse_span)]
    pub click_window: Duration,
    /// How long before an order a view counts.
    #[arg(long, value_name = "SPAN", default_value = "1d", value_parser = parse_span)]
    pub view_window: Duration,
    /// With the model decay: a touch so long before another one counts half as much.
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = parse_span)]
    pub half_life: Duration,
    /// Views and clicks of users that are kept at once.
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    pub touches: usize,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Models(pub Vec<AttributionModel>);

fn models(text: &str) -> Result<Models, String> {
    if text == "all" {
        return Ok(Models(AttributionModel::ALL.to_vec()));
    }
    text.parse().map(|model| Models(vec![model])).map_err(|error| format!("{error}, or \"all\""))
}

/// A day, which begins at midnight UTC, or a time.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    let day = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let whole = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse().map_err(|_| {
        format!("{text:?} is neither a day nor a time; write it like 2026-11-23 or 2026-11-23T08:00:00Z")
    })
}
