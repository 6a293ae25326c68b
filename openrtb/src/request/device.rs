//! What the ad shows on, and where that is.

use std::borrow::Cow;

use super::lenient::Words;
use super::object::{Bag, object};
use crate::privacy::Signal;

object! {
    /// A device (section 3.2.18). What tells one from another is for the privacy gate to hand out.
    pub Device<'a> {
        b"devicetype" =>
        /// Kind of device (AdCOM list of device types).
        pub devicetype: Option<i64>,
        b"make" =>
        /// Who made it.
        pub make: Cow<'a, str>,
        b"model" =>
        /// Its model.
        pub model: Cow<'a, str>,
        b"os" =>
        /// Operating system.
        pub os: Cow<'a, str>,
        b"osv" =>
        /// The system's version.
        pub osv: Cow<'a, str>,
        b"sua" =>
        /// What the browser says of itself, in parts.
        pub sua: Option<Box<Sua<'a>>>,
        b"language" =>
        /// Browser language, ISO 639-1.
        pub language: Cow<'a, str>,
        b"langb" =>
        /// Browser language, IETF BCP 47.
        pub langb: Cow<'a, str>,
        b"connectiontype" =>
        /// How it is connected (AdCOM list of connection types).
        pub connectiontype: Option<i64>,
        b"carrier" =>
        /// By whom it is connected.
        pub carrier: Cow<'a, str>,
        b"js" =>
        /// Whether it runs scripts.
        pub js: Option<i64>,
        b"w" =>
        /// The screen's width, in its own pixels.
        pub w: Option<i64>,
        b"h" =>
        /// The screen's height, in its own pixels.
        pub h: Option<i64>,
        b"geo" =>
        /// Where it is.
        pub geo: Geo<'a>,
        b"ext" => ext: Bag,
        b"ua" => pub(super) ua: Cow<'a, str>,
        b"ip" => pub(super) ip: Cow<'a, str>,
        b"ipv6" => pub(super) ipv6: Cow<'a, str>,
        b"ifa" => pub(super) ifa: Cow<'a, str>,
        b"dnt" => pub(super) dnt: Signal,
        b"lmt" => pub(super) lmt: Signal,
    }
}

/// Where a request's traffic comes from, for the gate that keeps machines out and for no other module: not to be stored,
/// logged or learned from.
#[derive(Clone, Copy, Debug)]
pub struct TrafficOrigin<'r> {
    /// What the browser or app says of itself.
    pub ua: &'r str,
    /// IPv4 address, perhaps shortened.
    pub ip: &'r str,
    /// IPv6 address, perhaps shortened.
    pub ipv6: &'r str,
}

impl Device<'_> {
    /// For the invalid-traffic gate alone.
    pub fn for_invalid_traffic_gate(&self) -> TrafficOrigin<'_> {
        TrafficOrigin { ua: &self.ua, ip: &self.ip, ipv6: &self.ipv6 }
    }

    /// For the name of the browser alone, which millions share.
    pub(crate) fn user_agent(&self) -> &str {
        &self.ua
    }
}

object! {
    /// A structured user agent (section 3.2.29).
    pub Sua<'a> {
        b"browsers" =>
        /// Browsers and what they are built on.
        pub browsers: Vec<BrandVersion<'a>>,
        b"platform" =>
        /// The operating system.
        pub platform: Option<Box<BrandVersion<'a>>>,
        b"mobile" =>
        /// 1 where it asks for pages for small screens.
        pub mobile: Option<i64>,
        b"model" =>
        /// The device's model.
        pub model: Cow<'a, str>,
    }
}

object! {
    /// A name and a version (section 3.2.30).
    pub BrandVersion<'a> {
        b"brand" =>
        /// The name.
        pub brand: Cow<'a, str>,
        b"version" =>
        /// The version's parts, the most significant first.
        pub version: Words<'a>,
    }
}

object! {
    /// A location (section 3.2.19). What is more precise than the region is for the privacy gate to hand out.
    pub Geo<'a> {
        b"country" =>
        /// ISO 3166-1 alpha-3.
        pub country: Cow<'a, str>,
        b"region" =>
        /// ISO 3166-2, without the country.
        pub region: Cow<'a, str>,
        b"utcoffset" =>
        /// The local time, in minutes ahead of UTC.
        pub utcoffset: Option<i64>,
        b"city" => pub(super) city: Cow<'a, str>,
        b"zip" => pub(super) zip: Cow<'a, str>,
        b"lat" => pub(super) lat: Option<f64>,
        b"lon" => pub(super) lon: Option<f64>,
    }
}
