//! Whom the ad is shown to.

use std::borrow::Cow;

use super::device::Geo;
use super::lenient::{Statement, Words};
use super::object::object;

object! {
    /// A user (section 3.2.20); only the privacy gate hands it out.
    pub(crate) User<'a> {
        b"id" =>
        /// The exchange's id.
        pub id: Cow<'a, str>,
        b"buyeruid" =>
        /// Our id, after a user match.
        pub buyeruid: Cow<'a, str>,
        b"keywords" =>
        /// Interests, separated by commas.
        pub keywords: Words<'a>,
        b"kwarray" =>
        /// Interests, one each.
        pub kwarray: Words<'a>,
        b"data" =>
        /// Segments by provider.
        pub data: Vec<Data<'a>>,
        b"geo" =>
        /// The user's home.
        pub geo: Geo<'a>,
        b"eids" => pub(super) eids: Vec<Eid<'a>>,
        b"consent" => pub(super) consent: Statement<'a>,
        b"ext" => pub(super) ext: UserExt<'a>,
    }
}

impl<'a> User<'a> {
    /// Ids that others gave the user: `eids`, then `ext.eids`, where they stood before OpenRTB 2.6.
    pub fn extended_ids(&self) -> impl Iterator<Item = &Eid<'a>> {
        self.eids.iter().chain(&self.ext.eids)
    }
}

object! {
    /// What stood elsewhere before OpenRTB 2.6.
    pub(super) UserExt<'a> {
        b"eids" => pub(super) eids: Vec<Eid<'a>>,
        b"consent" => pub(super) consent: Statement<'a>,
    }
}

object! {
    /// The ids of one source (section 3.2.27).
    pub(crate) Eid<'a> {
        b"source" =>
        /// The source's domain.
        pub source: Cow<'a, str>,
        b"uids" =>
        /// The ids.
        pub uids: Vec<Uid<'a>>,
    }
}

object! {
    /// One id (section 3.2.28).
    pub(crate) Uid<'a> {
        b"id" =>
        /// As the source names the user.
        pub id: Cow<'a, str>,
    }
}

object! {
    /// What one provider knows of a user (section 3.2.21).
    pub(crate) Data<'a> {
        b"segment" =>
        /// The segments that the user is in.
        pub segment: Vec<Segment<'a>>,
    }
}

object! {
    /// A segment of users (section 3.2.22).
    pub(crate) Segment<'a> {
        b"id" =>
        /// As the provider names it.
        pub id: Cow<'a, str>,
    }
}
