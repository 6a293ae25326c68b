//! The privacy gate: the one way to a user's data.
//!
//! User-level data is `user.id`, `user.buyeruid`, `user.eids`, `user.keywords`, `user.kwarray`, `user.data`, `user.geo`, and
//! any `geo.city`. Outside this module none of it can be reached but through [`BidRequest::user_data`], which asks for the
//! [`Basis`] that [`BidRequest::basis`] has found. What each signal does is in `docs/privacy.md`.

use haggle_domain::{Basis, BasisSource};

use super::device::Geo;
use super::lenient::Statement;
use super::model::BidRequest;
use super::user::User;
use crate::privacy::{Policy, Signals, decide};

/// What the gate gives out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserData<'r, 'a> {
    /// The user.
    pub(crate) user: &'r User<'a>,
    /// Where the device is; where that is not said, the user's home, if the ad may be chosen by it and learned from it.
    pub(crate) geo: &'r Geo<'a>,
    /// The city in `geo`; empty where the basis does not reach so far, or no ad may be chosen by it.
    pub(crate) city: &'r str,
}

impl<'a> BidRequest<'a> {
    /// What may be done with the user-level data, and which signal decided it. `policy` says who we are.
    pub fn basis<'r>(&'r self, policy: &Policy) -> (Basis, BasisSource) {
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
            countries: [&self.device.geo.country, &self.user.geo.country],
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
        let city = if basis.allows(Basis::TARGET.or(Basis::PRECISE_PLACE)) { &*geo.city } else { "" };
        Some(UserData { user: &self.user, geo, city })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parse;

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
