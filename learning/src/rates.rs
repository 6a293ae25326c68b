//! The learning rates and starting points.
//!
//! Chosen on three days of the demo's simulated shop (16,000 impressions each at 4 to 5 % clicks, where hidden tastes make
//! most of the truth unlearnable) for the part of the gap between the constant rate and the truth that is closed, all of
//! it and in the second half: 26 and 33 %. Faster steps win on worlds that are all interaction and no noise
//! (`tests/online_learning.rs`) and lose on that one.

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
pub(crate) const CAMPAIGN_START: f32 = 0.4;
/// The same for an ad's other features.
pub(crate) const OTHER_START: f32 = 0.09;

/// The variance of a feature's weight before anything was seen of it. It decides nothing about learning, only what is said of
/// how sure the model is.
pub(crate) const WEIGHT_VARIANCE: f32 = 0.1;

/// No weight or factor grows beyond this, whatever it is fed.
pub(crate) const LIMIT: f32 = 8.0;

/// Step of the factors of what a user likes and did, shared by all such features of a request.
const TASTE_FACTOR: f32 = 0.1;
/// Step of any other request feature's factors.
const PLACE_FACTOR: f32 = 0.002;

/// Steps of a request's features' factors. What a user likes and does interacts with what is advertised; the hour, the
/// country or the site far less, and there are many of them in each request, so they must earn their interactions
/// slowly: with one rate for all, their noise drowns the rest. A request with many interests moves each of them less
/// (the normalised step of Widrow and Hoff's rule): all of them move the score, and together they would overshoot.
pub(crate) fn request_factor(request: &[u32]) -> impl Fn(u32) -> f32 + use<> {
    let taste = |index: u32| Field::Interest.is_of(index) || Field::Behaviour.is_of(index);
    let shared = request.iter().filter(|index| taste(**index)).count().max(1);
    move |index| if taste(index) { TASTE_FACTOR / shared as f32 } else { PLACE_FACTOR }
}
