//! A table of hashed rows of numbers, each row followed by its numbers' sums of squared gradients.

use std::ops::Range;

use super::file::{self, FileError, Reader};
use super::math::{mix, unit};
use super::simd::prefetch;

/// Numbers in a line of memory.
const LINE: usize = 16;

#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    width: usize,
    bits: u8,
    /// What sums of squares start from.
    caution: f32,
    /// Where the first row starts: at the start of a line, so that no row touches a line more than it must.
    first: usize,
    table: Vec<f32>,
}

impl Vectors {
    /// 2 to the power `bits` rows of `width` numbers, which start within `range`.
    pub(crate) fn new(width: usize, bits: u8, range: Range<f32>, caution: f32, seed: u64) -> Self {
        let table = vec![0.0; ((2 * width) << bits) + LINE];
        let first = table.as_ptr().align_offset(4 * LINE).min(LINE);
        let mut vectors = Self { width, bits, caution, first, table };
        for (row, both) in vectors.rows_mut().chunks_exact_mut(2 * width).enumerate() {
            let (numbers, squares) = both.split_at_mut(width);
            for (at, number) in numbers.iter_mut().enumerate() {
                let share = unit(mix(seed ^ mix((row * width + at) as u64)));
                *number = range.start + share * (range.end - range.start);
            }
            squares.fill(caution);
        }
        vectors
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// All rows, each with its sums of squares.
    pub(crate) fn rows(&self) -> &[f32] {
        self.table.get(self.first..self.first + self.len()).unwrap_or_default()
    }

    pub(crate) fn rows_mut(&mut self) -> &mut [f32] {
        let range = self.first..self.first + self.len();
        self.table.get_mut(range).unwrap_or_default()
    }

    /// How many numbers there are in all rows, sums of squares included.
    fn len(&self) -> usize {
        (2 * self.width) << self.bits
    }

    #[inline(always)]
    fn start(&self, index: u32) -> usize {
        self.first + (index as usize & ((1 << self.bits) - 1)) * 2 * self.width
    }

    /// A feature's numbers.
    #[inline(always)]
    pub(crate) fn numbers(&self, index: u32) -> &[f32] {
        let start = self.start(index);
        self.table.get(start..start + self.width).unwrap_or_default()
    }

    /// A feature's numbers and their sums of squares.
    #[inline(always)]
    pub(crate) fn both_mut(&mut self, index: u32) -> (&mut [f32], &mut [f32]) {
        let start = self.start(index);
        let row = self.table.get_mut(start..start + 2 * self.width).unwrap_or_default();
        row.split_at_mut_checked(self.width).unwrap_or_default()
    }

    /// Asks for the lines of a feature that is needed soon, with their sums of squares if it is to be learned.
    #[inline(always)]
    pub(crate) fn prefetch(&self, index: u32, learn: bool) {
        let start = self.start(index);
        let length = if learn { 2 * self.width } else { self.width };
        (start..start + length).step_by(LINE).for_each(|at| prefetch(&self.table, at));
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.table[..])
    }

    /// Appends the rows that were touched.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let touched = |row: &[f32]| row.iter().skip(self.width).any(|squares| *squares > self.caution);
        file::write_rows(self.rows().chunks_exact(2 * self.width), touched, out);
    }

    /// Reads what [`Vectors::write`] wrote over rows that nothing has touched.
    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), FileError> {
        let (width, caution) = (self.width, self.caution);
        let valid = |row: &[f32]| {
            row.iter().take(width).all(|number| number.abs() <= 1e9)
                && row.iter().skip(width).all(|squares| (caution..=1e30).contains(squares))
        };
        file::read_rows(reader, self.rows_mut().chunks_exact_mut(2 * width), valid)
    }
}
