//! A table of hashed rows of numbers, each row followed by its numbers' sums of squared gradients.

use std::ops::Range;

use super::file::{self, FileError, Reader};
use super::math::{mix, unit};
use super::simd::prefetch;

/// Numbers in a line of memory.
const LINE: usize = 16;

/// Where the number at `at` of the whole table starts.
fn start(range: &Range<f32>, seed: u64, at: usize) -> f32 {
    range.start + unit(mix(seed ^ mix(at as u64))) * (range.end - range.start)
}

#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    width: usize,
    bits: u8,
    /// What numbers and sums of squares start from.
    range: Range<f32>,
    seed: u64,
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
        let start = |at| start(&range, seed, at);
        let mut vectors = Self { width, bits, range: range.clone(), seed, caution, first, table };
        for (row, both) in vectors.rows_mut().chunks_exact_mut(2 * width).enumerate() {
            let (numbers, squares) = both.split_at_mut(width);
            numbers.iter_mut().enumerate().for_each(|(at, number)| *number = start(row * width + at));
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

    /// Appends the rows that were touched: whose sums of squares have grown, or, where slopes were too small for that, whose
    /// numbers have moved.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut row_number = 0;
        let touched = |row: &[f32]| {
            let first = row_number * self.width;
            row_number += 1;
            let (numbers, squares) = row.split_at_checked(self.width).unwrap_or_default();
            let starts = (first..).map(|at| start(&self.range, self.seed, at).to_bits());
            squares.iter().any(|squares| *squares > self.caution)
                || numbers.iter().zip(starts).any(|(number, start)| number.to_bits() != start)
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope;

    #[test]
    fn every_row_that_moved_comes_back_and_others_take_no_room() {
        let fresh = || Vectors::new(8, 4, -0.1..0.1, 1.0, 3);
        let mut vectors = fresh();
        // A slope so small that its square is lost in the sum, and one that is not.
        vectors.both_mut(5).0[2] += 1e-4;
        let (numbers, squares) = vectors.both_mut(9);
        (numbers[0], squares[0]) = (0.5, 1.25);
        let mut bytes = Vec::new();
        vectors.write(&mut bytes);
        assert_eq!(bytes.len(), 8 + 2 * 2 * 8 * 4, "the bits of all rows, and two rows");
        let mut read = fresh();
        read.read(&mut Reader::of(envelope::Reader(&bytes))).unwrap();
        assert!(read.rows() == vectors.rows());
    }
}
