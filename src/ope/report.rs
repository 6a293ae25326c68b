//! What `haggle ope` says.

use serde::Serialize;

/// What one estimator says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) estimator: &'static str,
    /// The policy's mean reward of a row.
    pub(super) value: f64,
    /// Between what it lies with 95 % confidence; none with too few clicks or runs.
    pub(super) interval: Option<(f64, f64)>,
    /// By what share that is more than the log earned.
    pub(super) relative: Option<f64>,
    /// Between what the difference to what the log earned lies.
    pub(super) difference: Option<(f64, f64)>,
    /// Where the truth is known: the mean relative error over the runs.
    pub(super) relative_error: Option<f64>,
}

impl Line {
    /// The policy against the logged one, as far as the interval of the difference shows it.
    fn verdict(&self) -> &'static str {
        match self.difference {
            Some((low, _)) if low > 0.0 => "better",
            Some((_, high)) if high < 0.0 => "worse",
            Some(_) => "no difference shown",
            None => "not judged",
        }
    }
}

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) log: String,
    pub(super) policy: String,
    pub(super) rows: u64,
    pub(super) clicks: u64,
    pub(super) actions: u64,
    pub(super) bad_rows: u64,
    /// What the log earned a row.
    pub(super) mean: f64,
    pub(super) mean_interval: Option<(f64, f64)>,
    pub(super) effective_sample: f64,
    pub(super) largest_weight: f64,
    pub(super) mean_weight: f64,
    pub(super) mean_weight_interval: Option<(f64, f64)>,
    /// The share of what the policy does that was never logged.
    pub(super) never_logged: f64,
    pub(super) switch: f64,
    /// The share of all weight that switch-DR leaves to the model; with all of it, it is DM.
    pub(super) switched: f64,
    pub(super) seed: u64,
    pub(super) runs: u64,
    pub(super) truth: Option<f64>,
    #[serde(rename = "estimates")]
    pub(super) lines: Vec<Line>,
}

fn between(ends: Option<(f64, f64)>, digits: usize) -> String {
    ends.map_or("unknown".to_owned(), |(low, high)| format!("{low:.digits$} to {high:.digits$}"))
}

impl Report {
    /// For a person.
    pub(super) fn text(&self) -> String {
        let Self { rows, clicks, actions, mean_weight, largest_weight, effective_sample, .. } = self;
        let mut lines = vec![
            format!(
                "policy {}, on {rows} rows of {}, {clicks} clicks, {actions} actions",
                self.policy, self.log
            ),
            format!("the log earned {:.6} a row ({})", self.mean, between(self.mean_interval, 6)),
            format!(
                "effective sample {effective_sample:.0} rows, largest weight {largest_weight:.1}, mean weight \
                 {mean_weight:.3} ({}), never logged {:.1} %",
                between(self.mean_weight_interval, 3),
                100.0 * self.never_logged
            ),
        ];
        if let Some((low, high)) = self.mean_weight_interval
            && (low > 1.001 || high < 0.999)
        {
            lines.push(
                "the mean weight is not 1, as it is where propensities are right and the log has all that the policy does: \
                 IPS is off by as much, the others may be"
                    .to_owned(),
            );
        }
        lines.push(format!(
            "switch-DR leaves rows that weigh more than {} to the model: {:.0} % of all weight",
            self.switch,
            100.0 * self.switched
        ));
        let error = if self.truth.is_some() { "relative error  " } else { "" };
        lines.push(format!(
            "{:<11}{:>10}  {:<24}{:>10}  {error}verdict",
            "", "value", "95 % interval", "relative"
        ));
        for line in &self.lines {
            let relative = line.relative.map_or("unknown".to_owned(), |it| format!("{:+.1} %", 100.0 * it));
            let error = match (self.truth, line.relative_error) {
                (None, _) => String::new(),
                (Some(_), Some(error)) => format!("{error:>14.3}  "),
                (Some(_), None) => format!("{:>14}  ", "unknown"),
            };
            lines.push(format!(
                "{:<11}{:>10.6}  {:<24}{relative:>10}  {error}{}",
                line.estimator,
                line.value,
                between(line.interval, 6),
                line.verdict()
            ));
        }
        lines.join("\n")
    }
}
