//! CTR and CVR models that learn online.
//!
//! A request and an ad become a few hashed features each ([`request_features`], [`ad_features`]); a [`Model`] turns
//! them into the probability of a click and of an order after a click ([`Prediction`]). The model is immutable: a
//! [`Trainer`] learns from labelled [`Example`]s, which a [`LabelJoiner`] makes of the journal's feedback, and hands
//! out snapshots that share all that did not change.
//!
//! The model is factored: [`Model::request_part`] once per request, [`Model::ad_part`] once per ad and model, and a
//! candidate then costs one dot product of eight numbers for each of the two probabilities. A [`Calibrator`] behind each
//! learns what its scores are worth; it serves scores of other models as well.
//!
//! [`offline`] is for archives, which [`data`] reads: larger models, learned from rows by the million ([`Batch`]). In
//! [`frozen`] deep ones serve.

mod archive;
pub mod attribution;
mod calibration;
mod checkpoint;
pub mod data;
mod envelope;
mod error;
mod features;
pub mod frozen;
mod fusion;
pub mod guard;
mod guest;
mod head;
mod labels;
mod model;
pub mod offline;
mod progress;
mod rates;
mod rows;
mod table;
mod trainer;

pub use archive::{ARCHIVE_SCHEMA, archive_fields, archive_sides, push_archived, push_archived_conversion};
pub use calibration::{Calibration, Calibrator, logit};
pub use error::ModelError;
pub use features::{AdFeatures, RequestFeatures, ad_features, is_user_level, request_features};
pub use fusion::{Fusion, MOST_FUSED, Rule};
pub use guest::{Guest, GuestReport, MOST_GUESTS, Outside, Role, Seat};
pub use labels::{Example, ExampleKind, JoinerSettings, LabelJoiner};
pub use model::{AdPart, Model, Prediction, RequestPart};
pub use progress::{Progress, Recent};
pub use rows::{Batch, Rows, Slot};
pub use trainer::Trainer;
