//! Interest that comes and goes with the weeks.

use crate::catalog::AISLE_COUNT;

/// What a taste weighs in the odds of a click and of where users surf.
pub(crate) const TASTE: f64 = 0.9;

/// How interest in one aisle goes over the days.
#[derive(Clone, Debug, PartialEq)]
pub struct Season {
    /// The aisle, by its place.
    pub aisle: usize,
    /// Days after the start, and how many times as interested people then are as usual: in order of time, in a straight line between
    /// two, and as at the first before and as at the last after.
    pub interest: Vec<(f64, f64)>,
}

impl Season {
    fn at(&self, day: f64) -> f64 {
        let next = self.interest.partition_point(|(from, _)| *from <= day);
        match (next.checked_sub(1).and_then(|last| self.interest.get(last)), self.interest.get(next)) {
            (Some((from, before)), Some((until, after))) => {
                before + (after - before) * (day - from) / (until - from)
            }
            (Some((_, only)), None) | (None, Some((_, only))) => *only,
            (None, None) => 1.0,
        }
    }
}

/// How many times as interested people are in each aisle, `day` days after the start.
pub(crate) fn interest(seasons: &[Season], day: f64) -> [f64; AISLE_COUNT] {
    let mut interest = [1.0; AISLE_COUNT];
    for season in seasons {
        if let Some(times) = interest.get_mut(season.aisle) {
            *times *= season.at(day).max(1e-3);
        }
    }
    interest
}

/// What that adds to everybody's taste for them. Tastes are in log-odds, so a factor is a sum, and all that depends on tastes
/// follows: what users click and buy, and what they look at in the shop.
pub(crate) fn shifts(interest: &[f64; AISLE_COUNT]) -> [f64; AISLE_COUNT] {
    interest.map(|times| times.ln() / TASTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_goes_in_straight_lines_and_is_a_factor_of_odds() {
        let season = Season { aisle: 7, interest: vec![(2.0, 1.0), (4.0, 3.0), (8.0, 0.5)] };
        for (day, expected) in [(0.0, 1.0), (2.0, 1.0), (3.0, 2.0), (4.0, 3.0), (6.0, 1.75), (9.0, 0.5)] {
            assert!((season.at(day) - expected).abs() < 1e-12, "{day}: {}", season.at(day));
        }
        let shifts = shifts(&interest(&[season], 4.0));
        assert!(
            ((TASTE * shifts[7]).exp() - 3.0).abs() < 1e-12 && shifts[..7].iter().all(|it| it.abs() < 1e-12)
        );
    }
}
