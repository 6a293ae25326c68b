//! Other bidders: what they bid for a request, and what they learn from how it went.
//!
//! Their draws follow from the request's number and theirs, so what happens to them changes what they make of their luck, not the
//! luck itself. Who learns sees what bidders see: whether it won, and what it paid.

use haggle_domain::{CpmMicros, Micros, Timestamp};

use crate::auction::{AuctionOutcome, in_steps};
use crate::chance::{Chance, Use};
use crate::diurnal::{day_of, share_gone};

/// Rivals that a world may have.
pub const MOST_RIVALS: usize = 32;
/// How far an adaptive rival's prices may move from where they began, as a factor either way.
const FARTHEST: f64 = 10.0;
/// What a budget that is spent evenly may be ahead of the day, as a share of it: half an hour.
const AHEAD: f64 = 1.0 / 48.0;

/// A rival.
#[derive(Clone, Debug, PartialEq)]
pub struct Rival {
    /// What it is called.
    pub name: String,
    /// What it bids, of what the segment usually costs.
    pub factor: f64,
    /// How much its bids differ: the standard deviation of their logarithm.
    pub spread: f64,
    /// The share of requests of its segment that it lets pass.
    pub absent: f64,
    /// The aisles that sites are about where it bids, by their places; empty for everywhere.
    pub aisles: Vec<usize>,
    /// OpenRTB's `devicetype` of whom it bids for; empty for everybody.
    pub devices: Vec<u8>,
    /// The exchanges that it bids on, by their places; empty for all.
    pub exchanges: Vec<usize>,
    /// What it makes of how auctions went.
    pub manner: Manner,
}

/// What a rival makes of how auctions went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    /// Nothing.
    Static,
    /// It raises its prices with each loss and lowers them with each win, so that it wins this share of the auctions that it takes
    /// part in: a stochastic approximation (Robbins and Monro 1951) in the logarithm of its prices.
    Adaptive {
        /// The share that it is after.
        win_rate: f64,
        /// How far one auction moves it.
        step: f64,
    },
    /// It stays away once it has spent its day's money.
    Budgeted {
        /// That money.
        daily: Micros,
        /// Whether it spends as fast as it can; else as the day goes.
        at_once: bool,
    },
}

impl Rival {
    /// The best of many that are not told apart: the only rival where nothing else is said.
    pub fn usual() -> Self {
        Self {
            name: "usual".to_owned(),
            factor: 1.0,
            spread: 0.55,
            absent: 0.07,
            aisles: Vec::new(),
            devices: Vec::new(),
            exchanges: Vec::new(),
            manner: Manner::Static,
        }
    }
}

/// What a request is, as rivals see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) aisle: Option<usize>,
    pub(crate) device: u8,
    pub(crate) exchange: usize,
}

/// What rivals bid for a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RivalBids {
    /// The highest.
    pub(crate) best: Option<CpmMicros>,
    /// The next.
    pub(crate) second: Option<CpmMicros>,
    /// Whose the highest is.
    leader: usize,
    /// Who bids, one bit each.
    bidding: u32,
}

impl RivalBids {
    fn add(&mut self, rival: usize, price: CpmMicros) {
        self.bidding |= 1 << rival;
        if self.best.is_none_or(|best| price > best) {
            (self.second, self.best, self.leader) = (self.best, Some(price), rival);
        } else if self.second.is_none_or(|second| price > second) {
            self.second = Some(price);
        }
    }
}

/// The rivals as they are now.
#[derive(Debug)]
pub(crate) struct Rivals {
    seed: u64,
    all: Vec<(Rival, State)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// How much an adaptive one has raised its prices, in their logarithm.
    raised: f64,
    /// What a budgeted one has spent today.
    spent: Micros,
    today: i64,
}

impl Rivals {
    /// All but those beyond [`MOST_RIVALS`].
    pub(crate) fn new(seed: u64, rivals: Vec<Rival>) -> Self {
        let all = rivals.into_iter().take(MOST_RIVALS).map(|rival| (rival, State::default())).collect();
        Self { seed, all }
    }

    /// What they bid for the `number`th request, of which such are `usual`ly sold for so many units per thousand.
    pub(crate) fn bid(&self, number: u64, segment: Segment, usual: f64, now: Timestamp) -> RivalBids {
        let mut bids = RivalBids::default();
        for (index, (rival, state)) in self.all.iter().enumerate() {
            if !rival.is_for(segment) || !rival.has_money(state, now) {
                continue;
            }
            let mut chance = Chance::new(self.seed, Use::Rivals, number, index as u64);
            let median = match rival.manner {
                Manner::Adaptive { .. } => usual * rival.factor * state.raised.exp(),
                Manner::Static | Manner::Budgeted { .. } => usual * rival.factor,
            };
            let price = in_steps(chance.lognormal(median, rival.spread));
            if !chance.hit(rival.absent) {
                bids.add(index, price);
            }
        }
        bids
    }

    /// Lets those that bid see how it went.
    pub(crate) fn learn(
        &mut self,
        bids: &RivalBids,
        floor: CpmMicros,
        outcome: &AuctionOutcome,
        now: Timestamp,
    ) {
        let sold_to_rival = !outcome.won && bids.best.is_some_and(|best| best >= floor);
        for (index, (rival, state)) in self.all.iter_mut().enumerate() {
            if bids.bidding & (1 << index) == 0 {
                continue;
            }
            let won = sold_to_rival && index == bids.leader;
            match rival.manner {
                Manner::Static => {}
                Manner::Adaptive { win_rate, step } => {
                    let moved = state.raised + step * (win_rate - f64::from(u8::from(won)));
                    state.raised = moved.clamp(-FARTHEST.ln(), FARTHEST.ln());
                }
                Manner::Budgeted { .. } => {
                    let today = day_of(now);
                    if state.today != today {
                        (state.today, state.spent) = (today, Micros::ZERO);
                    }
                    if won {
                        state.spent += outcome.clearing.per_impression_rounded_up();
                    }
                }
            }
        }
    }

    /// Whether any of them makes anything of how auctions went.
    pub(crate) fn any_learns(&self) -> bool {
        self.all.iter().any(|(rival, _)| rival.manner != Manner::Static)
    }
}

impl Rival {
    fn is_for(&self, segment: Segment) -> bool {
        (self.aisles.is_empty() || segment.aisle.is_some_and(|aisle| self.aisles.contains(&aisle)))
            && (self.devices.is_empty() || self.devices.contains(&segment.device))
            && (self.exchanges.is_empty() || self.exchanges.contains(&segment.exchange))
    }

    fn has_money(&self, state: &State, now: Timestamp) -> bool {
        let Manner::Budgeted { daily, at_once } = self.manner else { return true };
        let spent = if state.today == day_of(now) { state.spent } else { Micros::ZERO };
        let may = if at_once { 1.0 } else { (share_gone(now) + AHEAD).min(1.0) };
        spent.to_f64() < daily.to_f64() * may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYWHERE: Segment = Segment { aisle: None, device: 4, exchange: 0 };
    const FLOOR: CpmMicros = CpmMicros(100_000);

    fn rival(manner: Manner) -> Rival {
        Rival { manner, ..Rival::usual() }
    }

    /// Auctions that a rival wins where it bids more than `ours`; gives its bids and how often it won.
    fn auctions(rivals: &mut Rivals, count: u64, ours: f64, minute: impl Fn(u64) -> i64) -> (u64, u64) {
        let (mut bids, mut wins) = (0, 0);
        for number in 0..count {
            let now = Timestamp(minute(number) * 60_000_000);
            let bid = rivals.bid(number, ANYWHERE, 2.0, now);
            let Some(best) = bid.best else { continue };
            let won = best.to_f64() <= ours;
            let clearing = if won { CpmMicros::ZERO } else { best };
            rivals.learn(&bid, FLOOR, &AuctionOutcome { won, clearing, min_to_win: FLOOR, loss: None }, now);
            (bids, wins) = (bids + 1, wins + u64::from(!won));
        }
        (bids, wins)
    }

    #[test]
    fn an_adaptive_rival_wins_the_share_that_it_is_after_against_any_price_within_its_reach() {
        for (ours, target) in [(1.0, 0.2), (4.0, 0.3), (8.0, 0.5)] {
            let mut rivals = Rivals::new(7, vec![rival(Manner::Adaptive { win_rate: target, step: 0.02 })]);
            auctions(&mut rivals, 2000, ours, |_| 0);
            let (bids, wins) = auctions(&mut rivals, 4000, ours, |_| 0);
            let share = wins as f64 / bids as f64;
            assert!((share - target).abs() < 0.03, "{share} against {ours}");
        }
        let mut hopeless = Rivals::new(7, vec![rival(Manner::Adaptive { win_rate: 0.9, step: 1.0 })]);
        auctions(&mut hopeless, 2000, 1e6, |_| 0);
        assert!((hopeless.all[0].1.raised - FARTHEST.ln()).abs() < 1.0, "it does not rise for ever");
    }

    #[test]
    fn a_budget_is_spent_over_the_day_or_at_once_and_not_exceeded() {
        let daily = Micros(500_000);
        let spend = |at_once, minutes| {
            let mut rivals = Rivals::new(7, vec![rival(Manner::Budgeted { daily, at_once })]);
            auctions(&mut rivals, minutes, 0.0, |number| number as i64);
            rivals.all[0].1.spent.to_f64() / daily.to_f64()
        };
        assert!(spend(true, 480) > 0.99, "at once: {}", spend(true, 480));
        let by_eight = spend(false, 480);
        assert!((by_eight - share_gone(Timestamp(480 * 60_000_000)) - AHEAD).abs() < 0.02, "{by_eight}");
        assert!((1.0..1.03).contains(&spend(false, 1440)), "{}", spend(false, 1440));
        // The next day has its own.
        assert!(spend(true, 1440 + 10) < 0.2, "{}", spend(true, 1440 + 10));
    }

    #[test]
    fn the_two_highest_bids_count_and_only_in_their_segments() {
        let everywhere = Rival { absent: 0.0, ..Rival::usual() };
        let phones = Rival { devices: vec![4], factor: 0.5, ..everywhere.clone() };
        let hiking = Rival { aisles: vec![0], factor: 100.0, ..everywhere.clone() };
        let elsewhere = Rival { exchanges: vec![1], factor: 1000.0, ..everywhere.clone() };
        let rivals = Rivals::new(7, vec![everywhere.clone(), phones, hiking, elsewhere]);
        let alone = Rivals::new(7, vec![everywhere]);
        for number in 0..100 {
            let own = alone.bid(number, ANYWHERE, 2.0, Timestamp(0));
            let all = rivals.bid(number, ANYWHERE, 2.0, Timestamp(0));
            assert!(all.best == own.best || all.second == own.best, "who joins changes nobody's luck");
            assert_eq!((all.bidding, own.second), (0b0011, None));
            let dear =
                rivals.bid(number, Segment { aisle: Some(0), device: 2, ..ANYWHERE }, 2.0, Timestamp(0));
            assert_eq!((dear.bidding, dear.leader, dear.second), (0b0101, 2, own.best));
        }
    }

    #[test]
    fn luck_is_the_requests_own_whatever_became_of_those_before() {
        let manner = Manner::Adaptive { win_rate: 0.5, step: 0.0 };
        let (mut winning, mut losing) =
            (Rivals::new(7, vec![rival(manner)]), Rivals::new(7, vec![rival(manner)]));
        auctions(&mut winning, 500, 0.0, |_| 0);
        auctions(&mut losing, 500, 1e6, |_| 0);
        for number in 500..600 {
            let bid = |rivals: &Rivals| rivals.bid(number, ANYWHERE, 2.0, Timestamp(0)).best;
            assert_eq!(bid(&winning), bid(&losing));
        }
    }
}
