//! An immutable model: what a snapshot of the request path holds.

use std::fmt;
use std::sync::Arc;

use haggle_domain::UserKey;

use crate::calibration::Calibration;
use crate::frozen::Scores;
use crate::guest::{Seat, choose};
use crate::head::{Head, Part, deviation};
use crate::trainer::Trainer;

/// What the model says of showing an ad. Both within [1e-6, 1 − 1e-6] and never NaN.
///
/// Single precision: the parameters have no more, and money is never computed from a float without rounding down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The probability that the impression is clicked.
    pub click: f32,
    /// The probability that a click leads to an order.
    pub conversion: f32,
}

/// What a request brings to every pair it is in; holds for the model that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestPart {
    click: Part,
    conversion: Part,
}

/// What an ad brings to every pair it is in; holds for the model that made it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdPart {
    click: Part,
    conversion: Part,
}

/// A click model and a conversion model that do not change. A clone shares all parameters.
#[derive(Clone)]
pub struct Model {
    pub(crate) version: u64,
    pub(crate) click: Head,
    pub(crate) conversion: Head,
    pub(crate) click_map: Calibration,
    pub(crate) conversion_map: Calibration,
    pub(crate) seats: Arc<[Seat]>,
}

impl Model {
    /// How many examples taught it. Rises from snapshot to snapshot; 0 is the untrained model.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The request's side of the scores, once per request.
    pub fn request_part(&self, features: &[u32]) -> RequestPart {
        RequestPart {
            click: self.click.request_part(features),
            conversion: self.conversion.request_part(features),
        }
    }

    /// The ad's side of the scores, once per ad and model.
    pub fn ad_part(&self, features: &[u32]) -> AdPart {
        AdPart { click: self.click.ad_part(features), conversion: self.conversion.ad_part(features) }
    }

    /// The probabilities of a pair: two dot products of eight numbers, each score read off its calibration.
    pub fn predict(&self, request: &RequestPart, ad: &AdPart) -> Prediction {
        Prediction {
            click: self.click_map.probability(self.click.score(&request.click, &ad.click)),
            conversion: self
                .conversion_map
                .probability(self.conversion.score(&request.conversion, &ad.conversion)),
        }
    }

    /// How unsure the model is of a pair's click: the standard deviation of its log odds, by what was seen of each feature.
    /// At most some 2, with nothing seen; it falls with the root of what is. Features count as independent and their
    /// interactions as known, so it is an order of magnitude, for choosing what to try, and no interval.
    pub fn click_deviation(&self, request: &RequestPart, ad: &AdPart) -> f32 {
        deviation(&request.click, &ad.click)
    }

    /// The models of archives that have a say in bids.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Which of them has a say in bids for this user, at most one.
    pub fn seat_of(&self, user: Option<UserKey>) -> Option<usize> {
        choose(&self.seats, user)
    }

    /// A prediction with what such a model's scores change about it; what it says nothing of stays.
    pub fn with_guest(&self, own: Prediction, seat: &Seat, scores: Scores) -> Prediction {
        Prediction {
            click: seat.clicks.fused(own.click, scores.click),
            conversion: scores
                .conversion
                .map_or(own.conversion, |score| seat.orders.fused(own.conversion, score)),
        }
    }
}

impl Default for Model {
    /// Untrained: the prior rates for everything.
    fn default() -> Self {
        Trainer::default().snapshot()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("version", &self.version).finish_non_exhaustive()
    }
}
