//! Hashed rows of numbers in 32, 16 or 8 bits. Where few rows hold anything, those that are all 0 take no memory.

use super::Precision;
use super::number::{Half, Number, from_byte, scale, to_byte};
use crate::offline::file::{FileError, Reader};
use crate::offline::simd::prefetch;

/// Bytes in a line of memory.
const LINE: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Table {
    width: usize,
    /// Rows less one; there are two to some power.
    mask: usize,
    /// Which rows are kept; without it all are.
    kept: Option<Vec<Kept>>,
    rows: Rows,
}

/// Which of 64 rows are kept, and how many are before these.
#[derive(Clone, Copy, Debug)]
struct Kept {
    bits: u64,
    before: u32,
}

#[derive(Clone, Debug)]
enum Rows {
    Whole(Lined<f32>),
    Half(Lined<Half>),
    Byte { numbers: Lined<i8>, scale: f32 },
}

/// Numbers that start at the start of a line, so that no row lies in more of them than it must.
#[derive(Debug)]
struct Lined<N> {
    first: usize,
    numbers: Vec<N>,
}

impl<N: Copy + Default> Lined<N> {
    fn new(length: usize, numbers: impl Iterator<Item = N>) -> Self {
        let line = LINE / size_of::<N>();
        let mut place = vec![N::default(); length + line];
        let first = place.as_ptr().align_offset(LINE).min(line);
        place.iter_mut().skip(first).zip(numbers.take(length)).for_each(|(place, number)| *place = number);
        Self { first, numbers: place }
    }

    fn all(&self) -> &[N] {
        let end = self.numbers.len() - (LINE / size_of::<N>() - self.first);
        self.numbers.get(self.first..end).unwrap_or_default()
    }
}

impl<N: Copy + Default> Clone for Lined<N> {
    /// The copy lies elsewhere, and starts at the start of a line too.
    fn clone(&self) -> Self {
        Self::new(self.all().len(), self.all().iter().copied())
    }
}

impl Table {
    /// Of rows of `width` numbers; how many there are is a power of two.
    pub(super) fn new(rows: &[f32], width: usize, precision: Precision) -> Self {
        let scale = if precision == Precision::Byte { scale(rows) } else { 1.0 };
        Self::with_scale(rows, width, precision, scale)
    }

    fn with_scale(rows: &[f32], width: usize, precision: Precision, scale: f32) -> Self {
        let count = rows.len() / width;
        debug_assert!(count.is_power_of_two());
        let mut kept = Vec::with_capacity(count.div_ceil(64));
        let mut before = 0u32;
        for rows in rows.chunks(64 * width) {
            let held = rows.chunks_exact(width).enumerate();
            let bits = held.fold(0u64, |bits, (at, row)| {
                bits | u64::from(row.iter().any(|number| precision.holds(*number, scale))) << at
            });
            kept.push(Kept { bits, before });
            before += bits.count_ones();
        }
        // Where leaving rows out does not spare much, one access less is worth more.
        let least = before as usize * width * precision.bytes() + size_of_val(&kept[..]);
        let sparse = 2 * least < rows.len() * precision.bytes();
        let holds = |at: usize| !sparse || kept.get(at / 64).is_some_and(|it| it.bits >> (at % 64) & 1 == 1);
        let numbers =
            rows.chunks_exact(width).enumerate().filter(|(at, _)| holds(*at)).flat_map(|(_, row)| row);
        let length = if sparse { before as usize * width } else { rows.len() };
        let rows = match precision {
            Precision::Whole => Rows::Whole(Lined::new(length, numbers.copied())),
            Precision::Half => Rows::Half(Lined::new(length, numbers.map(|number| Half::of(*number)))),
            Precision::Byte => {
                let numbers = Lined::new(length, numbers.map(|number| to_byte(*number, scale)));
                Rows::Byte { numbers, scale }
            }
        };
        Self { width, mask: count - 1, kept: sparse.then_some(kept), rows }
    }

    /// There are 2 to this power rows.
    pub(super) fn bits(&self) -> u8 {
        self.mask.count_ones() as u8
    }

    fn count(&self) -> usize {
        self.mask + 1
    }

    /// How many numbers it holds.
    pub(super) fn len(&self) -> usize {
        match &self.rows {
            Rows::Whole(numbers) => numbers.all().len(),
            Rows::Half(numbers) => numbers.all().len(),
            Rows::Byte { numbers, .. } => numbers.all().len(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let kept = self.kept.as_ref().map_or(0, |kept| size_of_val(&kept[..]));
        let numbers = match &self.rows {
            Rows::Whole(numbers) => size_of_val(&numbers.numbers[..]),
            Rows::Half(numbers) => size_of_val(&numbers.numbers[..]),
            Rows::Byte { numbers, .. } => size_of_val(&numbers.numbers[..]),
        };
        kept + numbers
    }

    /// All rows, one after the other.
    pub(super) fn expand(&self) -> Vec<f32> {
        let mut rows = vec![0.0; self.count() * self.width];
        for (index, row) in (0u32..).zip(rows.chunks_exact_mut(self.width)) {
            if let Some(start) = self.start(index) {
                for (at, number) in row.iter_mut().enumerate() {
                    *number = self.get(start + at);
                }
            }
        }
        rows
    }

    #[inline(always)]
    fn get(&self, at: usize) -> f32 {
        match &self.rows {
            Rows::Whole(rows) => rows.numbers.get(rows.first + at).copied().unwrap_or_default(),
            Rows::Half(rows) => rows.numbers.get(rows.first + at).copied().unwrap_or_default().get(),
            Rows::Byte { numbers, scale } => {
                from_byte(numbers.numbers.get(numbers.first + at).copied().unwrap_or_default(), *scale)
            }
        }
    }

    /// Where a row's numbers start; `None` of one that is all 0 and not kept.
    #[inline(always)]
    fn start(&self, index: u32) -> Option<usize> {
        let row = index as usize & self.mask;
        let Some(kept) = &self.kept else { return Some(row * self.width) };
        let kept = kept.get(row / 64)?;
        let bit = 1u64 << (row % 64);
        let before = (kept.bits & (bit - 1)).count_ones() + kept.before;
        (kept.bits & bit != 0).then_some(before as usize * self.width)
    }

    /// Asks for what says of a row that is needed soon.
    #[inline(always)]
    pub(super) fn prefetch(&self, index: u32) {
        let row = index as usize & self.mask;
        match (&self.kept, &self.rows) {
            (Some(kept), _) => prefetch(kept, row / 64),
            (None, Rows::Whole(rows)) => prefetch(&rows.numbers, rows.first + row * self.width),
            (None, Rows::Half(rows)) => prefetch(&rows.numbers, rows.first + row * self.width),
            (None, Rows::Byte { numbers, .. }) => {
                prefetch(&numbers.numbers, numbers.first + row * self.width);
            }
        }
    }

    /// The first number of a row.
    #[inline(always)]
    pub(super) fn number(&self, index: u32) -> f32 {
        self.start(index).map_or(0.0, |start| self.get(start))
    }

    /// Adds a row, times `strength`.
    #[inline(always)]
    pub(super) fn add<const K: usize>(&self, index: u32, strength: f32, sums: &mut [f32; K]) {
        let Some(start) = self.start(index) else { return };
        match &self.rows {
            Rows::Whole(rows) => add(&rows.numbers, rows.first + start, sums, |number| strength * number),
            Rows::Half(rows) => {
                add(&rows.numbers, rows.first + start, sums, |number| strength * number.get());
            }
            Rows::Byte { numbers, scale } => {
                add(&numbers.numbers, numbers.first + start, sums, |byte| strength * from_byte(byte, *scale));
            }
        }
    }

    /// Appends it: precision, scale, and of each 64 rows the bits of those that are not all 0, and these.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (precision, scale) = self.precision();
        out.push(precision.number());
        out.extend_from_slice(&scale.to_le_bytes());
        for rows in self.expand().chunks(64 * self.width) {
            let held = |row: &[f32]| row.iter().any(|number| precision.holds(*number, scale));
            let rows = rows.chunks_exact(self.width);
            let bits =
                rows.clone().enumerate().fold(0u64, |bits, (at, row)| bits | u64::from(held(row)) << at);
            out.extend_from_slice(&bits.to_le_bytes());
            for number in rows.filter(|row| held(row)).flatten() {
                match precision {
                    Precision::Whole => out.extend_from_slice(&number.to_le_bytes()),
                    Precision::Half => out.extend_from_slice(&Half::of(*number).to_le_bytes()),
                    Precision::Byte => out.extend_from_slice(&to_byte(*number, scale).to_le_bytes()),
                }
            }
        }
    }

    /// Reads what [`Table::write`] wrote of 2 to the power `bits` rows; `valid` refuses numbers.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        bits: u8,
        width: usize,
        valid: impl Fn(f32) -> bool,
    ) -> Result<Self, FileError> {
        const RANGE: FileError = FileError::Invalid("a parameter is out of range");
        let precision = Precision::of(reader.u8()?).ok_or(RANGE)?;
        let scale = reader.f32()?;
        reader.expect_rows(1 << bits)?;
        let mut numbers = vec![0.0; width << bits];
        for rows in numbers.chunks_mut(64 * width) {
            let mut held = reader.u64()?;
            for row in rows.chunks_exact_mut(width) {
                if held & 1 == 1 {
                    for number in row {
                        *number = match precision {
                            Precision::Whole => reader.f32()?,
                            Precision::Half => Half::from_le_bytes(reader.bytes()?).ok_or(RANGE)?.get(),
                            Precision::Byte => from_byte(i8::from_le_bytes(reader.bytes()?), scale),
                        };
                        if !valid(*number) {
                            return Err(RANGE);
                        }
                    }
                }
                held >>= 1;
            }
            if held != 0 {
                return Err(FileError::Invalid("a row too many"));
            }
        }
        if !valid(scale) || scale < 0.0 {
            return Err(RANGE);
        }
        Ok(Self::with_scale(&numbers, width, precision, scale))
    }

    fn precision(&self) -> (Precision, f32) {
        match &self.rows {
            Rows::Whole(_) => (Precision::Whole, 1.0),
            Rows::Half(_) => (Precision::Half, 1.0),
            Rows::Byte { scale, .. } => (Precision::Byte, *scale),
        }
    }
}

#[inline(always)]
fn add<N: Copy, const K: usize>(numbers: &[N], start: usize, sums: &mut [f32; K], count: impl Fn(N) -> f32) {
    let Some(row) = numbers.get(start..).and_then(|rest| rest.first_chunk::<K>()) else { return };
    for lane in 0..K {
        sums[lane] += count(row[lane]);
    }
}

impl Precision {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Half => 1,
            Self::Byte => 2,
        }
    }

    pub(super) fn of(number: u8) -> Option<Self> {
        [Self::Whole, Self::Half, Self::Byte].into_iter().find(|it| it.number() == number)
    }

    /// Bytes of a number.
    fn bytes(self) -> usize {
        match self {
            Self::Whole => 4,
            Self::Half => 2,
            Self::Byte => 1,
        }
    }

    /// Whether anything is left of a number.
    fn holds(self, number: f32, scale: f32) -> bool {
        match self {
            Self::Whole => number.to_bits() << 1 != 0,
            Self::Half => Half::of(number) != Half::default(),
            Self::Byte => to_byte(number, scale) != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::math::{mix, unit};
    use proptest::prelude::*;

    proptest! {
        /// However few rows hold something, and in whatever precision: each is found where it was put.
        #[test]
        fn a_row_is_what_was_put_there(seed in any::<u64>(), bits in 0u32..9, one_in in 1u64..20, which in 0u8..3) {
            const WIDTH: usize = 8;
            let precision = Precision::of(which).unwrap();
            let mut rows = vec![0.0; WIDTH << bits];
            for (at, row) in rows.chunks_exact_mut(WIDTH).enumerate() {
                if mix(seed ^ at as u64).is_multiple_of(one_in) {
                    row.iter_mut().enumerate().for_each(|(lane, number)| {
                        *number = unit(mix(seed ^ mix((at * WIDTH + lane) as u64))) - 0.5;
                    });
                }
            }
            let scale = scale(&rows);
            let table = Table::new(&rows, WIDTH, precision);
            for (index, row) in rows.chunks_exact(WIDTH).enumerate() {
                let expected = row.iter().map(|number| match precision {
                    Precision::Whole => *number,
                    Precision::Half => Half::of(*number).get(),
                    Precision::Byte => from_byte(to_byte(*number, scale), scale),
                });
                let expected: Vec<f32> = expected.collect();
                let mut sums = [1.0; WIDTH];
                // Indices beyond the table come round to its start.
                let index = (index + (7 << bits)) as u32;
                table.prefetch(index);
                table.add::<WIDTH>(index, 2.0, &mut sums);
                prop_assert_eq!(sums.to_vec(), expected.iter().map(|it| 1.0 + 2.0 * it).collect::<Vec<f32>>());
                prop_assert_eq!(table.number(index).to_bits(), expected[0].to_bits());
            }
            prop_assert!(table.bytes() <= rows.len() * precision.bytes() + LINE);
        }
    }
}
