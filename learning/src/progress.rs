//! How well the model predicted what it had not yet learned.

/// Progressive validation (Blum, Kalai, Langford 1999): every example is predicted before it is learned, so these
/// sums since the start are an honest estimate on unseen data. The baseline is the rate so far, equally progressive
/// and smoothed by ten examples only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Examples so far.
    pub examples: u64,
    /// Positive ones among them.
    pub positives: u64,
    /// Sum of the model's logarithmic losses, in nats.
    pub log_loss: f64,
    /// Sum of the running rate's.
    pub baseline_log_loss: f64,
}

impl Progress {
    /// The model's mean logarithmic loss; 0 before the first example.
    pub fn mean_log_loss(&self) -> f64 {
        self.log_loss / self.examples.max(1) as f64
    }

    /// The running rate's mean logarithmic loss; 0 before the first example.
    pub fn mean_baseline_log_loss(&self) -> f64 {
        self.baseline_log_loss / self.examples.max(1) as f64
    }

    /// The rate so far, smoothed by `weight` examples at the rate `prior`; strictly between 0 and 1 if the prior is.
    pub(crate) fn rate(&self, prior: f64, weight: f64) -> f64 {
        (self.positives as f64 + prior * weight) / (self.examples as f64 + weight)
    }

    /// Counts an example that was predicted as `predicted` when the running rate was `rate`.
    pub(crate) fn note(&mut self, predicted: f64, rate: f64, label: bool) {
        let loss = |p: f64| if label { -p.ln() } else { -(1.0 - p).ln() };
        self.log_loss += loss(predicted);
        self.baseline_log_loss += loss(rate);
        self.examples = self.examples.saturating_add(1);
        self.positives = self.positives.saturating_add(u64::from(label));
    }
}
