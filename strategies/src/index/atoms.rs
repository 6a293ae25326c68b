//! What requests say and campaigns ask for, as numbers that either are the same or not.

use haggle_domain::draw::mix;
use haggle_domain::{
    BehaviourKind, Connection, Creative, DeviceKind, Format, ListKey, Place, Predicate, Size, Tag,
};
use smallvec::SmallVec;

use crate::targeting::Asked;

/// What an atom is about. Up to [`Dimension::Shape`] each has a layer of its own; those that usually say most come first,
/// because a block is done with as soon as nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Dimension {
    /// A list that the user is on.
    UserList,
    /// Something that the user did, however often and long ago.
    Behaviour,
    /// A deal that the imp offers and the targeting names.
    Deal,
    /// The placement.
    Placement,
    /// The publisher.
    Publisher,
    /// The site or app.
    Inventory,
    /// A list that the site or app is on.
    List,
    /// A field of a grid over the globe.
    Near,
    /// A postcode, or how it begins.
    Postcode,
    /// The city.
    City,
    /// The region.
    Region,
    /// A segment of the user.
    Segment,
    /// A keyword of the page.
    Keyword,
    /// Either, or a category of the page.
    Interest,
    /// A category of the page.
    Category,
    /// The country.
    Country,
    /// The browser.
    Browser,
    /// The operating system.
    Os,
    /// The device's language.
    Language,
    /// How the device is connected.
    Connection,
    /// The kind of device.
    Device,
    /// The exchange.
    Exchange,
    /// A format and, of banners, a size that a creative has.
    Shape,
    /// A deal that the campaign may buy under.
    Holder,
    /// What the campaign's ads are about.
    About,
    /// A family of taxonomies in which it says so.
    Taxonomy,
    /// Who advertises.
    Advertiser,
}

impl Dimension {
    /// How many there are.
    pub const COUNT: usize = Self::Advertiser as usize + 1;
}

/// Layers for clauses that have none of their own: of several dimensions, or the second of one.
pub(super) const SPARE: usize = 3;
/// The first of those.
pub(super) const FIRST_SPARE: usize = Dimension::Shape as usize + 1;
/// All layers.
pub(super) const LAYERS: usize = FIRST_SPARE + SPARE;

/// Where an atom stands: in the layer of its dimension, in one of the spare ones (1 to [`SPARE`]), or in what must not be,
/// or in what only says something of the campaign.
pub(super) const PLACES: usize = SPARE + 3;
pub(super) const OWN: u8 = 0;
pub(super) const AGAINST: u8 = SPARE as u8 + 1;
pub(super) const SAID: u8 = SPARE as u8 + 2;

/// The key of an atom's posting. One value in two dimensions or places has two.
#[inline]
pub(super) fn key(place: u8, dimension: Dimension, value: u64) -> u64 {
    const SALTS: [[u64; Dimension::COUNT]; PLACES] = {
        let mut salts = [[0; Dimension::COUNT]; PLACES];
        let mut at = 0;
        while at < PLACES * Dimension::COUNT {
            salts[at / Dimension::COUNT][at % Dimension::COUNT] = mix(at as u64 + 1);
            at += 1;
        }
        salts
    };
    mix(value ^ SALTS[usize::from(place)][dimension as usize])
}

/// How well a predicate's atoms say what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    /// It holds exactly where the request has one of them.
    Exact,
    /// It may hold only there.
    Looser,
    /// It has none.
    None,
}

/// The atoms of a predicate.
pub(super) fn of_predicate(
    predicate: &Predicate,
    atoms: &mut SmallVec<[(Dimension, u64); 16]>,
) -> (Dimension, Likeness) {
    let mut tags = |dimension, tags: &[Tag]| {
        // An absent word is never what was asked for.
        atoms.extend(tags.iter().filter(|tag| tag.is_some()).map(|tag| (dimension, tag.0)));
        (dimension, Likeness::Exact)
    };
    match predicate {
        Predicate::Country(wanted) => tags(Dimension::Country, wanted),
        Predicate::Region(wanted) => tags(Dimension::Region, wanted),
        Predicate::City(wanted) => tags(Dimension::City, wanted),
        Predicate::Postcode(wanted) => tags(Dimension::Postcode, wanted),
        Predicate::Category(wanted) => tags(Dimension::Category, wanted),
        Predicate::Keyword(wanted) => tags(Dimension::Keyword, wanted),
        Predicate::Segment(wanted) => tags(Dimension::Segment, wanted),
        Predicate::Interest(wanted) => tags(Dimension::Interest, wanted),
        Predicate::Os(wanted) => tags(Dimension::Os, wanted),
        Predicate::Browser(wanted) => tags(Dimension::Browser, wanted),
        Predicate::Language(wanted) => tags(Dimension::Language, wanted),
        Predicate::Inventory(wanted) => tags(Dimension::Inventory, wanted),
        Predicate::Publisher(wanted) => tags(Dimension::Publisher, wanted),
        Predicate::Placement(wanted) => tags(Dimension::Placement, wanted),
        Predicate::Deal(wanted) => tags(Dimension::Deal, wanted),
        Predicate::Behaviour { did, what, .. } => {
            if what.is_some() {
                atoms.push((Dimension::Behaviour, behaviour(*did, *what)));
            }
            (Dimension::Behaviour, if what.is_some() { Likeness::Looser } else { Likeness::None })
        }
        Predicate::Device(wanted) => {
            atoms.extend(wanted.iter().map(|kind| (Dimension::Device, device(*kind))));
            (Dimension::Device, Likeness::Exact)
        }
        Predicate::Connection(wanted) => {
            atoms.extend(wanted.iter().map(|kind| (Dimension::Connection, connection(*kind))));
            (Dimension::Connection, Likeness::Exact)
        }
        Predicate::Exchange(wanted) => {
            atoms.extend(wanted.iter().map(|key| (Dimension::Exchange, key.0)));
            (Dimension::Exchange, Likeness::Exact)
        }
        Predicate::List(wanted) => lists(Dimension::List, wanted, atoms),
        Predicate::UserList(wanted) => lists(Dimension::UserList, wanted, atoms),
        Predicate::Near { centre, metres } => match centre.fields_within(f64::from(*metres)) {
            Some(fields) => {
                atoms.extend(fields.into_iter().map(|field| (Dimension::Near, field)));
                (Dimension::Near, Likeness::Looser)
            }
            None => (Dimension::Near, Likeness::None),
        },
        Predicate::Hours(_) => (Dimension::Country, Likeness::None),
    }
}

fn lists(
    dimension: Dimension,
    wanted: &[ListKey],
    atoms: &mut SmallVec<[(Dimension, u64); 16]>,
) -> (Dimension, Likeness) {
    atoms.extend(wanted.iter().map(|list| (dimension, list.0)));
    (dimension, Likeness::Exact)
}

fn behaviour(did: BehaviourKind, what: Tag) -> u64 {
    what.0 ^ mix(did as u64 + 1)
}

fn device(kind: DeviceKind) -> u64 {
    kind as u64
}

fn connection(kind: Connection) -> u64 {
    kind as u64
}

/// Any banner: asked for where a slot's size is only a bound.
const ANY_BANNER: u64 = u64::MAX;

fn banner(size: Size) -> u64 {
    u64::from(size.width) << 16 | u64::from(size.height)
}

/// What is neither a banner nor has a size that matters here.
fn format(format: Format) -> u64 {
    1 << 40 | format as u64
}

/// The atoms of what a creative may fit.
pub(super) fn of_creative(creative: &Creative, atoms: &mut SmallVec<[(Dimension, u64); 16]>) {
    match creative.format() {
        Format::Banner => {
            atoms.push((Dimension::Shape, banner(creative.banner_size())));
            atoms.push((Dimension::Shape, ANY_BANNER));
        }
        other => atoms.push((Dimension::Shape, format(other))),
    }
}

/// What an imp says, in the order of the dimensions.
#[derive(Debug, Default)]
pub struct Asking(pub(super) SmallVec<[(Dimension, u64); 96]>);

impl Asking {
    /// Of an imp and what is known around it.
    pub fn of(asked: &Asked<'_>) -> Self {
        let (context, opportunity) = (asked.context, asked.opportunity);
        let mut atoms = Self::default();
        if context.user.is_some() {
            atoms.0.extend(context.user_lists.iter().map(|list| (Dimension::UserList, list.0)));
            let did = asked.profile.map_or(&[][..], |profile| profile.behaviours());
            atoms.0.extend(did.iter().map(|act| (Dimension::Behaviour, behaviour(act.did, act.what))));
        }
        let deals = opportunity.deals.iter().filter(|deal| deal.key.is_some());
        atoms.0.extend(deals.map(|deal| (Dimension::Deal, deal.key.0)));
        atoms.word(Dimension::Placement, opportunity.placement);
        atoms.word(Dimension::Publisher, context.publisher);
        atoms.word(Dimension::Inventory, context.inventory);
        atoms.0.extend(context.lists.iter().map(|list| (Dimension::List, list.0)));
        let fields = context.place.map(Place::fields);
        atoms.0.extend(fields.into_iter().flatten().map(|field| (Dimension::Near, field)));
        atoms.words(Dimension::Postcode, &context.postcodes);
        atoms.word(Dimension::City, context.city);
        atoms.word(Dimension::Region, context.region);
        atoms.words(Dimension::Segment, &context.segments);
        atoms.words(Dimension::Keyword, &context.keywords);
        atoms.words(Dimension::Interest, &context.interests);
        atoms.words(Dimension::Interest, &context.segments);
        atoms.words(Dimension::Category, &context.categories);
        atoms.word(Dimension::Country, context.country);
        atoms.word(Dimension::Browser, context.browser);
        atoms.word(Dimension::Os, context.os);
        atoms.word(Dimension::Language, context.language);
        atoms.0.push((Dimension::Connection, connection(context.connection)));
        atoms.0.push((Dimension::Device, device(context.device)));
        atoms.0.push((Dimension::Exchange, context.exchange.0));
        if let Some(slot) = &opportunity.banner {
            if slot.at_most {
                atoms.0.push((Dimension::Shape, ANY_BANNER));
            } else {
                atoms.0.extend(slot.sizes.iter().map(|size| (Dimension::Shape, banner(*size))));
            }
        }
        let offered = [
            (Format::Video, opportunity.video.is_some()),
            (Format::Audio, opportunity.audio.is_some()),
            (Format::Native, opportunity.native.is_some()),
        ];
        let offered = offered.into_iter().filter(|(_, offered)| *offered);
        atoms.0.extend(offered.map(|(kind, _)| (Dimension::Shape, format(kind))));
        atoms
    }

    fn word(&mut self, dimension: Dimension, tag: Tag) {
        if tag.is_some() {
            self.0.push((dimension, tag.0));
        }
    }

    fn words(&mut self, dimension: Dimension, tags: &[Tag]) {
        self.0.extend(tags.iter().filter(|tag| tag.is_some()).map(|tag| (dimension, tag.0)));
    }
}
