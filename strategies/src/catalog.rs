//! Everything a bid reads, frozen: loaded once per request, replaced whole, never changed in place.

use std::cmp::Reverse;
use std::sync::Arc;

use haggle_domain::{Campaign, CampaignKey, CpmMicros, Tag};

use crate::card::Card;
use crate::explore::{Arms, Shape};
use crate::frequency::{AdvertiserCaps, Caps};
use crate::index::{BLOCK, Blocks, Clauses, Index, Shards};
use crate::live::CampaignLive;
use crate::market::Market;
use crate::pricing::{estimate, most};
use crate::scorer::Scorer;
use crate::seats::Seats;

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

/// All campaigns, each in a slot that stays its own for as long as nothing about it changes, whatever else comes and goes.
/// A copy shares all memory with the original until one of them is changed, and then copies only what the campaign touches.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    blocks: Vec<Arc<Block>>,
    /// By block.
    ranks: Vec<Rank>,
    /// Blocks by class, the highest first.
    classes: Vec<(u8, Blocks)>,
    index: Index,
    /// Slots by key.
    positions: Shards<u32>,
    len: usize,
    /// What is counted for the caps of whole advertisers.
    pub advertiser_caps: AdvertiserCaps,
}

/// Neighbouring slots.
#[derive(Clone, Debug)]
struct Block {
    rows: [Arc<Row>; BLOCK / ROW],
    seats: Arc<Seats>,
}

/// Slots that are copied together when one of them changes.
const ROW: usize = 32;

type Row = Vec<Option<Card>>;

/// What is known of a block without looking into it. Bounds of those that were there since it was last empty.
#[derive(Clone, Copy, Debug, Default)]
struct Rank {
    /// Of the richest.
    class: u8,
    /// The most that one of them bids.
    most: CpmMicros,
    taken: usize,
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
        let live = Arc::new(CampaignLive::new(Arms::of(&campaign.explore, &shapes, &[])));
        Self::with_live(campaign, live)
    }

    /// Prepares a changed campaign for bidding, with the live state that its actor looks after.
    pub fn with_live(campaign: Arc<Campaign>, live: Arc<CampaignLive>) -> Self {
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
            live,
            campaign,
        }
    }
}

/// Campaigns of one class bid alike: what they may be worth, in powers of two.
fn class(entry: &Entry) -> u8 {
    // At most 63.
    estimate(&entry.campaign).0.max(1).ilog2() as u8
}

impl Block {
    fn empty() -> Self {
        Self { rows: std::array::from_fn(|_| Arc::new(vec![None; ROW])), seats: Arc::default() }
    }

    fn card(&self, place: usize) -> Option<&Card> {
        self.rows.get(place / ROW)?.get(place % ROW)?.as_ref()
    }

    fn card_mut(&mut self, place: usize) -> Option<&mut Option<Card>> {
        Arc::make_mut(self.rows.get_mut(place / ROW)?).get_mut(place % ROW)
    }
}

impl Catalog {
    /// Of campaigns with distinct keys. Few keep their order; more than a block holds are put beside those that bid about
    /// as much for the same requests.
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut sorted: Vec<(Entry, Clauses)> = entries
            .into_iter()
            .map(|entry| (Clauses::of(&entry), entry))
            .map(|(clauses, entry)| (entry, clauses))
            .collect();
        if sorted.len() > BLOCK {
            sorted.sort_by_cached_key(|(entry, clauses)| {
                (Reverse(class(entry)), clauses.kind(), entry.campaign.key)
            });
        }
        let mut catalog = Self::default();
        for (slot, (entry, clauses)) in sorted.into_iter().enumerate() {
            catalog.advertiser_caps.add(&entry.caps);
            catalog.put(slot, entry, &clauses);
        }
        catalog.index.shrink();
        catalog.classify();
        catalog
    }

    /// All of them with their slots, in the slots' order.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.cards().map(|(slot, card)| (slot, &card.entry))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Slots, taken and free: one more than the highest.
    pub fn slots(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    /// The one in this slot.
    pub fn at(&self, slot: usize) -> Option<&Arc<Entry>> {
        self.card(slot).map(|card| &card.entry)
    }

    /// The card of the one in this slot.
    #[inline]
    pub(crate) fn card(&self, slot: usize) -> Option<&Card> {
        self.blocks.get(slot / BLOCK)?.card(slot % BLOCK)
    }

    /// All cards with their slots, in the slots' order.
    pub(crate) fn cards(&self) -> impl Iterator<Item = (usize, &Card)> {
        let all = self.blocks.iter().flat_map(|block| block.rows.iter().flat_map(|row| &**row));
        all.enumerate().filter_map(|(slot, card)| Some((slot, card.as_ref()?)))
    }

    /// The slot of the one with this key.
    pub fn slot(&self, key: CampaignKey) -> Option<usize> {
        self.positions.get(key.0).map(|slot| *slot as usize)
    }

    /// The one with this key.
    pub fn get(&self, key: CampaignKey) -> Option<&Arc<Entry>> {
        self.slot(key).and_then(|slot| self.at(slot))
    }

    /// Which of them a request is for.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What the campaigns of a block are expected to bid, where they may.
    pub(crate) fn seats(&self, block: usize) -> Option<&Seats> {
        self.blocks.get(block).map(|block| &*block.seats)
    }

    /// The blocks by what their campaigns may be worth, the best first.
    pub(crate) fn classes(&self) -> impl Iterator<Item = &Blocks> {
        self.classes.iter().map(|(_, blocks)| blocks)
    }

    /// No campaign of a block bids more in the open auction.
    pub(crate) fn most(&self, block: usize) -> CpmMicros {
        self.ranks.get(block).map_or(CpmMicros::ZERO, |rank| rank.most)
    }

    /// The same with a campaign added, or changed if there is one with its key; and its slot. Only the new catalog is told
    /// from now on whether the campaign may bid, so it has to take the old one's place.
    pub fn with(&self, entry: Entry) -> (Self, usize) {
        let mut next = self.clone();
        next.advertiser_caps.add(&entry.caps);
        let class = class(&entry);
        let old = self.slot(entry.campaign.key);
        // Who asks for something else now stays where it is, unless it belongs among the richer or the poorer.
        let stays = old.filter(|slot| self.at(*slot).is_some_and(|old| self::class(old) == class));
        if let Some(slot) = old {
            next.take(slot);
        }
        let slot = stays.unwrap_or_else(|| next.free_slot(class));
        let clauses = Clauses::of(&entry);
        next.put(slot, entry, &clauses);
        next.classify();
        (next, slot)
    }

    /// The same without a campaign.
    pub fn without(&self, key: CampaignKey) -> Self {
        let mut next = self.clone();
        if let Some(slot) = self.slot(key) {
            next.take(slot);
            next.classify();
        }
        next
    }

    /// A free place, among campaigns of this class if one of their blocks has any. Another block is opened where too few
    /// places are free for it to matter.
    fn free_slot(&self, class: u8) -> usize {
        let free = |rank: &&(usize, &Rank)| rank.1.taken < BLOCK;
        let blocks = || self.ranks.iter().enumerate();
        let of_class = blocks().find(|at| free(&at) && at.1.class == class);
        let spare: usize = blocks().map(|(_, rank)| BLOCK - rank.taken).sum();
        let any = || blocks().filter(|at| free(&at)).min_by_key(|(_, rank)| rank.class.abs_diff(class));
        let block = match of_class {
            None if spare > self.len / 4 => any(),
            found => found,
        };
        let (block, place) = block.map_or((self.blocks.len(), 0), |(block, _)| {
            let is_free = |place: &usize| self.card(block * BLOCK + place).is_none();
            (block, (0..BLOCK).find(is_free).unwrap_or(0))
        });
        block * BLOCK + place
    }

    fn put(&mut self, slot: usize, entry: Entry, clauses: &Clauses) {
        let (block, place) = (slot / BLOCK, slot % BLOCK);
        while self.blocks.len() <= block {
            self.blocks.push(Arc::new(Block::empty()));
            self.ranks.push(Rank::default());
        }
        let (Some(rank), Some(block)) = (self.ranks.get_mut(block), self.blocks.get_mut(block)) else {
            return;
        };
        let (class, most) = (class(&entry), most(&entry.campaign));
        *rank = Rank { class: rank.class.max(class), most: rank.most.max(most), taken: rank.taken + 1 };
        entry.live.sit(&block.seats, place, estimate(&entry.campaign));
        self.positions.insert(entry.campaign.key.0, slot as u32);
        if let Some(at) = Arc::make_mut(block).card_mut(place) {
            *at = Some(Card::new(entry));
        }
        self.index.insert(slot, clauses);
        self.len += 1;
    }

    fn take(&mut self, slot: usize) {
        let Some(block) = self.blocks.get_mut(slot / BLOCK) else { return };
        let taken = Arc::make_mut(block).card_mut(slot % BLOCK).and_then(Option::take);
        let Some(Card { entry, .. }) = taken else { return };
        self.advertiser_caps.remove(&entry.caps);
        entry.live.stand(&block.seats, slot % BLOCK);
        self.positions.remove(entry.campaign.key.0);
        self.index.remove(slot, &Clauses::of(&entry));
        self.len -= 1;
        if let Some(rank) = self.ranks.get_mut(slot / BLOCK) {
            rank.taken -= 1;
            if rank.taken == 0 {
                *rank = Rank::default();
            }
        }
    }

    /// Sorts the blocks by their class.
    fn classify(&mut self) {
        self.classes.clear();
        for (block, rank) in self.ranks.iter().enumerate().filter(|(_, rank)| rank.taken > 0) {
            let at = self.classes.partition_point(|(class, _)| *class > rank.class);
            if self.classes.get(at).is_none_or(|(class, _)| *class != rank.class) {
                self.classes.insert(at, (rank.class, Blocks::default()));
            }
            if let Some((_, blocks)) = self.classes.get_mut(at) {
                blocks.set(block, true);
            }
        }
    }

    /// Bytes that the catalog takes beside the campaigns' own, about.
    pub fn bytes(&self) -> usize {
        let block = size_of::<Block>() + size_of::<Seats>() + BLOCK * size_of::<Option<Card>>();
        self.index.bytes() + self.positions.bytes() + self.blocks.len() * (block + size_of::<Rank>())
    }
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
