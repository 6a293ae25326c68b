//! Everything a bid reads, frozen: loaded once per request, replaced whole, never changed in place.

use std::collections::HashMap;
use std::sync::Arc;

use haggle_domain::{Campaign, CampaignKey, Tag};
use haggle_learning::{AdPart, Model, ad_features};

use crate::explore::{Arms, Shape};
use crate::frequency::{AdvertiserCaps, Caps};
use crate::live::CampaignLive;
use crate::market::Market;

/// A campaign as the bid path sees it.
#[derive(Debug)]
pub struct Entry {
    /// What was configured.
    pub campaign: Arc<Campaign>,
    /// What changes every tick.
    pub live: Arc<CampaignLive>,
    /// The advertiser's domain and its parents, to compare with `badv`.
    pub advertiser_tags: Vec<Tag>,
    /// Its categories and their parents with their taxonomies, to compare with `bcat`.
    pub category_tags: Vec<(u8, Tag)>,
    /// The advertised app, to compare with `bapp`.
    pub app_tag: Tag,
    /// The ads' language, to compare with `wlang`.
    pub language_tag: Tag,
    /// How often one user sees it, prepared.
    pub caps: Caps,
}

/// All campaigns, each in a slot that stays its own for as long as it is there, whatever else comes and goes.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    slots: Vec<Option<Arc<Entry>>>,
    positions: HashMap<CampaignKey, usize>,
    /// What is counted for the caps of whole advertisers.
    pub advertiser_caps: AdvertiserCaps,
}

/// A model and what it says about every ad, worked out once per model version.
#[derive(Debug)]
pub struct Scorer {
    /// The model.
    pub model: Model,
    /// By the catalog's slots, per creative.
    ads: Vec<Vec<AdPart>>,
}

/// What one request is decided on.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counts publications.
    pub version: u64,
    /// Part of every draw.
    pub salt: u64,
    /// The campaigns.
    pub catalog: Arc<Catalog>,
    /// The model.
    pub scorer: Arc<Scorer>,
    /// What it takes to win.
    pub market: Arc<Market>,
}

/// A domain and its parents that still have a dot: `a.b.example` → `a.b.example`, `b.example`.
fn domain_and_parents(domain: &str) -> Vec<Tag> {
    let mut tags = vec![Tag::of(domain)];
    let mut rest = domain;
    while let Some((_, parent)) = rest.split_once('.') {
        if parent.contains('.') {
            tags.push(Tag::of(parent));
        }
        rest = parent;
    }
    tags
}

impl Entry {
    /// Prepares a campaign for bidding. It stays down until its actor has started.
    pub fn new(campaign: Arc<Campaign>) -> Self {
        let shapes: Vec<Shape> = campaign.creatives.iter().map(Shape::of).collect();
        let category_tags = campaign
            .categories
            .iter()
            .flat_map(|category| {
                // IAB 1.0 codes nest by a dash: blocking IAB7 blocks IAB7-39.
                let parent = category.code.split_once('-').map(|(parent, _)| Tag::of(parent));
                let tagged = |tag| (category.taxonomy, tag);
                std::iter::once(Tag::of(&category.code)).chain(parent).map(tagged)
            })
            .collect();
        Self {
            advertiser_tags: domain_and_parents(&campaign.advertiser_domain),
            category_tags,
            app_tag: Tag::of(&campaign.app_bundle),
            language_tag: Tag::of(&campaign.language),
            caps: Caps::of(&campaign),
            live: Arc::new(CampaignLive::new(Arms::thompson(&shapes, &[]))),
            campaign,
        }
    }
}

impl Catalog {
    /// Of campaigns with distinct keys.
    pub fn new(entries: Vec<Entry>) -> Self {
        let positions = entries.iter().enumerate().map(|(slot, entry)| (entry.campaign.key, slot)).collect();
        let mut advertiser_caps = AdvertiserCaps::default();
        entries.iter().for_each(|entry| advertiser_caps.add(&entry.caps));
        let slots = entries.into_iter().map(|entry| Some(Arc::new(entry))).collect();
        Self { slots, positions, advertiser_caps }
    }

    /// All of them with their slots, in the slots' order.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| Some((slot, entry.as_ref()?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Slots, taken and free: one more than the highest.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The one in this slot.
    pub fn at(&self, slot: usize) -> Option<&Arc<Entry>> {
        self.slots.get(slot)?.as_ref()
    }

    /// The slot of the one with this key.
    pub fn slot(&self, key: CampaignKey) -> Option<usize> {
        self.positions.get(&key).copied()
    }

    /// The one with this key.
    pub fn get(&self, key: CampaignKey) -> Option<&Arc<Entry>> {
        self.slot(key).and_then(|slot| self.at(slot))
    }

    /// The same with a campaign added, or changed if there is one with its key; and its slot.
    pub fn with(&self, entry: Entry) -> (Self, usize) {
        let mut next = self.clone();
        next.advertiser_caps.add(&entry.caps);
        let key = entry.campaign.key;
        let free = || self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        let slot = self.slot(key).unwrap_or_else(free);
        if slot == next.slots.len() {
            next.slots.push(None);
        }
        if let Some(place) = next.slots.get_mut(slot) {
            *place = Some(Arc::new(entry));
        }
        next.positions.insert(key, slot);
        (next, slot)
    }

    /// The same without a campaign.
    pub fn without(&self, key: CampaignKey) -> Self {
        let mut next = self.clone();
        let place = next.positions.remove(&key).and_then(|slot| next.slots.get_mut(slot));
        if let Some(place) = place {
            *place = None;
        }
        next
    }
}

impl Scorer {
    /// Works out the ad side of `model` for every creative of every campaign.
    pub fn new(model: Model, catalog: &Catalog) -> Self {
        let mut ads = vec![Vec::new(); catalog.slots()];
        for (slot, entry) in catalog.entries() {
            if let Some(place) = ads.get_mut(slot) {
                *place = ad_side(&model, entry);
            }
        }
        Self { model, ads }
    }

    /// The ad side of one creative.
    pub fn ad(&self, slot: usize, creative: u16) -> Option<&AdPart> {
        self.ads.get(slot)?.get(usize::from(creative))
    }

    /// The same with another campaign in a slot.
    fn with(&self, slot: usize, entry: &Entry) -> Self {
        let mut ads = self.ads.clone();
        if slot >= ads.len() {
            ads.resize(slot + 1, Vec::new());
        }
        if let Some(place) = ads.get_mut(slot) {
            *place = ad_side(&self.model, entry);
        }
        Self { model: self.model.clone(), ads }
    }
}

fn ad_side(model: &Model, entry: &Entry) -> Vec<AdPart> {
    let creatives = 0..entry.campaign.creatives.len();
    creatives.map(|creative| model.ad_part(&ad_features(&entry.campaign, creative))).collect()
}

impl Snapshot {
    /// The same with a campaign added, or changed if there is one with its key.
    pub fn with(&self, entry: Entry) -> Self {
        let (catalog, slot) = self.catalog.with(entry);
        let scorer = catalog.at(slot).map(|entry| Arc::new(self.scorer.with(slot, entry)));
        Self {
            version: self.version + 1,
            salt: self.salt,
            scorer: scorer.unwrap_or_else(|| Arc::clone(&self.scorer)),
            catalog: Arc::new(catalog),
            market: Arc::clone(&self.market),
        }
    }

    /// The same without a campaign.
    pub fn without(&self, key: CampaignKey) -> Self {
        Self { version: self.version + 1, catalog: Arc::new(self.catalog.without(key)), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_of_a_domain_stop_before_the_top_level() {
        assert_eq!(domain_and_parents("a.b.example"), [Tag::of("a.b.example"), Tag::of("b.example")]);
        assert_eq!(domain_and_parents("example"), [Tag::of("example")]);
    }
}
