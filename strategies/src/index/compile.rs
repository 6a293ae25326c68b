//! From a campaign to clauses.

use haggle_domain::{Predicate, Tag};
use smallvec::SmallVec;

use super::atoms::{
    AGAINST, Dimension, FIRST_SPARE, Likeness, OWN, SAID, SPARE, key, of_creative, of_predicate,
};
use crate::catalog::Entry;
use crate::safety::family;

/// An atom and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Atom {
    pub(super) place: u8,
    pub(super) dimension: Dimension,
    pub(super) key: u64,
}

/// What a campaign asks of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clauses {
    pub(super) atoms: Vec<Atom>,
    /// The layers in which there is a clause.
    pub(super) constrained: u32,
    /// Whether [`crate::targeting::matches`] has to judge what the clauses let through.
    pub(super) residual: bool,
}

type Found = SmallVec<[(Dimension, u64); 16]>;

impl Clauses {
    /// Of a campaign.
    pub fn of(entry: &Entry) -> Self {
        let (campaign, mut clauses) = (&*entry.campaign, Self::default());
        let targeting = &campaign.targeting;
        for predicate in &targeting.all {
            clauses.require(std::slice::from_ref(predicate));
        }
        if !targeting.any.is_empty() {
            clauses.require(&targeting.any);
        }
        for predicate in &targeting.none {
            let mut found = Found::new();
            match of_predicate(predicate, &mut found).1 {
                Likeness::Exact => clauses.add(AGAINST, &found),
                Likeness::Looser | Likeness::None => clauses.residual = true,
            }
        }
        let mut shapes = Found::new();
        campaign.creatives.iter().for_each(|creative| of_creative(creative, &mut shapes));
        clauses.constrained |= 1 << Dimension::Shape as u32;
        clauses.add(OWN, &shapes);
        let tagged =
            |dimension, tags: &[Tag]| -> Found { tags.iter().map(|tag| (dimension, tag.0)).collect() };
        clauses.add(SAID, &tagged(Dimension::Holder, &campaign.deals));
        clauses.add(SAID, &tagged(Dimension::Advertiser, &entry.advertiser_tags));
        let about = entry.category_tags.iter();
        clauses.add(
            SAID,
            &about.map(|(taxonomy, tag)| (Dimension::About, about_value(*taxonomy, *tag))).collect::<Found>(),
        );
        let families = entry.category_tags.iter();
        let families = families.map(|(taxonomy, _)| (Dimension::Taxonomy, u64::from(family(*taxonomy))));
        clauses.add(SAID, &families.collect::<Found>());
        clauses.atoms.sort_unstable();
        clauses.atoms.dedup();
        clauses
    }

    /// Adds a clause: one of these predicates has to hold.
    fn require(&mut self, predicates: &[Predicate]) {
        let mut found = Found::new();
        let (mut likeness, mut dimensions) = (Likeness::Exact, 0u32);
        for predicate in predicates {
            let (dimension, like) = of_predicate(predicate, &mut found);
            likeness = likeness.max(like);
            dimensions |= 1 << dimension as u32;
        }
        if likeness != Likeness::Exact {
            self.residual = true;
        }
        if likeness == Likeness::None {
            return;
        }
        let own = dimensions.is_power_of_two().then(|| dimensions.trailing_zeros() as usize);
        let mut spare = (FIRST_SPARE..FIRST_SPARE + SPARE).filter(|layer| self.constrained >> layer & 1 == 0);
        match own.filter(|layer| self.constrained >> layer & 1 == 0).or_else(|| spare.next()) {
            Some(layer) => {
                self.constrained |= 1 << layer;
                self.add(if layer < FIRST_SPARE { OWN } else { (layer - FIRST_SPARE + 1) as u8 }, &found);
            }
            None => self.residual = true,
        }
    }

    fn add(&mut self, place: u8, found: &[(Dimension, u64)]) {
        self.atoms.extend(found.iter().map(|&(dimension, value)| Atom {
            place,
            dimension,
            key: key(place, dimension, value),
        }));
    }

    /// Campaigns that are alike in this are for the same requests: the layer that says most, and what it asks for.
    pub fn kind(&self) -> (u32, u64) {
        let layer = self.constrained.trailing_zeros();
        let of_layer = |atom: &&Atom| match usize::from(atom.place) {
            0 => atom.dimension as u32 == layer,
            spare @ 1..=SPARE => (FIRST_SPARE + spare - 1) as u32 == layer,
            _ => false,
        };
        (layer, self.atoms.iter().filter(of_layer).map(|atom| atom.key).min().unwrap_or(0))
    }
}

/// A category as atoms name it: taxonomies that share their codes are one.
pub(super) fn about_value(taxonomy: u8, tag: Tag) -> u64 {
    tag.0 ^ u64::from(family(taxonomy)) << 56
}
