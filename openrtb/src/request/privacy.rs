//! The privacy gate: the one way to a user's data.
//!
//! User-level data is `user.id`, `user.buyeruid`, `user.eids`, `user.keywords`, `user.kwarray`, `user.data`, `user.geo`, and
//! any city, postcode and coordinates in `geo`, and the whole of an IP address. Outside this module none of it can be reached but through [`BidRequest::user_data`], which asks for the
//! [`Basis`] that [`BidRequest::basis`] has found. What each signal does is in `docs/privacy.md`.

use std::net::IpAddr;

use haggle_domain::{Basis, BasisSource, Place};

use super::device::Geo;
use super::lenient::Statement;
use super::model::BidRequest;
use super::user::User;
use crate::privacy::{Policy, Signals, decide, truncated};

/// What the gate gives out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserData<'r, 'a> {
    /// The user.
    pub(crate) user: &'r User<'a>,
    /// Where the device is; where that is not said, the user's home, if the ad may be chosen by it and learned from it.
    pub(crate) geo: &'r Geo<'a>,
    /// The city in `geo`; empty where the basis does not reach so far, or no ad may be chosen by it.
    pub(crate) city: &'r str,
    /// The postcode in `geo`; empty as the city is.
    pub(crate) postcode: &'r str,
    /// The coordinates in `geo`; absent as the city is.
    pub(crate) place: Option<Place>,
}

/// Whether an ad may be chosen by where in a region the user is.
const fn may_place(basis: Basis) -> bool {
    basis.allows(Basis::TARGET.or(Basis::PRECISE_PLACE))
}

impl<'a> BidRequest<'a> {
    /// What may be done with the user-level data, and which signal decided it. `policy` says who we are.
    pub fn basis(&self, policy: &Policy) -> (Basis, BasisSource) {
        self.basis_in("", policy)
    }

    /// The same, where the device names no country that there is and it is known by other means (ISO 3166-1 alpha-3; empty where
    /// the device's own counts): which law applies depends on it.
    pub fn basis_in<'r>(&'r self, country: &'r str, policy: &Policy) -> (Basis, BasisSource) {
        let (regs, ext) = (&self.regs.object, &self.regs.object.ext.object);
        let mut malformed = self.regs.malformed || regs.ext.malformed;
        let mut said = |one: &'r Statement<'a>, other: &'r Statement<'a>| -> &'r str {
            // Two places that say different things say nothing that could be relied on.
            let differ = !one.text.is_empty() && !other.text.is_empty() && one.text != other.text;
            malformed |= one.malformed || other.malformed || differ;
            if one.text.is_empty() { &other.text } else { &one.text }
        };
        let consent = said(&self.user.consent, &self.user.ext.consent);
        let us_privacy = said(&regs.us_privacy, &ext.us_privacy);
        let gpp = said(&regs.gpp, &ext.gpp);
        let (here, there) = (&regs.gpp_sid, &ext.gpp_sid);
        let differ = !here.list.is_empty() && !there.list.is_empty() && here.list != there.list;
        malformed |= here.malformed || there.malformed || differ;
        let signals = Signals {
            coppa: regs.coppa,
            gdpr: regs.gdpr.max(ext.gdpr),
            consent,
            us_privacy,
            gpp,
            gpp_sid: if here.list.is_empty() { &there.list } else { &here.list },
            gpc: regs.gpc.max(ext.gpc),
            lmt: self.device.lmt,
            dnt: self.device.dnt,
            countries: [
                if country.is_empty() { &*self.device.geo.country } else { country },
                &self.user.geo.country,
            ],
            malformed,
        };
        decide(&signals, policy)
    }

    /// The user-level data, where the basis allows to read it.
    pub(crate) fn user_data(&self, basis: Basis) -> Option<UserData<'_, 'a>> {
        if !basis.allows(Basis::READ) {
            return None;
        }
        let home_only = self.device.geo.country.is_empty() && !self.user.geo.country.is_empty();
        // Once taken, the home's country cannot be told from the device's, which nobody has to allow.
        let take_home = home_only && basis.allows(Basis::TARGET.or(Basis::LEARN));
        let geo = if take_home { &self.user.geo } else { &self.device.geo };
        let user = &self.user;
        if !may_place(basis) {
            return Some(UserData { user, geo, city: "", postcode: "", place: None });
        }
        let place = geo.lat.zip(geo.lon).and_then(|(north, east)| Place::from_degrees(north, east));
        Some(UserData { user, geo, city: &geo.city, postcode: &geo.zip, place })
    }

    /// The address that the request came from, to look up where that is: cut short unless an ad may be chosen by the precise
    /// place.
    pub fn address(&self, basis: Basis) -> Option<IpAddr> {
        let written = [&self.device.ip, &self.device.ipv6];
        let address = written.into_iter().find_map(|address| address.trim().parse::<IpAddr>().ok())?;
        Some(if may_place(basis) { address.to_canonical() } else { truncated(address) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parse;

    #[test]
    fn no_more_of_an_address_is_given_than_of_the_place() {
        let body = br#"{"id":"1","imp":[{}],"device":{"ip":"203.0.113.77"}}"#;
        let shown = |basis| parse(body).unwrap().address(basis).map(|address| address.to_string());
        assert_eq!(shown(Basis::ALL).as_deref(), Some("203.0.113.77"));
        assert_eq!(shown(Basis::TARGET.or(Basis::PRECISE_PLACE)).as_deref(), Some("203.0.113.77"));
        for basis in [Basis::NONE, Basis::TARGET.or(Basis::LEARN), Basis::LEARN.or(Basis::PRECISE_PLACE)] {
            assert_eq!(shown(basis).as_deref(), Some("203.0.113.0"), "{basis:?}");
        }
        let sixth = br#"{"id":"1","imp":[{}],"device":{"ip":"?","ipv6":"2001:db8:1:2:3:4:5:6"}}"#;
        assert_eq!(parse(sixth).unwrap().address(Basis::NONE), "2001:db8:1::".parse().ok());
    }

    #[test]
    fn postcode_and_coordinates_go_with_the_city() {
        let body = br#"{"id":"1","imp":[{}],"device":{"geo":{"country":"USA","city":"Reno","zip":"89501","lat":39.5,"lon":"-119.8"}}}"#;
        let request = parse(body).unwrap();
        for basis in [Basis::ALL, Basis::TARGET.or(Basis::PRECISE_PLACE), Basis::TARGET, Basis::PRECISE_PLACE]
        {
            let data = request.user_data(basis).unwrap();
            let precise = basis.allows(Basis::TARGET.or(Basis::PRECISE_PLACE));
            assert_eq!((!data.city.is_empty(), data.postcode == "89501"), (precise, precise), "{basis:?}");
            assert_eq!(data.place, Place::from_degrees(39.5, -119.8).filter(|_| precise), "{basis:?}");
        }
    }

    #[test]
    fn a_country_that_the_request_does_not_name_brings_its_law() {
        let silent = parse(br#"{"id":"1","imp":[{}]}"#).unwrap();
        assert_eq!(silent.basis_in("USA", &Policy::default()), (Basis::ALL, BasisSource::NoSignal));
        assert_eq!(silent.basis_in("DEU", &Policy::default()).0, Basis::NONE);
        let named = parse(br#"{"id":"1","imp":[{}],"device":{"geo":{"country":"USA"}}}"#).unwrap();
        assert_eq!(named.basis_in("", &Policy::default()).0, Basis::ALL);
        let nowhere = parse(br#"{"id":"1","imp":[{}],"device":{"geo":{"country":"XYZ"}}}"#).unwrap();
        assert_eq!(nowhere.basis_in("DEU", &Policy::default()).0, Basis::NONE, "a name alone hides no law");
    }

    #[test]
    fn the_home_and_the_city_are_for_those_who_may_choose_by_them() {
        let home = br#"{"id":"1","imp":[{}],"user":{"geo":{"country":"USA","city":"Reno"}}}"#;
        let here = br#"{"id":"1","imp":[{}],"device":{"geo":{"country":"USA","city":"Reno"}}}"#;
        let place = |body: &[u8], basis| {
            let request = parse(body).unwrap();
            let data = request.user_data(basis)?;
            Some((data.geo.country.to_string(), data.city.to_owned()))
        };
        let found = |country: &str, city: &str| Some((country.to_owned(), city.to_owned()));
        let both = Basis::TARGET.or(Basis::LEARN);
        for (basis, at_home, out) in [
            (Basis::ALL, found("USA", "Reno"), found("USA", "Reno")),
            (both, found("USA", ""), found("USA", "")),
            (Basis::TARGET.or(Basis::PRECISE_PLACE), found("", ""), found("USA", "Reno")),
            (Basis::LEARN.or(Basis::PRECISE_PLACE), found("", ""), found("USA", "")),
            (Basis::STORE, found("", ""), found("USA", "")),
            (Basis::NONE, None, None),
        ] {
            assert_eq!(place(home, basis), at_home, "{basis:?}");
            assert_eq!(place(here, basis), out, "{basis:?}");
        }
    }
}
