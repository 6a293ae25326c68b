//! A model and what it says about every ad, worked out once per model version.

use std::sync::Arc;

use haggle_domain::UserKey;
use haggle_learning::{AdPart, Guest, Model, Prediction, RequestPart, ad_features, frozen};

use crate::catalog::{Catalog, Entry};
use crate::index::BLOCK;

/// A model and the ad side of its scores for every creative, and the same of the models of archives that have a say. A copy
/// shares all memory with the original until a campaign changes, and then copies that campaign's block.
#[derive(Clone, Debug)]
pub struct Scorer {
    /// The model.
    pub model: Model,
    ads: Ads<AdPart>,
    /// In the order of the model's seats.
    guests: Vec<(Arc<Guest>, Ads<frozen::AdPart>)>,
}

/// A request's part of all scores: the model's, and that of the guest who has a say, with its seat.
#[derive(Clone, Debug)]
pub struct Request {
    own: RequestPart,
    guest: Option<(usize, frozen::RequestPart)>,
}

/// Something of every creative, by blocks of slots.
#[derive(Clone, Debug)]
struct Ads<P>(Vec<Arc<Block<P>>>);

/// The ads of a block of slots, one campaign's after the other's.
#[derive(Clone, Debug)]
struct Block<P> {
    /// Where each slot's begin; one more at the end.
    starts: Vec<u32>,
    parts: Vec<P>,
}

impl<P> Default for Block<P> {
    fn default() -> Self {
        Self { starts: Vec::new(), parts: Vec::new() }
    }
}

impl<P> Block<P> {
    /// Of each place what `part` makes of what stands there, for as many creatives.
    fn of<C: Copy>(
        campaigns: impl Iterator<Item = Option<(C, usize)>>,
        mut part: impl FnMut(usize, C, usize) -> P,
    ) -> Self {
        let mut block = Self { starts: Vec::with_capacity(BLOCK + 1), parts: Vec::new() };
        for (place, campaign) in campaigns.enumerate() {
            block.starts.push(block.parts.len() as u32);
            if let Some((campaign, creatives)) = campaign {
                block.parts.extend((0..creatives).map(|creative| part(place, campaign, creative)));
            }
        }
        block.starts.push(block.parts.len() as u32);
        block.parts.shrink_to_fit();
        block
    }

    #[inline]
    fn at(&self, place: usize) -> &[P] {
        let range = self.starts.get(place).zip(self.starts.get(place + 1));
        range.and_then(|(start, end)| self.parts.get(*start as usize..*end as usize)).unwrap_or_default()
    }
}

impl<P: Clone> Ads<P> {
    fn new(catalog: &Catalog, part: impl Fn(&Entry, usize) -> P) -> Self {
        let block = |block: usize| {
            let entries = (0..BLOCK).map(|place| catalog.at(block * BLOCK + place));
            let campaigns =
                entries.map(|entry| entry.map(|entry| (&**entry, entry.campaign.creatives.len())));
            Arc::new(Block::of(campaigns, |_, entry, creative| part(entry, creative)))
        };
        Self((0..catalog.slots() / BLOCK).map(block).collect())
    }

    #[inline]
    fn at(&self, slot: usize, creative: u16) -> Option<&P> {
        self.0.get(slot / BLOCK)?.at(slot % BLOCK).get(usize::from(creative))
    }

    /// Puts another campaign into a slot.
    fn put(&mut self, slot: usize, entry: &Entry, part: impl Fn(&Entry, usize) -> P) {
        let (block, changed) = (slot / BLOCK, slot % BLOCK);
        if self.0.len() <= block {
            self.0.resize_with(block + 1, Arc::default);
        }
        let Some(place) = self.0.get_mut(block) else { return };
        let old = Arc::clone(place);
        let creatives = |at| if at == changed { entry.campaign.creatives.len() } else { old.at(at).len() };
        let campaigns = (0..BLOCK).map(|at| Some(((), creatives(at))));
        *place = Arc::new(Block::of(campaigns, |at, (), creative| match old.at(at).get(creative) {
            Some(known) if at != changed => known.clone(),
            _ => part(entry, creative),
        }));
    }
}

impl Scorer {
    /// Works out the ad side of `model` for every creative of every campaign.
    pub fn new(model: Model, catalog: &Catalog) -> Self {
        Self::after(None, model, catalog)
    }

    /// The same with another model. What the models of archives say of ads is kept where they are the same, because they do not
    /// change; so the campaigns have to be the same, too.
    pub fn with_model(&self, model: Model, catalog: &Catalog) -> Self {
        Self::after(Some(self), model, catalog)
    }

    fn after(before: Option<&Self>, model: Model, catalog: &Catalog) -> Self {
        let known = |guest: &Arc<Guest>| {
            let guests = &before?.guests;
            guests.iter().find(|(known, _)| Arc::ptr_eq(known, guest)).map(|(_, ads)| ads.clone())
        };
        let guests = model.seats().iter().map(|seat| {
            let guest = Arc::clone(&seat.guest);
            let ads = known(&guest).unwrap_or_else(|| {
                Ads::new(catalog, |entry, creative| guest.ad_part(&ad_features(&entry.campaign, creative)))
            });
            (guest, ads)
        });
        let guests = guests.collect();
        let ads = Ads::new(catalog, |entry, creative| part(&model, entry, creative));
        Self { model, ads, guests }
    }

    /// The request's part of all scores; the user decides who has a say.
    pub fn request(&self, features: &[u32], user: Option<UserKey>) -> Request {
        let guest = self.model.seat_of(user).and_then(|seat| {
            let mut part = frozen::RequestPart::default();
            self.guests.get(seat)?.0.request_part(features, &mut part);
            Some((seat, part))
        });
        Request { own: self.model.request_part(features), guest }
    }

    /// What is expected of one creative; none if it is not known yet.
    #[inline]
    pub fn predict(&self, request: &Request, slot: usize, creative: u16) -> Option<Prediction> {
        let own = self.model.predict(&request.own, self.ad(slot, creative)?);
        match &request.guest {
            None => Some(own),
            Some((seat, part)) => self.with_guest(own, *seat, part, slot, creative),
        }
    }

    fn with_guest(
        &self,
        own: Prediction,
        seat: usize,
        request: &frozen::RequestPart,
        slot: usize,
        creative: u16,
    ) -> Option<Prediction> {
        let (guest, ads) = self.guests.get(seat)?;
        let scores = guest.scores(request, ads.at(slot, creative)?)?;
        Some(self.model.with_guest(own, self.model.seats().get(seat)?, scores))
    }

    /// How unsure the own model is of a creative's click ([`Model::click_deviation`]); nothing of one that is not known yet.
    pub(crate) fn deviation(&self, request: &Request, slot: usize, creative: u16) -> f32 {
        self.ad(slot, creative).map_or(0.0, |ad| self.model.click_deviation(&request.own, ad))
    }

    /// The ad side of one creative.
    #[inline]
    pub fn ad(&self, slot: usize, creative: u16) -> Option<&AdPart> {
        self.ads.at(slot, creative)
    }

    /// Where a slot's ads begin: has what says so brought near.
    pub(crate) fn warm(&self, slot: usize) -> u64 {
        let start = self.ads.0.get(slot / BLOCK).and_then(|ads| ads.starts.get(slot % BLOCK));
        start.map_or(0, |start| u64::from(*start))
    }

    /// The same with another campaign in a slot.
    pub(crate) fn with(&self, slot: usize, entry: &Entry) -> Self {
        let mut next = self.clone();
        next.ads.put(slot, entry, |entry, creative| part(&self.model, entry, creative));
        for (guest, ads) in &mut next.guests {
            ads.put(slot, entry, |entry, creative| guest.ad_part(&ad_features(&entry.campaign, creative)));
        }
        next
    }

    /// Bytes on the heap without the model's and the guests', about.
    pub fn bytes(&self) -> usize {
        let block = |ads: &Arc<Block<AdPart>>| {
            ads.starts.capacity() * 4 + ads.parts.capacity() * size_of::<AdPart>() + 64
        };
        self.ads.0.iter().map(block).sum()
    }
}

fn part(model: &Model, entry: &Entry, creative: usize) -> AdPart {
    model.ad_part(&ad_features(&entry.campaign, creative))
}

#[cfg(test)]
mod tests {
    use haggle_learning::offline::{Deep, DeepSettings, Learner, LinearSettings};
    use haggle_learning::{
        ARCHIVE_SCHEMA, Batch, Role, Trainer, archive_fields, push_archived, push_archived_conversion,
    };

    use super::*;
    use crate::test_support::campaign;

    const REQUEST: [u32; 2] = [4 << 18 | 7, 14 << 18 | 5];

    /// A model of an archive in which each click on this ad led to an order, or in which orders were not learned.
    fn guest(ad: &[u32], orders: bool) -> Arc<Guest> {
        let linear = LinearSettings { bits: 12, ..LinearSettings::default() };
        let fields = archive_fields().count() as u16;
        let mut model =
            Deep::new(DeepSettings { linear, fields, bits: 8, ..DeepSettings::default() }).unwrap();
        let mut batch = Batch::default();
        for row in 0..2_000u32 {
            push_archived(&mut batch, &REQUEST, ad, row.is_multiple_of(4));
            if orders && row.is_multiple_of(4) {
                push_archived_conversion(&mut batch, &REQUEST, ad, true);
            }
        }
        model.learn(&batch);
        let mut bytes = Vec::new();
        model.save(ARCHIVE_SCHEMA, &mut bytes);
        Arc::new(Guest::load("archive", &bytes).unwrap())
    }

    #[test]
    fn bids_expect_of_clicks_and_orders_what_the_learner_would_have_promised() {
        let entry = Entry::new(Arc::new(campaign("a")));
        let ad = ad_features(&entry.campaign, 0);
        let catalog = Catalog::new(vec![entry]);
        let slot = (0..catalog.slots()).find(|slot| catalog.at(*slot).is_some()).unwrap();
        for orders in [true, false] {
            let mut trainer = Trainer::default();
            trainer.set_guests(&[(guest(&ad, orders), Role::Serving)]);
            for example in 0..60u32 {
                let scorer = Scorer::new(trainer.snapshot(), &catalog);
                let expected = scorer.predict(&scorer.request(&REQUEST, None), slot, 0).unwrap();
                let own = &scorer.model;
                let own = own.predict(&own.request_part(&REQUEST), scorer.ad(slot, 0).unwrap());
                assert_ne!(expected.click.to_bits(), own.click.to_bits());
                // Its word on orders counts, if it has one.
                let changed = expected.conversion.to_bits() != own.conversion.to_bits();
                assert_eq!(changed, orders);
                let click = trainer.learn_click(&REQUEST, &ad, example.is_multiple_of(4));
                assert_eq!(click.to_bits(), expected.click.to_bits());
                let conversion = trainer.learn_conversion(&REQUEST, &ad, !example.is_multiple_of(4));
                assert_eq!(conversion.to_bits(), expected.conversion.to_bits());
            }
        }
    }
}
