//! Who sees a campaign: expressions over what a request and a profile say.

use std::time::Duration;

use crate::id::{ExchangeKey, ListKey, Tag};
use crate::opportunity::{Connection, DeviceKind};
use crate::place::Place;
use crate::profile::BehaviourKind;
use crate::time::Local;

/// All of `all`, at least one of `any` (where there are any), none of `none`. Empty matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targeting {
    /// Each must hold.
    pub all: Vec<Predicate>,
    /// One must hold, if there is one.
    pub any: Vec<Predicate>,
    /// Each must not hold.
    pub none: Vec<Predicate>,
}

/// One question about an opportunity. A list holds if any of its members does.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// `device.geo.country` (or `user.geo`), ISO 3166-1 alpha-3.
    Country(Vec<Tag>),
    /// `geo.region`, ISO 3166-2 without the country.
    Region(Vec<Tag>),
    /// `geo.city`.
    City(Vec<Tag>),
    /// `geo.zip`, or how it begins.
    Postcode(Vec<Tag>),
    /// No farther from a point than this.
    Near {
        /// The point.
        centre: Place,
        /// How far, at most.
        metres: u32,
    },
    /// A content category of the page or app, or one that it belongs to ([`Tag::category`]).
    Category(Vec<Tag>),
    /// A keyword of the page or app.
    Keyword(Vec<Tag>),
    /// A segment or keyword of the user.
    Segment(Vec<Tag>),
    /// A content category or keyword of the page or app, or a segment or keyword of the user.
    Interest(Vec<Tag>),
    /// Something the user did in the shop; never holds where the profile may not be read.
    Behaviour {
        /// What was done.
        did: BehaviourKind,
        /// To which product or category.
        what: Tag,
        /// How recently.
        within: Duration,
        /// How often, at least.
        at_least: u32,
    },
    /// The kind of device.
    Device(Vec<DeviceKind>),
    /// `device.os`.
    Os(Vec<Tag>),
    /// What the browser calls itself.
    Browser(Vec<Tag>),
    /// How the device is connected.
    Connection(Vec<Connection>),
    /// `device.language`.
    Language(Vec<Tag>),
    /// `site.domain` or `app.bundle`.
    Inventory(Vec<Tag>),
    /// A list of sites and apps that holds the one in question.
    List(Vec<ListKey>),
    /// `site.publisher.id` or `app.publisher.id`.
    Publisher(Vec<Tag>),
    /// `imp.tagid`.
    Placement(Vec<Tag>),
    /// A deal that the imp offers ([`Tag::exactly`]).
    Deal(Vec<Tag>),
    /// The exchange that asks.
    Exchange(Vec<ExchangeKey>),
    /// A list of users that holds this one; never holds where the basis does not allow to know them.
    UserList(Vec<ListKey>),
    /// Hours of the week where the user is; never holds where that is not known.
    Hours(Vec<Daypart>),
}

/// Hours of some days of the week: in the advertiser's zone for a campaign, in the user's for a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Daypart {
    /// Bit 0 is Monday.
    pub weekdays: u8,
    /// First minute of the day, 0..=1439.
    pub from_minute: u16,
    /// First minute after, 1..=1440; above `from_minute`.
    pub to_minute: u16,
}

impl Daypart {
    /// Whether a local moment lies inside.
    pub fn contains(&self, local: Local) -> bool {
        self.weekdays >> local.weekday & 1 == 1
            && (self.from_minute..self.to_minute).contains(&local.minute_of_day)
    }
}
