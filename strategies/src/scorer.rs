//! A model and what it says about every ad, worked out once per model version.

use std::sync::Arc;

use haggle_learning::{AdPart, Model, ad_features};

use crate::catalog::{Catalog, Entry};
use crate::index::BLOCK;

/// A model and the ad side of its scores for every creative. A copy shares all memory with the original until a campaign
/// changes, and then copies that campaign's block.
#[derive(Clone, Debug)]
pub struct Scorer {
    /// The model.
    pub model: Model,
    blocks: Vec<Arc<Ads>>,
}

/// The ads of a block of slots, one campaign's after the other's.
#[derive(Clone, Debug, Default)]
struct Ads {
    /// Where each slot's begin; one more at the end.
    starts: Vec<u32>,
    parts: Vec<AdPart>,
}

impl Ads {
    fn of(
        campaigns: impl Iterator<Item = Option<usize>>,
        mut part: impl FnMut(usize, usize) -> AdPart,
    ) -> Self {
        let mut ads = Self { starts: Vec::with_capacity(BLOCK + 1), parts: Vec::new() };
        for (place, creatives) in campaigns.enumerate() {
            ads.starts.push(ads.parts.len() as u32);
            ads.parts.extend((0..creatives.unwrap_or(0)).map(|creative| part(place, creative)));
        }
        ads.starts.push(ads.parts.len() as u32);
        ads.parts.shrink_to_fit();
        ads
    }

    fn at(&self, place: usize) -> &[AdPart] {
        let range = self.starts.get(place).zip(self.starts.get(place + 1));
        range.and_then(|(start, end)| self.parts.get(*start as usize..*end as usize)).unwrap_or_default()
    }
}

impl Scorer {
    /// Works out the ad side of `model` for every creative of every campaign.
    pub fn new(model: Model, catalog: &Catalog) -> Self {
        let block = |block: usize| {
            let entry = |place: usize| catalog.at(block * BLOCK + place);
            let creatives = (0..BLOCK).map(|place| entry(place).map(|entry| entry.campaign.creatives.len()));
            Arc::new(Ads::of(creatives, |place, creative| {
                entry(place).map_or_else(AdPart::default, |entry| part(&model, entry, creative))
            }))
        };
        let blocks = (0..catalog.slots() / BLOCK).map(block).collect();
        Self { model, blocks }
    }

    /// The ad side of one creative.
    #[inline]
    pub fn ad(&self, slot: usize, creative: u16) -> Option<&AdPart> {
        self.blocks.get(slot / BLOCK)?.at(slot % BLOCK).get(usize::from(creative))
    }

    /// Where a slot's ads begin: has what says so brought near.
    pub(crate) fn warm(&self, slot: usize) -> u64 {
        let start = self.blocks.get(slot / BLOCK).and_then(|ads| ads.starts.get(slot % BLOCK));
        start.map_or(0, |start| u64::from(*start))
    }

    /// The same with another campaign in a slot.
    pub(crate) fn with(&self, slot: usize, entry: &Entry) -> Self {
        let (block, changed) = (slot / BLOCK, slot % BLOCK);
        let mut next = self.clone();
        if next.blocks.len() <= block {
            next.blocks.resize_with(block + 1, Arc::default);
        }
        if let Some(ads) = next.blocks.get_mut(block) {
            let old = Arc::clone(ads);
            let creatives = |place| match place == changed {
                true => entry.campaign.creatives.len(),
                false => old.at(place).len(),
            };
            *ads =
                Arc::new(Ads::of(
                    (0..BLOCK).map(|place| Some(creatives(place))),
                    |place, creative| match old.at(place).get(creative) {
                        Some(known) if place != changed => *known,
                        _ => part(&self.model, entry, creative),
                    },
                ));
        }
        next
    }

    /// Bytes on the heap without the model's, about.
    pub fn bytes(&self) -> usize {
        let block =
            |ads: &Arc<Ads>| ads.starts.capacity() * 4 + ads.parts.capacity() * size_of::<AdPart>() + 64;
        self.blocks.iter().map(block).sum()
    }
}

fn part(model: &Model, entry: &Entry, creative: usize) -> AdPart {
    model.ad_part(&ad_features(&entry.campaign, creative))
}
