//! Who sees a campaign: expressions over what a request and a profile say.

use std::time::Duration;

use crate::id::{ExchangeKey, Tag};
use crate::opportunity::DeviceKind;
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
    /// `device.language`.
    Language(Vec<Tag>),
    /// `site.domain` or `app.bundle`.
    Inventory(Vec<Tag>),
    /// The exchange that asks.
    Exchange(Vec<ExchangeKey>),
}

/// Hours of some days of the week, in the advertiser's zone.
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
