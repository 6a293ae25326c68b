//! Hashed rows of numbers.

use crate::offline::simd::prefetch;

/// Numbers in a line of memory.
const LINE: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Table {
    width: usize,
    /// Rows less one; there are two to some power.
    mask: usize,
    /// Where the first row starts: at the start of a line, so that no row lies in more of them than it must.
    first: usize,
    numbers: Vec<f32>,
}

impl Table {
    /// Of rows of `width` numbers; how many there are is a power of two.
    pub(super) fn new(rows: impl ExactSizeIterator<Item = f32>, width: usize) -> Self {
        let mut table = Self::zeros(rows.len() / width, width);
        table.rows_mut().iter_mut().zip(rows).for_each(|(place, number)| *place = number);
        table
    }

    pub(super) fn zeros(rows: usize, width: usize) -> Self {
        debug_assert!(rows.is_power_of_two());
        let numbers = vec![0.0; rows * width + LINE];
        let first = numbers.as_ptr().align_offset(4 * LINE).min(LINE);
        Self { width, mask: rows - 1, first, numbers }
    }

    pub(super) fn bits(&self) -> u8 {
        self.mask.count_ones() as u8
    }

    pub(super) fn len(&self) -> usize {
        (self.mask + 1) * self.width
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.numbers[..])
    }

    /// All rows, one after the other.
    pub(super) fn rows(&self) -> &[f32] {
        self.numbers.get(self.first..self.first + self.len()).unwrap_or_default()
    }

    pub(super) fn rows_mut(&mut self) -> &mut [f32] {
        let range = self.first..self.first + self.len();
        self.numbers.get_mut(range).unwrap_or_default()
    }

    #[inline(always)]
    fn start(&self, index: u32) -> usize {
        self.first + (index as usize & self.mask) * self.width
    }

    /// Asks for a row that is needed soon.
    #[inline(always)]
    pub(super) fn prefetch(&self, index: u32) {
        prefetch(&self.numbers, self.start(index));
    }

    /// The first number of a row.
    #[inline(always)]
    pub(super) fn number(&self, index: u32) -> f32 {
        self.numbers.get(self.start(index)).copied().unwrap_or_default()
    }

    /// Adds a row, times `strength`.
    #[inline(always)]
    pub(super) fn add<const K: usize>(&self, index: u32, strength: f32, sums: &mut [f32; K]) {
        let row = self.numbers.get(self.start(index)..).and_then(|rest| rest.first_chunk::<K>());
        let Some(row) = row else { return };
        for lane in 0..K {
            sums[lane] += strength * row[lane];
        }
    }
}
