//! The learning rates and starting points.
//!
//! Chosen on three days of the demo's simulated shop (16,000 impressions each at 4 to 5 % clicks, where hidden tastes make
//! most of the truth unlearnable) for the part of the gap between the constant rate and the truth that is closed, all of
//! it and in the second half: 21 and 28 %. Faster steps of the factors win on worlds that are all interaction and little
//! noise, and lose on this one: at five times the step of an interest's factors the model was worse than the rate.

use crate::features::Field;

/// Step of the bias.
pub(crate) const BIAS: f32 = 0.05;
/// Step of a weight.
pub(crate) const LINEAR: f32 = 0.03;
/// Step of an ad feature's factors.
pub(crate) const AD_FACTOR: f32 = 0.04;

/// What AdaGrad's sums of squares start from: the higher, the more careful the first steps.
pub(crate) const BIAS_CAUTION: f32 = 10.0;
/// See [`BIAS_CAUTION`].
pub(crate) const LINEAR_CAUTION: f32 = 2.0;
/// See [`BIAS_CAUTION`].
pub(crate) const FACTOR_CAUTION: f32 = 0.2;

/// Magnitude of each factor with which a campaign begins.
pub(crate) const CAMPAIGN_START: f32 = 0.3;
/// The same for an ad's other features.
pub(crate) const OTHER_START: f32 = 0.09;

/// No weight or factor grows beyond this, whatever it is fed.
pub(crate) const LIMIT: f32 = 8.0;

/// Step of a request feature's factors. What a user likes and does interacts with what is advertised; the hour, the
/// country or the site far less, and there are many of them in each request, so they must earn their interactions
/// slowly: with one rate for all, their noise drowns the rest.
pub(crate) fn request_factor(index: u32) -> f32 {
    if Field::Interest.is_of(index) || Field::Behaviour.is_of(index) { 0.02 } else { 0.002 }
}
