//! Which creative to show: Thompson sampling (Thompson 1933; Chapelle, Li 2011) with exact propensities.
//!
//! Each creative's click rate has a Beta posterior. Thompson sampling shows a creative with the probability that it is
//! the best one; here that probability is computed by integration when the posterior changes, off the bid path, and
//! a bid draws from the table. So the logged propensity is exact, which off-policy evaluation needs, and a bid costs
//! one comparison a creative.
//!
//! Creatives of different formats and sizes rarely compete for one imp, so the contest has two levels: among the
//! creatives of a shape, and among the shapes. Whatever does not fit an imp is left out of its draw, and the propensity
//! is the one among those that fit.

use haggle_domain::{Creative, Format, Size};
use smallvec::SmallVec;
use statrs::distribution::{Beta, Continuous};

/// No creative's probability within its size falls below this, so every logged decision has overlap.
const LEAST: f64 = 0.02;
/// Points of the integration over a posterior's support.
const POINTS: usize = 192;

/// Impressions and clicks of one creative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct ArmCounts {
    /// Times shown.
    #[n(0)]
    pub impressions: u64,
    /// Times clicked; at most `impressions` counts.
    #[n(1)]
    pub clicks: u64,
}

/// The probabilities with which a campaign's creatives are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Arms {
    /// By creative: the weight of its shape times its probability within the shape.
    masses: SmallVec<[f64; 6]>,
}

/// What creatives have in common that compete for the same imps: the format and, of banners, the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(Format, Size);

impl Shape {
    /// A creative's.
    pub fn of(creative: &Creative) -> Self {
        Self(creative.format(), creative.banner_size())
    }
}

/// The creatives of a campaign that fit an imp, by their positions. A campaign has at most 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fitting(u64);

impl Fitting {
    /// Those for which `fits` holds, of `count`.
    pub fn of(count: usize, mut fits: impl FnMut(usize) -> bool) -> Self {
        Self(
            (0..count.min(64))
                .filter(|creative| fits(*creative))
                .fold(0, |mask, creative| mask | 1 << creative),
        )
    }

    /// Those of them for which `keeps` holds.
    pub(crate) fn only(self, keeps: impl Fn(u16) -> bool) -> Self {
        Self(
            (0..64)
                .filter(|creative| self.contains(*creative) && keeps(*creative))
                .fold(0, |mask, creative| mask | 1 << creative),
        )
    }

    /// Whether none does.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn contains(self, creative: u16) -> bool {
        creative < 64 && self.0 >> creative & 1 == 1
    }
}

/// A creative that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// Position in the campaign's list.
    pub creative: u16,
    /// The probability with which it was drawn, in (0, 1].
    pub propensity: f64,
}

impl Arms {
    /// The probabilities that follow from the counts. `shapes` and `counts` have one entry a creative; missing
    /// counts are zero. The prior is Beta(1, 60): most ads are clicked rarely.
    pub fn thompson(shapes: &[Shape], counts: &[ArmCounts]) -> Self {
        let posteriors: Vec<(f64, f64)> = (0..shapes.len())
            .map(|creative| {
                let counts = counts.get(creative).copied().unwrap_or_default();
                let clicks = counts.clicks.min(counts.impressions);
                (1.0 + clicks as f64, 60.0 + (counts.impressions - clicks) as f64)
            })
            .collect();
        let overall = probability_best(&posteriors);
        let mut masses: SmallVec<[f64; 6]> = SmallVec::from_elem(0.0, shapes.len());
        for (first, shape) in shapes.iter().enumerate() {
            if shapes[..first].contains(shape) {
                continue;
            }
            let of_shape =
                || shapes.iter().enumerate().filter(|(_, other)| *other == shape).map(|(at, _)| at);
            let mut best = probability_best(&of_shape().map(|at| posteriors[at]).collect::<Vec<_>>());
            raise_to_least(&mut best);
            let weight: f64 = of_shape().map(|at| overall[at]).sum();
            for (at, probability) in of_shape().zip(best) {
                masses[at] = weight.max(LEAST) * probability;
            }
        }
        Self { masses }
    }

    /// By creative: how likely it is to be drawn, next to the others.
    pub fn masses(&self) -> &[f64] {
        &self.masses
    }

    /// Draws one of the creatives that fit with a uniform number in `[0, 1)`; `None` if none does.
    pub fn draw(&self, fitting: Fitting, uniform: f64) -> Option<Drawn> {
        draw(&self.masses, fitting, uniform)
    }
}

/// Draws one of the creatives that fit, each as likely as its mass says.
pub(crate) fn draw(masses: &[f64], fitting: Fitting, uniform: f64) -> Option<Drawn> {
    let fits = || masses.iter().zip(0u16..).filter(|(_, creative)| fitting.contains(*creative));
    let total: f64 = fits().map(|(mass, _)| mass).sum();
    let mut left = uniform * total;
    let mut last = None;
    for (mass, creative) in fits() {
        let drawn = Drawn { creative, propensity: mass / total };
        if left < *mass {
            return Some(drawn);
        }
        left -= mass;
        last = Some(drawn);
    }
    // Rounding may leave a sliver at the end.
    last
}

/// For each Beta(α, β), the probability that it is the largest of all: ∫ fᵢ(x) ∏ⱼ Fⱼ(x) dx, by the midpoint rule
/// over six standard deviations around the means, normalised to sum to 1.
fn probability_best(posteriors: &[(f64, f64)]) -> Vec<f64> {
    let even = || vec![1.0 / posteriors.len().max(1) as f64; posteriors.len()];
    // Equals share, which need not be integrated: all creatives of a new campaign are.
    if posteriors.iter().all(|posterior| Some(posterior) == posteriors.first()) {
        return even();
    }
    let mut betas = Vec::with_capacity(posteriors.len());
    let (mut low, mut high) = (1.0f64, 0.0f64);
    for &(alpha, beta) in posteriors {
        let Ok(distribution) = Beta::new(alpha, beta) else { return even() };
        let mean = alpha / (alpha + beta);
        let deviation = (mean * (1.0 - mean) / (alpha + beta + 1.0)).sqrt();
        low = low.min((mean - 6.0 * deviation).max(0.0));
        high = high.max((mean + 6.0 * deviation).min(1.0));
        betas.push(distribution);
    }
    // Densities on one grid; a running sum of them is the distribution function, far cheaper than the incomplete beta
    // function at every point, and normalising takes the grid's error out.
    let width = (high - low) / POINTS as f64;
    let densities: Vec<Vec<f64>> = betas
        .iter()
        .map(|beta| {
            let density = |point: usize| beta.pdf(low + width * (point as f64 + 0.5));
            let mut density: Vec<f64> = (0..POINTS).map(density).collect();
            let mass: f64 = density.iter().sum();
            density.iter_mut().for_each(|density| *density /= mass);
            density
        })
        .collect();
    let mut below = vec![0.0; betas.len()];
    let mut best = vec![0.0; betas.len()];
    for point in 0..POINTS {
        // Up to the middle of the cell.
        let middle: Vec<f64> =
            densities.iter().zip(&below).map(|(density, below)| below + density[point] / 2.0).collect();
        for (i, density) in densities.iter().enumerate() {
            let others: f64 =
                middle.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, middle)| middle).product();
            best[i] += density[point] * others;
        }
        for (below, density) in below.iter_mut().zip(&densities) {
            *below += density[point];
        }
    }
    let total: f64 = best.iter().sum();
    if !total.is_finite() || total <= 0.0 {
        return even();
    }
    best.iter().map(|mass| mass / total).collect()
}

/// Lifts each probability to at least [`LEAST`] and scales the rest, so that they sum to 1.
fn raise_to_least(probabilities: &mut [f64]) {
    let spare = 1.0 - LEAST * probabilities.len() as f64;
    if spare <= 0.0 {
        let even = 1.0 / probabilities.len() as f64;
        probabilities.fill(even);
        return;
    }
    for probability in probabilities {
        *probability = LEAST + spare * *probability;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: Shape = Shape(Format::Banner, Size { width: 300, height: 250 });
    const B: Shape = Shape(Format::Video, Size { width: 0, height: 0 });
    const ALL: Fitting = Fitting(u64::MAX);

    fn counts(pairs: &[(u64, u64)]) -> Vec<ArmCounts> {
        pairs.iter().map(|&(impressions, clicks)| ArmCounts { impressions, clicks }).collect()
    }

    #[test]
    fn two_equal_arms_share_and_a_better_one_wins() {
        let equal = probability_best(&[(5.0, 95.0), (5.0, 95.0)]);
        assert!((equal[0] - 0.5).abs() < 1e-9);
        let clear = probability_best(&[(51.0, 950.0), (11.0, 990.0)]);
        assert!(clear[0] > 0.999, "{clear:?}");
        // P(X > Y) = 1 - E[(1-X)^3] with 1-X ~ Beta(3,2): 1 - (3*4*5)/(5*6*7) = 5/7.
        let known = probability_best(&[(2.0, 3.0), (1.0, 3.0)]);
        assert!((known[0] - 5.0 / 7.0).abs() < 1e-3, "{known:?}");
    }

    #[test]
    fn only_what_fits_is_drawn() {
        let arms = Arms::thompson(&[A, A, B], &[]);
        let only = |wanted: &[usize]| Fitting::of(3, |creative| wanted.contains(&creative));
        for i in 0..100 {
            let uniform = f64::from(i) / 100.0;
            assert_eq!(arms.draw(only(&[2]), uniform), Some(Drawn { creative: 2, propensity: 1.0 }));
            assert!(arms.draw(only(&[0, 1]), uniform).unwrap().creative < 2);
            // One of a shape's two: the other's share does not count.
            assert_eq!(arms.draw(only(&[1]), uniform), Some(Drawn { creative: 1, propensity: 1.0 }));
        }
        assert_eq!(arms.draw(only(&[]), 0.3), None);
        assert!(only(&[]).is_empty() && !ALL.is_empty());
        assert!(arms.draw(ALL, 0.999_999).is_some());
    }

    proptest! {
        #[test]
        fn propensities_are_the_frequencies_with_which_creatives_are_drawn(
            shown in proptest::collection::vec((0u64..2_000, 0u64..100), 1..6),
        ) {
            let shapes: Vec<_> = (0..shown.len()).map(|i| if i % 2 == 0 { A } else { B }).collect();
            let arms = Arms::thompson(&shapes, &counts(&shown));
            let draws = 20_000;
            let mut seen = vec![(0u32, 0.0); shapes.len()];
            for i in 0..draws {
                let drawn = arms.draw(ALL, f64::from(i) / f64::from(draws)).unwrap();
                let entry = &mut seen[usize::from(drawn.creative)];
                entry.0 += 1;
                entry.1 = drawn.propensity;
            }
            for (count, propensity) in seen {
                prop_assert!((f64::from(count) / f64::from(draws) - propensity).abs() < 1e-3);
                prop_assert!(propensity > 0.0);
            }
        }
    }
}
