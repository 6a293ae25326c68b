//! Parameters by feature, in pages that are copied only when they change.
//!
//! A model and the trainer it came from share every page until the trainer writes into it, so publishing a model
//! costs what changed since the last one. Pages never written are not there.

use std::sync::Arc;

/// Factors of a feature: the rank of the factorisation.
pub(crate) const LANES: usize = 8;
/// Rows of a page; its rows' bits fit a `u64`.
pub(crate) const PAGE_ROWS: usize = 64;

/// The parameters of a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Row {
    /// What it adds by itself.
    pub(crate) linear: f32,
    /// What it adds with others: the dot product of the two.
    pub(crate) factors: [f32; LANES],
    /// How much of its weight's variance before anything was seen is gone by what was. Not there in tables of squares.
    pub(crate) settled: f32,
}

impl Row {
    /// All zeros.
    pub(crate) const ZERO: Self = Self { linear: 0.0, factors: [0.0; LANES], settled: 0.0 };
}

/// Neighbouring rows.
pub(crate) type Page = [Row; PAGE_ROWS];

/// What a page has before anybody writes into it.
static BLANK: Page = [Row::ZERO; PAGE_ROWS];

/// Rows by hashed feature.
#[derive(Clone)]
pub(crate) struct Table {
    mask: u32,
    /// None of zeros alone: most are, and to share those would be most of what publishing costs.
    pages: Vec<Option<Arc<Page>>>,
}

impl Table {
    /// A table of `2^bits` rows, all zero; `bits` from 6 to 24.
    pub(crate) fn new(bits: u32) -> Self {
        let bits = bits.clamp(PAGE_ROWS.ilog2(), 24);
        Self { mask: (1 << bits) - 1, pages: vec![None; (1 << bits) / PAGE_ROWS] }
    }

    fn place(&self, index: u32) -> (usize, usize) {
        let row = (index & self.mask) as usize;
        (row / PAGE_ROWS, row % PAGE_ROWS)
    }

    /// A feature's row.
    pub(crate) fn row(&self, index: u32) -> &Row {
        let (page, row) = self.place(index);
        &self.pages[page].as_deref().unwrap_or(&BLANK)[row]
    }

    /// A feature's row, to change it; its page is copied if a model shares it.
    pub(crate) fn row_mut(&mut self, index: u32) -> &mut Row {
        let (page, row) = self.place(index);
        &mut written(&mut self.pages[page])[row]
    }

    /// A page by its number.
    pub(crate) fn page(&self, number: usize) -> Option<&Page> {
        self.pages.get(number).map(|page| page.as_deref().unwrap_or(&BLANK))
    }

    /// A page by its number, to change it.
    pub(crate) fn page_mut(&mut self, number: usize) -> Option<&mut Page> {
        self.pages.get_mut(number).map(written)
    }

    /// Numbers of the pages that were ever written.
    pub(crate) fn written(&self) -> impl Iterator<Item = usize> + '_ {
        self.pages.iter().enumerate().filter(|(_, page)| page.is_some()).map(|(number, _)| number)
    }

    /// How many pages there are.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// How many pages differ, as memory, from another table's.
    #[cfg(test)]
    pub(crate) fn unshared(&self, other: &Self) -> usize {
        let memory = |page: &Option<Arc<Page>>| page.as_ref().map(Arc::as_ptr);
        self.pages.iter().zip(&other.pages).filter(|(a, b)| memory(a) != memory(b)).count()
    }
}

/// A page that can be written into and that nobody else has.
fn written(page: &mut Option<Arc<Page>>) -> &mut Page {
    Arc::make_mut(page.get_or_insert_with(|| Arc::new(BLANK)))
}
