//! What is for sale.

use std::borrow::Cow;

use super::banner::Banner;
use super::deal::Pmp;
use super::lenient::{Floor, Id};
use super::native::Native;
use super::object::{Offer, object};
use super::stream::Stream;

object! {
    /// One placement for sale (section 3.2.4).
    pub Imp<'a> {
        b"id" =>
        /// Unique within the request; empty where the exchange forgot it.
        pub id: Id<'a>,
        b"tagid" =>
        /// The placement.
        pub tagid: Cow<'a, str>,
        b"displaymanager" =>
        /// The software that shows the ad.
        pub displaymanager: Cow<'a, str>,
        b"bidfloor" =>
        /// The least acceptable price.
        pub bidfloor: Floor,
        b"bidfloorcur" =>
        /// Its currency.
        pub bidfloorcur: Cow<'a, str>,
        b"secure" =>
        /// Only `https` assets.
        pub secure: bool,
        b"instl" =>
        /// Interstitial.
        pub instl: bool,
        b"ssai" =>
        /// Whether the ad is stitched into the stream by a server (AdCOM list).
        pub ssai: Option<i64>,
        b"exp" =>
        /// Within how many seconds the impression should come.
        pub exp: Option<i64>,
        b"banner" =>
        /// Offered as a banner.
        pub banner: Offer<Banner<'a>>,
        b"video" =>
        /// Offered as a video.
        pub video: Offer<Stream<'a>>,
        b"audio" =>
        /// Offered as audio.
        pub audio: Offer<Stream<'a>>,
        b"native" =>
        /// Offered as a native ad.
        pub native: Offer<Native>,
        b"pmp" =>
        /// Deals that bids may be made under.
        pub pmp: Offer<Pmp<'a>>,
        b"metric" =>
        /// What is known of the placement; elements that are no objects are left out.
        pub metric: Vec<Metric<'a>>,
        b"qty" =>
        /// How many impressions one showing counts for.
        pub qty: Offer<Qty<'a>>,
        b"rwdd" => rwdd: bool,
        b"ext" => ext: ImpExt,
        and
        /// Another imp of the request has the same id.
        pub(crate) repeats_id: bool,
    }
}

impl Imp<'_> {
    /// Whether the user is rewarded for watching: `rwdd`, or where it stood before OpenRTB 2.6: `ext.rewarded`,
    /// `video.ext.rewarded`, `ext.prebid.is_rewarded_inventory`.
    pub fn rewarded(&self) -> bool {
        let video = self.video.get().is_some_and(|video| video.ext.rewarded);
        self.rwdd || self.ext.rewarded || self.ext.prebid.is_rewarded_inventory || video
    }
}

object! {
    /// What exchanges add to an imp, as far as it is read.
    pub(super) ImpExt {
        b"rewarded" => rewarded: bool,
        b"prebid" => prebid: PrebidExt,
    }
}

object! {
    /// What one open-source exchange adds to an imp, as far as it is read.
    pub(super) PrebidExt {
        b"is_rewarded_inventory" => is_rewarded_inventory: bool,
    }
}

object! {
    /// A figure of the placement, such as its viewability (section 3.2.5).
    pub Metric<'a> {
        b"type" =>
        /// Of what.
        pub kind: Cow<'a, str>,
        b"value" =>
        /// How much.
        pub value: Option<f64>,
    }
}

object! {
    /// How many impressions one showing counts for (section 3.2.31).
    pub Qty<'a> {
        b"multiplier" =>
        /// So many.
        pub multiplier: Option<f64>,
        b"sourcetype" =>
        /// Who measured that (AdCOM list of DOOH multiplier measurement source types).
        pub sourcetype: Option<i64>,
        b"vendor" =>
        /// The measurer's domain.
        pub vendor: Cow<'a, str>,
    }
}
