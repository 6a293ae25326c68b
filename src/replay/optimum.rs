//! The most that the money could have bought, had all prices been known.

use haggle_domain::Micros;

use super::auction::{Bought, Episodes, cost};
use super::log::Row;

/// What a purchase of the auctions with the most predicted clicks for their price buys: each in that order that the rest of
/// the budget still pays.
///
/// The knapsack's best is above this by less than the best auction that was left out (Dantzig 1957), so on logs of thousands
/// it is the optimum but for a fraction of a click. One budget for the whole log, even where a replay has episodes.
pub fn optimum(rows: &[Row], budget: Micros) -> Bought {
    let mut order: Vec<&Row> = rows.iter().collect();
    // What costs nothing comes first. A price has at most 34 bits, so as a float it is exact.
    let worth = |row: &Row| if row.price.0 > 0 { row.ctr / row.price.0 as f64 } else { f64::INFINITY };
    order.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
    let mut bought = Bought::default();
    for row in order {
        let price = cost(row.price);
        if price <= budget - bought.spend {
            bought.impressions += 1;
            bought.clicks += u64::from(row.clicked);
            bought.value += row.ctr;
            bought.spend += price;
        }
    }
    bought
}

/// The same with a budget for each episode.
pub fn in_episodes(rows: &[Row], episodes: &Episodes) -> Bought {
    rows.chunks(episodes.auctions.get()).map(|rows| optimum(rows, episodes.budget)).fold(
        Bought::default(),
        |sum, part| Bought {
            impressions: sum.impressions + part.impressions,
            clicks: sum.clicks + part.clicks,
            value: sum.value + part.value,
            spend: sum.spend + part.spend,
            overspend: Micros::ZERO,
        },
    )
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use haggle_domain::CpmMicros;
    use proptest::prelude::*;

    use super::super::log::FEN;
    use super::*;

    proptest! {
        #[test]
        fn is_less_than_one_auction_below_the_best_of_all_purchases(
            rows in proptest::collection::vec((0..50i64, 0.0..1.0f64), 1..11),
            budget in 0..200i64,
        ) {
            let rows: Vec<Row> = rows
                .into_iter()
                .map(|(price, ctr)| Row { clicked: false, price: CpmMicros(price * FEN), ctr })
                .collect();
            let budget = Micros(budget * 10);
            let greedy = optimum(&rows, budget);
            prop_assert!(greedy.spend <= budget);
            let whole = Episodes { auctions: NonZeroUsize::new(rows.len()).unwrap(), budget };
            prop_assert_eq!(in_episodes(&rows, &whole), greedy);
            let best = (0..1u32 << rows.len())
                .filter_map(|chosen| {
                    let taken = || rows.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, row)| row);
                    let spend: i64 = taken().map(|row| cost(row.price).0).sum();
                    (spend <= budget.0).then(|| taken().map(|row| row.ctr).sum::<f64>())
                })
                .fold(0.0, f64::max);
            let largest = rows.iter().map(|row| row.ctr).fold(0.0, f64::max);
            prop_assert!(greedy.value <= best + 1e-9 && best <= greedy.value + largest + 1e-9);
        }
    }
}
