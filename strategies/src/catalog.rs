//! Everything a bid reads, frozen: loaded once per request, replaced whole, never changed in place.

use std::collections::HashMap;
use std::sync::Arc;

use haggle_domain::{Campaign, CampaignKey, Tag};
use haggle_learning::{AdPart, Model, ad_features};

use crate::explore::{Arms, Shape};
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
}

/// All campaigns. Positions are stable within one catalog only.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: Vec<Entry>,
    positions: HashMap<CampaignKey, usize>,
}

/// A model and what it says about every ad, worked out once per model version.
#[derive(Debug)]
pub struct Scorer {
    /// The model.
    pub model: Model,
    /// Per campaign (in the catalog's order), per creative.
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
            live: Arc::new(CampaignLive::new(Arms::thompson(&shapes, &[]))),
            campaign,
        }
    }
}

impl Catalog {
    /// Of campaigns with distinct keys.
    pub fn new(entries: Vec<Entry>) -> Self {
        let positions =
            entries.iter().enumerate().map(|(position, entry)| (entry.campaign.key, position)).collect();
        Self { entries, positions }
    }

    /// All of them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The one with this key.
    pub fn get(&self, key: CampaignKey) -> Option<&Entry> {
        self.positions.get(&key).and_then(|position| self.entries.get(*position))
    }
}

impl Scorer {
    /// Works out the ad side of `model` for every creative of every campaign.
    pub fn new(model: Model, catalog: &Catalog) -> Self {
        let ads = catalog
            .entries()
            .iter()
            .map(|entry| {
                (0..entry.campaign.creatives.len())
                    .map(|creative| model.ad_part(&ad_features(&entry.campaign, creative)))
                    .collect()
            })
            .collect();
        Self { model, ads }
    }

    /// The ad side of one creative.
    pub fn ad(&self, campaign: usize, creative: u16) -> Option<&AdPart> {
        self.ads.get(campaign)?.get(usize::from(creative))
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
