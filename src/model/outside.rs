//! Models that were trained elsewhere, in ONNX, as folders like our own: judged, compared and watched beside ours on the same rows.
//!
//! Such a model takes one number of each feature ([`Cells`]); `haggle model encode` writes the very same numbers for whoever trains
//! one. It does not serve: a network that is not known cannot be taken apart into a request's part and an ad's.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;

use haggle_learning::data::{Cells, Format, ReadOptions};
use serde::{Deserialize, Serialize};

use super::args::{EncodeArgs, ImportArgs};
use super::folder::{self, Manifest, RowKind, Saved, meaning};
use super::input::{Progress, each_batch};
use super::output::Output;
use super::report::TrainReport;
use super::{page, read_schema, say};
use crate::exit::{Exit, ExitError};

pub(crate) use self::net::Outside;

/// What a folder's manifest says of a model that was trained elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// The output that is read; without one the first of numbers with a fraction.
    output: Option<String>,
    scores: ScoreKind,
    /// The number that stands for one that is missing. Without it rows have to be complete.
    missing: Option<f32>,
}

/// What such a model says of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreKind {
    /// The probability of a click, alone or after that of none.
    #[default]
    Probability,
    /// Its log odds.
    LogOdds,
}

/// One number of each feature of rows that are read so.
fn cells(kind: RowKind, options: &ReadOptions) -> Result<Cells, String> {
    match (kind, &options.schema) {
        (RowKind::Journal, _) => Ok(Cells::archive()),
        (RowKind::Table, Some(schema)) => Cells::of(schema),
        _ => {
            Err("rows of this format have no fixed features; use a table with a schema, or a node's journal"
                .to_owned())
        }
    }
}

/// How rows are read that a schema, or else a node's journal, says the meaning of; and the schema's text.
fn reading(
    schema: Option<&Path>,
    format: Option<Format>,
) -> Result<(RowKind, ReadOptions, Option<String>), ExitError> {
    let journal = format == Some(Format::Haggle);
    let mut options = ReadOptions { format, ..ReadOptions::default() };
    match schema {
        Some(_) if journal => {
            Err(ExitError::new(Exit::Usage, "a node's journal has no schema; leave --schema out"))
        }
        Some(path) => {
            let (text, schema) = read_schema(path)?;
            options.schema = Some(schema);
            Ok((RowKind::Table, options, Some(text)))
        }
        None if journal => Ok((RowKind::Journal, options, None)),
        None => Err(ExitError::new(
            Exit::Usage,
            "say what rows mean: --schema FILE, or --format haggle for a node's journal",
        )),
    }
}

/// Takes a model into a folder, if it can be asked.
pub(super) fn import(args: &ImportArgs) -> Result<String, ExitError> {
    let (kind, options, schema) = reading(args.schema.as_deref(), args.format)?;
    let bytes = folder::read(&args.onnx)?;
    let origin = Origin { output: args.output.clone(), scores: args.scores, missing: args.missing };
    let model = Outside::load(&bytes, kind, &options, &origin)
        .map_err(|problem| folder::refuse(&args.onnx, problem))?;
    let meaning = meaning(kind, &options);
    let checksum = folder::checksum(&bytes);
    let metrics = TrainReport {
        model: Manifest::OUTSIDE.to_owned(),
        data: args.onnx.display().to_string(),
        bytes: model.bytes() as u64,
        ..TrainReport::default()
    };
    let manifest = Manifest {
        format: Manifest::FORMAT,
        model: Manifest::OUTSIDE.to_owned(),
        file: format!("model-{checksum}.onnx"),
        file_bytes: bytes.len() as u64,
        checksum,
        schema_hash: format!("{meaning:016x}"),
        rows: kind,
        fields: model.names().to_vec(),
        bits: options.bits,
        parent: None,
        metrics: metrics.clone(),
        origin: Some(origin),
    };
    let page = page::page(&metrics);
    folder::write(&args.out, &Saved { manifest, model: &bytes, schema: schema.as_deref(), report: &page })?;
    Ok(format!(
        "{}: takes {} numbers a row, as haggle model encode writes them\n",
        args.out.display(),
        model.names().len()
    ))
}

/// Writes rows as the numbers that such models take.
pub(super) fn encode(args: &EncodeArgs, progress: &Progress) -> Result<(), ExitError> {
    let format = args.rows.format.or_else(|| Format::of(&args.data));
    let (kind, mut options, _) = reading(args.schema.as_deref(), format)?;
    options.bad_rows = args.rows.bad_rows;
    let cells = cells(kind, &options).map_err(|problem| ExitError::new(Exit::InputUnusable, problem))?;
    progress.length.store(fs::metadata(&args.data).map_or(0, |it| it.len()), Ordering::Relaxed);
    let failed = |error: std::io::Error| {
        ExitError::new(Exit::IoFailed, format!("{} cannot be written: {error}", args.out.display()))
    };
    let mut out = Output::create(&args.out)?;
    writeln!(out, "click,{}", cells.names().join(",")).map_err(failed)?;
    let (mut row, mut line) = (Vec::new(), String::new());
    let read = each_batch(&args.data, &options, 2, progress, |batch| {
        for (label, slots) in batch.rows() {
            line.clear();
            row.clear();
            cells.row(slots, &mut row);
            line.push(if label > 0.5 { '1' } else { '0' });
            for number in &row {
                line.push(',');
                // What is missing has no number, if none was named; writing to a string cannot fail.
                let number = if number.is_nan() { args.missing } else { Some(*number) };
                if let Some(number) = number {
                    let _ = write!(line, "{number}");
                }
            }
            line.push('\n');
            out.write_all(line.as_bytes()).map_err(failed)?;
        }
        Ok(())
    })?;
    out.finish().map_err(failed)?;
    say(&super::report::left_out(&read));
    Ok(())
}

#[cfg(feature = "onnx")]
mod net {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use haggle_learning::data::{Cells, ReadOptions};
    use haggle_learning::{Batch, Slot, logit};
    use haggle_onnx::{Net, Scores};

    use super::{Origin, RowKind, ScoreKind, cells};
    use crate::clock::monotonic;

    /// A model that was trained elsewhere.
    #[derive(Debug)]
    pub(crate) struct Outside {
        cells: Cells,
        net: Net,
        missing: Option<f32>,
        bytes: usize,
        /// Rows in a row that took too long.
        slow: AtomicU32,
    }

    /// What a row may take where the learner waits for it.
    const MOST_TIME: Duration = Duration::from_millis(2);
    /// Rows in a row that may take longer, as any may while the machine is busy. Then the model is not asked any more.
    const MOST_SLOW: u32 = 16;

    impl Outside {
        /// Reads one that takes such rows.
        pub(crate) fn load(
            bytes: &[u8],
            kind: RowKind,
            options: &ReadOptions,
            origin: &Origin,
        ) -> Result<Self, String> {
            let cells = cells(kind, options)?;
            let scores = match origin.scores {
                ScoreKind::Probability => Scores::Probability,
                ScoreKind::LogOdds => Scores::LogOdds,
            };
            let net = Net::load(bytes, cells.names().len(), origin.output.as_deref(), scores)
                .map_err(|error| error.to_string())?;
            if net.is_whole() && cells.has_numbers() {
                return Err(
                    "it takes whole numbers, and some features are numbers with a fraction; give them bins"
                        .to_owned(),
                );
            }
            Ok(Self { cells, net, missing: origin.missing, bytes: bytes.len(), slow: AtomicU32::new(0) })
        }

        pub(crate) fn names(&self) -> &[String] {
            self.cells.names()
        }

        pub(crate) fn bytes(&self) -> usize {
            self.bytes
        }

        pub(crate) fn predict(&self, batch: &Batch, out: &mut Vec<f32>) -> Result<(), String> {
            let mut rows = Vec::new();
            for (_, slots) in batch.rows() {
                self.row(slots, &mut rows)?;
            }
            self.net.predict(&rows, out).map_err(|error| error.to_string())
        }

        /// Appends a row's numbers. One that is missing has to be named, because networks do not agree about what is no number:
        /// some say that the answer is none either, and others say something.
        fn row(&self, slots: &[Slot], rows: &mut Vec<f32>) -> Result<(), String> {
            let start = rows.len();
            self.cells.row(slots, rows);
            for (number, name) in rows.iter_mut().skip(start).zip(self.cells.names()) {
                if number.is_nan() {
                    *number = self.missing.ok_or_else(|| {
                        format!("a row has no number for {name:?}; import it with --missing, the number that it was trained with")
                    })?;
                }
            }
            Ok(())
        }
    }

    impl haggle_learning::Outside for Outside {
        fn score(&self, slots: &[Slot]) -> Option<f32> {
            let slow = self.slow.load(Ordering::Relaxed);
            if slow >= MOST_SLOW {
                return None;
            }
            let (mut row, mut said) = (Vec::new(), Vec::new());
            self.row(slots, &mut row).ok()?;
            let begun = monotonic();
            self.net.predict(&row, &mut said).ok()?;
            let slow = if begun.elapsed() > MOST_TIME { slow + 1 } else { 0 };
            self.slow.store(slow, Ordering::Relaxed);
            if slow == MOST_SLOW {
                tracing::error!(most = ?MOST_TIME, "a model of another make takes too long for a row and is watched no more");
            }
            said.first().map(|probability| logit(*probability))
        }
    }
}

#[cfg(not(feature = "onnx"))]
mod net {
    use haggle_learning::data::ReadOptions;
    use haggle_learning::{Batch, Slot};

    use super::{Origin, RowKind};

    /// A model that was trained elsewhere, of which this program can read none.
    #[derive(Debug)]
    pub(crate) enum Outside {}

    impl Outside {
        pub(crate) fn load(_: &[u8], _: RowKind, _: &ReadOptions, _: &Origin) -> Result<Self, String> {
            Err("this program was built without ONNX; build it with --features onnx".to_owned())
        }

        pub(crate) fn names(&self) -> &[String] {
            match *self {}
        }

        pub(crate) fn bytes(&self) -> usize {
            match *self {}
        }

        pub(crate) fn predict(&self, _: &Batch, _: &mut Vec<f32>) -> Result<(), String> {
            match *self {}
        }
    }

    impl haggle_learning::Outside for Outside {
        fn score(&self, _: &[Slot]) -> Option<f32> {
            match *self {}
        }
    }
}
