//! What a deep model knows of orders alone: the second of two heads on the same vectors, pairs and layers.
//!
//! Clicks are many and orders few, so what both are made of is learned from both (multi-task learning with a shared bottom:
//! Caruana, *Machine Learning* 28, 1997), and what sets them apart, few numbers, from orders alone. Strengths of pairs are
//! shared too: strengths of their own made no order better predicted, and would cost each candidate a product more.
//!
//! Orders are learned on the rows of clicks. ESMM (Ma et al., SIGIR 2018) learns them on all impressions, as the product of
//! both probabilities, so each impression waits until its orders are known, days after its click; here a click teaches when
//! it is known, and its order when that is.

use super::DeepSettings;
use crate::offline::adam::{Dense, Step};
use crate::offline::file::{FileError, Reader};
use crate::offline::learner::SettingsError;
use crate::offline::linear::{Linear, LinearSettings};
use crate::offline::offset::Offset;

/// Bits of the weights' table at most: clicks are few, and so are the values that they have.
const MOST_BITS: u8 = 20;

/// The head of orders.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) offset: Offset,
    pub(super) linear: Linear,
    /// What the last layer's units count; without layers there are none.
    pub(super) output: Dense,
    /// Minibatches with clicks so far.
    pub(super) steps: u64,
}

impl Head {
    /// One that has learned nothing.
    pub(super) fn new(settings: &DeepSettings) -> Result<Self, SettingsError> {
        let bits = settings.linear.bits.min(MOST_BITS);
        let units = settings.hidden.last().map_or(0, |units| usize::from(*units));
        Ok(Self {
            offset: Offset::default(),
            linear: Linear::new(LinearSettings { bits, ..settings.linear })?,
            output: Dense::new(vec![0.0; units]),
            steps: 0,
        })
    }

    /// Moves all that is dense.
    #[inline(always)]
    pub(super) fn step(&mut self, settings: &DeepSettings, pass: u32) {
        self.steps = self.steps.saturating_add(1);
        self.output.step(Step::new(settings.rate_at(self.steps, pass), self.steps));
    }

    pub(super) fn parameters(&self) -> usize {
        self.linear.parameters() + self.output.numbers.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.linear.bytes() + self.output.bytes()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.steps.to_le_bytes());
        self.offset.write(out);
        self.output.write(out);
        self.linear.write(out);
    }

    pub(super) fn read(settings: &DeepSettings, reader: &mut Reader<'_>) -> Result<Self, FileError> {
        let mut head = Self::new(settings)?;
        head.steps = reader.u64()?;
        head.offset = Offset::read(reader)?;
        head.output.read(reader)?;
        head.linear = Linear::read(reader)?;
        Ok(head)
    }
}
