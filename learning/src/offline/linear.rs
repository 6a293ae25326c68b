//! Hashed weights, each with its own learning rate: FTRL-proximal.
//!
//! McMahan et al., *Ad click prediction: a view from the trenches*, KDD 2013, algorithm 1. A row's weights are gathered
//! eight at a time, so that roots and divisions are done for eight at once.

use super::file::{self, FileError, Reader};
use super::learner::{SettingsError, check};
use super::math::value;
use super::simd::{Lanes, prefetch, sum};
use crate::rows::Slot;

/// How weights are kept and learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearSettings {
    /// The table has 2 to this power weights of 8 bytes; 4 to 30. Features that meet in one share it.
    pub bits: u8,
    /// Size of the steps; above 0. Paper: α.
    pub rate: f32,
    /// What a weight's first steps are damped by; above 0. Paper: β.
    pub caution: f32,
    /// Weights whose evidence is below this stay 0; from 0. Paper: λ₁.
    pub l1: f32,
    /// Draws weights to 0; from 0. Paper: λ₂.
    pub l2: f32,
}

impl Default for LinearSettings {
    fn default() -> Self {
        Self { bits: 22, rate: 0.1, caution: 1.0, l1: 0.0, l2: 0.0 }
    }
}

impl LinearSettings {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let positive = |x: f32| x > 0.0 && x <= 1e3;
        check((4..=30).contains(&self.bits), "bits", self.bits, "from 4 to 30")?;
        check(positive(self.rate), "rate", self.rate, "above 0, up to 1000")?;
        check(positive(self.caution), "caution", self.caution, "above 0, up to 1000")?;
        check((0.0..=1e3).contains(&self.l1), "l1", self.l1, "from 0 to 1000")?;
        check((0.0..=1e3).contains(&self.l2), "l2", self.l2, "from 0 to 1000")
    }
}

/// A weight's state: `z` and `n` of the paper. Both in one place, so one line of memory is waited for.
type Entry = [f32; 2];

#[derive(Clone, Debug)]
pub(crate) struct Linear {
    settings: LinearSettings,
    bias: Entry,
    table: Vec<Entry>,
}

/// Up to eight weights of a row, as they were when it was scored. Values of none are 0.
#[derive(Clone, Copy, Debug, Default)]
struct Eight {
    places: [u32; 8],
    used: usize,
    values: Lanes,
    squares: Lanes,
    roots: Lanes,
    weights: Lanes,
}

/// The weights of a row; reused from row to row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    eights: Vec<Eight>,
}

impl Linear {
    pub(crate) fn new(settings: LinearSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self { settings, bias: [0.0; 2], table: vec![[0.0; 2]; 1 << settings.bits] })
    }

    #[inline(always)]
    fn place(&self, index: u32) -> usize {
        // The length is a power of two.
        index as usize & (self.table.len() - 1)
    }

    /// Asks for the lines of a row that is needed soon.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slots: &[Slot]) {
        for slot in slots {
            prefetch(&self.table, self.place(slot.index));
        }
    }

    /// The sum of bias and weights.
    #[inline(always)]
    pub(crate) fn score(&self, slots: &[Slot], gathered: &mut Gathered) -> f32 {
        let LinearSettings { rate, caution, l1, l2, .. } = self.settings;
        let damping = caution + rate * l2;
        gathered.eights.clear();
        let mut total = [0.0; 8];
        for slots in slots.chunks(8) {
            let mut eight = Eight { used: slots.len(), ..Eight::default() };
            let mut evidence = [0.0; 8];
            for (lane, slot) in slots.iter().enumerate().take(8) {
                let place = self.place(slot.index);
                let [z, n] = self.table.get(place).copied().unwrap_or_default();
                eight.places[lane] = place as u32;
                eight.values[lane] = value(slot.value);
                eight.squares[lane] = n;
                evidence[lane] = z;
            }
            for lane in 0..8 {
                eight.roots[lane] = eight.squares[lane].sqrt();
                // Towards 0 by l1, and not beyond.
                let left = evidence[lane] - evidence[lane].clamp(-l1, l1);
                eight.weights[lane] = -left * rate / (damping + eight.roots[lane]);
                total[lane] += eight.weights[lane] * eight.values[lane];
            }
            gathered.eights.push(eight);
        }
        self.bias_weight() + sum(&total)
    }

    #[inline(always)]
    fn bias_weight(&self) -> f32 {
        let [z, n] = self.bias;
        // Neither l1 nor l2 is for the bias.
        -z * self.settings.rate / (self.settings.caution + n.sqrt())
    }

    pub(crate) fn settings(&self) -> &LinearSettings {
        &self.settings
    }

    /// Learns in steps of another size. All weights stay: what they follow from is given in units of the rate.
    pub(crate) fn set_rate(&mut self, rate: f32) -> Result<(), SettingsError> {
        let old = self.settings;
        self.settings.rate = rate;
        if let Err(error) = self.settings.check() {
            self.settings = old;
            return Err(error);
        }
        // A weight is -left · rate / (caution + rate · l2 + √n), see `score`.
        let scale = |rate: f32, l2: f32, n: f32| rate / (old.caution + rate * l2 + n.sqrt());
        let factor = |l2: f32, n: f32| scale(old.rate, l2, n) / scale(rate, l2, n);
        self.bias[0] *= factor(0.0, self.bias[1]);
        for [z, n] in &mut self.table {
            let edge = z.clamp(-old.l1, old.l1);
            *z = edge + (*z - edge) * factor(old.l2, *n);
        }
        Ok(())
    }

    /// Adds to the bias as it counts in scores.
    pub(crate) fn shift(&mut self, by: f32) {
        let LinearSettings { rate, caution, .. } = self.settings;
        self.bias[0] -= by * (caution + self.bias[1].sqrt()) / rate;
    }

    /// The bias, and all weights as they count in scores.
    pub(crate) fn weights(&self) -> (f32, impl Iterator<Item = f32>) {
        let LinearSettings { rate, caution, l1, l2, .. } = self.settings;
        let damping = caution + rate * l2;
        let weights =
            self.table.iter().map(move |[z, n]| -(z - z.clamp(-l1, l1)) * rate / (damping + n.sqrt()));
        (self.bias_weight(), weights)
    }

    /// Moves bias and weights of the row that was scored last against the `error`, which is prediction less label. Two
    /// slots that share a weight both add to it.
    #[inline(always)]
    pub(crate) fn learn(&mut self, gathered: &Gathered, error: f32) {
        let per_rate = 1.0 / self.settings.rate;
        let [z, n] = self.bias;
        let grown = n + error * error;
        self.bias = [z + error - (grown.sqrt() - n.sqrt()) * per_rate * self.bias_weight(), grown];
        for eight in &gathered.eights {
            let (mut moves, mut squares) = ([0.0; 8], [0.0; 8]);
            for lane in 0..8 {
                let gradient = error * eight.values[lane];
                squares[lane] = gradient * gradient;
                let grown = (eight.squares[lane] + squares[lane]).sqrt() - eight.roots[lane];
                moves[lane] = gradient - grown * per_rate * eight.weights[lane];
            }
            for ((place, moved), square) in eight.places.iter().zip(&moves).zip(&squares).take(eight.used) {
                // Always there; so without a branch to a panic.
                if let Some([z, n]) = self.table.get_mut(*place as usize) {
                    *z += moved;
                    *n += square;
                }
            }
        }
    }

    pub(crate) fn parameters(&self) -> usize {
        self.table.len() + 1
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.table[..])
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let LinearSettings { bits, rate, caution, l1, l2 } = self.settings;
        out.push(bits);
        for number in [rate, caution, l1, l2, self.bias[0], self.bias[1]] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        file::write_rows(self.table.iter().map(|entry| &entry[..]), |entry| entry != [0.0; 2], out);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FileError> {
        let bits = reader.u8()?;
        let mut number = || reader.f32();
        let settings =
            LinearSettings { bits, rate: number()?, caution: number()?, l1: number()?, l2: number()? };
        let bias = [number()?, number()?];
        settings.check()?;
        reader.expect_rows(1 << bits)?;
        if !valid(&bias) {
            return Err(FileError::Invalid("its bias is out of range"));
        }
        let mut linear = Self { bias, ..Self::new(settings)? };
        file::read_rows(reader, linear.table.iter_mut().map(|entry| &mut entry[..]), valid)?;
        Ok(linear)
    }
}

/// Far beyond what learning gives, and far below where sums become infinite.
fn valid(entry: &[f32]) -> bool {
    matches!(entry, [z, root] if z.abs() <= 1e18 && (0.0..=1e18).contains(root))
}
