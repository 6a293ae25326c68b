//! What orders bring: their mean, such that neither few orders nor one of a fantastic amount decide it.

use std::collections::BTreeMap;

use haggle_domain::Micros;
use minicbor::{Decode, Encode};

/// What was configured weighs as much as so many orders.
const BELIEF: u64 = 10;
/// No order counts for more than so many times what the middle one brings, nor the mean for more than so many times what was
/// configured, because what orders bring is as their sender says.
const MOST: i64 = 10;

/// Orders by the power of two of what they brought.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Revenues {
    /// How many, and what they brought together.
    #[n(0)]
    by_size: BTreeMap<u8, (u64, Micros)>,
}

fn size(amount: Micros) -> u8 {
    // At most 64.
    (u64::BITS - amount.0.max(0).cast_unsigned().leading_zeros()) as u8
}

impl Revenues {
    /// One order.
    pub fn note(&mut self, revenue: Micros) {
        let (orders, sum) = self.by_size.entry(size(revenue)).or_default();
        *orders += 1;
        *sum = sum.saturating_add(revenue);
    }

    /// The mean, where `configured` is what an order was said to bring. `earlier` orders, of `earlier_sum` together, were
    /// counted before single ones were.
    pub fn mean(&self, configured: Micros, earlier: u64, earlier_sum: Micros) -> Micros {
        let mut sizes = self.by_size.clone();
        let mut add = |orders: u64, sum: Micros| {
            let mean = i64::try_from(orders).ok().filter(|orders| *orders > 0).map(|orders| sum.0 / orders);
            let Some(mean) = mean else { return };
            let (count, total) = sizes.entry(size(Micros(mean))).or_default();
            *count = count.saturating_add(orders);
            *total = total.saturating_add(sum);
        };
        add(BELIEF, Micros(configured.0.saturating_mul(BELIEF.cast_signed())));
        add(earlier, earlier_sum);
        let orders = sizes.values().fold(0u64, |orders, (count, _)| orders.saturating_add(*count));
        let mut passed = 0;
        let middle = sizes.values().find(|(count, _)| {
            passed = count.saturating_add(passed);
            passed.saturating_mul(2) >= orders
        });
        let mean = |(count, sum): &(u64, Micros)| i128::from(sum.0) / i128::from(*count).max(1);
        let most = middle.map_or(0, mean) * i128::from(MOST);
        let total = sizes.values().fold(0i128, |total, group| {
            total.saturating_add(mean(group).min(most).saturating_mul(i128::from(group.0)))
        });
        let found = i64::try_from(total / i128::from(orders).max(1)).unwrap_or(i64::MAX);
        Micros(found).min(Micros(configured.0.saturating_mul(MOST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(amounts: impl IntoIterator<Item = i64>) -> Revenues {
        let mut revenues = Revenues::default();
        amounts.into_iter().for_each(|amount| revenues.note(Micros::from_units(amount)));
        revenues
    }

    #[test]
    fn few_orders_move_it_little_and_one_fantastic_order_hardly_at_all() {
        let configured = Micros::from_units(70);
        let mean = |revenues: Revenues| revenues.mean(configured, 0, Micros::ZERO).to_f64();
        assert!((mean(of([])) - 70.0).abs() < 1e-3);
        assert!((mean(of([30, 30])) - 63.333).abs() < 1e-2);
        let usual = mean(of([60; 90]));
        assert!((usual - 61.0).abs() < 1e-2);
        let with_a_slip = mean(of([60; 90].into_iter().chain([60_000_000])));
        assert!((usual..usual + 7.0).contains(&with_a_slip), "{with_a_slip}");
        let old = Revenues::default().mean(configured, 990, Micros::from_units(990 * 30));
        assert_eq!(old, Micros(30_400_000));
    }

    proptest! {
        #[test]
        fn any_orders_have_a_mean_within_bounds(
            amounts in proptest::collection::vec(any::<i64>(), 0..50),
            configured in 0i64..i64::MAX,
            (earlier, sum) in any::<(u64, i64)>(),
        ) {
            let mut revenues = Revenues::default();
            amounts.iter().for_each(|amount| revenues.note(Micros((*amount).max(0))));
            let mean = revenues.mean(Micros(configured), earlier >> 32, Micros(sum.max(0)));
            prop_assert!(mean >= Micros::ZERO);
            prop_assert!(mean.0 <= configured.saturating_mul(10));
        }
    }
}
