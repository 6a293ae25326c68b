//! A world whose click probabilities are known: what a model can learn of it, and at best.
//!
//! Each row has one value of each of several fields, drawn by Zipf's law, so most values are rare. Each value has a
//! weight and a vector; the log odds are a constant, the weights' sum, and for each pair of fields the vectors' product
//! times how strongly these two fields go together. Everything follows from a seed.

use haggle_learning::offline::metrics::Losses;
use haggle_learning::{Batch, Slot};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const RANK: usize = 4;

pub struct World {
    fields: usize,
    values: usize,
    constant: f32,
    weights: Vec<f32>,
    vectors: Vec<[f32; RANK]>,
    strength: Vec<f32>,
    /// Of each rank the share of values drawn up to it.
    cumulative: Vec<f64>,
}

/// Normal numbers, by Box and Muller.
fn normal(random: &mut StdRng) -> f32 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * random.random::<f64>()).cos()) as f32
}

impl World {
    /// Of so many fields with so many values each; `pairs` is how much of the log odds the pairs of fields make.
    pub fn new(fields: usize, values: usize, pairs: f32, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let weights = (0..fields * values).map(|_| 0.3 * normal(&mut random)).collect();
        let vectors = (0..fields * values).map(|_| std::array::from_fn(|_| normal(&mut random))).collect();
        // Few pairs of fields matter, and some of them in the opposite sense.
        let scale = pairs / (RANK as f32 * fields as f32).sqrt();
        let strength = (0..fields * fields)
            .map(|_| if random.random::<f32>() < 0.3 { scale * normal(&mut random).signum() } else { 0.0 })
            .collect();
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (0..values)
            .map(|rank| {
                sum += (rank as f64 + 2.0).powf(-1.1);
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|share| *share /= sum);
        Self { fields, values, constant: -2.5, weights, vectors, strength, cumulative }
    }

    /// Fills the batch with rows and returns their true probabilities.
    pub fn draw(&self, rows: usize, random: &mut StdRng, batch: &mut Batch) -> Vec<f32> {
        batch.clear();
        let draw = |random: &mut StdRng, field: usize| {
            let at = random.random::<f64>();
            field * self.values + self.cumulative.partition_point(|share| *share < at).min(self.values - 1)
        };
        (0..rows)
            .map(|_| {
                let row: Vec<usize> = (0..self.fields).map(|field| draw(random, field)).collect();
                let mut score = self.constant;
                for (a, x) in row.iter().enumerate() {
                    score += self.weights[*x];
                    for (b, y) in row.iter().enumerate().take(a) {
                        let product: f32 =
                            self.vectors[*x].iter().zip(&self.vectors[*y]).map(|(x, y)| x * y).sum();
                        score += self.strength[a * self.fields + b] * product;
                    }
                    batch.push(Slot { field: a as u16, index: *x as u32, value: 1.0 });
                }
                let truth = 1.0 / (1.0 + (-score).exp());
                batch.end(f32::from(random.random::<f32>() < truth));
                truth
            })
            .collect()
    }
}

/// What part of the gap between always saying the rate and knowing the truth a model closes on rows it has not seen:
/// 0 knows nothing, 1 everything.
#[allow(dead_code, reason = "the bench draws rows only")]
pub fn closed(model: &Losses, truth: &Losses) -> f64 {
    let rate = truth.rate();
    let constant = -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln());
    (constant - model.mean_log_loss()) / (constant - truth.mean_log_loss())
}
