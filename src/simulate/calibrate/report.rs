//! What a calibration found, for people and programs.

use std::fmt::Write;

use serde::Serialize;

use super::marginal::{Estimate, What};

/// One marginal.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) marginal: String,
    /// What the log says.
    #[serde(flatten)]
    pub(super) log: Estimate,
    /// Simulated with the scenario that it began with, and with the fitted one; none where nothing such came.
    pub(super) before: Option<f64>,
    pub(super) after: Option<f64>,
    /// Whether the fitted scenario's lies within the log's interval.
    pub(super) within: bool,
    /// The keys that it was fitted by.
    pub(super) keys: &'static str,
}

impl Row {
    pub(super) fn of(what: &What, log: Estimate, before: Option<f64>, after: Option<f64>) -> Self {
        let within = after.is_some_and(|after| (log.low..=log.high).contains(&after));
        Self { marginal: what.name(), log, before, after, within, keys: what.keys() }
    }

    /// How far the fitted scenario's is off, as a share.
    fn off(&self) -> Option<f64> {
        self.after.filter(|_| self.log.value > 0.0).map(|after| after / self.log.value - 1.0)
    }
}

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// The scenario that it began with, and the file that was written.
    pub(super) scenario: String,
    pub(super) out: String,
    pub(super) seed: u64,
    pub(super) seeds: u32,
    /// How often it was simulated and corrected.
    pub(super) rounds: u32,
    pub(super) marginals: Vec<Row>,
    /// What the log does not tell, and what to know before the figures are believed.
    pub(super) notes: Vec<String>,
    pub(super) problems: Vec<String>,
}

/// Four digits or so.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.3}"),
        size if size >= 0.01 => format!("{value:.4}"),
        _ => format!("{value:.6}"),
    }
}

impl Report {
    pub(super) fn text(&self) -> String {
        let known = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
        let width = self.marginals.iter().map(|row| row.marginal.chars().count()).max().unwrap_or(0);
        // Writing to a text cannot fail.
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} fitted in {} rounds of {} worlds, and judged in {} others from seed {}\n",
            self.scenario,
            self.rounds,
            self.seeds,
            self.seeds,
            self.seed + u64::from(self.seeds)
        );
        let _ = writeln!(
            text,
            "{:<width$} {:>9} {:>9} {:>19} {:>9} {:>9} {:>7}  within",
            "marginal", "count", "log", "interval", "before", "after", "off"
        );
        for row in &self.marginals {
            let off = row.off().map_or_else(|| "–".to_owned(), |off| format!("{:+.1} %", off * 100.0));
            let _ = writeln!(
                text,
                "{:<width$} {:>9} {:>9} {:>19} {:>9} {:>9} {off:>7}  {}",
                row.marginal,
                row.log.count,
                short(row.log.value),
                format!("{} … {}", short(row.log.low), short(row.log.high)),
                known(row.before),
                known(row.after),
                if row.within { "yes" } else { "no" }
            );
        }
        for note in &self.notes {
            let _ = write!(text, "\nnote: {note}");
        }
        for problem in &self.problems {
            let _ = write!(text, "\nPROBLEM: {problem}");
        }
        let _ = write!(text, "\nwritten: {}", self.out);
        text
    }

    /// The table as lines for the scenario's comments, of the marginals that were fitted by keys of this kind.
    pub(super) fn said(&self, kind: &str) -> Vec<String> {
        let of = |row: &&Row| row.keys.split(", ").any(|key| key.split('.').next() == Some(kind));
        let line = |row: &Row| {
            format!(
                "{}: {} ({} to {}, of {}) in the log, {} simulated",
                row.marginal,
                short(row.log.value),
                short(row.log.low),
                short(row.log.high),
                row.log.count,
                row.after.map_or_else(|| "nothing".to_owned(), short)
            )
        };
        self.marginals.iter().filter(of).map(line).collect()
    }
}
