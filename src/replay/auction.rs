//! Recorded auctions held again: who would have won, and what it would have cost.

use std::num::NonZeroUsize;

use haggle_domain::{CpmMicros, Micros};

use super::log::Row;
use crate::exit::ExitError;

/// What the winner pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Auction {
    /// Its own bid.
    First,
    /// The market price.
    Second,
}

/// What ours is told after a first-price auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Feedback {
    /// What it would have taken to win, whether it won or not, and where it made no bid.
    Full,
    /// Only whether its bid won.
    WinLoss,
}

/// How auctions are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What the winner pays.
    pub auction: Auction,
    /// Whether a bid of the market price wins. Published figures differ in this.
    pub ties_win: bool,
    /// Whether bids are cut to what is left of the budget. Otherwise a strategy bids until the budget is spent, so that its
    /// last purchase may exceed it. Published figures differ in this too.
    pub capped: bool,
    /// The highest bid that there is.
    pub highest: Option<CpmMicros>,
}

/// Money for a number of auctions, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episodes {
    /// Auctions in one.
    pub auctions: NonZeroUsize,
    /// Money for one. The last, which may be shorter, has as much.
    pub budget: Micros,
}

impl Episodes {
    /// How many there are in a log of that many rows.
    pub fn count(&self, rows: usize) -> usize {
        rows.div_ceil(self.auctions.get())
    }

    /// Money for all of them.
    pub fn total(&self, rows: usize) -> Micros {
        Micros(self.budget.0.saturating_mul(i64::try_from(self.count(rows)).unwrap_or(i64::MAX)))
    }
}

/// What a bidder sees of an auction in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It won, and paid that for the impression.
    Won(Micros),
    /// Another won.
    Lost,
}

/// Somebody who bids.
pub trait Strategy {
    /// An episode begins.
    fn begin(&mut self, _: &Episodes) {}

    /// The bid for an impression of that predicted click rate; `None` for no bid.
    fn bid(&mut self, ctr: f64) -> Option<CpmMicros>;

    /// What came of the auction, whether there was a bid or none.
    fn seen(&mut self, _: Seen) {}

    /// What it would have taken to win the auction. Told after it where exchanges tell that: in first-price auctions.
    fn told(&mut self, _: CpmMicros) {}
}

/// What a strategy bought.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bought {
    /// Auctions won.
    pub impressions: u64,
    /// Recorded clicks on them.
    pub clicks: u64,
    /// Sum of their predicted click rates.
    pub value: f64,
    /// What they cost.
    pub spend: Micros,
    /// How much of that was beyond the episodes' budgets.
    pub overspend: Micros,
}

/// What an impression costs at a price for a thousand.
pub fn cost(price: CpmMicros) -> Micros {
    price.per_impression_rounded_up()
}

/// Lets a strategy bid in all auctions, in their order. `pass` is called for each row, and may end it.
///
/// # Errors
///
/// Those of `pass`.
pub fn play<'a>(
    rows: impl ExactSizeIterator<Item = &'a Row>,
    episodes: &Episodes,
    rules: &Rules,
    strategy: &mut dyn Strategy,
    pass: &mut dyn FnMut() -> Result<(), ExitError>,
) -> Result<Bought, ExitError> {
    let mut bought = Bought::default();
    let mut spent = Micros::ZERO;
    for (at, row) in rows.enumerate() {
        pass()?;
        if at % episodes.auctions == 0 {
            bought.overspend += spent.minus_or_zero(episodes.budget);
            spent = Micros::ZERO;
            strategy.begin(episodes);
        }
        if !rules.capped && spent >= episodes.budget {
            continue;
        }
        let bid = strategy.bid(row.ctr).map(|bid| {
            let bid = rules.highest.map_or(bid, |highest| bid.min(highest));
            let left = CpmMicros::from_per_impression(episodes.budget.minus_or_zero(spent));
            if rules.capped { bid.min(left) } else { bid }
        });
        let won = bid.filter(|bid| *bid > row.price || rules.ties_win && *bid == row.price);
        match won {
            Some(bid) => {
                let paid = cost(if rules.auction == Auction::First { bid } else { row.price });
                spent += paid;
                bought.spend += paid;
                bought.impressions += 1;
                bought.clicks += u64::from(row.clicked);
                bought.value += row.ctr;
                strategy.seen(Seen::Won(paid));
            }
            None => strategy.seen(Seen::Lost),
        }
        if rules.auction == Auction::First {
            let least = if rules.ties_win { row.price } else { CpmMicros(row.price.0.saturating_add(1)) };
            strategy.told(least);
        }
    }
    bought.overspend += spent.minus_or_zero(episodes.budget);
    Ok(bought)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::log::FEN;
    // Proptest has one too.
    use super::Strategy;
    use super::*;

    struct Fixed(i64);

    impl Strategy for Fixed {
        fn bid(&mut self, _: f64) -> Option<CpmMicros> {
            Some(CpmMicros(self.0 * FEN))
        }
    }

    fn row(clicked: bool, price: i64) -> Row {
        Row { clicked, price: CpmMicros(price * FEN), ctr: 0.25 }
    }

    fn held(rows: &[Row], budget: i64, auctions: usize, bid: i64, rules: &Rules) -> Bought {
        let episodes =
            Episodes { auctions: NonZeroUsize::new(auctions).unwrap(), budget: Micros(budget * FEN / 1000) };
        play(rows.iter(), &episodes, rules, &mut Fixed(bid), &mut || Ok(())).unwrap()
    }

    const SECOND: Rules = Rules { auction: Auction::Second, ties_win: false, capped: false, highest: None };

    #[test]
    fn the_winner_pays_the_market_price_or_its_bid_and_ties_go_as_the_rules_say() {
        let rows = [row(true, 10), row(false, 20), row(true, 30)];
        let second = held(&rows, 1_000, 3, 20, &SECOND);
        assert_eq!((second.impressions, second.clicks, second.spend), (1, 1, Micros(100)));
        let ties = held(&rows, 1_000, 3, 20, &Rules { ties_win: true, ..SECOND });
        assert_eq!((ties.impressions, ties.spend, ties.value), (2, Micros(300), 0.5));
        let first = held(&rows, 1_000, 3, 20, &Rules { auction: Auction::First, ..SECOND });
        assert_eq!((first.impressions, first.spend), (1, Micros(200)));
        let highest = Some(CpmMicros(10 * FEN));
        assert_eq!(held(&rows, 1_000, 3, 20, &Rules { highest, ..SECOND }).impressions, 0);
    }

    #[test]
    fn a_budget_is_for_an_episode_and_is_exceeded_by_one_purchase_where_the_rules_allow_it() {
        let rows = [row(false, 60); 5];
        let stops = held(&rows, 100, 3, 70, &SECOND);
        assert_eq!((stops.impressions, stops.spend, stops.overspend), (4, Micros(2_400), Micros(400)));
        let capped = held(&rows, 100, 3, 70, &Rules { capped: true, ..SECOND });
        assert_eq!((capped.impressions, capped.overspend), (2, Micros::ZERO));
    }

    proptest! {
        #[test]
        fn capped_bids_never_exceed_the_budget(
            prices in proptest::collection::vec(0..300i64, 1..60),
            budget in 0..2_000i64,
            auctions in 1..20usize,
            bid in 0..400i64,
            first: bool,
            ties_win: bool,
        ) {
            let rows: Vec<Row> = prices.into_iter().map(|price| row(false, price)).collect();
            let auction = if first { Auction::First } else { Auction::Second };
            let bought = held(&rows, budget, auctions, bid, &Rules { auction, ties_win, capped: true, highest: None });
            prop_assert_eq!(bought.overspend, Micros::ZERO);
            prop_assert!(bought.spend.0 <= budget * 10 * rows.len().div_ceil(auctions) as i64);
        }
    }
}
