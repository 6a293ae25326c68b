//! Two models on the same rows, and whether one is shown to be better.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use haggle_learning::Batch;
use haggle_learning::data::{ReadOptions, Reader};
use haggle_learning::offline::bootstrap::{Compared, Comparison, Paired, Verdict};
use serde::Serialize;

use super::args::{CompareArgs, RowArgs};
use super::folder::Model;
use super::input::{Progress, each_batch, feature_index};
use super::report::left_out;
use super::{THREADS, folder, say, to_json, watched};
use crate::cli::print;
use crate::clock::monotonic;
use crate::exit::{Exit, ExitError};

/// A number of both models, and the candidate's less the base's, with the ends of its 95 % interval.
#[derive(Clone, Copy, Debug, Serialize)]
struct Number {
    candidate: f64,
    base: f64,
    difference: f64,
    low: Option<f64>,
    high: Option<f64>,
}

impl From<Compared> for Number {
    fn from(Compared { candidate, base, difference }: Compared) -> Self {
        let (low, high) = (difference.interval.map(|it| it.0), difference.interval.map(|it| it.1));
        Self { candidate, base, difference: difference.value, low, high }
    }
}

/// What a model costs.
#[derive(Clone, Debug, Serialize)]
struct Cost {
    folder: String,
    model: String,
    /// Rows that it predicts in a second, on one thread, without reading them.
    rows_per_second: f64,
    /// Of memory.
    bytes: u64,
}

/// What comparing found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    data: String,
    rows: u64,
    clicks: u64,
    bad_rows: u64,
    repeated_rows: u64,
    /// `better`, `worse` or `no difference shown`: the candidate, by its log loss.
    verdict: &'static str,
    log_loss: Number,
    auc: Option<Number>,
    calibration: Option<Number>,
    normalised_entropy: Option<Number>,
    candidate: Cost,
    base: Cost,
}

impl Report {
    pub(super) fn is_better(&self) -> bool {
        self.verdict == name(Verdict::Better)
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let row = |name: &str, it: Option<Number>| {
            let Some(Number { candidate, base, difference, low, high }) = it else {
                return format!("{name:<20}{:>13}{:>13}", "unknown", "unknown");
            };
            let interval = match low.zip(high) {
                Some((low, high)) => format!("{low:+.6} to {high:+.6}"),
                None => "too few clicks".to_owned(),
            };
            format!("{name:<20}{candidate:>13.6}{base:>13.6}{difference:>+13.6}  {interval}")
        };
        let count =
            |name: &str, candidate: f64, base: f64| format!("{name:<20}{candidate:>13.0}{base:>13.0}");
        let Self { candidate, base, .. } = self;
        [
            format!(
                "candidate {} ({}), base {} ({}), on {} rows of {}, {} clicks",
                candidate.folder, candidate.model, base.folder, base.model, self.rows, self.data, self.clicks
            ),
            format!("{:<20}{:>13}{:>13}{:>13}  95 % interval", "", "candidate", "base", "difference"),
            row("log loss", Some(self.log_loss)),
            row("AUC", self.auc),
            row("calibration", self.calibration),
            row("normalised entropy", self.normalised_entropy),
            count("rows/s", candidate.rows_per_second, base.rows_per_second),
            count("bytes", candidate.bytes as f64, base.bytes as f64),
            format!("candidate: {}", self.verdict),
        ]
        .join("\n")
    }
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NoDifferenceShown => "no difference shown",
    }
}

/// Runs the command.
pub(super) fn run(args: CompareArgs) -> Result<(), ExitError> {
    let json = args.json;
    let report = watched(json, move |progress| compare(&args, progress))?;
    print(if json { to_json(&report)? } else { report.text() })
}

/// Compares two folders with what is not said at its default.
pub(super) fn compare_folders(
    candidate: PathBuf,
    base: PathBuf,
    data: PathBuf,
    rows: RowArgs,
    json: bool,
) -> Result<Report, ExitError> {
    let args = CompareArgs { candidate, base, data, rows, clicks: None, seed: 1, json };
    watched(json, move |progress| compare(&args, progress))
}

/// A model at work.
struct Judged {
    folder: PathBuf,
    name: String,
    meaning: String,
    options: ReadOptions,
    model: Model,
    predicted: Vec<f32>,
    seconds: f64,
}

impl Judged {
    fn open(folder: &Path, args: &CompareArgs) -> Result<Self, ExitError> {
        let index = feature_index(args.rows.feature_index.as_deref())?;
        let (manifest, mut options, model) = folder::open(folder, index)?;
        options.format = folder::format_of(&manifest, args.rows.format, options.format)?;
        options.bad_rows = args.rows.bad_rows;
        options.clicks.clone_from(&args.clicks);
        let (name, meaning) = (manifest.model, manifest.schema_hash);
        let folder = folder.to_owned();
        Ok(Self { folder, name, meaning, options, model, predicted: Vec::new(), seconds: 0.0 })
    }

    fn predict(&mut self, batch: &Batch) -> Result<(), ExitError> {
        let begun = monotonic();
        self.model.predict(batch, &mut self.predicted)?;
        self.seconds += begun.elapsed().as_secs_f64();
        Ok(())
    }

    fn cost(&self, rows: u64) -> Cost {
        Cost {
            folder: self.folder.display().to_string(),
            model: self.name.clone(),
            rows_per_second: rows as f64 / self.seconds.max(1e-9),
            bytes: self.model.bytes() as u64,
        }
    }
}

/// The same rows as another schema sees them.
struct Aside {
    reader: Reader,
    batch: Batch,
}

impl Aside {
    /// Reads on to as many rows as the other has, which have to be the same.
    fn follow(&mut self, other: &Batch, data: &Path) -> Result<&Batch, ExitError> {
        self.reader.fill(&mut self.batch, other.len())?;
        if self.batch.labels() == other.labels() {
            return Ok(&self.batch);
        }
        let problem = format!(
            "{}: the models' schemas take different rows as clicks; models that learned to predict different \
             things cannot be compared",
            data.display()
        );
        Err(ExitError::new(Exit::InputUnusable, problem))
    }
}

fn compare(args: &CompareArgs, progress: &Progress) -> Result<Report, ExitError> {
    let mut candidate = Judged::open(&args.candidate, args)?;
    let mut base = Judged::open(&args.base, args)?;
    let mut aside = None;
    if candidate.meaning != base.meaning {
        // A row that one schema leaves out and the other does not would set all that follow against each other.
        for options in [&mut candidate.options, &mut base.options] {
            (options.bad_rows, options.repeats) = (0, true);
        }
        aside = Some(Aside { reader: Reader::open(&args.data, &base.options)?, batch: Batch::default() });
    }
    progress.length.store(std::fs::metadata(&args.data).map_or(0, |it| it.len()), Ordering::Relaxed);
    let mut paired = Paired::new(args.seed);
    let options = candidate.options.clone();
    let read = each_batch(&args.data, &options, THREADS, progress, |batch| {
        candidate.predict(batch)?;
        match &mut aside {
            Some(aside) => base.predict(aside.follow(batch, &args.data)?)?,
            None => base.predict(batch)?,
        }
        paired.note(&candidate.predicted, &base.predicted, batch.labels());
        Ok(())
    })?;
    say(&left_out(&read));
    let Some(Comparison { log_loss, auc, calibration, normalised_entropy }) = paired.comparison() else {
        let problem = format!("{}: no rows to compare on", args.data.display());
        return Err(ExitError::new(Exit::InputUnusable, problem));
    };
    let verdict = Comparison { log_loss, auc, calibration, normalised_entropy }.verdict();
    Ok(Report {
        data: args.data.display().to_string(),
        rows: paired.rows(),
        clicks: paired.clicks(),
        bad_rows: read.bad.count,
        repeated_rows: read.repeated,
        verdict: name(verdict),
        log_loss: log_loss.into(),
        auc: auc.map(Number::from),
        calibration: calibration.map(Number::from),
        normalised_entropy: normalised_entropy.map(Number::from),
        candidate: candidate.cost(paired.rows()),
        base: base.cost(paired.rows()),
    })
}
