//! What a campaign's averages are held by: what its impressions cost, what they were expected to bring, and what they brought.
//!
//! Orders follow hours or days after their impressions, so what has not come yet must not count as failed. What was expected is
//! therefore followed as it ages: of every span of age it is known how much has passed through it and how many outcomes came in
//! it, and their ratio is how many come at that age for each expected. All spans together give how many come in the end, and
//! those ahead of what is still young what is yet to come. (Actuaries estimate claims that are not reported yet like this, by
//! chain ladders; here it is a Poisson regression with a constant rate in each span.)
//!
//! All of it follows from events and their times alone, so a replay gives the same.

use std::time::Duration;

use haggle_domain::{Micros, Tag, Timestamp};
use minicbor::{Decode, Encode};

/// Where spans of age end, in seconds. What is older is over.
const ENDS_S: [f64; SPANS] = {
    const HOUR: f64 = 3600.0;
    const DAY: f64 = 86_400.0;
    [600.0, HOUR, 4.0 * HOUR, 12.0 * HOUR, DAY, 2.0 * DAY, 4.0 * DAY, 8.0 * DAY, 16.0 * DAY, 32.0 * DAY]
};
const SPANS: usize = 10;
/// The shares of outcomes that are taken to come in each before any was seen: clicks at once, orders within a day or so.
const CLICK_SHARES: Shares = [0.95, 0.03, 0.01, 0.004, 0.002, 0.001, 0.001, 0.001, 0.0005, 0.0005];
const ORDER_SHARES: Shares = [0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.04, 0.02, 0.007, 0.003];
type Shares = [f64; SPANS];
/// What is believed of a span before anything was seen weighs as much as so many expected outcomes.
const BELIEF: f64 = 10.0;
/// The least that those shares are stretched where earlier spans have all that the model expects.
const LEAST_STRETCH: f64 = 0.25;
/// Groups of like age that expectations are kept in: spaced by a third of their age.
const GROUPS: usize = 32;
/// Expectations of impressions that are this close are of one age.
const TOGETHER: Duration = Duration::from_secs(120);
/// Ages are followed in steps of at least this.
const PACE: Duration = Duration::from_secs(10);
/// Seconds over which the ratio of what came to what was expected is forgotten, where there is enough of it...
const RATIO_MEMORY_S: f64 = 1.5 * 86_400.0;
/// ... which are so many expected outcomes: of less, more is remembered.
const ENOUGH: f64 = 200.0;
/// Seconds over which prices are forgotten.
const PRICE_MEMORY_S: f64 = 6.0 * 3600.0;
/// Seconds over which an average is held: a quarter of a year.
const BALANCE_MEMORY_S: f64 = 90.0 * 86_400.0;
/// Seconds in which what is left to make up for is made up for.
const AMENDS_S: f64 = 86_400.0;
/// An average is not chased for fewer outcomes than this: chance alone moves it so far.
const PATIENCE: f64 = 20.0;
/// The most that is taken of a price, and given to it, to make up for the past. What was paid too much is made up for faster.
const MOST_AMENDS: (f64, f64) = (0.4, 0.25);
/// Until this many outcomes are expected of recent impressions, their price is partly taken for the bid itself.
const PRICE_BELIEF: f64 = 0.25;

/// One kind of outcome: what was expected of impressions, and what came.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Outcomes {
    /// Until when ages are followed.
    #[n(0)]
    at: Timestamp,
    /// What was expected, by when its bids were made, the oldest first.
    #[n(1)]
    groups: Vec<(Timestamp, f64)>,
    /// How much has passed through each span, lately.
    #[n(2)]
    passed: [f64; SPANS],
    /// How many came in each, lately.
    #[n(3)]
    came: [f64; SPANS],
    /// Expected of impressions within the memory of prices.
    #[n(4)]
    expected: f64,
    /// What came within the memory of the balance.
    #[n(5)]
    counted: f64,
}

/// A span's beginning and end.
fn span(at: usize) -> (f64, f64) {
    (if at == 0 { 0.0 } else { ENDS_S[at - 1] }, ENDS_S[at])
}

impl Outcomes {
    /// Forgets, and follows ages in steps of at least `pace`.
    fn advance(&mut self, seconds: f64, now: Timestamp, pace: Duration) {
        self.expected *= (-seconds / PRICE_MEMORY_S).exp();
        self.counted *= (-seconds / BALANCE_MEMORY_S).exp();
        let passed = now.since(self.at);
        if passed < pace {
            return;
        }
        let forgetting = (self.passed[0] / ENOUGH).min(1.0) / RATIO_MEMORY_S;
        let kept = (-passed.as_secs_f64() * forgetting).exp();
        self.passed.iter_mut().chain(&mut self.came).for_each(|sum| *sum *= kept);
        for (bid_at, mass) in &self.groups {
            let (from, to) = (self.at.since(*bid_at).as_secs_f64(), now.since(*bid_at).as_secs_f64());
            for (at, sum) in self.passed.iter_mut().enumerate() {
                let (begins, ends) = span(at);
                *sum += mass * (to.min(ends) - from.max(begins)).max(0.0) / (ends - begins);
            }
        }
        self.at = now;
        self.groups.retain(|(bid_at, _)| now.since(*bid_at).as_secs_f64() < ENDS_S[SPANS - 1]);
    }

    fn expect(&mut self, now: Timestamp, bid_at: Timestamp, probability: f64) {
        self.expected += probability;
        if let Some((last, mass)) = self.groups.last_mut()
            && bid_at.since(*last) < TOGETHER
        {
            *mass += probability;
            return;
        }
        if self.groups.len() >= GROUPS {
            self.merge(now);
        }
        self.groups.push((bid_at, probability));
    }

    /// Puts the two neighbours together whose ages differ least.
    fn merge(&mut self, now: Timestamp) {
        let gap = |pair: &[(Timestamp, f64)]| match pair {
            [(older, _), (newer, _)] => {
                newer.since(*older).as_secs_f64() / (1.0 + now.since(*newer).as_secs_f64())
            }
            _ => f64::INFINITY,
        };
        let gaps = self.groups.windows(2).map(gap).enumerate();
        let Some((at, _)) = gaps.min_by(|(_, one), (_, other)| one.total_cmp(other)) else { return };
        let (newer, more) = self.groups.remove(at + 1);
        if let Some((older, mass)) = self.groups.get_mut(at) {
            *mass += more;
            *older = *older + newer.since(*older).mul_f64((more / *mass).clamp(0.0, 1.0));
        }
    }

    fn came(&mut self, delay: f64) {
        let at = ENDS_S.iter().position(|end| delay < *end).unwrap_or(SPANS - 1);
        self.came[at] += 1.0;
        // As old as what was paid for it.
        self.counted += (-delay / BALANCE_MEMORY_S).exp();
    }

    /// How many come in each span for each that is expected. Where little has passed through a span, it is taken to have its share of
    /// what the model expects and earlier spans do not explain.
    fn rates(&self, shares: &Shares) -> [f64; SPANS] {
        let known = |at: usize| self.passed[at] / (self.passed[at] + BELIEF);
        let seen = |at: usize| self.came[at] / (self.passed[at] + BELIEF);
        let (all_seen, unknown) = (0..SPANS).fold((0.0, 0.0), |(all_seen, unknown), at| {
            (all_seen + seen(at), unknown + (1.0 - known(at)) * shares[at])
        });
        // Few outcomes so far are late ones or none at all. The fewer there are, and the younger what they are of, the more is left
        // to those that come late.
        let missing = (1.0 - all_seen / (1.0 - unknown).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        let most = 1.0 + missing.powi(3) * unknown.powf(-0.6);
        let stretch = ((1.0 - all_seen) / unknown).clamp(LEAST_STRETCH, most);
        std::array::from_fn(|at| seen(at) + (1.0 - known(at)) * shares[at] * stretch)
    }

    /// How many come in the end for each that is expected.
    fn ratio(&self, shares: &Shares) -> f64 {
        self.rates(shares).iter().sum()
    }

    /// How many are still to come of impressions that were shown.
    fn outstanding(&self, shares: &Shares) -> f64 {
        let rates = self.rates(shares);
        let ahead = |age: f64| -> f64 {
            let rates = rates.iter().enumerate();
            rates
                .map(|(at, rate)| {
                    let (begins, ends) = span(at);
                    rate * (ends - age.max(begins)).max(0.0) / (ends - begins)
                })
                .sum()
        };
        let yet = |(bid_at, mass): &(Timestamp, f64)| {
            let age = self.at.since(*bid_at).as_secs_f64();
            mass * ahead(age) * (-age / BALANCE_MEMORY_S).exp()
        };
        self.groups.iter().map(yet).sum()
    }
}

/// What an average is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Clicks.
    Clicks,
    /// Orders.
    Orders,
}

/// See the module's text. Counts from the first [`Averages::steer`] on.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Averages {
    /// Until when everything is accounted for.
    #[n(0)]
    at: Timestamp,
    /// Bids made before are left out.
    #[n(1)]
    since: Timestamp,
    /// When the multiplier last changed.
    #[n(2)]
    pub steered_at: Timestamp,
    /// What holds the averages.
    #[n(3)]
    pub goal: f64,
    /// That, and what pacing made of it.
    #[n(4)]
    pub total: f64,
    /// Which averages are held.
    #[n(5)]
    pub aim: Tag,
    #[n(6)]
    clicks: Outcomes,
    #[n(7)]
    orders: Outcomes,
    /// Units of money within the memory of prices, of what is to be made up for, and of the balance.
    #[n(8)]
    spent: [f64; 3],
    /// Impressions within the memory of prices, and the sum of their multipliers' logarithms.
    #[n(9)]
    bids: [f64; 2],
}

/// What an average comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Spend ÷ what outcomes are worth: 1 where the average is what was asked for. None before anything was spent.
    pub ratio: Option<f64>,
    /// How many outcomes came for each that was expected.
    pub came: f64,
}

impl Averages {
    /// From here on.
    pub fn new(at: Timestamp) -> Self {
        Self {
            at,
            since: at,
            steered_at: at,
            goal: 1.0,
            total: 1.0,
            aim: Tag::NONE,
            clicks: Outcomes { at, ..Outcomes::default() },
            orders: Outcomes { at, ..Outcomes::default() },
            spent: [0.0; 3],
            bids: [0.0; 2],
        }
    }

    /// The state at a later time; a clock that was set back changes nothing.
    fn advance(&mut self, now: Timestamp, pace: Duration) {
        let seconds = now.since(self.at).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        self.at = now;
        self.clicks.advance(seconds, now, pace);
        self.orders.advance(seconds, now, pace);
        for (spent, memory) in self.spent.iter_mut().zip([PRICE_MEMORY_S, AMENDS_S, BALANCE_MEMORY_S]) {
            *spent *= (-seconds / memory).exp();
        }
        self.bids.iter_mut().for_each(|sum| *sum *= (-seconds / PRICE_MEMORY_S).exp());
    }

    /// Bids are multiplied by `total` from now on. Other averages than before begin with nothing to make up for.
    pub fn steer(&mut self, now: Timestamp, goal: f64, total: f64, aim: Tag) {
        self.advance(now, Duration::ZERO);
        if self.aim != aim {
            self.aim = aim;
            let [_, amends, balance] = &mut self.spent;
            (*amends, *balance) = (0.0, 0.0);
            // What is still to come was paid for under the old ones.
            self.clicks.counted = -self.clicks.outstanding(&CLICK_SHARES);
            self.orders.counted = -self.orders.outstanding(&ORDER_SHARES);
        }
        (self.goal, self.total, self.steered_at) = (goal, total, now);
    }

    /// An impression cost this.
    pub fn paid(&mut self, now: Timestamp, amount: Micros) {
        self.advance(now, PACE);
        self.spent.iter_mut().for_each(|spent| *spent += amount.to_f64());
    }

    /// An ad was shown that was expected to bring so many clicks and orders.
    pub fn shown(&mut self, now: Timestamp, bid_at: Timestamp, clicks: f32, orders: f32) {
        self.advance(now, PACE);
        if bid_at < self.since || !(clicks > 0.0 && clicks <= 1.0) {
            return;
        }
        self.clicks.expect(now, bid_at, clicks.into());
        if orders > 0.0 && orders <= 1.0 {
            self.orders.expect(now, bid_at, orders.into());
        }
        let [impressions, logarithms] = &mut self.bids;
        *impressions += 1.0;
        *logarithms += self.total.max(f64::MIN_POSITIVE).ln();
    }

    /// An outcome followed on a bid that was made at `bid_at`.
    pub fn came(&mut self, now: Timestamp, bid_at: Timestamp, kind: Kind) {
        self.advance(now, PACE);
        if bid_at >= self.since {
            let delay = now.since(bid_at).as_secs_f64().max(0.0);
            match kind {
                Kind::Clicks => self.clicks.came(delay),
                Kind::Orders => self.orders.came(delay),
            }
        }
    }

    fn outcomes(&self, kind: Kind) -> (&Outcomes, &'static Shares) {
        match kind {
            Kind::Clicks => (&self.clicks, &CLICK_SHARES),
            Kind::Orders => (&self.orders, &ORDER_SHARES),
        }
    }

    /// The same at a later time.
    pub fn at(&self, now: Timestamp) -> Self {
        let mut later = self.clone();
        later.advance(now, Duration::ZERO);
        later
    }

    /// What bids are to be multiplied by, so that an outcome costs `worth` units on average over about a quarter of a year.
    ///
    /// What recent impressions cost for what they will bring, at the multipliers they had, says which multiplier buys at the
    /// price that is asked for; and that price is a little more or less than `worth` as long as the past is to be made up for
    /// (the dual of the constraint: Balseiro and Gur 2019; for returns on spend Feng, Padmanabhan and Wang 2022). Before
    /// anything is known it is 1.
    pub fn wanted(&self, kind: Kind, worth: f64) -> f64 {
        let (outcomes, shares) = self.outcomes(kind);
        let [spent, recent, all] = self.spent;
        let [impressions, logarithms] = self.bids;
        // So few that nothing follows: as if they had been bid at 1.
        let mean = (logarithms / impressions.max(1.0)).exp();
        let belief = worth * PRICE_BELIEF;
        let price = (spent + belief * mean) / (worth * outcomes.ratio(shares) * outcomes.expected + belief);
        let balance = worth * (outcomes.counted + outcomes.outstanding(shares)) - all;
        let amends = (balance / (recent + worth * PATIENCE)).clamp(-MOST_AMENDS.0, MOST_AMENDS.1);
        mean * (1.0 + amends) / price
    }

    /// How far the average is from what was asked for, with what is still to come.
    pub fn standing(&self, kind: Kind, worth: f64) -> Standing {
        let (outcomes, shares) = self.outcomes(kind);
        let [_, _, spent] = self.spent;
        let value = worth * (outcomes.counted + outcomes.outstanding(shares));
        let ratio = (spent > 0.0 && value > 0.0).then(|| spent / value);
        Standing { ratio, came: outcomes.ratio(shares) }
    }

    /// Whether anything happened since the multiplier last changed, or a while has passed.
    pub fn is_stale(&self, now: Timestamp, after: Duration) -> bool {
        now.since(self.steered_at) >= after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: f64 = 3600.0;

    fn at(hours: f64) -> Timestamp {
        Timestamp(1_790_000_000_000_000) + Duration::from_secs_f64(hours * HOUR)
    }

    /// Impressions that bring `rate` orders for each expected, `delay` hours later; 10 are expected an hour.
    fn run(hours: u32, rate: f64, delay: f64, price: f64) -> Averages {
        let mut averages = Averages::new(at(0.0));
        averages.steer(at(0.0), 1.0, 1.0, Tag(1));
        let (mut came, mut pending) = (0.0, std::collections::VecDeque::new());
        for minute in 0..hours * 60 {
            let now = f64::from(minute) / 60.0;
            for _ in 0..5 {
                averages.paid(at(now), Micros((price / 30.0 * 1e6) as i64));
                averages.shown(at(now), at(now), 0.5, 1.0 / 30.0);
                came += rate / 30.0;
                if came >= 1.0 {
                    came -= 1.0;
                    pending.push_back(now);
                }
            }
            while pending.front().is_some_and(|bid| bid + delay <= now) {
                let bid = pending.pop_front().unwrap();
                averages.came(at(bid + delay), at(bid), Kind::Orders);
            }
        }
        averages
    }

    #[test]
    fn nothing_known_bids_the_value_itself() {
        let averages = Averages::new(at(0.0));
        assert!((averages.wanted(Kind::Orders, 20.0) - 1.0).abs() < 1e-9);
        assert_eq!(averages.standing(Kind::Orders, 20.0).ratio, None);
    }

    #[test]
    fn late_orders_are_not_taken_for_failed_ones() {
        for (delay, hours) in [(0.2, 168), (5.0, 168), (30.0, 240)] {
            for rate in [0.6, 1.0, 1.6] {
                let found = run(hours, rate, delay, 1.0).at(at(f64::from(hours))).orders.ratio(&ORDER_SHARES);
                assert!((found / rate - 1.0).abs() < 0.12, "delay {delay} h: {found} for {rate}");
            }
        }
    }

    #[test]
    fn what_costs_less_than_its_worth_is_bid_for_higher_and_the_past_is_made_up_for() {
        // An outcome is worth 1 and costs 0.7: 1 ÷ 0.7, and a quarter more for what was saved.
        let wanted = run(96, 1.0, 0.2, 0.7).wanted(Kind::Orders, 1.0);
        assert!((1.25 / 0.7 - 0.2..1.25 / 0.7 + 0.1).contains(&wanted), "{wanted}");
        let wanted = run(96, 1.0, 0.2, 1.3).wanted(Kind::Orders, 1.0);
        assert!((0.6 / 1.3 - 0.05..0.6 / 1.3 + 0.1).contains(&wanted), "{wanted}");
    }

    #[test]
    fn another_aim_forgives_the_past_but_keeps_what_is_known_of_the_model() {
        let mut averages = run(96, 0.6, 5.0, 1.0);
        let before = averages.at(at(96.0)).orders.ratio(&ORDER_SHARES);
        averages.steer(at(96.0), 1.0, 1.0, Tag(2));
        assert!((averages.orders.ratio(&ORDER_SHARES) - before).abs() < 1e-9);
        let balance = averages.orders.counted + averages.orders.outstanding(&ORDER_SHARES);
        assert!(balance.abs() < 1e-9 && averages.spent[2] == 0.0);
        let bytes = minicbor::to_vec(&averages).unwrap();
        assert_eq!(minicbor::decode::<Averages>(&bytes).unwrap(), averages);
    }

    #[test]
    fn a_state_from_long_ago_believes_what_a_new_one_does() {
        let averages = run(48, 0.3, 0.2, 2.0).at(at(24.0 * 365.0 * 10.0));
        // Of the ratio, 0.3, a little is remembered: it is forgotten by what replaces it, and nothing did.
        assert!((averages.wanted(Kind::Orders, 1.0) - 1.0).abs() < 0.1);
    }
}
