//! Which creative to show: by default Thompson sampling (Thompson 1933; Chapelle, Li 2011) with exact propensities.
//!
//! Each creative's click rate has a Beta posterior, and a campaign's policy makes probabilities of them ([`crate::policies`]).
//! Thompson sampling shows a creative with the probability that it is the best one. Any policy's table is computed when
//! the posterior changes, off the bid path, and a bid draws from the table. So the logged propensity is exact, which
//! off-policy evaluation needs, and a bid costs one comparison a creative.
//!
//! Creatives of different formats and sizes rarely compete for one imp, so the contest has two levels: among the
//! creatives of a shape, and among the shapes. Whatever does not fit an imp is left out of its draw, and the propensity
//! is the one among those that fit.
//!
//! Policies that never draw are orders: the first of the order that fits is shown, with a propensity of 1.

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{Creative, CreativePolicy, Explore, Format, Size};
use smallvec::SmallVec;

use crate::policies::{LEAST, Posterior, draws, floored, probabilities, probabilities_of_size};

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

/// The mass of an order's first: so far below zero that no probabilities added to it, which a bid may read while a policy
/// changes, hide it.
const FIRST: f64 = -4.0;

/// The probabilities with which a campaign's creatives are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Arms {
    /// By creative: the weight of its shape times its probability within the shape. Below zero: its place in an order, the
    /// first at [`FIRST`], for policies that do not draw.
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
    /// What a campaign's policy makes of the counts. `shapes` and `counts` have one entry a creative; missing counts are zero.
    pub fn of(explore: &Explore, shapes: &[Shape], counts: &[ArmCounts]) -> Self {
        let posteriors: Vec<Posterior> = (0..shapes.len())
            .map(|creative| Posterior::of(counts.get(creative).copied().unwrap_or_default()))
            .collect();
        if !draws(explore.creatives) {
            return Self::ordered(explore.creatives, &posteriors);
        }
        let overall = probabilities(explore, &posteriors);
        let mut masses: SmallVec<[f64; 6]> = SmallVec::from_elem(0.0, shapes.len());
        for (first, shape) in shapes.iter().enumerate() {
            if shapes[..first].contains(shape) {
                continue;
            }
            let of_shape =
                || shapes.iter().enumerate().filter(|(_, other)| *other == shape).map(|(at, _)| at);
            let within: Vec<Posterior> = of_shape().map(|at| posteriors[at]).collect();
            let weight: f64 = of_shape().map(|at| overall[at]).sum();
            let probabilities = if within.len() == posteriors.len() {
                floored(explore, overall.clone())
            } else {
                probabilities_of_size(explore, &within)
            };
            for (at, probability) in of_shape().zip(probabilities) {
                masses[at] = weight.max(LEAST) * probability;
            }
        }
        Self { masses }
    }

    /// The default policy's.
    pub fn thompson(shapes: &[Shape], counts: &[ArmCounts]) -> Self {
        Self::of(&Explore::default(), shapes, counts)
    }

    fn ordered(policy: CreativePolicy, posteriors: &[Posterior]) -> Self {
        let mut order: Vec<usize> = (0..posteriors.len()).collect();
        if policy == CreativePolicy::Greedy {
            // Stable, so of equals the first.
            order.sort_by(|a, b| posteriors[*b].mean().total_cmp(&posteriors[*a].mean()));
        }
        let mut masses: SmallVec<[f64; 6]> = SmallVec::from_elem(0.0, posteriors.len());
        for (place, at) in order.into_iter().enumerate() {
            masses[at] = FIRST - place as f64;
        }
        Self { masses }
    }

    /// By creative: the probability among those of its shape.
    pub fn shares(&self, shapes: &[Shape]) -> Vec<f64> {
        shares(&self.masses, shapes)
    }

    /// By creative: how likely it is to be drawn, next to the others; below zero where an order decides.
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
    if total < 0.0 {
        return first_of_order(masses, fitting);
    }
    let mut left = uniform * total;
    let mut last = None;
    for (mass, creative) in fits() {
        let mass_said = if planted(Bug::PropensityEqual) { total / fits().count() as f64 } else { *mass };
        let drawn = Drawn { creative, propensity: mass_said / total };
        if left < *mass {
            return Some(drawn);
        }
        left -= mass;
        last = Some(drawn);
    }
    // Rounding may leave a sliver at the end.
    last
}

/// Masses of before and after a change of policy, read together, are an order where one of them is.
#[cold]
fn first_of_order(masses: &[f64], fitting: Fitting) -> Option<Drawn> {
    let fits = masses.iter().zip(0u16..).filter(|(_, creative)| fitting.contains(*creative));
    let first = fits.max_by(|a, b| a.0.total_cmp(b.0));
    first.map(|(_, creative)| Drawn { creative, propensity: 1.0 })
}

/// The probabilities among those of the same shape.
pub(crate) fn shares(masses: &[f64], shapes: &[Shape]) -> Vec<f64> {
    let of_shape = |shape: &Shape| Fitting::of(shapes.len(), |at| shapes.get(at) == Some(shape));
    let share = |(at, shape): (usize, &Shape)| share_of(masses, of_shape(shape), at);
    shapes.iter().enumerate().map(share).collect()
}

/// The probability of one creative among those that fit, of which it is one.
fn share_of(masses: &[f64], fitting: Fitting, creative: usize) -> f64 {
    let mass = |at: usize| masses.get(at).copied().unwrap_or_default();
    let total: f64 = (0..masses.len()).filter(|at| fitting.contains(*at as u16)).map(mass).sum();
    if total < 0.0 {
        let first = first_of_order(masses, fitting);
        return f64::from(u8::from(first.is_some_and(|first| usize::from(first.creative) == creative)));
    }
    mass(creative) / total
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

    #[test]
    fn an_order_shows_its_first_that_fits_also_while_a_policy_changes() {
        let explore = |creatives| Explore { creatives, ..Explore::default() };
        let shapes = [A, A, B];
        let shown = counts(&[(900, 9), (900, 30), (900, 90)]);
        let greedy = Arms::of(&explore(CreativePolicy::Greedy), &shapes, &shown);
        let first = Arms::of(&explore(CreativePolicy::First), &shapes, &shown);
        for uniform in [0.0, 0.5, 0.999] {
            let drawn = |arms: &Arms, fitting| arms.draw(fitting, uniform).unwrap();
            assert_eq!(drawn(&greedy, ALL), Drawn { creative: 2, propensity: 1.0 });
            assert_eq!(drawn(&greedy, Fitting(0b11)), Drawn { creative: 1, propensity: 1.0 });
            assert_eq!(drawn(&first, ALL), Drawn { creative: 0, propensity: 1.0 });
            assert_eq!(drawn(&first, Fitting(0b110)), Drawn { creative: 1, propensity: 1.0 });
        }
        assert_eq!(greedy.shares(&shapes), [0.0, 1.0, 1.0]);
        // Half of it is already what comes next.
        let next = Arms::thompson(&shapes, &shown);
        let mixed = [next.masses()[0], next.masses()[1], first.masses()[2]];
        assert_eq!(draw(&mixed, ALL, 0.9), Some(Drawn { creative: 1, propensity: 1.0 }));
    }

    #[test]
    fn shares_sum_to_one_within_each_size() {
        for creatives in [CreativePolicy::Thompson, CreativePolicy::Ucb, CreativePolicy::First] {
            let explore = Explore { creatives, ..Explore::default() };
            let shares = Arms::of(&explore, &[A, B, A], &counts(&[(100, 3), (100, 3)])).shares(&[A, B, A]);
            assert!(
                (shares[0] + shares[2] - 1.0).abs() < 1e-9 && (shares[1] - 1.0).abs() < 1e-9,
                "{shares:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn propensities_are_the_frequencies_with_which_creatives_are_drawn(
            shown in proptest::collection::vec((0u64..2_000, 0u64..100), 1..6),
            creatives in proptest::sample::select(vec![
                CreativePolicy::Thompson,
                CreativePolicy::Ucb,
                CreativePolicy::EpsilonGreedy,
                CreativePolicy::SquareCb,
                CreativePolicy::Uniform,
            ]),
        ) {
            let shapes: Vec<_> = (0..shown.len()).map(|i| if i % 2 == 0 { A } else { B }).collect();
            let explore = Explore { creatives, ..Explore::default() };
            let arms = Arms::of(&explore, &shapes, &counts(&shown));
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
