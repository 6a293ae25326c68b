//! Chance that follows from the seed and from what it is for, never from the order of calls.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What a sequence of draws is for. A new use gets a new number, so it changes no other use's draws.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Use {
    Person = 1,
    ShopDay = 2,
    Request = 3,
    Rivals = 4,
    AfterWin = 5,
    Arrivals = 6,
    Deals = 7,
    Bots = 8,
    Absences = 9,
    WhoElse = 10,
    Faults = 40,
}

/// A generator for one use of one thing (a request, a user's day …).
pub(crate) struct Chance(StdRng);

impl Chance {
    /// The four numbers become the cipher's key, which mixes them better than a hash of our own would.
    pub(crate) fn new(seed: u64, purpose: Use, a: u64, b: u64) -> Self {
        let mut key = [0u8; 32];
        for (part, number) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        Self(StdRng::from_seed(key))
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// True with this probability.
    pub(crate) fn hit(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// 64 uniform bits, for ids.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.random()
    }

    /// Uniform in `0..count`; 0 where `count` is 0.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        if count == 0 { 0 } else { self.0.random_range(0..count) }
    }

    /// A member of a table that is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, table: &[T]) -> T {
        table[self.index(table.len())]
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Lognormal with this median.
    pub(crate) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// A position, in proportion to its weight.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }
}
