//! The vectors of a field-aware factorisation machine, and what comes of it when the features of a row meet.
//!
//! A feature's row of the table holds a vector of `K` numbers for each field, one after the other, and behind them their
//! sums of squared gradients. A row of data is worked on field by field: `sums` are the features' rows, added up by
//! field, and `others` the same numbers turned around, so that what a field's features are to be multiplied with lies in
//! the order of their own numbers, and all loops run straight through memory.

use super::file::{FileError, Reader};
use super::learner::{SettingsError, check};
use super::math::{inverse_root, value};
use super::simd::fold;
use super::vectors::Vectors;
use crate::rows::Slot;

/// How vectors are kept and learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactorSettings {
    /// How many fields there are, 1 to 256; a slot of any further field takes no part.
    pub fields: u16,
    /// Numbers in a vector: 2, 4 or 8. Paper: k.
    pub size: u8,
    /// The table has rows for 2 to this power features, 4 to 26, each of 8 bytes times fields times numbers.
    pub bits: u8,
    /// Size of the steps; above 0. Paper: η.
    pub rate: f32,
    /// What sums of squared gradients start from; above 0. The higher, the more careful the first steps.
    pub caution: f32,
    /// Draws vectors to 0; from 0. Paper: λ.
    pub l2: f32,
    /// Numbers start between 0 and this by the root of their count in a vector; 0 to 1.
    pub start: f32,
    /// Chooses the starts.
    pub seed: u64,
}

impl Default for FactorSettings {
    fn default() -> Self {
        Self { fields: 16, size: 4, bits: 16, rate: 0.1, caution: 1.0, l2: 0.0, start: 0.05, seed: 1 }
    }
}

impl FactorSettings {
    fn check(&self) -> Result<(), SettingsError> {
        check((1..=256).contains(&self.fields), "fields", self.fields, "from 1 to 256")?;
        check([2, 4, 8].contains(&self.size), "size of the vectors", self.size, "2, 4 or 8")?;
        check((4..=26).contains(&self.bits), "bits of the vectors", self.bits, "from 4 to 26")?;
        let positive = |x: f32| x > 0.0 && x <= 1e3;
        check(positive(self.rate), "rate of the vectors", self.rate, "above 0, up to 1000")?;
        // Sums of squares stay normal numbers, as the quick root needs.
        check(
            (1e-6..=1e3).contains(&self.caution),
            "caution of the vectors",
            self.caution,
            "from 1e-6 to 1000",
        )?;
        check((0.0..=1.0).contains(&self.l2), "l2 of the vectors", self.l2, "from 0 to 1")?;
        check((0.0..=1.0).contains(&self.start), "start of the vectors", self.start, "from 0 to 1")
    }

    /// Numbers in a feature's row: those of all vectors, filled up to eight.
    fn width(&self) -> usize {
        (usize::from(self.fields) * usize::from(self.size)).next_multiple_of(8)
    }

    fn vectors(&self) -> Vectors {
        let highest = self.start / f32::from(self.size).sqrt();
        Vectors::new(self.width(), self.bits, 0.0..highest, self.caution, self.seed)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Factors {
    settings: FactorSettings,
    vectors: Vectors,
}

impl Factors {
    pub(crate) fn new(settings: FactorSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self { settings, vectors: settings.vectors() })
    }

    pub(crate) fn settings(&self) -> &FactorSettings {
        &self.settings
    }

    /// Learns in steps of another size.
    pub(crate) fn set_rate(&mut self, rate: f32) -> Result<(), SettingsError> {
        let settings = FactorSettings { rate, ..self.settings };
        settings.check()?;
        self.settings = settings;
        Ok(())
    }

    pub(crate) fn size(&self) -> u8 {
        self.settings.size
    }

    /// Asks for the lines of a row that is needed soon, with their sums of squares if it is to be learned.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slots: &[Slot], learn: bool) {
        slots.iter().for_each(|slot| self.vectors.prefetch(slot.index, learn));
    }

    pub(crate) fn parameters(&self) -> usize {
        (usize::from(self.settings.fields) * usize::from(self.settings.size)) << self.settings.bits
    }

    pub(crate) fn bytes(&self) -> usize {
        self.vectors.bytes()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let FactorSettings { fields, size, bits, rate, caution, l2, start, seed } = self.settings;
        out.extend_from_slice(&u32::from(fields).to_le_bytes());
        out.extend_from_slice(&[size, bits]);
        for number in [rate, caution, l2, start] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&seed.to_le_bytes());
        self.vectors.write(out);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        let fields = u16::try_from(reader.u32()?).map_err(|_| FileError::Invalid("too many fields"))?;
        let (size, bits) = (reader.u8()?, reader.u8()?);
        let mut number = || reader.f32();
        let (rate, caution, l2, start) = (number()?, number()?, number()?, number()?);
        let seed = reader.u64()?;
        let settings = FactorSettings { fields, size, bits, rate, caution, l2, start, seed };
        settings.check()?;
        reader.expect_rows(1 << bits)?;
        let mut factors = Self::new(settings)?;
        factors.vectors.read(reader)?;
        Ok(factors)
    }
}

/// What a row's features come to when they meet; reused from row to row. Of vectors of `K` numbers.
pub(crate) struct Meeting<const K: usize> {
    /// Vectors in a feature's row: the fields, and as many more as fill it.
    width: usize,
    /// By field: the sum of its features' rows, 0 of a field without.
    sums: Vec<[f32; K]>,
    /// By field: how many features the row has of it.
    counts: Vec<u32>,
    /// Fields of the last row, each once.
    present: Vec<usize>,
    /// For each field the sum of its features' vectors for the field that is learned at the moment.
    others: Vec<[f32; K]>,
}

impl<const K: usize> Meeting<K> {
    pub(crate) fn of(factors: &Factors) -> Self {
        let width = factors.vectors.width() / K;
        Self {
            width,
            sums: vec![[0.0; K]; width * width],
            counts: vec![0; factors.settings.fields.into()],
            present: Vec::with_capacity(factors.settings.fields.into()),
            others: vec![[0.0; K]; width],
        }
    }

    /// The pairs' part of a row's score.
    #[inline(always)]
    pub(crate) fn score(&mut self, factors: &Factors, slots: &[Slot]) -> f32 {
        let width = self.width;
        for field in &self.present {
            self.counts[*field] = 0;
        }
        let before = self.present.len();
        for slot in slots {
            let field = usize::from(slot.field);
            let Some(count) = self.counts.get_mut(field) else { continue };
            *count += 1;
            let strength = value(slot.value);
            let sums = self.sums[field * width..][..width].as_flattened_mut();
            let numbers = factors.vectors.numbers(slot.index);
            if *count == 1 {
                self.present.push(field);
                sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum = strength * number);
            } else {
                sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += strength * number);
            }
        }
        for field in self.present.drain(..before) {
            if self.counts[field] == 0 {
                self.sums[field * width..][..width].fill([0.0; K]);
            }
        }
        let mut total = [0.0; K];
        for &field in &self.present {
            let mine = &self.sums[field * width..][..field];
            for (a, b) in mine.iter().zip(self.sums[field..].iter().step_by(width)) {
                for lane in 0..K {
                    total[lane] += a[lane] * b[lane];
                }
            }
        }
        fold(&total) + self.own(factors, slots)
    }

    /// What features of one field are to each other: half of what is left of the square of their sum without each one's.
    #[inline(always)]
    fn own(&self, factors: &Factors, slots: &[Slot]) -> f32 {
        if self.present.len() == slots.len() {
            return 0.0;
        }
        let square = |vector: &[f32]| vector.iter().map(|number| number * number).sum::<f32>();
        let mut own = 0.0;
        for &field in self.present.iter().filter(|field| self.counts[**field] > 1) {
            own += square(&self.sums[field * self.width + field]);
        }
        for slot in slots {
            let field = usize::from(slot.field);
            if self.counts.get(field).is_some_and(|count| *count > 1) {
                let strength = value(slot.value);
                let vector =
                    factors.vectors.numbers(slot.index).get(field * K..).and_then(|rest| rest.get(..K));
                own -= square(vector.unwrap_or_default()) * strength * strength;
            }
        }
        0.5 * own
    }

    /// Moves the vectors of the row that was scored last against the `error`, which is prediction less label.
    #[inline(always)]
    pub(crate) fn learn(&mut self, factors: &mut Factors, slots: &[Slot], error: f32) {
        let FactorSettings { rate, l2, .. } = factors.settings;
        for slot in slots {
            let field = usize::from(slot.field);
            if field >= self.counts.len() {
                continue;
            }
            let strength = value(slot.value);
            for (other, sum) in self.others.iter_mut().zip(self.sums[field..].iter().step_by(self.width)) {
                *other = *sum;
            }
            let (numbers, squares) = factors.vectors.both_mut(slot.index);
            // A feature does not meet itself.
            for (other, number) in self.others[field].iter_mut().zip(&numbers[field * K..]) {
                *other -= strength * number;
            }
            let pull = error * strength;
            for ((number, squares), other) in numbers.iter_mut().zip(squares).zip(self.others.as_flattened())
            {
                let gradient = pull * other + l2 * *number;
                *squares += gradient * gradient;
                *number -= rate * gradient * inverse_root(*squares);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sum over all pairs of slots, as the paper writes it.
    fn plain(factors: &Factors, slots: &[Slot]) -> f32 {
        let size = usize::from(factors.settings.size);
        let number = |slot: &Slot, field: u16, j: usize| {
            let at = usize::from(field) * size + j;
            factors.vectors.numbers(slot.index)[at]
        };
        let known = |slot: &&Slot| slot.field < factors.settings.fields;
        let mut total = 0.0;
        for (at, a) in slots.iter().enumerate().filter(|(_, slot)| known(slot)) {
            for b in slots[..at].iter().filter(known) {
                let product: f32 = (0..size).map(|j| number(a, b.field, j) * number(b, a.field, j)).sum();
                total += product * a.value * b.value;
            }
        }
        total
    }

    fn factors(fields: u16, size: u8) -> Factors {
        let start = 1.0;
        Factors::new(FactorSettings { fields, size, bits: 5, start, ..FactorSettings::default() }).unwrap()
    }

    /// Scores of some rows by one meeting, which must not remember one in the next.
    fn scores(factors: &Factors, rows: &[Vec<Slot>]) -> Vec<f32> {
        fn all<const K: usize>(factors: &Factors, rows: &[Vec<Slot>]) -> Vec<f32> {
            let mut meeting = Meeting::<K>::of(factors);
            rows.iter().map(|slots| meeting.score(factors, slots)).collect()
        }
        match factors.size() {
            2 => all::<2>(factors, rows),
            4 => all::<4>(factors, rows),
            _ => all::<8>(factors, rows),
        }
    }

    fn learn<const K: usize>(factors: &mut Factors, slots: &[Slot], error: f32) {
        let mut meeting = Meeting::<K>::of(factors);
        meeting.score(factors, slots);
        meeting.learn(factors, slots, error);
    }

    fn row() -> impl Strategy<Value = Vec<Slot>> {
        let slot = (0u16..7, any::<u32>(), -2f32..2.0);
        prop::collection::vec(slot.prop_map(|(field, index, value)| Slot { field, index, value }), 0..12)
    }

    proptest! {
        #[test]
        fn a_score_is_the_sum_over_all_pairs(rows in prop::collection::vec(row(), 1..4), size in 1u32..4) {
            let factors = factors(5, 1 << size);
            let found = scores(&factors, &rows);
            for (slots, found) in rows.iter().zip(found) {
                let expected = plain(&factors, slots);
                prop_assert!((found - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{} {}", found, expected);
            }
        }

        /// A small step against the error moves the score by what the slope says.
        #[test]
        fn a_step_goes_down_the_slope(mut slots in row(), size in 1u32..4) {
            // A feature that comes twice moves twice, which the slope of one does not say.
            slots.sort_by_key(|slot| slot.index % 32);
            slots.dedup_by_key(|slot| slot.index % 32);
            let mut factors = factors(5, 1 << size);
            // All steps become the same multiple of the gradient.
            factors.settings.rate = 1e-3;
            let width = factors.vectors.width();
            factors.vectors.rows_mut().chunks_exact_mut(2 * width).for_each(|row| row[width..].fill(1e4));
            let before = factors.clone();
            match size {
                1 => learn::<2>(&mut factors, &slots, 0.1),
                2 => learn::<4>(&mut factors, &slots, 0.1),
                _ => learn::<8>(&mut factors, &slots, 0.1),
            }
            // The squared length of the slope is what the squares have grown by, over the error's square.
            let rows = |factors: &Factors| factors.vectors.rows().to_vec();
            let grown: f64 = rows(&factors)
                .chunks_exact(2 * width)
                .zip(rows(&before).chunks_exact(2 * width))
                .flat_map(|(after, before)| (width..2 * width).map(move |at| f64::from(after[at] - before[at])))
                .collect::<Vec<f64>>().iter().sum();
            let moved = f64::from(plain(&factors, &slots)) - f64::from(plain(&before, &slots));
            let expected = -grown / 0.1 * 1e-5;
            prop_assert!(moved <= 1e-4, "{}", moved);
            prop_assert!((moved - expected).abs() <= 0.2 * expected.abs() + 2e-4, "{} {}", moved, expected);
        }
    }
}
