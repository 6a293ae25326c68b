//! What compression found, as JSON and as a table.

use std::fmt::Write;

use haggle_learning::data::ReadReport;
use serde::Serialize;

use super::super::args::CompressArgs;

/// Forms of one model, judged on the same rows: as it learned, as it serves, and smaller ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::model) struct CompressReport {
    pub(super) model: String,
    pub(super) data: String,
    pub(super) rows: u64,
    pub(super) clicks: u64,
    pub(super) bad_rows: u64,
    pub(super) repeated_rows: u64,
    pub(super) forms: Vec<Form>,
    /// The folder that the last form was written to.
    pub(super) out: Option<String>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Form {
    /// `learned`, `full`, or the methods.
    pub(super) method: String,
    pub(super) file_bytes: u64,
    /// Bytes of memory, and of one ad's part of it.
    pub(super) bytes: u64,
    pub(super) ad_bytes: Option<u64>,
    /// Numbers that it holds.
    pub(super) parameters: u64,
    /// Nanoseconds to predict a row, one thread, and to score one of 256 candidates of a request.
    pub(super) row_ns: f64,
    pub(super) candidate_ns: Option<f64>,
    pub(super) auc: Option<f64>,
    /// Less that of `learned`.
    pub(super) auc_change: Option<f64>,
    pub(super) log_loss: f64,
    pub(super) log_loss_change: f64,
    pub(super) calibration: Option<f64>,
    /// Of clicks and whether an order followed, where the model learned that.
    pub(super) conversion_log_loss: Option<f64>,
    pub(super) conversion_auc: Option<f64>,
}

impl CompressReport {
    /// `forms` starts with the one that all others are compared with.
    pub(super) fn new(args: &CompressArgs, read: &ReadReport, mut forms: Vec<Form>) -> Self {
        if let Some((learned, others)) = forms.split_first_mut() {
            for form in others {
                form.auc_change = form.auc.zip(learned.auc).map(|(one, other)| one - other);
                form.log_loss_change = form.log_loss - learned.log_loss;
            }
        }
        Self {
            model: args.model.display().to_string(),
            data: args.data.display().to_string(),
            rows: read.rows,
            clicks: read.clicks,
            bad_rows: read.bad.count,
            repeated_rows: read.repeated,
            forms,
            out: args.out.as_ref().map(|path| path.display().to_string()),
        }
    }

    /// For a person.
    pub(in crate::model) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{} on {} rows of {}, {} clicks", self.model, self.rows, self.data, self.clicks)?;
        writeln!(
            out,
            "{:<20} {:>9} {:>6} {:>9} {:>5} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "file", "of", "memory", "ad", "row", "candidate", "AUC", "", "log loss", ""
        )?;
        let full = self.forms.iter().find(|form| form.method == "full");
        for form in &self.forms {
            let size = full.map_or(0.0, |full| form.file_bytes as f64 / full.file_bytes.max(1) as f64);
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let optional = |value: Option<f64>, digits| {
                value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
            };
            let signed = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:+.6}"));
            writeln!(
                out,
                "{:<20} {:>6.3} MB {:>5.2}x {:>6.3} MB {:>5} {:>4.0} ns {:>6} ns {:>9} {:>9} {:>9.6} {:>9}",
                form.method,
                megabytes(form.file_bytes),
                size,
                megabytes(form.bytes),
                form.ad_bytes.map_or("-".to_owned(), |bytes| bytes.to_string()),
                form.row_ns,
                optional(form.candidate_ns, 1),
                optional(form.auc, 6),
                signed(form.auc_change),
                form.log_loss,
                signed(Some(form.log_loss_change)),
            )?;
        }
        match &self.out {
            Some(folder) => write!(out, "wrote the last to {folder}"),
            None => Ok(()),
        }
    }
}
