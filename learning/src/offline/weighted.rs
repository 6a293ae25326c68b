//! Field-weighted pairs (Pan et al., *Field-weighted factorization machines*, WWW 2018): a feature has one vector, and each
//! pair of fields a strength with which the products of their vectors count.

use super::adam::{Dense, Step};

/// Strengths of all pairs of fields, and working memory of one minibatch.
#[derive(Clone, Debug)]
pub(crate) struct Weighted {
    fields: usize,
    /// Of fields `f > g` at `f (f - 1) / 2 + g`.
    pub(crate) strengths: Dense,
    /// The same as a whole matrix, 0 of a field with itself.
    matrix: Vec<f32>,
}

impl Weighted {
    pub(crate) fn new(fields: usize, start: f32) -> Self {
        let strengths = Dense::new(vec![start; fields * fields.saturating_sub(1) / 2]);
        Self { fields, strengths, matrix: vec![0.0; fields * fields] }
    }

    /// Spreads the strengths out; before the first of the following functions and after each change.
    pub(crate) fn spread(&mut self) {
        let mut strengths = self.strengths.numbers.iter();
        for f in 0..self.fields {
            for g in 0..f {
                let strength = strengths.next().copied().unwrap_or_default();
                self.matrix[f * self.fields + g] = strength;
                self.matrix[g * self.fields + f] = strength;
            }
        }
    }

    /// Puts into `pulls` what each vector of a row is multiplied with, the weighted sum of the others, and returns the
    /// pairs' part of the score.
    #[inline(always)]
    pub(crate) fn score<const K: usize>(&self, row: &[f32], pulls: &mut [f32]) -> f32 {
        let vectors = row.as_chunks::<K>().0;
        let mut total = [0.0; K];
        let strengths = self.matrix.chunks_exact(self.fields);
        for ((pull, mine), strengths) in pulls.as_chunks_mut::<K>().0.iter_mut().zip(vectors).zip(strengths) {
            let mut sum = [0.0; K];
            for (vector, strength) in vectors.iter().zip(strengths) {
                for lane in 0..K {
                    sum[lane] += strength * vector[lane];
                }
            }
            for lane in 0..K {
                total[lane] += sum[lane] * mine[lane];
            }
            *pull = sum;
        }
        0.5 * super::simd::fold(&total)
    }

    /// Adds a row's part to `slopes`, which has `K` numbers for each strength.
    #[inline(always)]
    pub(crate) fn slope<const K: usize>(&self, row: &[f32], error: f32, slopes: &mut [f32]) {
        let vectors = row.as_chunks::<K>().0;
        let mut slopes = slopes.as_chunks_mut::<K>().0.iter_mut();
        for (f, mine) in vectors.iter().enumerate().take(self.fields) {
            let mine = mine.map(|number| error * number);
            for (other, slope) in vectors[..f].iter().zip(slopes.by_ref()) {
                for lane in 0..K {
                    slope[lane] += mine[lane] * other[lane];
                }
            }
        }
    }

    /// Moves the strengths against the slopes, and takes these back to 0.
    #[inline(always)]
    pub(crate) fn step<const K: usize>(&mut self, slopes: &mut [f32], step: Step) {
        for (gradient, slope) in self.strengths.gradient.iter_mut().zip(slopes.as_chunks::<K>().0) {
            *gradient = super::simd::fold(slope);
        }
        slopes.fill(0.0);
        self.strengths.step(step);
        self.spread();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: usize = 5;

    fn row(seed: u64) -> Vec<f32> {
        use crate::offline::math::{mix, unit};
        (0..FIELDS * 8).map(|at| unit(mix(seed ^ mix(at as u64))) - 0.5).collect()
    }

    /// As the paper writes it.
    fn plain(weighted: &Weighted, row: &[f32]) -> f32 {
        let mut strengths = weighted.strengths.numbers.iter();
        let vectors: Vec<&[f32]> = row.chunks(8).collect();
        let mut total = 0.0;
        for f in 0..FIELDS {
            for g in 0..f {
                let product: f32 = vectors[f].iter().zip(vectors[g]).map(|(a, b)| a * b).sum();
                total += strengths.next().unwrap() * product;
            }
        }
        total
    }

    #[test]
    fn scores_and_slopes_are_those_of_the_definition() {
        let mut weighted = Weighted::new(FIELDS, 0.0);
        weighted.strengths.numbers = row(1)[..10].to_vec();
        weighted.spread();
        let row = row(2);
        let mut pulls = vec![0.0; row.len()];
        assert!((weighted.score::<8>(&row, &mut pulls) - plain(&weighted, &row)).abs() < 1e-5);
        for at in 0..row.len() {
            let mut up = row.clone();
            up[at] += 0.1;
            let slope = (plain(&weighted, &up) - plain(&weighted, &row)) / 0.1;
            assert!((pulls[at] - slope).abs() < 1e-4, "{at}");
        }
        let mut slopes = vec![0.0; 10 * 8];
        weighted.slope::<8>(&row, 0.5, &mut slopes);
        for (at, slope) in slopes.chunks(8).enumerate() {
            let mut up = weighted.clone();
            up.strengths.numbers[at] += 1.0;
            let expected = 0.5 * (plain(&up, &row) - plain(&weighted, &row));
            assert!((slope.iter().sum::<f32>() - expected).abs() < 1e-4, "{at}");
        }
    }
}
