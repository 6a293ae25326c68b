//! CTR models learned from archives: rows in batches, one pass or several, one thread.
//!
//! Every model is a [`Learner`]: [`Settings::build`] makes one, [`Learner::learn`] takes batches, [`Learner::predict`]
//! gives probabilities, [`Learner::save`] and [`load`] keep it. What a model is worth on rows it has not learned is in
//! [`metrics`]. Results depend on the rows, their order and the settings alone: with and without wide registers they are
//! the same.

mod adam;
pub mod bootstrap;
mod deep;
mod factors;
mod ffm;
pub(crate) mod file;
mod layer;
pub(crate) mod learner;
mod linear;
mod logistic;
pub(crate) mod math;
pub(crate) mod matrix;
pub mod metrics;
mod offset;
mod passes;
mod sample;
pub(crate) mod simd;
mod vectors;
mod weighted;

pub use deep::{Deep, DeepSettings};
pub use factors::FactorSettings;
pub use ffm::{Ffm, FfmSettings};
pub use file::{FileError, load, load_deep, verify};
pub use learner::{Learner, Settings, SettingsError};
pub use linear::LinearSettings;
pub use logistic::{Logistic, LogisticSettings};
pub use passes::Passes;
pub use sample::{HoldOut, Learned, Negatives, Sample};
