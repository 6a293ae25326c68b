//! Haggle's shared vocabulary: money, time, identity, campaigns, opportunities, events, reasons.
//!
//! Everything here is plain data and pure functions. There is no I/O, no clock and no random generator: time
//! arrives as a [`Timestamp`], chance as a [`Draw`].

pub mod basis;
pub mod campaign;
pub mod codes;
pub mod creative;
pub mod draw;
pub mod event;
pub mod explore;
pub mod fit;
pub mod frequency;
pub mod holdout;
pub mod id;
pub mod money;
pub mod notice;
pub mod opportunity;
pub mod order;
pub mod place;
pub mod planted;
pub mod postcode;
pub mod profile;
pub mod quote;
pub mod rate;
pub mod reason;
pub mod targeting;
pub mod terms;
pub mod time;

pub use basis::{Basis, BasisSource};
pub use campaign::{Budget, Campaign, Category, Control, Flight, Goal, Limits, Pacing, ReturnLimit};
pub use codes::Codes;
pub use creative::{Ad, Creative, Format, Media, MediaFile, NativeAd, NativeImage, Stream, Verification};
pub use draw::Draw;
pub use event::{Decision, Event, Record};
pub use explore::{CandidatePolicy, CreativePolicy, Explore};
pub use fit::{Fit, Template};
pub use frequency::{CapScope, CapWindow, Frequency, FrequencyCap};
pub use holdout::{Group, Holdout};
pub use id::{BidId, CampaignKey, ExchangeKey, Holder, ListKey, NodeId, PrivacyKey, Tag, UserKey};
pub use money::{CpmMicros, Micros, MoneyError};
pub use notice::Notice;
pub use opportunity::{
    AuctionType, BannerSlot, Connection, Context, Deal, DealPrice, DeviceKind, DurationFloor, NativeAsset,
    NativeKind, NativeSlot, Opportunity, Pod, Quantity, Size, StreamSlot,
};
pub use order::{Attribution, AttributionModel, Credit, Order, OrderLine, ProvenClick, Standing};
pub use place::Place;
pub use postcode::Postcode;
pub use profile::{Behaviour, BehaviourKind, Profile};
pub use quote::{Footing, Quote, Segment};
pub use rate::{Rate, RateError, Rates};
pub use reason::NoBidReason;
pub use targeting::{Daypart, Predicate, Targeting};
pub use terms::Terms;
pub use time::{Clock, Timestamp};
