//! Which campaigns a request is meant for, without asking each of them.
//!
//! Campaigns lie in blocks of [`BLOCK`] places. A targeting expression is compiled into *clauses*, each an OR of *atoms*
//! (a dimension and a value, as "country, USA"); all clauses must hold. Each clause lies in a *layer*, one for every
//! dimension and a few for what has no dimension of its own. Of every atom the index knows in which places of which
//! blocks it stands ([`Posting`]); of every layer in a block, in which places there is no such clause. So the places of a
//! block that a request is for are, layer by layer, those without a clause or with one of the request's atoms; and which
//! blocks are worth looking into is the same computation on sets of blocks.
//!
//! What fits no set of atoms (how often and how recently, hours where the user is) is left out, and a distance stands for the
//! fields of a grid that its circle touches, so that the index finds more than matches, never less; such places are marked as *residual*, and [`crate::targeting::matches`] judges
//! them. All others are exact.
//!
//! A copy of an index shares all memory with the original until one of them is changed, and then copies only what a
//! campaign touches: its block's sets and its atoms' postings.

mod atoms;
mod bits;
mod compile;
mod posting;
mod search;
mod shards;

use std::sync::Arc;

pub use atoms::{Asking, Dimension};
pub use bits::{BLOCK, Bits, Blocks};
pub use compile::Clauses;
pub use posting::Posting;
pub use search::Search;
pub(crate) use shards::AsIs;
pub use shards::Shards;

use atoms::{LAYERS, PLACES};

/// What a block's places ask for, apart from the atoms.
#[derive(Clone, Debug, Default)]
struct Sets {
    /// Places that hold a campaign.
    taken: Bits,
    /// Of those, the ones that the index cannot judge alone.
    residual: Bits,
    /// By layer, the ones without a clause there.
    free: [Bits; LAYERS],
    /// The layers in which some have one.
    constrained: u32,
}

/// The index of a catalog. See the module.
#[derive(Clone, Debug)]
pub struct Index {
    blocks: Vec<Arc<Sets>>,
    postings: Shards<Arc<Posting>>,
    /// Blocks that hold a campaign.
    taken: Blocks,
    /// By layer, the blocks in which some campaign has no clause there.
    free: [Blocks; LAYERS],
    /// The layers in which there is a block without such.
    constrained: u32,
    /// How many atoms stand where, so that nothing is looked up in vain.
    uses: [[u32; Dimension::COUNT]; PLACES],
    /// Sets of dimensions that are used, by where.
    used: [u32; PLACES],
}

impl Default for Index {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            postings: Shards::default(),
            taken: Blocks::default(),
            free: std::array::from_fn(|_| Blocks::default()),
            constrained: 0,
            uses: [[0; Dimension::COUNT]; PLACES],
            used: [0; PLACES],
        }
    }
}

impl Index {
    /// Puts a campaign's clauses into a free place.
    pub fn insert(&mut self, slot: usize, clauses: &Clauses) {
        let (block, place) = (slot / BLOCK, slot % BLOCK);
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, Arc::default);
        }
        if let Some(sets) = self.blocks.get_mut(block) {
            let sets = Arc::make_mut(sets);
            sets.taken.insert(place);
            if clauses.residual {
                sets.residual.insert(place);
            }
            for (layer, free) in sets.free.iter_mut().enumerate() {
                if clauses.constrained >> layer & 1 == 0 {
                    free.insert(place);
                }
            }
        }
        for atom in &clauses.atoms {
            Arc::make_mut(self.postings.entry(atom.key)).insert(block, place);
            self.uses[usize::from(atom.place)][atom.dimension as usize] += 1;
        }
        self.summarise(block);
    }

    /// Takes a campaign's clauses out of its place.
    pub fn remove(&mut self, slot: usize, clauses: &Clauses) {
        let (block, place) = (slot / BLOCK, slot % BLOCK);
        if let Some(sets) = self.blocks.get_mut(block) {
            let sets = Arc::make_mut(sets);
            sets.taken.remove(place);
            sets.residual.remove(place);
            sets.free.iter_mut().for_each(|free| free.remove(place));
        }
        for atom in &clauses.atoms {
            let posting = Arc::make_mut(self.postings.entry(atom.key));
            posting.remove(block, place);
            if posting.is_empty() {
                self.postings.remove(atom.key);
            }
            let uses = &mut self.uses[usize::from(atom.place)][atom.dimension as usize];
            *uses = uses.saturating_sub(1);
        }
        self.summarise(block);
    }

    /// Brings what is known of whole blocks up to date with one of them.
    fn summarise(&mut self, block: usize) {
        if let Some(sets) = self.blocks.get_mut(block) {
            let sets = Arc::make_mut(sets);
            let mut constrained = 0;
            for (layer, (free, blocks)) in sets.free.iter().zip(&mut self.free).enumerate() {
                blocks.set(block, !free.is_empty());
                constrained |= u32::from(*free != sets.taken) << layer;
            }
            sets.constrained = constrained;
            self.taken.set(block, !sets.taken.is_empty());
            let layers = self.free.iter().enumerate();
            self.constrained =
                layers.fold(0, |set, (layer, free)| set | u32::from(*free != self.taken) << layer);
        }
        for (used, uses) in self.used.iter_mut().zip(&self.uses) {
            let dimensions = uses.iter().enumerate().filter(|(_, uses)| **uses > 0);
            *used = dimensions.fold(0, |set, (dimension, _)| set | 1 << dimension);
        }
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Whether the index alone cannot say that what it found in this slot matches.
    pub fn is_residual(&self, slot: usize) -> bool {
        self.blocks.get(slot / BLOCK).is_some_and(|sets| sets.residual.contains(slot % BLOCK))
    }

    /// Lets go of room that building has left over.
    pub fn shrink(&mut self) {
        self.postings.for_each(|posting| Arc::make_mut(posting).shrink());
    }

    /// Bytes on the heap, about.
    pub fn bytes(&self) -> usize {
        let sets = self.blocks.len() * (size_of::<Sets>() + 2 * size_of::<usize>());
        self.postings.fold(sets, |sum, posting| sum + posting.bytes() + 2 * size_of::<usize>())
            + self.postings.bytes()
    }
}
