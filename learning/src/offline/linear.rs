//! Hashed weights, each with its own learning rate: FTRL-proximal.
//!
//! McMahan et al., *Ad click prediction: a view from the trenches*, KDD 2013, algorithm 1, with one change: instead of a
//! weight's sum of squared gradients `n` its root is kept, so a prediction takes no square root.

use super::file::{self, FileError, Reader};
use super::learner::{SettingsError, check};
use super::math::value;
use super::simd::prefetch;
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

/// A weight's state: `z` of the paper and the root of its `n`. Both in one place, so one line of memory is waited for.
type Entry = [f32; 2];

#[derive(Clone, Debug)]
pub(crate) struct Linear {
    settings: LinearSettings,
    bias: Entry,
    table: Vec<Entry>,
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
    pub(crate) fn score(&self, slots: &[Slot]) -> f32 {
        let mut score = self.weight(self.bias);
        for slot in slots {
            // Always there; so without a branch to a panic.
            let entry = self.table.get(self.place(slot.index)).copied().unwrap_or_default();
            score += self.weight(entry) * value(slot.value);
        }
        score
    }

    /// Moves bias and weights of a row against the `error`, which is prediction less label.
    #[inline(always)]
    pub(crate) fn learn(&mut self, slots: &[Slot], error: f32) {
        self.bias = self.step(self.bias, error);
        for slot in slots {
            let place = self.place(slot.index);
            let entry = self.table.get(place).copied().unwrap_or_default();
            let next = self.step(entry, error * value(slot.value));
            if let Some(entry) = self.table.get_mut(place) {
                *entry = next;
            }
        }
    }

    #[inline(always)]
    fn weight(&self, [z, root]: Entry) -> f32 {
        let LinearSettings { rate, caution, l1, l2, .. } = self.settings;
        // Towards 0 by l1, and not beyond.
        let evidence = z - z.clamp(-l1, l1);
        -evidence * rate / (caution + root + rate * l2)
    }

    #[inline(always)]
    fn step(&self, entry: Entry, gradient: f32) -> Entry {
        let [z, root] = entry;
        let grown = (root * root + gradient * gradient).sqrt();
        [z + gradient - (grown - root) / self.settings.rate * self.weight(entry), grown]
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
