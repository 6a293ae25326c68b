//! The request as a whole. Everywhere, empty text, an empty list and `None` mean "not said".

use std::time::Duration;

use super::channel::Channel;
use super::device::Device;
use super::imp::Imp;
use super::lenient::{Id, Words};
use super::object::{Bag, EveryOne, Strict, object};
use super::regs::Regs;
use super::source::{Source, SupplyChain};
use super::user::User;
use crate::privacy::Signal;

object! {
    /// A bid request (section 3.2.1), borrowed from its body.
    pub BidRequest<'a> {
        b"id" =>
        /// Echoed in the response; never empty.
        pub id: Id<'a>,
        b"imp" =>
        /// What is for sale; never empty, in the request's order, flawed ones included.
        pub imps: EveryOne<Imp<'a>>,
        b"at" =>
        /// Auction type.
        pub at: Option<i64>,
        b"tmax" => tmax: Option<i64>,
        b"test" =>
        /// Not to be billed.
        pub test: Signal,
        b"allimps" =>
        /// These are all the impressions of the page or screen.
        pub allimps: bool,
        b"cur" =>
        /// Currencies that a bid may be in.
        pub cur: Words<'a>,
        b"bcat" =>
        /// Categories of ads that are not wanted.
        pub bcat: Words<'a>,
        b"acat" =>
        /// Categories of ads that are wanted alone; empty for all.
        pub acat: Words<'a>,
        b"cattax" =>
        /// The taxonomy of `bcat` and `acat` (AdCOM list of category taxonomies).
        pub cattax: Option<i64>,
        b"badv" =>
        /// Domains of advertisers that are not wanted.
        pub badv: Words<'a>,
        b"bapp" =>
        /// Advertised apps that are not wanted, by their ids in their stores.
        pub bapp: Words<'a>,
        b"wseat" =>
        /// Seats that may bid; empty for all.
        pub wseat: Words<'a>,
        b"bseat" =>
        /// Seats that may not.
        pub bseat: Words<'a>,
        b"wlang" =>
        /// Languages that an ad may be in, ISO 639-1; empty for all.
        pub wlang: Words<'a>,
        b"wlangb" =>
        /// Languages that an ad may be in, IETF BCP 47; empty for all.
        pub wlangb: Words<'a>,
        b"site" =>
        /// Where the ad shows, if on a site.
        pub site: Option<Box<Channel<'a>>>,
        b"app" =>
        /// Where the ad shows, if in an app.
        pub app: Option<Box<Channel<'a>>>,
        b"dooh" =>
        /// Where the ad shows, if out of home.
        pub dooh: Option<Box<Channel<'a>>>,
        b"device" =>
        /// What it shows on.
        pub device: Device<'a>,
        b"source" =>
        /// Who else took part in the sale.
        pub source: Source<'a>,
        b"user" => pub(super) user: User<'a>,
        b"regs" => pub(super) regs: Strict<Regs<'a>>,
        b"ext" => ext: Bag,
        and
        /// It says what the specification rules out: several of `site`, `app` and `dooh`, or something else where one of its
        /// objects belongs. Nobody knows what is for sale then, nor which law holds.
        pub(crate) contradicts_itself: bool,
    }
}

impl<'a> BidRequest<'a> {
    /// `tmax`: how long the exchange waits for the answer, the network's part included.
    pub fn tmax(&self) -> Option<Duration> {
        self.tmax
            .and_then(|millis| u64::try_from(millis).ok())
            .filter(|&millis| millis > 0)
            .map(Duration::from_millis)
    }

    /// Where the ad shows: the site, the app, the screens out of home, in this order. The specification wants one of
    /// them; some send several, and some none.
    pub fn channels(&self) -> impl Iterator<Item = &Channel<'a>> {
        [&self.site, &self.app, &self.dooh].into_iter().filter_map(Option::as_deref)
    }

    /// Who sells on behalf of whom: `source.schain`, else `source.ext.schain`, where it stood before OpenRTB 2.6.
    pub fn supply_chain(&self) -> Option<&SupplyChain<'a>> {
        self.source.schain.as_deref().or(self.source.ext.schain.as_deref())
    }
}
