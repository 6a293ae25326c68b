//! What training and judging found, as JSON and for a person.

use std::fmt::Write;

use haggle_learning::data::{CollisionReport, ReadReport};
use serde::{Deserialize, Serialize};

/// What training found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrainReport {
    pub(super) model: String,
    /// The files, and how they were used.
    pub(super) data: String,
    pub(super) test: Option<String>,
    /// Rows of the data, each learned once a pass.
    pub(super) rows: u64,
    pub(super) clicks: u64,
    pub(super) bad_rows: u64,
    pub(super) repeated_rows: u64,
    pub(super) passes: u32,
    /// Threads that had something to do.
    pub(super) threads: u32,
    /// Rows times passes by seconds.
    pub(super) rows_per_second: f64,
    /// Of reading and learning.
    pub(super) seconds: f64,
    /// Of the last pass, each row predicted before it was learned. From the second pass on the model has seen it before.
    pub(super) train_log_loss: f64,
    pub(super) test_rows: Option<u64>,
    pub(super) test_clicks: Option<u64>,
    pub(super) test_bad_rows: Option<u64>,
    pub(super) test_log_loss: Option<f64>,
    pub(super) test_auc: Option<f64>,
    /// Predicted by observed clicks.
    pub(super) test_calibration: Option<f64>,
    /// The log loss of predicting the training data's click rate for all rows: of the test, or of the data where there is none.
    pub(super) baseline_log_loss: f64,
    pub(super) parameters: u64,
    /// Bytes of memory of the model.
    pub(super) bytes: u64,
    pub(super) collisions: Option<Collisions>,
    pub(super) curve: Vec<Point>,
    pub(super) test_curve: Vec<Point>,
}

/// How many values share an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Collisions {
    pub(super) values: u64,
    pub(super) indices: u64,
    pub(super) shared: u64,
    pub(super) exact: bool,
}

impl From<CollisionReport> for Collisions {
    fn from(CollisionReport { values, indices, shared, exact }: CollisionReport) -> Self {
        Self { values, indices, shared, exact }
    }
}

/// A point of a learning curve: the mean log loss of the rows since the point before, after so many rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Point {
    pub(super) rows: u64,
    pub(super) log_loss: f64,
}

/// What judging found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct EvaluateReport {
    pub(super) model: String,
    pub(super) data: String,
    pub(super) rows: u64,
    pub(super) clicks: u64,
    pub(super) bad_rows: u64,
    pub(super) repeated_rows: u64,
    pub(super) seconds: f64,
    pub(super) rows_per_second: f64,
    pub(super) log_loss: f64,
    pub(super) auc: Option<f64>,
    pub(super) calibration: Option<f64>,
    pub(super) baseline_log_loss: f64,
}

/// The log loss of predicting the same rate for rows of which so many are clicks.
pub(super) fn rate_log_loss(rate: f64, rows: u64, clicks: u64) -> f64 {
    let rate = rate.clamp(1e-7, 1.0 - 1e-7);
    let (rows, clicks) = (rows as f64, clicks as f64);
    if rows > 0.0 { -(clicks * rate.ln() + (rows - clicks) * (1.0 - rate).ln()) / rows } else { 0.0 }
}

fn known(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.6}"))
}

impl TrainReport {
    /// For a person.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let rate = self.clicks as f64 / self.rows.max(1) as f64 * 100.0;
        writeln!(out, "{} learned {} rows ({rate:.3} % clicks) of {}", self.model, self.rows, self.data)?;
        let Self { passes, seconds, rows_per_second, threads, .. } = self;
        writeln!(out, "passes {passes}, {seconds:.1} s, {rows_per_second:.0} rows/s, {threads} threads")?;
        writeln!(out, "{} parameters, {:.1} MB", self.parameters, self.bytes as f64 / 1e6)?;
        writeln!(out, "log loss before learning each row, last pass: {:.6}", self.train_log_loss)?;
        if let (Some(test), Some(rows)) = (&self.test, self.test_rows) {
            writeln!(out, "test on {rows} rows of {test}:")?;
            writeln!(out, "  log loss     {}", known(self.test_log_loss))?;
            writeln!(out, "  AUC          {}", known(self.test_auc))?;
            writeln!(out, "  calibration  {}", known(self.test_calibration))?;
        }
        writeln!(out, "log loss of the click rate alone: {:.6}", self.baseline_log_loss)?;
        if let Some(Collisions { values, indices, shared, exact }) = self.collisions {
            let about = if exact { "" } else { "about " };
            let share = shared as f64 / values.max(1) as f64 * 100.0;
            writeln!(out, "{about}{values} values have {indices} indices: {share:.2} % share theirs")?;
        }
        Ok(())
    }
}

impl EvaluateReport {
    /// For a person.
    pub(super) fn text(&self) -> String {
        let Self { model, data, rows, clicks, .. } = self;
        format!(
            "{model} on {rows} rows of {data}, {clicks} clicks, {:.0} rows/s\n\
             log loss     {:.6}\nAUC          {}\ncalibration  {}\nlog loss of the training data's click rate alone: {:.6}",
            self.rows_per_second,
            self.log_loss,
            known(self.auc),
            known(self.calibration),
            self.baseline_log_loss
        )
    }
}

/// What to say of rows that were left out: nothing, or a few lines.
pub(super) fn left_out(read: &ReadReport) -> String {
    let mut out = String::new();
    if read.bad.count > 0 {
        let _ = write!(out, "{}\nleft {} bad rows out", read.bad, read.bad.count);
    }
    if read.repeated > 0 {
        let _ = write!(out, "\nleft {} rows out that repeat a key", read.repeated);
    }
    if read.unknown_namespaces > 0 {
        let _ = write!(out, "\nleft {} namespaces out that the model does not know", read.unknown_namespaces);
    }
    out.trim_start().to_owned()
}
