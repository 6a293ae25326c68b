//! What training and judging found, as JSON and for a person.

use std::fmt::Write;

use haggle_learning::data::{CollisionReport, ReadReport};
use haggle_learning::offline::metrics::Losses;
use serde::{Deserialize, Serialize};

/// What training found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrainReport {
    pub(super) model: String,
    /// The files, and how they were used.
    pub(super) data: String,
    pub(super) test: Option<String>,
    /// Rows of the data.
    pub(super) rows: u64,
    pub(super) clicks: u64,
    pub(super) bad_rows: u64,
    pub(super) repeated_rows: u64,
    /// Those that were gone through, the pass that was kept and any after it.
    pub(super) passes: u32,
    /// Threads that had something to do.
    pub(super) threads: u32,
    /// Rows times passes by seconds.
    pub(super) rows_per_second: f64,
    /// Of reading and learning.
    pub(super) seconds: f64,
    /// Of the pass that was kept, each row predicted before it was learned. From the second pass on the model has seen it
    /// before. Where rows without a click were left out, an estimate for all, as in `curve`.
    pub(super) train_log_loss: f64,
    pub(super) test_rows: Option<u64>,
    pub(super) test_clicks: Option<u64>,
    pub(super) test_bad_rows: Option<u64>,
    pub(super) test_log_loss: Option<f64>,
    pub(super) test_auc: Option<f64>,
    /// Predicted by observed clicks.
    pub(super) test_calibration: Option<f64>,
    /// The log loss of predicting the training data's click rate for all rows: of the test, else of those held out, else of the data.
    pub(super) baseline_log_loss: f64,
    /// Rows of orders: clicks of which it is known whether one followed. Of a model that learns them; others have none.
    /// Folders of before have none of what is said of orders.
    #[serde(default)]
    pub(super) conversion_rows: u64,
    /// Those with an order.
    #[serde(default)]
    pub(super) conversions: u64,
    #[serde(default)]
    pub(super) test_conversion_log_loss: Option<f64>,
    #[serde(default)]
    pub(super) test_conversion_auc: Option<f64>,
    /// The log loss of predicting the training data's rate of orders for all clicks: of the test, or of the data where
    /// there is none.
    #[serde(default)]
    pub(super) baseline_conversion_log_loss: Option<f64>,
    pub(super) parameters: u64,
    /// Bytes of memory of the model.
    pub(super) bytes: u64,
    pub(super) collisions: Option<Collisions>,
    /// Where rows without a click were left out: estimated for all rows, from those that were learned.
    pub(super) curve: Vec<Point>,
    pub(super) test_curve: Vec<Point>,
    // What follows is not in the manifests of older models.
    /// Rows learned in a pass: neither held out, nor without a click and left out.
    #[serde(default)]
    pub(super) learned_rows: Option<u64>,
    /// The share of the rows without a click that was learned, if not all were.
    #[serde(default)]
    pub(super) negatives: Option<f64>,
    /// The share of the rows that was to be held out, how many that were, and how many of them are clicks.
    #[serde(default)]
    pub(super) held_out: Option<f64>,
    #[serde(default)]
    pub(super) held_out_rows: Option<u64>,
    #[serde(default)]
    pub(super) held_out_clicks: Option<u64>,
    /// Of the pass that was kept. It was chosen by this, so it is a little too good.
    #[serde(default)]
    pub(super) held_out_log_loss: Option<f64>,
    /// After each pass.
    #[serde(default)]
    pub(super) held_out_curve: Vec<Point>,
    /// The pass after which the model was kept, from 1.
    #[serde(default)]
    pub(super) kept_pass: Option<u32>,
    /// The folder of the model that training went on from, if it did.
    #[serde(default)]
    pub(super) from: Option<String>,
    /// Whether the vectors stayed those of the model that training went on from.
    #[serde(default)]
    pub(super) frozen_vectors: bool,
    /// Whether passes that were asked for were left out because the last ones brought nothing.
    #[serde(default)]
    pub(super) stopped_early: bool,
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
    /// Whether that below is of the rows' own click rate, because nothing is known of the training data.
    #[serde(skip)]
    pub(super) own_rate: bool,
    pub(super) baseline_log_loss: f64,
    /// Of clicks of which it is known whether an order followed, where the model learned them.
    pub(super) conversion_rows: u64,
    pub(super) conversions: u64,
    pub(super) conversion_log_loss: Option<f64>,
    pub(super) conversion_auc: Option<f64>,
    pub(super) baseline_conversion_log_loss: Option<f64>,
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
    /// Takes in what the kept model is worth on the test's rows.
    pub(super) fn note_test(&mut self, losses: &Losses, auc: Option<f64>, bad_rows: u64) {
        (self.test_rows, self.test_clicks) = (Some(losses.rows), Some(losses.positives));
        self.test_bad_rows = Some(bad_rows);
        self.test_log_loss = Some(losses.mean_log_loss());
        (self.test_auc, self.test_calibration) = (auc, losses.calibration());
    }

    /// The same of orders, where the model says anything of them.
    pub(super) fn note_test_orders(&mut self, losses: &Losses, auc: Option<f64>) {
        self.test_conversion_log_loss = (losses.rows > 0).then(|| losses.mean_log_loss());
        self.test_conversion_auc = auc;
    }

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
        if let Some(from) = &self.from {
            let what = if self.frozen_vectors { ", its vectors as they were" } else { "" };
            writeln!(out, "it went on from {from}{what}")?;
        }
        if let (Some(learned), true) = (self.learned_rows, self.negatives.or(self.held_out).is_some()) {
            write!(out, "of these {learned} in a pass: ")?;
            if let Some(share) = self.negatives {
                write!(out, "{:.1} % of those without a click, ", share * 100.0)?;
            }
            writeln!(out, "{} were held out", self.held_out_rows.unwrap_or_default())?;
        }
        let Self { passes, seconds, rows_per_second, threads, .. } = self;
        writeln!(out, "passes {passes}, {seconds:.1} s, {rows_per_second:.0} rows/s, {threads} threads")?;
        writeln!(out, "{} parameters, {:.1} MB", self.parameters, self.bytes as f64 / 1e6)?;
        let estimated = if self.negatives.is_some() { ", estimated for all rows" } else { "" };
        let pass = self.kept_pass.map_or("last pass".to_owned(), |pass| format!("pass {pass}"));
        writeln!(out, "log loss before learning each row, {pass}{estimated}: {:.6}", self.train_log_loss)?;
        if let (Some(rows), Some(pass)) = (self.held_out_rows, self.kept_pass) {
            let why = if self.stopped_early { ", stopped early" } else { "" };
            writeln!(
                out,
                "pass {pass} was kept{why}: log loss of the {rows} rows held out, after each pass:"
            )?;
            for (number, point) in self.held_out_curve.iter().enumerate() {
                writeln!(out, "  {:>4}  {:.6}", number + 1, point.log_loss)?;
            }
        }
        if let (Some(test), Some(rows)) = (&self.test, self.test_rows) {
            writeln!(out, "test on {rows} rows of {test}:")?;
            writeln!(out, "  log loss     {}", known(self.test_log_loss))?;
            writeln!(out, "  AUC          {}", known(self.test_auc))?;
            writeln!(out, "  calibration  {}", known(self.test_calibration))?;
        }
        writeln!(out, "log loss of the click rate alone: {:.6}", self.baseline_log_loss)?;
        if self.conversion_rows > 0 {
            let rate = self.conversions as f64 / self.conversion_rows as f64 * 100.0;
            writeln!(out, "orders of {} clicks ({rate:.3} %):", self.conversion_rows)?;
            if self.test_conversion_log_loss.is_some() {
                writeln!(out, "  test log loss  {}", known(self.test_conversion_log_loss))?;
                writeln!(out, "  test AUC       {}", known(self.test_conversion_auc))?;
            }
            writeln!(out, "  log loss of their rate alone: {}", known(self.baseline_conversion_log_loss))?;
        }
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
        let Self { model, data, rows, clicks, conversion_rows, conversions, .. } = self;
        let orders = match self.conversion_log_loss {
            Some(log_loss) => format!(
                "\norders of {conversion_rows} clicks, {conversions} orders\n\
                 log loss     {log_loss:.6}\nAUC          {}\nlog loss of the training data's rate of orders alone: {}",
                known(self.conversion_auc),
                known(self.baseline_conversion_log_loss)
            ),
            None => String::new(),
        };
        let whose = if self.own_rate { "these rows'" } else { "the training data's" };
        format!(
            "{model} on {rows} rows of {data}, {clicks} clicks, {:.0} rows/s\n\
             log loss     {:.6}\nAUC          {}\ncalibration  {}\nlog loss of {whose} click rate alone: {:.6}{orders}",
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
