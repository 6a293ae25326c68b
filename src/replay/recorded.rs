//! What a log of recorded auctions tells of prices and clicks, whatever a model says of them.

use std::path::Path;

use haggle_domain::CpmMicros;

use super::history::Train;
use super::log::{FEN, Format, open};
use super::{ipinyou, pairs};
use crate::exit::{Exit, ExitError};
use crate::model::Progress;

/// Auctions.
pub(crate) struct Recorded {
    /// What each took to win.
    pub(crate) prices: Vec<CpmMicros>,
    /// How many of their ads were clicked.
    pub(crate) clicks: u64,
    /// What the log cannot tell.
    pub(crate) notes: Vec<String>,
}

/// Reads a log, or a file of sums where its name ends in `.json`.
///
/// # Errors
///
/// That it cannot be read, holds no auction, or more rows that are none than are allowed.
pub(crate) fn recorded(
    path: &Path,
    format: Format,
    clicks: Option<&Path>,
    bad_rows: u64,
    progress: &Progress,
) -> Result<Recorded, ExitError> {
    let usage = |problem: &str| Err(ExitError::new(Exit::Usage, problem));
    if clicks.is_some() && format != Format::Ipinyou {
        return usage("--clicks is for iPinYou's own logs (--format ipinyou); leave it out");
    }
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json")) {
        let Train::Totals(totals) = Train::sums(path)? else {
            return Err(ExitError::new(Exit::Internal, "a file of sums is no log"));
        };
        let count = totals.prices.iter().sum::<u64>();
        // The sums are checked against each other, these are not.
        if count > totals.auctions {
            let problem = format!("{}: price_counter_train has more than imp_train", path.display());
            return Err(ExitError::new(Exit::InputUnusable, problem));
        }
        let priced = (0i64..).zip(&totals.prices);
        let prices =
            priced.flat_map(|(fen, count)| (0..*count).map(move |_| CpmMicros(fen.saturating_mul(FEN))));
        return Ok(Recorded { prices: prices.collect(), clicks: totals.clicks, notes: Vec::new() });
    }
    let mut log = match format {
        Format::Pairs | Format::Sam | Format::Rlb => {
            pairs::read_from(open(path)?, &path.display().to_string(), format, bad_rows)?
        }
        Format::Ipinyou => ipinyou::rows(path, clicks, None, bad_rows, progress)?,
        Format::Haggle => return usage("a node's journal is named with --data DIR"),
    };
    if log.bad.count > 0 {
        log.notes.push(format!("left out: {} bad rows; the first: {}", log.bad.count, log.bad));
    }
    Ok(Recorded {
        prices: log.rows.iter().map(|row| row.price).collect(),
        clicks: log.rows.iter().filter(|row| row.clicked).count() as u64,
        notes: log.notes,
    })
}
