//! What is for sale, and in which surroundings: a request after parsing, validation and the privacy gate.

use smallvec::SmallVec;

use crate::basis::Basis;
use crate::codes::Codes;
use crate::id::{ExchangeKey, ListKey, Tag, UserKey};
use crate::money::CpmMicros;
use crate::place::Place;
use crate::rate::Rate;

/// What all imps of a request share. Words are [`Tag`]s; [`Tag::NONE`] where the request is silent.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Who asks.
    pub exchange: ExchangeKey,
    /// How the price is set.
    pub auction: AuctionType,
    /// The user, where the request gives a basis to target them; otherwise `None`, and then nothing user-level stands in
    /// any other field either.
    pub user: Option<UserKey>,
    /// What may be done with what is known of the user.
    pub basis: Basis,
    /// The currency that we bid in: units of the account's for one of it.
    pub rate: Rate,
    /// Country, ISO 3166-1 alpha-3.
    pub country: Tag,
    /// Region.
    pub region: Tag,
    /// City.
    pub city: Tag,
    /// The postcode and every beginning of it of at least two letters; empty unless the basis allows to know it.
    pub postcodes: SmallVec<[Tag; 8]>,
    /// Where the user is, as precisely as the basis allows.
    pub place: Option<Place>,
    /// The user's clock, in minutes ahead of UTC.
    pub utc_offset: Option<i16>,
    /// `site.domain`, else `app.bundle`.
    pub inventory: Tag,
    /// `site.publisher.id` or `app.publisher.id`.
    pub publisher: Tag,
    /// Kind of device.
    pub device: DeviceKind,
    /// `device.os`.
    pub os: Tag,
    /// The browser's name.
    pub browser: Tag,
    /// `device.connectiontype`.
    pub connection: Connection,
    /// `device.language`.
    pub language: Tag,
    /// Content categories and keywords of the page or app.
    pub interests: SmallVec<[Tag; 16]>,
    /// Content categories of the page or app and those that they belong to ([`Tag::category`]).
    pub categories: SmallVec<[Tag; 8]>,
    /// Keywords of the page or app.
    pub keywords: SmallVec<[Tag; 8]>,
    /// The lists that the site or app is on.
    pub lists: SmallVec<[ListKey; 4]>,
    /// The lists that the user is on; empty unless the basis allows to target.
    pub user_lists: SmallVec<[ListKey; 4]>,
    /// Segments and keywords of the user; empty unless the basis allows to target.
    pub segments: SmallVec<[Tag; 16]>,
    /// `bcat`: categories of ads that are not wanted; this and the next lists of tags are in rising order.
    pub blocked_categories: SmallVec<[Tag; 8]>,
    /// `acat`: the only categories of ads that are wanted; empty for all.
    pub wanted_categories: SmallVec<[Tag; 2]>,
    /// `cattax`: the taxonomy of both (AdCOM 1.0, list of category taxonomies).
    pub category_taxonomy: u8,
    /// `badv`: advertisers' domains that are not wanted.
    pub blocked_advertisers: SmallVec<[Tag; 8]>,
    /// `bapp`: advertised apps that are not wanted.
    pub blocked_apps: SmallVec<[Tag; 2]>,
    /// `wlang`, `wlangb`: languages that an ad may be in; empty for any.
    pub ad_languages: SmallVec<[Tag; 2]>,
    /// `wseat` names seats and ours is not among them, or `bseat` names ours.
    pub seat_blocked: bool,
    /// `test = 1`: answer, but never spend.
    pub test: bool,
    /// The share of first-price bids that try another price than the best, in 0..=1; a setting of the exchange.
    pub explore_prices: f64,
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

/// How a device is connected, from OpenRTB's `device.connectiontype`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Connection {
    /// Not said.
    #[default]
    Unknown,
    /// By cable (1).
    Wired,
    /// By a local wireless network (2).
    Wifi,
    /// By a mobile network of any generation (3 to 7).
    Cellular,
}

/// Width × height, in CSS pixels (device-independent).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Width.
    pub width: u16,
    /// Height.
    pub height: u16,
}

/// One imp that could be bid on: at least one of the four formats is there.
#[derive(Clone, Debug, Default)]
pub struct Opportunity {
    /// Offered as a banner.
    pub banner: Option<BannerSlot>,
    /// Offered as a video.
    pub video: Option<StreamSlot>,
    /// Offered as audio.
    pub audio: Option<StreamSlot>,
    /// Offered as a native ad.
    pub native: Option<NativeSlot>,
    /// The least acceptable price in the open auction, in the account's currency.
    pub floor: CpmMicros,
    /// The deals that our seat may take part in.
    pub deals: SmallVec<[Deal; 1]>,
    /// `pmp.private_auction = 1`: no bid without a deal.
    pub deals_only: bool,
    /// `tagid`: the placement.
    pub placement: Tag,
    /// `pos` of the banner, else of the video, 0 where not said.
    pub position: u8,
    /// `instl = 1`.
    pub interstitial: bool,
    /// `secure = 1`: only `https` assets. Those of creatives always are, those of the bidder by its `public_url`.
    pub secure: bool,
    /// `rwdd = 1`: the user is rewarded for watching.
    pub rewarded: bool,
    /// How many impressions one play counts for, in millionths (`qty.multiplier`); one million where not said.
    pub quantity: Quantity,
    /// `exp`: within how many seconds the impression should come; 0 where not said.
    pub expires_within: u32,
    /// `metric` of type `viewability`: the share of such impressions that were seen, in 0..=1, where the exchange says.
    pub viewability: Option<f32>,
}

/// How many impressions one showing counts for, in millionths: out of home, a screen is seen by many, or by less than
/// one on average (OpenRTB 2.6 section 3.2.31).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode)]
#[cbor(transparent)]
pub struct Quantity(#[n(0)] pub u64);

impl Quantity {
    /// One impression.
    pub const ONE: Self = Self(1_000_000);
}

impl Default for Quantity {
    fn default() -> Self {
        Self::ONE
    }
}

/// A private deal (OpenRTB 2.6 section 3.2.12).
#[derive(Clone, Debug, Default)]
pub struct Deal {
    /// The deal's id, hashed.
    pub key: Tag,
    /// Its position in the imp's list, for who has to name it.
    pub index: u16,
    /// The least acceptable price, or the price itself where it is fixed; in the account's currency.
    pub floor: CpmMicros,
    /// The same in the bid's currency, where the deal is in that; it needs no conversion then, and takes no rounding.
    pub asked: Option<CpmMicros>,
    /// How its price is set.
    pub price: DealPrice,
    /// `guar = 1`: what was agreed has to be bid on, if anything matches.
    pub guaranteed: bool,
    /// `wadomain`: advertisers that may use it; empty for all.
    pub advertisers: SmallVec<[Tag; 2]>,
    /// `durfloors`: floors of their own for some durations, in the account's currency.
    pub duration_floors: SmallVec<[DurationFloor; 2]>,
    /// `mincpmpersec`: the least price for each second, in the account's currency.
    pub floor_per_second: CpmMicros,
}

/// How a deal's price is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DealPrice {
    /// By an auction of this type.
    Auction(AuctionType),
    /// It is the floor (`at = 3`).
    #[default]
    Fixed,
}

/// Room for a banner (section 3.2.6).
#[derive(Clone, Debug, Default)]
pub struct BannerSlot {
    /// Sizes that fit, in the request's order; never empty.
    pub sizes: SmallVec<[Size; 8]>,
    /// The size is the most that fits, not the only one: an interstitial whose frame adapts.
    pub at_most: bool,
    /// `battr`: creative attributes that are not wanted.
    pub blocked_attributes: Codes,
    /// `btype`: banner types that are not wanted.
    pub blocked_types: Codes,
    /// `mimes`: media types that are wanted; empty for any.
    pub mimes: SmallVec<[Tag; 4]>,
    /// `api`: frameworks that the slot supports.
    pub apis: Codes,
}

impl BannerSlot {
    /// Room for these sizes, and no more said.
    pub fn of(sizes: impl IntoIterator<Item = Size>) -> Self {
        Self { sizes: sizes.into_iter().collect(), ..Self::default() }
    }
}

/// Room for a video (section 3.2.7) or for audio (section 3.2.8). Durations are in seconds.
#[derive(Clone, Debug, Default)]
pub struct StreamSlot {
    /// Whether it is for sound alone (`audio`) rather than for video.
    pub audio: bool,
    /// `mimes`: media types that are wanted; never empty.
    pub mimes: SmallVec<[Tag; 4]>,
    /// `minduration`.
    pub shortest: u32,
    /// `maxduration`; `u32::MAX` where not said.
    pub longest: u32,
    /// `rqddurs`: the only durations that fit; empty for all between the two.
    pub exactly: SmallVec<[u32; 4]>,
    /// `protocols` (AdCOM 1.0, list of creative subtypes); empty where not said.
    pub protocols: Codes,
    /// `w` and `h` of a video's player; zero where not said.
    pub size: Size,
    /// `linearity`: 0 where not said, 1 in the stream, 2 over it.
    pub linearity: u8,
    /// `battr`: creative attributes that are not wanted.
    pub blocked_attributes: Codes,
    /// `api`: frameworks that the player supports.
    pub apis: Codes,
    /// `skip`: `Some(false)` where the player does not let anybody skip.
    pub skippable: Option<bool>,
    /// `minbitrate`, in kilobits per second; 0 where not said.
    pub least_bitrate: u32,
    /// `maxbitrate`, in kilobits per second; `u32::MAX` where not said.
    pub most_bitrate: u32,
    /// `durfloors`: floors of their own for some durations, in the account's currency.
    pub duration_floors: SmallVec<[DurationFloor; 2]>,
    /// `mincpmpersec`: the least price for each second, in the account's currency.
    pub floor_per_second: CpmMicros,
    /// The pod that it is part of, or is.
    pub pod: Option<Pod>,
}

/// A floor for ads of some durations (section 3.2.35).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DurationFloor {
    /// Seconds, inclusive.
    pub shortest: u32,
    /// Seconds, inclusive; `u32::MAX` for all above.
    pub longest: u32,
    /// The floor, in place of the imp's.
    pub floor: CpmMicros,
}

/// An ad pod: a break in the content that several ads fill (section 7.6 of OpenRTB 2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// `podid`, hashed; [`Tag::NONE`] for a pod of one imp alone.
    pub id: Tag,
    /// `poddur`: seconds that this imp's ads may fill together; 0 for one ad alone.
    pub duration: u32,
    /// `maxseq`: how many ads this imp takes; 1 for one ad alone, `u32::MAX` where only `poddur` bounds it.
    pub most: u32,
    /// `slotinpod`: which places in the pod are for sale; 0 any, 1 first, -1 last, 2 first or last.
    pub slot: i8,
}

/// Room for a native ad (OpenRTB Native 1.2).
#[derive(Clone, Debug, Default)]
pub struct NativeSlot {
    /// What the page wants, in its order; never empty.
    pub assets: SmallVec<[NativeAsset; 8]>,
    /// `battr`: creative attributes that are not wanted.
    pub blocked_attributes: Codes,
    /// `api`: frameworks that the page supports.
    pub apis: Codes,
    /// Whether an impression may be counted by an image (event 1, method 1 of `eventtrackers`, or none of those asked).
    pub image_tracker: bool,
    /// Whether a viewability script may be sent (event 1, method 2).
    pub script_tracker: bool,
    /// Whether the answer is by version 1.2: `eventtrackers` instead of `imptrackers`.
    pub event_trackers: bool,
    /// Whether the answer stands below a member `native`, as the request does.
    pub wrapped: bool,
}

/// One part of a native ad that is asked for.
#[derive(Clone, Debug)]
pub struct NativeAsset {
    /// Answered to.
    pub id: i64,
    /// No ad without it.
    pub required: bool,
    /// What it is.
    pub kind: NativeKind,
}

/// What a part of a native ad is. Lengths of 0 mean "not said".
#[derive(Clone, Debug)]
pub enum NativeKind {
    /// A title of at most this many characters.
    Title {
        /// `len`.
        longest: u32,
    },
    /// A picture.
    Image {
        /// `type`: 1 icon, 3 main image; 0 where not said.
        kind: u16,
        /// `w` and `h`: the size wanted.
        size: Size,
        /// `wmin` and `hmin`: the least size.
        least: Size,
        /// `mimes`: media types that are wanted; empty for any.
        mimes: SmallVec<[Tag; 4]>,
    },
    /// A film.
    Video,
    /// A text.
    Data {
        /// `type`: 1 sponsored by, 2 description, …
        kind: u16,
        /// `len`.
        longest: u32,
    },
    /// Something of no kind that the specification knows.
    Unknown,
}
