//! The parts of an OpenRTB 2.6 bid request that are read. Empty text, an empty list and `None` mean "not said".

use std::borrow::Cow;
use std::time::Duration;

use super::lenient::{Floor, Presence, Said, Signal, UsPrivacy, Words};
use super::object::{Strict, object};

object! {
    /// A bid request (section 3.2.1), borrowed from its body.
    pub BidRequest<'a> {
        "id" =>
        /// Echoed in the response; never empty.
        pub id: Cow<'a, str>,
        "imp" =>
        /// What is for sale; never empty, in the request's order, flawed ones included.
        pub imps: Vec<Imp<'a>>,
        "at" =>
        /// Auction type.
        pub at: Option<i64>,
        "tmax" => tmax: Option<i64>,
        "test" =>
        /// Not to be billed.
        pub test: bool,
        "cur" =>
        /// Currencies that a bid may be in.
        pub cur: Words<'a>,
        "bcat" =>
        /// Categories of ads that are not wanted.
        pub bcat: Words<'a>,
        "badv" =>
        /// Domains of advertisers that are not wanted.
        pub badv: Words<'a>,
        "wseat" =>
        /// Seats that may bid; empty for all.
        pub wseat: Words<'a>,
        "bseat" =>
        /// Seats that may not.
        pub bseat: Words<'a>,
        "site" =>
        /// Where the ad shows, if on a site.
        pub site: Channel<'a>,
        "app" =>
        /// Where the ad shows, if in an app.
        pub app: Channel<'a>,
        "device" =>
        /// What it shows on.
        pub device: Device<'a>,
        "user" => pub(super) user: User<'a>,
        "regs" => pub(super) regs: Strict<Regs>,
    }
}

impl BidRequest<'_> {
    /// `tmax`: how long the exchange waits for the answer, the network's part included.
    pub fn tmax(&self) -> Option<Duration> {
        self.tmax
            .and_then(|millis| u64::try_from(millis).ok())
            .filter(|&millis| millis > 0)
            .map(Duration::from_millis)
    }
}

object! {
    /// One placement for sale (section 3.2.4).
    pub Imp<'a> {
        "id" =>
        /// Unique within the request; empty where the exchange forgot it.
        pub id: Cow<'a, str>,
        "tagid" =>
        /// The placement.
        pub tagid: Cow<'a, str>,
        "bidfloor" =>
        /// The least acceptable price.
        pub bidfloor: Floor,
        "bidfloorcur" =>
        /// Its currency.
        pub bidfloorcur: Cow<'a, str>,
        "secure" =>
        /// Only `https` assets.
        pub secure: bool,
        "instl" =>
        /// Interstitial.
        pub instl: bool,
        "banner" =>
        /// Offered as a banner.
        pub banner: Option<Banner>,
        "video" =>
        /// Offered as a video.
        pub video: Presence,
        "audio" =>
        /// Offered as audio.
        pub audio: Presence,
        "native" =>
        /// Offered as a native ad.
        pub native: Presence,
        and
        /// An earlier imp of the request has the same id.
        pub(crate) repeats_id: bool,
    }
}

object! {
    /// A banner (section 3.2.6).
    pub Banner {
        "w" =>
        /// Exact width, where there is no `format`.
        pub w: Option<i64>,
        "h" =>
        /// Exact height, where there is no `format`.
        pub h: Option<i64>,
        "format" =>
        /// Sizes that fit.
        pub format: Vec<Format>,
        "pos" =>
        /// Position on the screen.
        pub pos: Option<i64>,
    }
}

object! {
    /// A size, or a proportion, of a banner (section 3.2.10).
    pub Format {
        "w" =>
        /// Width.
        pub w: Option<i64>,
        "h" =>
        /// Height.
        pub h: Option<i64>,
        "wratio" =>
        /// Proportional width of a flexible ad.
        pub wratio: Option<i64>,
        "hratio" =>
        /// Proportional height of a flexible ad.
        pub hratio: Option<i64>,
    }
}

object! {
    /// A site (section 3.2.13) or an app (section 3.2.14).
    pub Channel<'a> {
        "domain" =>
        /// The site's domain.
        pub domain: Cow<'a, str>,
        "page" =>
        /// The site's page.
        pub page: Cow<'a, str>,
        "bundle" =>
        /// The app's id in its store.
        pub bundle: Cow<'a, str>,
        "cat" =>
        /// Content categories of the whole.
        pub cat: Words<'a>,
        "sectioncat" =>
        /// Content categories of the section.
        pub sectioncat: Words<'a>,
        "pagecat" =>
        /// Content categories of the page or view.
        pub pagecat: Words<'a>,
        "keywords" =>
        /// Keywords, separated by commas.
        pub keywords: Words<'a>,
        "kwarray" =>
        /// Keywords, one each.
        pub kwarray: Words<'a>,
        "publisher" =>
        /// Who publishes it.
        pub publisher: Publisher<'a>,
        "content" =>
        /// What the ad shows in.
        pub content: Content<'a>,
    }
}

object! {
    /// A publisher (section 3.2.15).
    pub Publisher<'a> {
        "id" =>
        /// As the exchange names it.
        pub id: Cow<'a, str>,
    }
}

object! {
    /// An article, a film, a game (section 3.2.16).
    pub Content<'a> {
        "cat" =>
        /// Its categories.
        pub cat: Words<'a>,
    }
}

object! {
    /// A device (section 3.2.18).
    pub Device<'a> {
        "devicetype" =>
        /// Kind of device (AdCOM list of device types).
        pub devicetype: Option<i64>,
        "os" =>
        /// Operating system.
        pub os: Cow<'a, str>,
        "language" =>
        /// Browser language, ISO 639-1.
        pub language: Cow<'a, str>,
        "geo" =>
        /// Where it is.
        pub geo: Geo<'a>,
        "dnt" => pub(super) dnt: Signal,
        "lmt" => pub(super) lmt: Signal,
    }
}

object! {
    /// A location (section 3.2.19). The city is for the privacy gate to hand out.
    pub Geo<'a> {
        "country" =>
        /// ISO 3166-1 alpha-3.
        pub country: Cow<'a, str>,
        "region" =>
        /// ISO 3166-2, without the country.
        pub region: Cow<'a, str>,
        "city" => pub(super) city: Cow<'a, str>,
    }
}

object! {
    /// A user (section 3.2.20); only the privacy gate hands it out.
    pub(crate) User<'a> {
        "id" =>
        /// The exchange's id.
        pub id: Cow<'a, str>,
        "buyeruid" =>
        /// Our id, after a user match.
        pub buyeruid: Cow<'a, str>,
        "keywords" =>
        /// Interests, separated by commas.
        pub keywords: Words<'a>,
        "kwarray" =>
        /// Interests, one each.
        pub kwarray: Words<'a>,
        "data" =>
        /// Segments by provider.
        pub data: Vec<Data<'a>>,
        "geo" =>
        /// The user's home.
        pub geo: Geo<'a>,
        "consent" => pub(super) consent: Said,
        "ext" => pub(super) ext: UserExt,
    }
}

object! {
    /// Where the consent string stood before OpenRTB 2.6.
    pub(super) UserExt {
        "consent" => pub(super) consent: Said,
    }
}

object! {
    /// What one provider knows of a user (section 3.2.21).
    pub(crate) Data<'a> {
        "segment" =>
        /// The segments that the user is in.
        pub segment: Vec<Segment<'a>>,
    }
}

object! {
    /// A segment of users (section 3.2.22).
    pub(crate) Segment<'a> {
        "id" =>
        /// As the provider names it.
        pub id: Cow<'a, str>,
    }
}

object! {
    /// Regulations (section 3.2.3).
    pub(super) Regs {
        "coppa" => pub(super) coppa: Signal,
        "gdpr" => pub(super) gdpr: Signal,
        "us_privacy" => pub(super) us_privacy: UsPrivacy,
        "gpp" => pub(super) gpp: Said,
        "gpp_sid" => pub(super) gpp_sid: Said,
        "ext" => pub(super) ext: Strict<RegsExt>,
    }
}

object! {
    /// Where regulations stood before OpenRTB 2.6.
    pub(super) RegsExt {
        "gdpr" => pub(super) gdpr: Signal,
        "us_privacy" => pub(super) us_privacy: UsPrivacy,
        "gpp" => pub(super) gpp: Said,
        "gpp_sid" => pub(super) gpp_sid: Said,
        "gpc" => pub(super) gpc: Signal,
    }
}
