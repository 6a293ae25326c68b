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

/// How well the model predicted lately: sums in which each example weighs less the longer ago it was.
///
/// They remember some 20,000 examples, and where positive ones are rare as many as bring 200 of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recent {
    /// Examples, by their weight.
    pub examples: f64,
    /// Positive ones among them.
    pub positives: f64,
    /// Positive ones that were predicted: the sum of the probabilities.
    pub predicted: f64,
    /// The model's logarithmic losses, in nats.
    pub log_loss: f64,
}

/// Examples that are remembered where positive ones are not rare.
const EXAMPLES: f64 = 20_000.0;
/// Positive examples that are remembered where they are.
const POSITIVES: f64 = 200.0;
/// Examples that are remembered at most, however rare positive ones are.
const MOST_EXAMPLES: f64 = 1e6;

impl Recent {
    /// Predicted positives for each observed one: 1 is calibrated, 2 promises twice what comes. None before the first
    /// positive example.
    pub fn calibration(&self) -> Option<f64> {
        (self.positives > 0.0).then(|| self.predicted / self.positives)
    }

    /// The mean log loss, divided by that of always predicting the observed rate (He et al. 2014, section 3): below 1
    /// where the model tells more than the rate. None while all examples are of one kind.
    pub fn normalised_entropy(&self) -> Option<f64> {
        let rate = self.positives / self.examples.max(f64::MIN_POSITIVE);
        let entropy = -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln());
        (entropy > 0.0).then(|| self.log_loss / self.examples / entropy)
    }

    /// Counts an example that was predicted as `predicted`.
    pub(crate) fn note(&mut self, predicted: f64, label: bool) {
        let rate = (self.positives + 1.0) / (self.examples + 1.0);
        let faded = (rate / POSITIVES).clamp(1.0 / MOST_EXAMPLES, 1.0 / EXAMPLES);
        let positive = if label { 1.0 } else { 0.0 };
        let loss = if label { -predicted.ln() } else { -(1.0 - predicted).ln() };
        for (sum, value) in [
            (&mut self.examples, 1.0),
            (&mut self.positives, positive),
            (&mut self.predicted, predicted),
            (&mut self.log_loss, loss),
        ] {
            *sum += value - *sum * faded;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `label` is positive once in `every`; predicted is `factor` times that.
    fn noted(recent: &mut Recent, examples: usize, every: usize, factor: f64) {
        for i in 0..examples {
            recent.note(factor / every as f64, i % every == 0);
        }
    }

    #[test]
    fn gauges_say_how_far_off_predictions_are() {
        let mut recent = Recent::default();
        assert_eq!((recent.calibration(), recent.normalised_entropy()), (None, None));
        noted(&mut recent, 20_000, 50, 1.0);
        let entropy = recent.normalised_entropy().unwrap();
        assert!((recent.calibration().unwrap() - 1.0).abs() < 0.01 && (entropy - 1.0).abs() < 0.01);
        noted(&mut recent, 200_000, 50, 1.5);
        assert!((recent.calibration().unwrap() - 1.5).abs() < 0.02, "what was long ago is forgotten");
        assert!(recent.normalised_entropy().unwrap() > 1.01);
        assert!((recent.examples - 20_000.0).abs() < 200.0, "{recent:?}");
    }

    #[test]
    fn rare_positives_are_remembered_for_longer() {
        let mut recent = Recent::default();
        noted(&mut recent, 2_000_000, 1000, 3.0);
        assert!((recent.positives - 200.0).abs() < 5.0, "{recent:?}");
        assert!((recent.calibration().unwrap() - 3.0).abs() < 0.05, "whatever is predicted");
    }

    #[test]
    fn a_model_that_tells_positives_apart_has_little_entropy() {
        let mut recent = Recent::default();
        for i in 0..10_000 {
            let label = i % 20 == 0;
            recent.note(if label { 0.5 } else { 0.026 }, label);
        }
        assert!(recent.normalised_entropy().unwrap() < 0.4);
    }
}
