//! Asking the index.

use haggle_domain::{Category, Context, Tag};
use smallvec::SmallVec;

use super::atoms::{AGAINST, Dimension, FIRST_SPARE, LAYERS, OWN, SAID, SPARE, key};
use super::bits::{Bits, Blocks};
use super::compile::about_value;
use super::{Asking, Index, Posting};
use crate::safety::family;

/// Of a request's unwanted categories and advertisers, so many are looked up; ranking compares all of them with those
/// campaigns that it considers.
const MOST_UNWANTED: usize = 48;

/// A request's atoms, found in an index. Says of any block which of its places the request is for.
#[derive(Clone, Debug)]
pub struct Search<'i> {
    index: &'i Index,
    /// Layer by layer.
    hits: SmallVec<[&'i Posting; 64]>,
    /// Where each layer's hits end.
    ends: [u32; LAYERS],
    against: SmallVec<[&'i Posting; 16]>,
    /// One of each of these lists, where there is one.
    required: SmallVec<[SmallVec<[&'i Posting; 4]>; 1]>,
    /// Layers that count.
    layers: u32,
    /// The blocks that may hold something.
    blocks: Blocks,
}

/// See [`Search::mark`].
pub(crate) struct Mark {
    against: usize,
    required: usize,
    blocks: Blocks,
}

impl<'i> Search<'i> {
    /// Looks a request up.
    pub fn new(index: &'i Index, asking: &Asking) -> Self {
        Self::of_layers(index, asking, u32::MAX)
    }

    /// The same for a user of whom anything might be known: what is asked of users alone counts as given, and with it
    /// whatever may stand beside it in a clause.
    pub fn of_some_user(index: &'i Index, asking: &Asking) -> Self {
        let spare = ((1 << SPARE) - 1) << FIRST_SPARE;
        let users = 1 << Dimension::UserList as u32 | 1 << Dimension::Behaviour as u32;
        Self::of_layers(index, asking, !(spare | users))
    }

    fn of_layers(index: &'i Index, asking: &Asking, layers: u32) -> Self {
        let mut search = Self {
            index,
            hits: SmallVec::new(),
            ends: [0; LAYERS],
            against: SmallVec::new(),
            required: SmallVec::new(),
            layers,
            blocks: index.taken.clone(),
        };
        // The request's atoms are in the order of their layers.
        let used =
            |place: u8, dimension: Dimension| index.used[usize::from(place)] >> dimension as u32 & 1 == 1;
        for &(dimension, value) in &asking.0 {
            if used(OWN, dimension)
                && let Some(posting) = index.postings.get(key(OWN, dimension, value))
            {
                search.hits.push(posting);
                search.ends[dimension as usize] = search.hits.len() as u32;
            }
            if used(AGAINST, dimension)
                && let Some(posting) = index.postings.get(key(AGAINST, dimension, value))
            {
                search.against.push(posting);
            }
        }
        for spare in 1..=SPARE as u8 {
            if index.used[usize::from(spare)] == 0 {
                continue;
            }
            for &(dimension, value) in &asking.0 {
                if used(spare, dimension)
                    && let Some(posting) = index.postings.get(key(spare, dimension, value))
                {
                    search.hits.push(posting);
                    search.ends[FIRST_SPARE + usize::from(spare) - 1] = search.hits.len() as u32;
                }
            }
        }
        let mut end = 0;
        for (layer, (layers_end, free)) in search.ends.iter_mut().zip(&index.free).enumerate() {
            let start = end;
            end = end.max(*layers_end);
            *layers_end = end;
            if (layers & index.constrained) >> layer & 1 == 1 {
                let hits = search.hits.get(start as usize..end as usize).unwrap_or_default();
                if hits.is_empty() {
                    search.blocks.keep(free);
                    continue;
                }
                let mut possible = free.clone();
                possible.0.resize(index.taken.0.len(), 0);
                hits.iter().for_each(|posting| posting.add_to(&mut possible));
                search.blocks.keep(&possible);
            }
        }
        search
    }

    /// What is looked for now, to come back to.
    pub(crate) fn mark(&self) -> Mark {
        Mark { against: self.against.len(), required: self.required.len(), blocks: self.blocks.clone() }
    }

    /// Looks again for what was looked for at a mark of this search.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.against.truncate(mark.against);
        self.required.truncate(mark.required);
        self.blocks = mark.blocks;
    }

    /// Leaves out what the request does not want to see advertised. Whether that is all of it, so that
    /// [`crate::safety::allows`] has nothing to add.
    #[must_use]
    pub fn respect(&mut self, context: &Context) -> bool {
        let index = self.index;
        let said = |dimension: Dimension, value: u64| -> Option<&'i Posting> {
            index.postings.get(key(SAID, dimension, value)).map(|posting| &**posting)
        };
        let about = |taxonomy: u8, tag: Tag| said(Dimension::About, about_value(taxonomy, tag));
        let (blocked, wanted) = (&context.blocked_categories, &context.wanted_categories);
        let taxonomy = context.category_taxonomy;
        for tag in blocked.iter().take(MOST_UNWANTED) {
            if let Some(posting) = about(Category::CONTENT_1, *tag) {
                self.against.push(posting);
            }
            if family(taxonomy) != Category::CONTENT_1
                && let Some(posting) = about(taxonomy, *tag)
            {
                self.against.push(posting);
            }
        }
        if !wanted.is_empty() {
            self.require(wanted.iter().filter_map(|tag| about(taxonomy, *tag)).collect());
        }
        if !blocked.is_empty() || !wanted.is_empty() {
            // Who says nothing of themselves in the taxonomy cannot be judged.
            self.require(said(Dimension::Taxonomy, u64::from(family(taxonomy))).into_iter().collect());
        }
        let advertisers = &context.blocked_advertisers;
        let unwanted = advertisers.iter().take(MOST_UNWANTED);
        self.against.extend(unwanted.filter_map(|tag| said(Dimension::Advertiser, tag.0)));
        blocked.len().max(advertisers.len()) <= MOST_UNWANTED
            && context.blocked_apps.is_empty()
            && context.ad_languages.is_empty()
    }

    /// Leaves only campaigns that may buy under one of the deals.
    pub fn only_holders(&mut self, deals: impl Iterator<Item = Tag>) {
        let found = deals.filter_map(|deal| self.index.postings.get(key(SAID, Dimension::Holder, deal.0)));
        let found = found.map(|posting| &**posting).collect();
        self.require(found);
    }

    fn require(&mut self, one_of: SmallVec<[&'i Posting; 4]>) {
        let mut possible = Blocks::default();
        possible.0.resize(self.blocks.0.len(), 0);
        one_of.iter().for_each(|posting| posting.add_to(&mut possible));
        self.blocks.keep(&possible);
        self.required.push(one_of);
    }

    /// The blocks that may hold something.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The places of a block that the request is for; the residual ones among them have still to be asked.
    pub fn places(&self, block: usize) -> Bits {
        let Some(sets) = self.index.blocks.get(block) else { return Bits::default() };
        let mut places = sets.taken;
        let mut layers = sets.constrained & self.layers;
        while layers != 0 {
            let layer = layers.trailing_zeros() as usize;
            layers &= layers - 1;
            let mut allowed = sets.free[layer];
            let start = if layer == 0 { 0 } else { self.ends[layer - 1] };
            for posting in self.hits.get(start as usize..self.ends[layer] as usize).unwrap_or_default() {
                if let Some(bits) = posting.at(block) {
                    allowed |= *bits;
                }
            }
            places &= allowed;
            if places.is_empty() {
                return places;
            }
        }
        for one_of in &self.required {
            let mut allowed = Bits::default();
            one_of.iter().filter_map(|posting| posting.at(block)).for_each(|bits| allowed |= *bits);
            places &= allowed;
        }
        for posting in &self.against {
            if let Some(bits) = posting.at(block) {
                places &= !*bits;
            }
        }
        places
    }
}
