//! The learning rates and starting points.
//!
//! Chosen by random search on seven made-up worlds (6 to 24 campaigns; interactions of campaigns with interests, with
//! sites, strong and weak site effects; 3,000 to 40,000 examples at 3 to 13 % positives), for the part of the gap
//! between the constant rate and the truth that is closed in the second half. The optimum is flat: halving or doubling
//! any one of them costs a few points of that part.

use crate::features::Field;

/// Step of the bias.
pub(crate) const BIAS: f32 = 0.05;
/// Step of a weight.
pub(crate) const LINEAR: f32 = 0.025;
/// Step of an ad feature's factors.
pub(crate) const AD_FACTOR: f32 = 0.04;

/// What AdaGrad's sums of squares start from: the higher, the more careful the first steps.
pub(crate) const BIAS_CAUTION: f32 = 10.0;
/// See [`BIAS_CAUTION`].
pub(crate) const LINEAR_CAUTION: f32 = 2.0;
/// See [`BIAS_CAUTION`].
pub(crate) const FACTOR_CAUTION: f32 = 0.2;

/// Magnitude of each factor with which a campaign begins.
pub(crate) const CAMPAIGN_START: f32 = 0.6;
/// The same for an ad's other features.
pub(crate) const OTHER_START: f32 = 0.09;

/// No weight or factor grows beyond this, whatever it is fed.
pub(crate) const LIMIT: f32 = 8.0;

/// Step of a request feature's factors. What a user likes and does interacts with what is advertised; the hour, the
/// country or the site far less, and there are many of them in each request, so they must earn their interactions
/// slowly: with one rate for all, their noise drowns the rest (33 instead of 78 % of the gap in the search).
pub(crate) fn request_factor(index: u32) -> f32 {
    if Field::Interest.is_of(index) || Field::Behaviour.is_of(index) { 0.1 } else { 0.002 }
}
