//! Drawing one of very many in proportion to their weights.

/// Running sums of weights, and a guide to where among them a uniform number leads (Chen and Asau 1974): the search begins next to
/// its end.
pub(crate) struct Reach {
    sums: Vec<f64>,
    guide: Vec<u32>,
}

impl Reach {
    pub(crate) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut total = 0.0;
        let sums: Vec<f64> = weights
            .map(|weight| {
                total += weight;
                total
            })
            .collect();
        let count = sums.len();
        let mut at = 0;
        let guide = (0..count)
            .map(|part| {
                let target = total * (part as f64 / count as f64);
                while sums.get(at).is_some_and(|sum| *sum <= target) {
                    at += 1;
                }
                u32::try_from(at).unwrap_or(u32::MAX)
            })
            .collect();
        Self { sums, guide }
    }

    /// The first whose sum is above `uniform` of the total, or the last; 0 of none.
    pub(crate) fn find(&self, uniform: f64) -> usize {
        let target = uniform * self.sums.last().copied().unwrap_or_default();
        let part = (uniform * self.guide.len() as f64) as usize;
        let mut at = self.guide.get(part).map_or(0, |at| *at as usize);
        // Rounding may have led a step too far.
        while at > 0 && self.sums.get(at - 1).is_some_and(|sum| *sum > target) {
            at -= 1;
        }
        while self.sums.get(at).is_some_and(|sum| *sum <= target) {
            at += 1;
        }
        at.min(self.sums.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_guide_leads_where_a_search_by_halves_does(
            weights in proptest::collection::vec(0.0f64..3.0, 1..400),
            uniforms in proptest::collection::vec(0.0f64..1.0, 50),
        ) {
            let reach = Reach::new(weights.into_iter());
            for uniform in uniforms.into_iter().chain([0.0, 1.0 - f64::EPSILON / 2.0]) {
                let target = uniform * reach.sums.last().unwrap();
                let halves = reach.sums.partition_point(|sum| *sum <= target).min(reach.sums.len() - 1);
                prop_assert_eq!(reach.find(uniform), halves);
            }
        }
    }
}
