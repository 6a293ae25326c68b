//! Logs of recorded auctions.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use haggle_domain::CpmMicros;
use haggle_learning::data::BadRows;

use super::args::ReplayArgs;
use super::{ipinyou, journal, pairs};
use crate::exit::{Exit, ExitError};
use crate::model::Progress;

/// A fen for a thousand impressions, the unit of prices and bids here: a hundredth of a yuan, or of what else the log counts in.
pub const FEN: i64 = 10_000;

/// How rows are laid out, and with it the rules by which figures on such logs are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One of the next two: what the first row's separator says.
    Pairs,
    /// Tabs between click, market price, predicted click rate and slot, of which the slot is not read: wnzhang/rtbarbitrage.
    Sam,
    /// Spaces between click, market price and predicted click rate: han-cai/rlb-dp.
    Rlb,
    /// iPinYou's own logs of impressions, with the clicks in front or in --clicks; --model says the click rates.
    Ipinyou,
    /// A node's own journal; LOG is the node's configuration, and the node is stopped.
    Haggle,
}

impl Format {
    /// What a hundredth of the log's currency is called.
    pub fn unit(self) -> &'static str {
        if self == Self::Haggle { "cents" } else { "fen" }
    }

    /// What a file's name says.
    fn of(path: &Path) -> Self {
        let toml = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
        if toml { Self::Haggle } else { Self::Pairs }
    }
}

/// One recorded auction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Whether the ad that was shown was clicked.
    pub clicked: bool,
    /// The highest bid of the others: what it took to win, for a thousand impressions.
    pub price: CpmMicros,
    /// The click rate that a model predicted, in 0..=1.
    pub ctr: f64,
}

/// A log, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// How it was laid out; never [`Format::Pairs`].
    pub format: Format,
    /// The auctions.
    pub rows: Vec<Row>,
    /// Rows that were left out.
    pub bad: BadRows,
    /// What else the log cannot tell.
    pub notes: Vec<String>,
}

/// Reads the log that is to be replayed, or an earlier one. Without a format a name that ends in `.toml` is a node's configuration,
/// and anything else a log of pairs.
///
/// # Errors
///
/// That the file cannot be read, holds no auction, or more rows that are none than are allowed; a model that does not fit.
pub(super) fn read(path: &Path, args: &ReplayArgs, progress: &Progress) -> Result<Log, ExitError> {
    let format = args.format.unwrap_or_else(|| Format::of(path));
    args.check(format)?;
    match format {
        Format::Pairs | Format::Sam | Format::Rlb => {
            pairs::read_from(open(path)?, &path.display().to_string(), format, args.bad_rows)
        }
        Format::Ipinyou => ipinyou::read(path, args, progress),
        Format::Haggle => journal::read(path, args.campaign.as_deref(), progress),
    }
}

/// Opens a file to read; unpacked if its name ends in `.gz`.
///
/// # Errors
///
/// That it cannot be opened.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>, ExitError> {
    let name = path.display();
    let failed = |error: io::Error| ExitError::new(Exit::IoFailed, format!("{name} cannot be read: {error}"));
    let file = BufReader::new(File::open(path).map_err(failed)?);
    // A packed file may be several, one after the other.
    let packed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
    Ok(if packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}
