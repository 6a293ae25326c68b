//! Spreading a day's budget over the day.
//!
//! Two means work together. The *plan* bounds: by a moment of the day no more than the plan's share of the budget (and
//! a little slack) may be out. The *multiplier* steers: it scales bids down while spend runs ahead of what the rest of
//! the day can bear, so that money goes to the impressions that are worth most for it instead of to the first.

use std::time::Duration;

use haggle_domain::{Campaign, Micros, Pacing, Timestamp};

/// The least multiplier: a campaign never stops probing what it could buy.
const LEAST: f64 = 0.001;
/// How far the multiplier's logarithm moves for as much error as is usual: the square root of the sum of all squares.
const GAIN: f64 = 1.0;
/// The error that is taken for usual before any was seen, as a share of the day's budget: an even minute's spend.
const FIRST_ERROR: f64 = 1.0 / 1440.0;
/// Seconds over which errors are forgotten.
const MEMORY_S: f64 = 86_400.0;
/// The longest step of which it is known what was spent in it, in seconds.
const LONGEST_S: f64 = 900.0;
/// A plan step this long (in seconds of the day) may always be spent ahead.
const SLACK_S: f64 = 3600.0;

/// One day of a campaign: which of its minutes are for bidding.
#[derive(Clone, Debug)]
pub struct DayPlan {
    start: Timestamp,
    end: Timestamp,
    /// Runs of biddable minutes, from (inclusive) and to (exclusive), counted from the day's start; a day may have 25
    /// hours and a bit.
    biddable: Box<[(u16, u16)]>,
}

impl DayPlan {
    /// The plan for the advertiser's day that holds `now`.
    pub fn of(campaign: &Campaign, now: Timestamp) -> Self {
        let (start, end) = campaign.zone.day_bounds(now);
        let minutes = u16::try_from(end.since(start).as_secs() / 60).unwrap_or(u16::MAX);
        let biddable = |minute: u16| {
            let at = start + Duration::from_secs(u64::from(minute) * 60);
            campaign.flight.contains(at) && in_daypart(campaign, at)
        };
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for minute in (0..minutes).filter(|minute| biddable(*minute)) {
            match runs.last_mut().filter(|(_, to)| *to == minute) {
                Some((_, to)) => *to = minute + 1,
                None => runs.push((minute, minute + 1)),
            }
        }
        Self { start, end, biddable: runs.into() }
    }

    /// When the day ends.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// The share of the day's biddable time that has passed at `now`, in 0..=1; 1 if there is none at all.
    pub fn share(&self, now: Timestamp) -> f64 {
        let passed = now.since(self.start).as_secs_f64() / 60.0;
        let (mut before, mut total) = (0.0, 0.0);
        for (from, to) in self.biddable.iter().map(|(from, to)| (f64::from(*from), f64::from(*to))) {
            total += to - from;
            before += (passed - from).clamp(0.0, to - from);
        }
        if total > 0.0 { before / total } else { 1.0 }
    }
}

/// Whether a moment lies in the campaign's hours.
pub fn in_daypart(campaign: &Campaign, now: Timestamp) -> bool {
    if campaign.dayparts.is_empty() {
        return true;
    }
    let local = campaign.zone.local(now);
    campaign.dayparts.iter().any(|daypart| daypart.contains(local))
}

/// The controller of one campaign's day.
///
/// The multiplier is 1 ÷ (1 + the price of money), and that price is learned as the dual of the budget: it falls while less is
/// spent than an even spread of what is left would spend, and rises while more is (Balseiro and Gur 2019). Steps are in the
/// logarithm and measured by the errors seen so far (Duchi, Hazan and Singer 2011), so the same controller serves budgets and
/// values of every scale, and campaigns that win twice a day or twice a second.
#[derive(Clone, Debug, PartialEq)]
pub struct Pacer {
    multiplier: f64,
    /// Sum of the squares of errors, each a share of the day's budget; the old ones are forgotten.
    squares: f64,
    last: Option<(Timestamp, Micros)>,
}

impl Default for Pacer {
    fn default() -> Self {
        // Starting low costs minutes; starting high costs the morning's budget.
        Self { multiplier: 0.5, squares: FIRST_ERROR * FIRST_ERROR, last: None }
    }
}

impl Pacer {
    /// The multiplier for bids now.
    pub fn multiplier(&self, pacing: Pacing) -> f64 {
        match pacing {
            Pacing::Even => self.multiplier,
            Pacing::Asap => 1.0,
        }
    }

    /// Goes on with another day's money. What was learned of the market stays.
    pub fn begin_day(&mut self) {
        self.last = None;
    }

    /// Steers by what was spent since the last call. `spent` is the day's spend so far, `budget` the day's budget. `held_back`
    /// says that the plan keeps money from bids: what they would have spent is not seen then, but it is more than there was.
    pub fn tick(&mut self, now: Timestamp, plan: &DayPlan, spent: Micros, budget: Micros, held_back: bool) {
        let Some((last, last_spent)) = self.last.replace((now, spent)) else { return };
        let seconds = now.since(last).as_secs_f64();
        if seconds <= 0.0 {
            self.last = Some((last, last_spent));
            return;
        }
        let share_left = 1.0 - plan.share(now);
        // How much biddable time the coming second has is how far the plan moves in it.
        let ahead = Duration::from_secs(60);
        let share_per_second = (plan.share(now + ahead) - plan.share(now)) / 60.0;
        if share_per_second <= 0.0 || share_left <= 0.0 || budget <= Micros::ZERO {
            return;
        }
        let step = share_per_second * seconds.min(LONGEST_S);
        let left = budget.minus_or_zero(spent);
        let error = if held_back || left == Micros::ZERO {
            -step
        } else {
            let of_budget = |money: Micros| money.to_f64() / budget.to_f64();
            of_budget(left) / share_left * step - of_budget((spent - last_spent).max(Micros::ZERO))
        };
        self.squares = self.squares * (-seconds / MEMORY_S).exp() + error * error;
        let moved = GAIN * error / self.squares.sqrt();
        self.multiplier = (self.multiplier * moved.exp()).clamp(LEAST, 1.0);
    }

    /// Whether time alone changes nothing: the multiplier has risen as far as it can.
    pub fn is_settled(&self) -> bool {
        self.multiplier >= 1.0
    }

    /// How much of the day's budget may be out (spent, and expected to be spent from what is reserved) by now.
    pub fn allowance(pacing: Pacing, now: Timestamp, plan: &DayPlan, budget: Micros) -> Micros {
        match pacing {
            Pacing::Asap => budget,
            Pacing::Even => {
                let ahead = Duration::from_secs_f64(SLACK_S);
                budget.share_rounded_down(plan.share(now + ahead))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::*;

    use super::*;

    fn campaign(dayparts: Vec<Daypart>) -> Campaign {
        Campaign { dayparts, ..crate::test_support::campaign("boots") }
    }

    fn hour(hour: u64) -> Timestamp {
        "2026-11-23T00:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(hour * 3600)
    }

    #[test]
    fn the_plan_counts_only_biddable_hours() {
        let all_day = DayPlan::of(&campaign(vec![]), hour(5));
        assert!((all_day.share(hour(6)) - 0.25).abs() < 1e-9);
        assert!((all_day.share(hour(24)) - 1.0).abs() < 1e-9);
        let evening = DayPlan::of(
            &campaign(vec![Daypart { weekdays: 1, from_minute: 1200, to_minute: 1440 }]),
            hour(5),
        );
        assert!(evening.share(hour(20)) < 1e-9);
        assert!((evening.share(hour(22)) - 0.5).abs() < 1e-9);
        let tuesday =
            DayPlan::of(&campaign(vec![Daypart { weekdays: 2, from_minute: 0, to_minute: 1440 }]), hour(5));
        assert!((tuesday.share(hour(1)) - 1.0).abs() < 1e-9);
    }

    /// Spend follows bids: a market in which the multiplier buys proportionally.
    fn spend_a_day(full_rate_per_hour: impl Fn(u64) -> f64, budget: f64) -> (Vec<f64>, f64) {
        let plan = DayPlan::of(&campaign(vec![]), hour(0));
        let budget_micros = Micros((budget * 1e6) as i64);
        let (mut pacer, mut spent, mut by_hour) = (Pacer::default(), 0.0, vec![]);
        for step in 0..24 * 60 {
            let now = hour(0) + Duration::from_secs(step * 60);
            let allowed = Pacer::allowance(Pacing::Even, now, &plan, budget_micros).to_f64();
            let wish = full_rate_per_hour(step / 60) / 60.0 * pacer.multiplier(Pacing::Even);
            let spent_before = spent;
            spent += wish.min((allowed - spent).max(0.0));
            pacer.tick(
                now,
                &plan,
                Micros((spent * 1e6) as i64),
                budget_micros,
                wish > allowed - spent_before,
            );
            if step % 60 == 59 {
                by_hour.push(spent);
            }
        }
        (by_hour, spent)
    }

    #[test]
    fn even_pacing_spends_evenly_when_the_market_could_take_ten_times_the_budget() {
        let (by_hour, spent) = spend_a_day(|_| 10.0, 24.0);
        assert!(spent > 23.5 && spent <= 24.0, "{spent}");
        for (hour, spent) in by_hour.iter().enumerate() {
            assert!((spent - (hour as f64 + 1.0)).abs() < 1.0, "hour {hour}: {spent}");
        }
    }

    #[test]
    fn even_pacing_lets_go_when_the_market_is_thin() {
        let (_, spent) = spend_a_day(|_| 0.5, 24.0);
        assert!(spent > 10.0, "half a unit an hour was to be had, {spent} bought");
    }

    #[test]
    fn even_pacing_follows_a_market_that_peaks_in_the_evening() {
        let (_, spent) = spend_a_day(|hour| if hour >= 18 { 8.0 } else { 1.2 }, 24.0);
        assert!(spent > 22.0 && spent <= 24.0, "{spent}");
    }

    #[test]
    fn bids_that_are_far_too_high_come_down_although_the_plan_keeps_spend_even() {
        let plan = DayPlan::of(&campaign(vec![]), hour(0));
        let budget = Micros::from_units(24);
        // Full bids would spend the budget a hundred times over; the plan lets through what it may.
        let (mut pacer, mut spent) = (Pacer::default(), Micros::ZERO);
        for step in 0..12 * 60 {
            let now = hour(0) + Duration::from_secs(step * 60);
            let room = Pacer::allowance(Pacing::Even, now, &plan, budget).minus_or_zero(spent);
            let wish = Micros((100.0 / 60.0 * 1e6 * pacer.multiplier(Pacing::Even)) as i64);
            spent += wish.min(room);
            pacer.tick(now, &plan, spent, budget, wish > room);
        }
        let multiplier = pacer.multiplier(Pacing::Even);
        assert!((0.008..0.0125).contains(&multiplier), "{multiplier}");
        pacer.begin_day();
        pacer.tick(hour(24), &DayPlan::of(&campaign(vec![]), hour(24)), Micros::ZERO, budget, false);
        assert!(
            (pacer.multiplier(Pacing::Even) - multiplier).abs() < 1e-12,
            "a new day begins with what is known"
        );
    }

    #[test]
    fn a_campaign_that_wins_seldom_is_steered_as_well() {
        // A purchase costs a fiftieth of the budget, and full bids would win 20 times as often as the budget lasts.
        let plan = DayPlan::of(&campaign(vec![]), hour(0));
        let budget = Micros::from_units(50);
        let (mut pacer, mut spent, mut due) = (Pacer::default(), 0, 0.0);
        for step in 0..24 * 60 {
            let now = hour(0) + Duration::from_secs(step * 60);
            due += 1_000.0 / 1_440.0 * pacer.multiplier(Pacing::Even);
            let affordable =
                Pacer::allowance(Pacing::Even, now, &plan, budget) >= Micros::from_units(spent + 1);
            if due >= 1.0 && affordable {
                (spent, due) = (spent + 1, 0.0);
            }
            pacer.tick(now, &plan, Micros::from_units(spent), budget, due >= 1.0);
        }
        let multiplier = pacer.multiplier(Pacing::Even);
        assert!(spent >= 47 && (0.03..0.08).contains(&multiplier), "{spent} {multiplier}");
    }

    #[test]
    fn asap_allows_everything_at_once() {
        let plan = DayPlan::of(&campaign(vec![]), hour(0));
        let budget = Micros::from_units(24);
        assert_eq!(Pacer::allowance(Pacing::Asap, hour(0), &plan, budget), budget);
        assert!((Pacer::default().multiplier(Pacing::Asap) - 1.0).abs() < 1e-9);
    }
}
