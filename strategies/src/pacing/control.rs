//! What steers spend along the plan.

use std::time::Duration;

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{Control, Micros, Pacing, Timestamp};

use super::plan::DayPlan;

/// The least multiplier or share: a campaign never stops probing what it could buy.
const LEAST: f64 = 0.001;
/// Where a controller begins that knows nothing. Starting low costs minutes; starting high costs the morning's budget.
const FIRST: f64 = 0.5;
/// How far the logarithm moves for as much error as is usual: the square root of the sum of all squares.
const GAIN: f64 = 1.0;
/// How far above 1 the logarithm may rise. Where the budget does not bind, chance takes it down from there now and then, and no
/// spend is lost by that; where the budget begins to bind, it has to come down this far first.
const HEADROOM: f64 = 1.0;
/// The error that is taken for usual before any was seen, as a share of the day's budget: an even minute's spend.
const FIRST_ERROR: f64 = 1.0 / 1440.0;
/// Seconds over which errors are forgotten.
const MEMORY_S: f64 = 86_400.0;
/// The longest step of which it is known what was spent in it, in seconds.
const LONGEST_S: f64 = 900.0;
/// The PID controller looks at the money whenever so much of the plan has passed.
const SLOT: f64 = 1.0 / 288.0;
/// What an error of one slot's whole money does to the logarithm.
const PROPORTIONAL: f64 = 0.2;
const INTEGRAL: f64 = 0.1;
const DIFFERENTIAL: f64 = 0.05;

/// The controller of one campaign's day.
#[derive(Clone, Debug, PartialEq)]
pub struct Pacer {
    law: Law,
    last: Option<(Timestamp, Micros)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Law {
    Dual(Dual),
    /// Boxed, because few choose it and it is the largest.
    Pid(Box<Pid>),
    Throttle(Dual),
}

/// A dual variable in steps of adaptive length.
///
/// As a multiplier it is 1 ÷ (1 + the price of money), and that price is learned as the dual of the budget: it falls while less is
/// spent than an even spread of what is left would spend, and rises while more is (Balseiro and Gur 2019). Steps are in the
/// logarithm and measured by the errors seen so far (Duchi, Hazan and Singer 2011), so the same controller serves budgets and
/// values of every scale, and campaigns that win twice a day or twice a second. As a share of the auctions it throttles as Agarwal,
/// Ghosh, Wei and You (2014) do, who change the share by a tenth a minute.
#[derive(Clone, Debug, PartialEq)]
struct Dual {
    /// The multiplier's or share's, up to [`HEADROOM`].
    log: f64,
    /// Sum of the squares of errors, each a share of the day's budget; the old ones are forgotten.
    squares: f64,
}

/// Feedback control of bids (Zhang, Rong, Wang, Zhu and Wang 2016): their logarithm follows by how much a slot's spend misses what
/// an even spread of the rest would have spent in it, by how much all before did, and by how that changes.
#[derive(Clone, Debug, PartialEq)]
struct Pid {
    log: f64,
    /// Of all errors, no more than what takes the logarithm from end to end.
    sum: f64,
    before: f64,
    /// What has passed of the slot: of the plan, of the money for it, and of what was spent, each a share of the day's.
    passed: f64,
    wanted: f64,
    spent: f64,
}

/// What happened since the last step, in shares of the day's plan and budget.
struct Step {
    seconds: f64,
    /// How far the plan moved.
    plan: f64,
    wanted: f64,
    spent: f64,
}

impl Law {
    /// The logarithm of what it steers.
    fn log(&self) -> f64 {
        match self {
            Self::Dual(dual) | Self::Throttle(dual) => dual.log,
            Self::Pid(pid) => pid.log,
        }
    }
}

impl Dual {
    fn new() -> Self {
        Self { log: FIRST.ln(), squares: FIRST_ERROR * FIRST_ERROR }
    }

    fn step(&mut self, step: &Step) {
        let sign = if planted(Bug::PacingSign) { -1.0 } else { 1.0 };
        let error = sign * (step.wanted - step.spent);
        self.squares = self.squares * (-step.seconds / MEMORY_S).exp() + error * error;
        let moved = GAIN * error / self.squares.sqrt();
        self.log = (self.log + moved).clamp(LEAST.ln(), HEADROOM);
    }
}

impl Pid {
    fn new() -> Self {
        Self {
            log: FIRST.ln(),
            sum: FIRST.ln() / INTEGRAL,
            before: 0.0,
            passed: 0.0,
            wanted: 0.0,
            spent: 0.0,
        }
    }

    fn step(&mut self, step: &Step) {
        self.passed += step.plan;
        self.wanted += step.wanted;
        self.spent += step.spent;
        if self.passed < SLOT {
            return;
        }
        let missed = if self.wanted > 0.0 { (self.wanted - self.spent) / self.wanted } else { -1.0 };
        let error = missed.clamp(-1.0, 1.0);
        self.sum = (self.sum + error).clamp(LEAST.ln() / INTEGRAL, HEADROOM / INTEGRAL);
        let log = PROPORTIONAL * error + INTEGRAL * self.sum + DIFFERENTIAL * (error - self.before);
        self.log = log.clamp(LEAST.ln(), HEADROOM);
        self.before = error;
        (self.passed, self.wanted, self.spent) = (0.0, 0.0, 0.0);
    }
}

impl Default for Pacer {
    fn default() -> Self {
        Self::new(Control::default())
    }
}

impl Pacer {
    /// One that knows nothing.
    pub fn new(control: Control) -> Self {
        let law = match control {
            Control::Dual => Law::Dual(Dual::new()),
            Control::Pid => Law::Pid(Box::new(Pid::new())),
            Control::Throttle => Law::Throttle(Dual::new()),
        };
        Self { law, last: None }
    }

    /// Which it is.
    pub fn control(&self) -> Control {
        match self.law {
            Law::Dual(_) => Control::Dual,
            Law::Pid(_) => Control::Pid,
            Law::Throttle(_) => Control::Throttle,
        }
    }

    /// The multiplier for bids now, in 0..=1.
    pub fn multiplier(&self, pacing: Pacing) -> f64 {
        match (&self.law, pacing) {
            (_, Pacing::Asap) | (Law::Throttle(_), _) => 1.0,
            _ if planted(Bug::PlanIgnored) => 1.0,
            (law, _) => law.log().exp().min(1.0),
        }
    }

    /// The share of the auctions to be taken now, in 0..=1.
    pub fn taken(&self, pacing: Pacing) -> f64 {
        match (&self.law, pacing) {
            (_, Pacing::Asap) | (Law::Dual(_) | Law::Pid(_), _) => 1.0,
            (law @ Law::Throttle(_), _) => law.log().exp().min(1.0),
        }
    }

    /// Goes on with another day's money. What was learned of the market stays.
    pub fn begin_day(&mut self) {
        self.last = None;
    }

    /// Steers by what was spent since the last call. `spent` is the day's spend so far, and what open bids are expected to cost
    /// may count as spent already; `budget` the day's budget. `held_back` says that the plan keeps money from bids: what they would
    /// have spent is not seen then, but it is more than there was.
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
        let passed = share_per_second * seconds.min(LONGEST_S);
        let left = budget.minus_or_zero(spent);
        let step = if held_back || left == Micros::ZERO {
            Step { seconds, plan: passed, wanted: passed, spent: 2.0 * passed }
        } else {
            let of_budget = |money: Micros| money.to_f64() / budget.to_f64();
            let wanted = of_budget(left) / share_left * passed;
            Step { seconds, plan: passed, wanted, spent: of_budget(spent - last_spent) }
        };
        match &mut self.law {
            Law::Dual(dual) | Law::Throttle(dual) => dual.step(&step),
            Law::Pid(pid) => pid.step(&step),
        }
    }

    /// Whether time alone changes nothing: it has risen as far as it can.
    pub fn is_settled(&self) -> bool {
        self.law.log() >= HEADROOM
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::*;

    use super::*;

    fn day(at: Timestamp) -> DayPlan {
        DayPlan::of(&crate::test_support::campaign("boots"), at)
    }

    fn hour(hour: u64) -> Timestamp {
        "2026-11-23T00:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(hour * 3600)
    }

    /// Spend follows bids: a market in which the multiplier buys proportionally.
    fn spend_a_day(full_rate_per_hour: impl Fn(u64) -> f64, budget: f64) -> (Vec<f64>, f64) {
        let plan = day(hour(0));
        let budget_micros = Micros((budget * 1e6) as i64);
        let (mut pacer, mut spent, mut by_hour) = (Pacer::default(), 0.0, vec![]);
        for step in 0..24 * 60 {
            let now = hour(0) + Duration::from_secs(step * 60);
            let allowed = plan.allowance(now, budget_micros).to_f64();
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
        let plan = day(hour(0));
        let budget = Micros::from_units(24);
        // Full bids would spend the budget a hundred times over; the plan lets through what it may.
        let (mut pacer, mut spent) = (Pacer::default(), Micros::ZERO);
        for step in 0..12 * 60 {
            let now = hour(0) + Duration::from_secs(step * 60);
            let room = plan.allowance(now, budget).minus_or_zero(spent);
            let wish = Micros((100.0 / 60.0 * 1e6 * pacer.multiplier(Pacing::Even)) as i64);
            spent += wish.min(room);
            pacer.tick(now, &plan, spent, budget, wish > room);
        }
        let multiplier = pacer.multiplier(Pacing::Even);
        assert!((0.008..0.0125).contains(&multiplier), "{multiplier}");
        pacer.begin_day();
        pacer.tick(hour(24), &day(hour(24)), Micros::ZERO, budget, false);
        assert!(
            (pacer.multiplier(Pacing::Even) - multiplier).abs() < 1e-12,
            "a new day begins with what is known"
        );
    }

    #[test]
    fn a_campaign_that_wins_seldom_is_steered_as_well() {
        // A purchase costs a fiftieth of the budget, and full bids would win 20 times as often as the budget lasts.
        let plan = day(hour(0));
        let budget = Micros::from_units(50);
        let (mut pacer, mut spent, mut due) = (Pacer::default(), 0, 0.0);
        for step in 0..24 * 60 {
            let now = hour(0) + Duration::from_secs(step * 60);
            due += 1_000.0 / 1_440.0 * pacer.multiplier(Pacing::Even);
            let affordable = plan.allowance(now, budget) >= Micros::from_units(spent + 1);
            if due >= 1.0 && affordable {
                (spent, due) = (spent + 1, 0.0);
            }
            pacer.tick(now, &plan, Micros::from_units(spent), budget, due >= 1.0);
        }
        let multiplier = pacer.multiplier(Pacing::Even);
        assert!(spent >= 47 && (0.03..0.08).contains(&multiplier), "{spent} {multiplier}");
    }

    #[test]
    fn asap_neither_scales_nor_throttles() {
        for control in [Control::Dual, Control::Pid, Control::Throttle] {
            let pacer = Pacer::new(control);
            assert_eq!((pacer.multiplier(Pacing::Asap), pacer.taken(Pacing::Asap)), (1.0, 1.0));
        }
    }
}
