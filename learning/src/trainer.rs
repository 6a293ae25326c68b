//! Learning, one example at a time.
//!
//! Stochastic gradient descent on the logarithmic loss with AdaGrad's rate per parameter (Duchi, Hazan, Singer 2011):
//! a parameter's step shrinks with the root of the sum of its squared gradients, so a rare feature takes large steps
//! when it comes and a common one settles. Gradients are clipped and parameters bounded, so no input, however
//! extreme or repeated, makes one infinite.
//!
//! The parameters learn from the model's own probability, the calibration from its score; what is served, and what progress
//! is measured on, is the calibrated one.

use std::sync::Arc;

use haggle_domain::PrivacyKey;

use crate::calibration::Calibrator;
use crate::error::ModelError;
use crate::guest::{Guest, GuestReport, Guests, Role};
use crate::head::{Head, Part, deviation, probability, settled};
use crate::model::Model;
use crate::progress::{Progress, Recent};
use crate::rates;
use crate::table::{LANES, Row, Table};

/// A rate that is believed before anything was seen, and how many examples it counts as.
#[derive(Clone, Copy)]
struct Prior {
    rate: f64,
    weight: f64,
}

/// Clicks of impressions. Hopeful and held on to: a new bidder whose first hundred impressions bring no click, which
/// chance alone does now and then, must go on bidding, or it would never learn better.
const CLICK_PRIOR: Prior = Prior { rate: 0.02, weight: 200.0 };
/// Orders of clicks. See [`CLICK_PRIOR`].
const CONVERSION_PRIOR: Prior = Prior { rate: 0.05, weight: 40.0 };
/// The baseline's: weak, so that it follows the data from the start and is no easy opponent.
const BASELINE_WEIGHT: f64 = 10.0;
/// Examples that the mean of what the model was unsure about remembers.
const REMEMBERED: f32 = 1000.0;

/// The parameters, what is known of how fast to change them, and how well they predicted.
pub(crate) struct HeadTrainer {
    prior: Prior,
    pub(crate) head: Head,
    /// Sums of squared gradients of the parameters in the same place.
    pub(crate) request_squares: Table,
    pub(crate) ad_squares: Table,
    /// The bias is the logit of the running rate, which is right at once, plus this, which adapts.
    pub(crate) offset: f32,
    pub(crate) offset_squares: f32,
    pub(crate) calibrator: Calibrator,
    pub(crate) progress: Progress,
    pub(crate) recent: Recent,
    /// How unsure it was of late examples. Not saved: some thousand examples bring it back.
    deviation: Option<f32>,
}

/// Learns from labelled examples and hands out models.
pub struct Trainer {
    pub(crate) click: HeadTrainer,
    pub(crate) conversion: HeadTrainer,
    pub(crate) guests: Guests,
}

impl Default for Trainer {
    fn default() -> Self {
        Self {
            click: HeadTrainer::new(CLICK_PRIOR),
            conversion: HeadTrainer::new(CONVERSION_PRIOR),
            guests: Guests::default(),
        }
    }
}

impl Trainer {
    /// Learns whether an impression was clicked, and returns what was predicted before.
    pub fn learn_click(&mut self, request: &[u32], ad: &[u32], clicked: bool) -> f32 {
        self.learn_click_of(None, request, ad, clicked)
    }

    /// The same of an impression that this user saw: for guests that serve a share of the users.
    pub fn learn_click_of(
        &mut self,
        user: Option<PrivacyKey>,
        request: &[u32],
        ad: &[u32],
        clicked: bool,
    ) -> f32 {
        let guests = &mut self.guests;
        self.click.learn(request, ad, clicked, |home| guests.learn(request, ad, user, home, clicked))
    }

    /// These models of archives are asked from now on, as many as [`crate::MOST_GUESTS`]; who was there keeps what was learned of
    /// them.
    pub fn set_guests(&mut self, guests: &[(Arc<Guest>, Role)]) {
        self.guests.set(guests);
    }

    /// Appends what was learned of the models of archives.
    pub fn save_guests(&self, out: &mut Vec<u8>) {
        self.guests.save(out);
    }

    /// Goes on with what [`Trainer::save_guests`] wrote, once [`Trainer::set_guests`] has named the same ones.
    ///
    /// # Errors
    ///
    /// The bytes are damaged; nothing has changed.
    pub fn restore_guests(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        self.guests.remember(bytes)
    }

    /// How the models of archives do.
    pub fn guest_reports(&self) -> Vec<GuestReport> {
        self.guests.reports()
    }

    /// Learns whether a click led to an order, and returns what was predicted before.
    pub fn learn_conversion(&mut self, request: &[u32], ad: &[u32], converted: bool) -> f32 {
        self.learn_conversion_of(None, request, ad, converted)
    }

    /// The same of this user's click.
    pub fn learn_conversion_of(
        &mut self,
        user: Option<PrivacyKey>,
        request: &[u32],
        ad: &[u32],
        converted: bool,
    ) -> f32 {
        let guests = &mut self.guests;
        self.conversion
            .learn(request, ad, converted, |home| guests.learn_order(request, ad, user, home, converted))
    }

    /// How well clicks were predicted.
    pub fn click_progress(&self) -> Progress {
        self.click.progress
    }

    /// How well conversions were predicted.
    pub fn conversion_progress(&self) -> Progress {
        self.conversion.progress
    }

    /// How well clicks were predicted lately.
    pub fn recent_clicks(&self) -> Recent {
        self.click.recent
    }

    /// How well conversions were predicted lately.
    pub fn recent_conversions(&self) -> Recent {
        self.conversion.recent
    }

    /// How unsure the model was lately, in clicks and in orders: the mean of [`Model::click_deviation`] over late examples.
    /// None before the first.
    pub fn deviations(&self) -> [Option<f32>; 2] {
        [self.click.deviation, self.conversion.deviation]
    }

    /// How many examples were learned: the version of the next snapshot.
    pub fn version(&self) -> u64 {
        self.click.progress.examples.saturating_add(self.conversion.progress.examples)
    }

    /// The model as it is now. Copies no parameters; what is learned after copies the pages it touches.
    pub fn snapshot(&self) -> Model {
        Model {
            version: self.version(),
            click: self.click.head.clone(),
            conversion: self.conversion.head.clone(),
            click_map: self.click.calibrator.calibration().clone(),
            conversion_map: self.conversion.calibrator.calibration().clone(),
            seats: self.guests.seats().into(),
        }
    }
}

impl HeadTrainer {
    fn new(prior: Prior) -> Self {
        let head = Head::new(0.0);
        let (request_squares, ad_squares) = (head.request.clone(), head.ad.clone());
        let mut trainer = Self {
            prior,
            head,
            request_squares,
            ad_squares,
            offset: 0.0,
            offset_squares: 0.0,
            calibrator: Calibrator::default(),
            progress: Progress::default(),
            recent: Recent::default(),
            deviation: None,
        };
        trainer.set_bias();
        trainer
    }

    /// Brings the bias in line with the running rate and the offset.
    pub(crate) fn set_bias(&mut self) {
        let rate = self.progress.rate(self.prior.rate, self.prior.weight);
        self.head.bias = (rate / (1.0 - rate)).ln() as f32 + self.offset;
    }

    /// `beside` makes of its own probability the one that is served.
    fn learn(&mut self, request: &[u32], ad: &[u32], label: bool, beside: impl FnOnce(f32) -> f32) -> f32 {
        let request_part = self.head.request_part(request);
        let ad_part = self.head.ad_part(ad);
        let score = self.head.score(&request_part, &ad_part);
        let served = beside(self.calibrator.learn(score, label));
        self.progress.note(f64::from(served), self.progress.rate(self.prior.rate, BASELINE_WEIGHT), label);
        self.recent.note(f64::from(served), label);
        let deviation = deviation(&request_part, &ad_part);
        self.deviation =
            Some(self.deviation.map_or(deviation, |mean| mean + (deviation - mean) / REMEMBERED));
        let slope = probability(score) - if label { 1.0 } else { 0.0 };
        step(&mut self.offset, &mut self.offset_squares, slope, rates::BIAS, rates::BIAS_CAUTION);
        self.learn_request(request, &request_part, &ad_part, slope);
        self.learn_ad(ad, &request_part, slope);
        self.set_bias();
        served
    }

    fn learn_request(&mut self, features: &[u32], request: &Part, ad: &Part, slope: f32) {
        let both: [f32; LANES] = std::array::from_fn(|lane| request.factors[lane] + ad.factors[lane]);
        let rate = rates::request_factor(features);
        for index in features {
            let row = self.head.request.row_mut(*index);
            // The derivative by a factor is the sum of all factors it meets: everyone's but its own.
            let met = std::array::from_fn(|lane| both[lane] - row.factors[lane]);
            step_row(row, self.request_squares.row_mut(*index), slope, &met, rate(*index));
        }
    }

    fn learn_ad(&mut self, features: &[u32], request: &Part, slope: f32) {
        for index in features {
            let row = self.head.ad.row_mut(*index);
            let squares = self.ad_squares.row_mut(*index);
            step_row(row, squares, slope, &request.factors, rates::AD_FACTOR);
        }
    }
}

fn step_row(row: &mut Row, squares: &mut Row, slope: f32, met: &[f32; LANES], rate: f32) {
    step(&mut row.linear, &mut squares.linear, slope, rates::LINEAR, rates::LINEAR_CAUTION);
    row.settled = settled(squares.linear);
    for ((factor, square), met) in row.factors.iter_mut().zip(&mut squares.factors).zip(met) {
        step(factor, square, slope * met, rate, rates::FACTOR_CAUTION);
    }
}

/// One AdaGrad step.
fn step(parameter: &mut f32, squares: &mut f32, gradient: f32, rate: f32, caution: f32) {
    let gradient = gradient.clamp(-1.0, 1.0);
    *squares += gradient * gradient;
    *parameter =
        (*parameter - rate * gradient / (*squares + caution).sqrt()).clamp(-rates::LIMIT, rates::LIMIT);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn publishing_copies_only_what_changed() {
        let mut trainer = Trainer::default();
        for i in 0..1000u32 {
            trainer.learn_click(&[i * 64, i * 640 + 7], &[5], i % 30 == 0);
        }
        let first = trainer.snapshot();
        let again = trainer.snapshot();
        assert_eq!(first.click.request.unshared(&again.click.request), 0);
        trainer.learn_click(&[0, 1, 64, 6400], &[5], true);
        let second = trainer.snapshot();
        assert_eq!(first.click.request.unshared(&second.click.request), 3, "0 and 1 share a page");
        assert_eq!(first.click.ad.unshared(&second.click.ad), 1);
        assert_eq!(first.conversion.request.unshared(&second.conversion.request), 0);
        assert_eq!((first.version(), second.version()), (1000, 1001));
    }

    #[test]
    fn a_snapshot_does_not_move() {
        let mut trainer = Trainer::default();
        let model = trainer.snapshot();
        let predict = || model.predict(&model.request_part(&[1, 2]), &model.ad_part(&[3]));
        let before = predict();
        for _ in 0..100 {
            trainer.learn_click(&[1, 2], &[3], true);
        }
        assert_eq!(predict(), before);
        assert!((before.click - 0.02).abs() < 1e-6 && (before.conversion - 0.05).abs() < 1e-6);
    }

    proptest! {
        /// Whoever computes a pair gets the same bits: the trainer, a snapshot, a clone of it.
        #[test]
        fn trainer_and_model_agree_to_the_bit(
            lessons in prop::collection::vec((0u32..1 << 24, 0u32..1 << 24, any::<bool>()), 1..60),
        ) {
            let mut trainer = Trainer::default();
            for (a, b, label) in lessons {
                let (request, ad) = ([a, b, a ^ 9], [b % 64, (32 << 18) + b % 4]);
                let model = trainer.snapshot();
                let copy = model.clone();
                let expected = model.predict(&model.request_part(&request), &model.ad_part(&ad));
                let copied = copy.predict(&copy.request_part(&request), &copy.ad_part(&ad));
                prop_assert_eq!(expected.click.to_bits(), copied.click.to_bits());
                let click = trainer.learn_click(&request, &ad, label);
                let conversion = trainer.learn_conversion(&request, &ad, !label);
                prop_assert_eq!(click.to_bits(), expected.click.to_bits());
                prop_assert_eq!(conversion.to_bits(), expected.conversion.to_bits());
            }
        }

        /// Repeated, contradicting, empty and absurdly long examples leave probabilities.
        #[test]
        fn nothing_makes_a_parameter_infinite(
            features in prop::collection::vec(any::<u32>(), 0..200),
            times in 1usize..300,
            flip: bool,
        ) {
            let mut trainer = Trainer::default();
            let twice: Vec<u32> = features.iter().chain(&features).copied().collect();
            for i in 0..times {
                let p = trainer.learn_click(&twice, &features, flip ^ (i % 7 == 0));
                prop_assert!((1e-6..=1.0 - 1e-6).contains(&p));
            }
            let model = trainer.snapshot();
            for index in &features {
                let row = model.click.request.row(*index);
                prop_assert!(row.factors.iter().chain([&row.linear]).all(|w| w.abs() <= rates::LIMIT));
            }
            let progress = trainer.click_progress();
            prop_assert!(progress.log_loss.is_finite() && progress.baseline_log_loss.is_finite());
        }
    }
}
