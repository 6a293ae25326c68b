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
    /// Where the device is; where that is not said, the user's home.
    pub(crate) geo: &'r Geo<'a>,
    /// The city in `geo`; empty where the basis does not reach so far.
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
        let geo = if home_only { &self.user.geo } else { &self.device.geo };
        let city = if basis.allows(Basis::PRECISE_PLACE) { &*geo.city } else { "" };
        Some(UserData { user: &self.user, geo, city })
    }
}
