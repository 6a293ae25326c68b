//! iPinYou's own logs of impressions, as they lie on a user's disk, with click rates by a model of ours.

use std::collections::HashSet;
use std::io::{self, BufRead, Read};
use std::path::Path;

use haggle_domain::CpmMicros;
use haggle_learning::Batch;
use haggle_learning::data::{BadRows, DataError, Flaw, IPINYOU_COLUMNS};
use xxhash_rust::xxh3::xxh3_64;

use super::args::ReplayArgs;
use super::log::{FEN, Format, Log, Row, open};
use super::pairs::{HIGHEST, nothing_in, whole};
use crate::exit::{Exit, ExitError};
use crate::model::{Asked, Progress};

/// Rows that the model is asked about at once.
const ROWS: usize = 4096;
/// Bytes in a line at most; what is longer is taken for several.
const LONGEST: u64 = 1 << 20;
/// Columns in front of the log's own where the clicks are in it: click, weekday, hour.
const IN_FRONT: usize = 3;

/// Reads a log, and has the model of `--model` say what click rate each impression had.
pub(super) fn read(path: &Path, args: &ReplayArgs, progress: &Progress) -> Result<Log, ExitError> {
    let Some(folder) = &args.model else {
        return Err(ExitError::new(
            Exit::Usage,
            "iPinYou's logs do not say what click rate was predicted; name a model that does with --model, made by haggle model \
             train on an earlier log",
        ));
    };
    let mut log = rows(path, args.clicks.as_deref(), Some(&Asked::open(folder)?), args.bad_rows, progress)?;
    log.notes.push(
        "click rates are the model's of --model; what it learned from this log it cannot judge".to_owned(),
    );
    Ok(log)
}

/// The same, without a model with click rates of 0.
pub(super) fn rows(
    path: &Path,
    clicks: Option<&Path>,
    model: Option<&Asked>,
    bad_rows: u64,
    progress: &Progress,
) -> Result<Log, ExitError> {
    let clicks = clicks.map(clicked).transpose()?;
    let name = path.display().to_string();
    let failed = |error: io::Error| ExitError::new(Exit::IoFailed, format!("{name} cannot be read: {error}"));
    let bad = BadRows { file: name.clone(), ..BadRows::default() };
    let mut log = Log { format: Format::Ipinyou, rows: Vec::new(), bad, notes: Vec::new() };
    let (mut batch, mut rates, mut number) = (Batch::default(), Vec::new(), 0u64);
    let mut file = open(path)?;
    let mut line = Vec::new();
    let mut ended = false;
    while !ended {
        line.clear();
        number += 1;
        ended = file.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(failed)? == 0;
        // The last column may be empty, so tabs at the end count.
        let row = line.strip_suffix(b"\n").unwrap_or(&line);
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        if !row.is_empty() {
            let text = std::str::from_utf8(row).map_err(|_| Flaw::row("is not UTF-8"));
            match text.and_then(|text| parse(text, clicks.as_ref(), model, &mut batch)) {
                Ok(row) => log.rows.push(row),
                Err(flaw) => {
                    batch.abandon();
                    log.bad.add(number, flaw);
                    if log.bad.count > bad_rows {
                        return Err(DataError::TooManyBad { bad: log.bad, limit: bad_rows }.into());
                    }
                }
            }
        }
        if batch.len() == ROWS || ended {
            progress.check()?;
            if let Some(model) = model {
                model.predict(&batch, &mut rates)?;
            }
            let first = log.rows.len() - batch.len();
            for (row, rate) in log.rows.iter_mut().skip(first).zip(&rates) {
                row.ctr = f64::from(*rate);
            }
            batch.clear();
        }
    }
    if log.rows.is_empty() {
        return Err(ExitError::new(
            Exit::InputUnusable,
            nothing_in(&name, &log.bad, "name an iPinYou log of impressions"),
        ));
    }
    Ok(log)
}

/// The bids that were clicked, by the hashes of their ids.
fn clicked(path: &Path) -> Result<HashSet<u64>, ExitError> {
    let failed = |error: io::Error| {
        ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", path.display()))
    };
    let mut bids = HashSet::new();
    for line in open(path)?.split(b'\n') {
        let line = line.map_err(failed)?;
        let id = line.split(|byte| *byte == b'\t').next().unwrap_or_default();
        if !id.is_empty() {
            bids.insert(xxh3_64(id));
        }
    }
    Ok(bids)
}

/// One impression, whose click rate is still to be said; its features are appended to `batch`.
fn parse(
    line: &str,
    clicks: Option<&HashSet<u64>>,
    model: Option<&Asked>,
    batch: &mut Batch,
) -> Result<Row, Flaw> {
    let fields: Vec<&str> = line.split('\t').collect();
    let count = IPINYOU_COLUMNS.len();
    let (own, click) = match fields.len() {
        found if found == count => (fields.as_slice(), None),
        // Later tools add columns at the end.
        found if found >= count + IN_FRONT => {
            (fields.get(IN_FRONT..).unwrap_or_default(), fields.first().copied())
        }
        found => {
            return Err(Flaw::row(format!(
                "{found} columns; a row of an impression log has {count}, or {} and more with click, weekday and hour in front",
                count + IN_FRONT
            )));
        }
    };
    let column = |name: &str| {
        let at = IPINYOU_COLUMNS.iter().position(|column| *column == name)?;
        own.get(at).copied()
    };
    let clicked = match (click, clicks) {
        (Some("0"), _) => false,
        (Some("1"), _) => true,
        (Some(click), _) => return Err(Flaw::of("click", click.as_bytes(), "is neither 0 nor 1")),
        (None, Some(clicks)) => {
            clicks.contains(&xxh3_64(own.first().copied().unwrap_or_default().as_bytes()))
        }
        (None, None) => false,
    };
    let paid = column("payprice").unwrap_or_default();
    let fen = whole(paid.as_bytes()).filter(|fen| *fen <= HIGHEST);
    let fen = fen.ok_or_else(|| {
        Flaw::of("payprice", paid.as_bytes(), format!("is not whole fen from 0 to {HIGHEST}"))
    })?;
    if let Some(model) = model {
        model.encode(column, batch)?;
    }
    Ok(Row { clicked, price: CpmMicros(fen * FEN), ctr: 0.0 })
}
