//! What follows from a site or app alone, found out once.

use std::sync::LazyLock;

use haggle_domain::Tag;

use crate::inventory::{INVENTORY, Inventory};
use crate::placements::PLACEMENTS;

/// Of one site or app.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The aisle that the content is about, if any.
    pub(crate) aisle: Option<usize>,
    /// What rivals' prices are multiplied by for its quality.
    pub(crate) dearness: f64,
    /// How easily ads are tapped here, in log-odds.
    pub(crate) tappiness: f64,
    /// Whether it is about money, where no sports are advertised.
    pub(crate) about_money: bool,
    /// As a bidder has them: the site or app itself, its publisher, what it is about …
    pub(crate) inventory: Tag,
    pub(crate) publisher: Tag,
    pub(crate) interests: Vec<Tag>,
    pub(crate) categories: Vec<Tag>,
    pub(crate) keywords: Vec<Tag>,
    /// … and each of the placements that it might have.
    pub(crate) placements: [Tag; PLACEMENTS.len()],
}

/// In the order of [`INVENTORY`].
pub(crate) static SURROUNDINGS: LazyLock<[Surroundings; INVENTORY.len()]> =
    LazyLock::new(|| INVENTORY.each_ref().map(Surroundings::of));

impl Surroundings {
    fn of(place: &Inventory) -> Self {
        let mut around = Self {
            aisle: place.aisle(),
            dearness: place.quality.powf(0.7),
            tappiness: tappiness(place),
            about_money: place.categories.contains(&"IAB13"),
            inventory: Tag::of(place.domain),
            publisher: Tag::of(&format!("pub-{}", place.domain)),
            interests: Vec::new(),
            categories: Vec::new(),
            keywords: Vec::new(),
            placements: PLACEMENTS
                .each_ref()
                .map(|placement| Tag::of(&format!("{}/{}", place.domain, placement.tag))),
        };
        for code in place.categories {
            add(&mut around.interests, Tag::of(code));
            add(&mut around.categories, Tag::category(CONTENT_1, code));
            if let Some((tier, _)) = code.split_once('-') {
                add(&mut around.categories, Tag::category(CONTENT_1, tier));
            }
        }
        for word in place.keywords {
            add(&mut around.interests, Tag::of(word));
            add(&mut around.keywords, Tag::of(word));
        }
        around
    }
}

/// IAB's content taxonomy 1.0, which a request that names none is in.
pub(crate) const CONTENT_1: u8 = 1;

/// No doubles.
pub(crate) fn add(tags: &mut Vec<Tag>, tag: Tag) {
    if !tags.contains(&tag) {
        tags.push(tag);
    }
}

/// Games and quizzes are tapped by accident; a page where people read is not. And each site and app has its own way with
/// ads: in real logs the click rates of two placements of one kind easily differ tenfold.
fn tappiness(place: &Inventory) -> f64 {
    let by_accident = 0.35 * (1.05 - place.quality).clamp(-0.5, 0.6)
        + if place.categories.contains(&"IAB9-30") { 0.15 } else { 0.0 };
    // From the name alone, so that a place is the same in every world. 53 bits: all that fit a double's mantissa.
    let share = (Tag::of(place.domain).0 >> 11) as f64 / (1u64 << 53) as f64;
    by_accident + 2.4 * (share - 0.5)
}
