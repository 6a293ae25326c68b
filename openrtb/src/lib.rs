//! OpenRTB 2.5 and 2.6 requests in, bids out.
//!
//! [`parse`] reads a body into a [`BidRequest`] that borrows from it. [`BidRequest::context`] and
//! [`BidRequest::imps`] turn it into `haggle_domain` terms, through the privacy gate. [`ResponseWriter`] appends the
//! answer to a buffer.
//!
//! Exchanges are read with tolerance: only what makes an answer impossible (no JSON, no id, no imp) is an error of the
//! call; what is wrong with one imp costs that imp; what is wrong elsewhere counts as not said, except where it might
//! have been a wish for privacy or a price floor.

mod convert;
mod domains;
mod escape;
mod markup;
pub mod privacy;
mod request;
mod response;

pub use convert::{Asker, Inventory, UserId, browser_name};
pub use markup::{BannerMarkup, Markup, NativeMarkup, VastMarkup};
pub use request::{
    Asset, Banner, BidRequest, BrandVersion, ChainNode, Channel, Content, DataAsset, Deal, Device, DurFloor,
    EventTracker, EveryOne, Floor, Format, Geo, Id, Image, Imp, Ints, Metric, Native, NativeRequest, Offer,
    Pmp, Presence, Publisher, Qty, RequestError, Source, Stream, Sua, SupplyChain, Title, TrafficOrigin,
    Words, parse,
};
pub use response::{Bid, ResponseHead, ResponseWriter, write_no_bid};
