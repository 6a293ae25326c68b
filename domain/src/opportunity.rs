//! What is for sale, and in which surroundings: a request after parsing, validation and the privacy gate.

use smallvec::SmallVec;

use crate::id::{ExchangeKey, Tag, UserKey};
use crate::money::CpmMicros;

/// What all imps of a request share. Words are [`Tag`]s; [`Tag::NONE`] where the request is silent.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Who asks.
    pub exchange: ExchangeKey,
    /// How the price is set.
    pub auction: AuctionType,
    /// The user, where the request gives a legal basis to know them; otherwise `None`, and then nothing
    /// user-level stands in any other field either.
    pub user: Option<UserKey>,
    /// Country, ISO 3166-1 alpha-3.
    pub country: Tag,
    /// Region.
    pub region: Tag,
    /// City.
    pub city: Tag,
    /// `site.domain`, else `app.bundle`.
    pub inventory: Tag,
    /// `site.publisher.id` or `app.publisher.id`.
    pub publisher: Tag,
    /// Kind of device.
    pub device: DeviceKind,
    /// `device.os`.
    pub os: Tag,
    /// `device.language`.
    pub language: Tag,
    /// Content categories and keywords of the page or app; with a basis, segments and keywords of the user.
    pub interests: SmallVec<[Tag; 16]>,
    /// `bcat`: categories of ads that are not wanted.
    pub blocked_categories: SmallVec<[Tag; 8]>,
    /// `badv`: advertisers' domains that are not wanted.
    pub blocked_advertisers: SmallVec<[Tag; 8]>,
    /// `wseat` names seats and ours is not among them, or `bseat` names ours.
    pub seat_blocked: bool,
    /// `test = 1`: answer, but never spend.
    pub test: bool,
}

/// How the price of a won auction is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AuctionType {
    /// The winner pays its bid (`at = 1`).
    First,
    /// The winner pays the next best price (`at = 2`, the specification's default).
    #[default]
    SecondPlus,
}

/// The kind of device, from OpenRTB's `device.devicetype`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// Not said.
    #[default]
    Unknown,
    /// Personal computer (2).
    Computer,
    /// Phone (4), and "mobile or tablet, general" (1).
    Phone,
    /// Tablet (5).
    Tablet,
    /// Connected TV (3), connected device (6), set-top box (7).
    Tv,
    /// Out of home (8).
    OutOfHome,
}

/// Width × height, in CSS pixels (device-independent).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Width.
    pub width: u16,
    /// Height.
    pub height: u16,
}

/// One imp that could be bid on.
#[derive(Clone, Debug, Default)]
pub struct Opportunity {
    /// Sizes that fit, in the request's order; empty where any fits.
    pub sizes: SmallVec<[Size; 8]>,
    /// The least acceptable price, in the account's currency.
    pub floor: CpmMicros,
    /// `tagid`: the placement.
    pub placement: Tag,
    /// `banner.pos`, 0 where not said.
    pub position: u8,
    /// `instl = 1`.
    pub interstitial: bool,
    /// `secure = 1`: only `https` assets. Ours always are.
    pub secure: bool,
}
