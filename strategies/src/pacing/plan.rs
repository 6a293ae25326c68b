//! How much of a day's budget may be out by when.

use std::time::Duration;

use haggle_domain::planted::{Bug, planted};
use haggle_domain::time::Zone;
use haggle_domain::{Campaign, Micros, Pacing, Timestamp};

use super::traffic::{Traffic, hour_of_week};

/// What the plan has for this span ahead may always be out.
const SLACK: Duration = Duration::from_secs(3_600);

/// One day of a campaign: which of its minutes are for bidding, and what part of the money each of them gets.
#[derive(Clone, Debug)]
pub struct DayPlan {
    start: Timestamp,
    end: Timestamp,
    shape: Shape,
    /// Runs of biddable minutes of the same weight, from (inclusive) and to (exclusive), counted from the day's start; a day may
    /// have 25 hours and a bit.
    runs: Box<[(u16, u16, f32)]>,
    /// The share of the day that was over when the plan began to count, and what had been spent by then.
    begun: (f64, Micros),
}

/// What the money of the day's minutes makes of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Each gets what it weighs.
    AsWeighed,
    /// Sooner, see [`Pacing::Ahead`].
    Ahead,
    /// All at once.
    Asap,
}

impl DayPlan {
    /// The plan for the advertiser's day that holds `now`. Requests are taken to come evenly.
    pub fn of(campaign: &Campaign, now: Timestamp) -> Self {
        Self::by(campaign, now, &Traffic::default())
    }

    /// The same with what is known of how requests come.
    pub fn by(campaign: &Campaign, now: Timestamp, traffic: &Traffic) -> Self {
        let (start, end) = campaign.zone.day_bounds(now);
        let minutes = u16::try_from(end.since(start).as_secs() / 60).unwrap_or(u16::MAX);
        let weights = match campaign.pacing {
            Pacing::Traffic => Some(traffic.weights()),
            Pacing::Even | Pacing::Asap | Pacing::Ahead | Pacing::Hours(_) => None,
        };
        let weight = |at: Timestamp| match (campaign.pacing, &weights) {
            (Pacing::Hours(hours), _) => {
                let hour = campaign.zone.local(at).minute_of_day / 60;
                hours.get(usize::from(hour)).map_or(0.0, |weight| f32::from(*weight))
            }
            (_, Some(weights)) => weights[hour_of_week(campaign.zone.local(at))] as f32,
            (_, None) => 1.0,
        };
        let mut runs: Vec<(u16, u16, f32)> = Vec::new();
        for minute in 0..minutes {
            let at = start + Duration::from_secs(u64::from(minute) * 60);
            if !campaign.flight.contains(at) || !in_daypart(campaign, at) {
                continue;
            }
            let weight = weight(at);
            match runs.last_mut().filter(|(_, to, same)| *to == minute && same.to_bits() == weight.to_bits())
            {
                Some((_, to, _)) => *to = minute + 1,
                None => runs.push((minute, minute + 1, weight)),
            }
        }
        if runs.iter().all(|(_, _, weight)| *weight <= 0.0) {
            // The flight or the hours leave it only time that has no weight: then that is what there is.
            runs.iter_mut().for_each(|(_, _, weight)| *weight = 1.0);
        }
        let shape = match campaign.pacing {
            Pacing::Even | Pacing::Hours(_) | Pacing::Traffic => Shape::AsWeighed,
            Pacing::Ahead => Shape::Ahead,
            Pacing::Asap => Shape::Asap,
        };
        Self { start, end, shape, runs: runs.into(), begun: (0.0, Micros::ZERO) }
    }

    /// Counts from `now` on: what is left of the money is for what is left of the day. For a campaign that begins, or begins again,
    /// when part of its day is over.
    pub fn begin_at(&mut self, now: Timestamp, spent: Micros) {
        self.begun = (self.share(now), spent);
    }

    /// When the day ends.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// The share of the day's money that is planned for what has passed of it at `now`, in 0..=1; 1 if the day has no time for
    /// bids at all.
    pub fn share(&self, now: Timestamp) -> f64 {
        let passed = now.since(self.start).as_secs_f64() / 60.0;
        let (mut before, mut total) = (0.0, 0.0);
        for (from, to, weight) in &*self.runs {
            let (from, to, weight) = (f64::from(*from), f64::from(*to), f64::from(*weight));
            total += weight * (to - from);
            before += weight * (passed - from).clamp(0.0, to - from);
        }
        let share = if total > 0.0 { before / total } else { 1.0 };
        match self.shape {
            Shape::Ahead => share * (1.5 - 0.5 * share),
            Shape::AsWeighed | Shape::Asap => share,
        }
    }

    /// What is planned to be spent by `now` of a day's budget.
    pub fn due(&self, now: Timestamp, budget: Micros) -> Micros {
        let (before, spent) = self.begun;
        if self.shape == Shape::Asap || before >= 1.0 {
            return budget;
        }
        let spent = spent.min(budget);
        let share = ((self.share(now) - before) / (1.0 - before)).max(0.0);
        spent + (budget - spent).share_rounded_down(share)
    }

    /// How much of the day's budget may be out (spent, and expected to be spent from what is reserved) by now: what is planned for
    /// the coming hour too, except where there is nothing planned for now.
    pub fn allowance(&self, now: Timestamp, budget: Micros) -> Micros {
        let minute = u16::try_from(now.since(self.start).as_secs() / 60).unwrap_or(u16::MAX);
        let run = self.runs.iter().find(|(from, to, _)| (*from..*to).contains(&minute));
        let idle = run.is_some_and(|(_, _, weight)| *weight <= 0.0);
        if planted(Bug::PlanIgnored) {
            return budget;
        }
        self.due(if idle { now } else { now + SLACK }, budget)
    }
}

/// Whether a moment lies in the campaign's hours.
pub fn in_daypart(campaign: &Campaign, now: Timestamp) -> bool {
    if campaign.dayparts.is_empty() {
        return true;
    }
    let local =
        if planted(Bug::DaypartsInUtc) { Zone::default().local(now) } else { campaign.zone.local(now) };
    campaign.dayparts.iter().any(|daypart| daypart.contains(local))
}

#[cfg(test)]
mod tests {
    use haggle_domain::time::Zone;
    use haggle_domain::{Daypart, Flight};
    use proptest::prelude::*;

    use super::*;

    fn campaign(pacing: Pacing) -> Campaign {
        Campaign { pacing, ..crate::test_support::campaign("boots") }
    }

    fn hour(hour: u64) -> Timestamp {
        "2026-11-23T00:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(hour * 3600)
    }

    fn is(share: f64, expected: f64) {
        assert!((share - expected).abs() < 1e-9, "{share} is not {expected}");
    }

    #[test]
    fn the_plan_counts_only_biddable_hours() {
        let on = |weekdays, from_minute, to_minute| {
            let dayparts = vec![Daypart { weekdays, from_minute, to_minute }];
            DayPlan::of(&Campaign { dayparts, ..campaign(Pacing::Even) }, hour(5))
        };
        let all_day = DayPlan::of(&campaign(Pacing::Even), hour(5));
        is(all_day.share(hour(6)), 0.25);
        is(all_day.share(hour(24)), 1.0);
        let evening = on(1, 1200, 1440);
        is(evening.share(hour(20)), 0.0);
        is(evening.share(hour(22)), 0.5);
        is(on(2, 0, 1440).share(hour(1)), 1.0);
    }

    #[test]
    fn asap_allows_everything_at_once() {
        let budget = Micros::from_units(24);
        assert_eq!(DayPlan::of(&campaign(Pacing::Asap), hour(0)).allowance(hour(0), budget), budget);
    }

    #[test]
    fn ahead_has_five_eighths_out_by_noon_and_goes_on_to_the_end() {
        let plan = DayPlan::of(&campaign(Pacing::Ahead), hour(0));
        is(plan.share(hour(12)), 0.625);
        is(plan.share(hour(24)), 1.0);
        let first = plan.share(hour(1));
        let last = 1.0 - plan.share(hour(23));
        assert!((first * 24.0 - 1.5).abs() < 0.05 && (last * 24.0 - 0.5).abs() < 0.05, "{first} {last}");
    }

    #[test]
    fn hours_get_money_by_their_weights_and_none_where_that_is_nothing() {
        let mut hours = [1; 24];
        hours[..8].fill(0);
        hours[20] = 9;
        let plan = DayPlan::of(&campaign(Pacing::Hours(hours)), hour(0));
        let budget = Micros::from_units(24);
        is(plan.share(hour(8)), 0.0);
        is(plan.share(hour(20)), 12.0 / 24.0);
        is(plan.share(hour(21)), 21.0 / 24.0);
        let just_before = hour(8) - Duration::from_secs(60);
        assert_eq!(plan.allowance(just_before, budget), Micros::ZERO);
        assert_eq!(plan.allowance(hour(8), budget), Micros::from_units(1));
        // Hours without weight are all that this flight has.
        let night = Flight { start: hour(0), end: hour(4) };
        let night = DayPlan::of(&Campaign { flight: night, ..campaign(Pacing::Hours(hours)) }, hour(0));
        is(night.share(hour(2)), 0.5);
    }

    #[test]
    fn traffic_is_followed_hour_by_hour() {
        let mut traffic = Traffic::default();
        (0..24).for_each(|hour| traffic.observe(hour, if hour >= 18 { 40_000 } else { 10_000 }));
        let plan = DayPlan::by(&campaign(Pacing::Traffic), hour(0), &traffic);
        let expected = 18.0 / (18.0 + 6.0 * 4.0);
        assert!((plan.share(hour(18)) - expected).abs() < 0.001, "{}", plan.share(hour(18)));
        is(DayPlan::of(&campaign(Pacing::Traffic), hour(0)).share(hour(6)), 0.25);
    }

    #[test]
    fn whoever_begins_late_has_what_is_left_of_the_day() {
        let budget = Micros::from_units(8);
        // What is planned is rounded down.
        let is = |planned: Micros, units| {
            let units = Micros::from_units(units);
            assert!(planned <= units && units - planned <= Micros(1), "{planned} is not {units}");
        };
        let mut plan = DayPlan::of(&campaign(Pacing::Even), hour(20));
        plan.begin_at(hour(20), Micros::ZERO);
        is(plan.due(hour(20), budget), 0);
        is(plan.allowance(hour(20), budget), 2);
        is(plan.due(hour(22), budget), 4);
        is(plan.due(hour(24), budget), 8);
        // A budget that was raised at eight, two units of it spent.
        plan.begin_at(hour(20), Micros::from_units(2));
        is(plan.due(hour(22), budget), 5);
        // More was spent than there is now.
        is(plan.due(hour(22), Micros::from_units(1)), 1);
    }

    #[test]
    fn days_of_23_and_25_hours_come_out_right() {
        let zone = Zone::named("America/New_York").unwrap();
        let mut hours = [1; 24];
        hours[1] = 3;
        for (day, length, share_by_three) in [
            // At two the clock goes to three; at two it goes back to one, so that the hour after one comes twice.
            ("2026-03-08T05:00:00Z", 23, 4.0 / 25.0),
            ("2026-11-01T04:00:00Z", 25, 8.0 / 29.0),
            ("2026-11-02T05:00:00Z", 24, 5.0 / 26.0),
        ] {
            let start: Timestamp = day.parse().unwrap();
            let at = |hours: u64| start + Duration::from_secs(hours * 3600);
            let of = |pacing| DayPlan::of(&Campaign { zone: zone.clone(), ..campaign(pacing) }, start);
            let even = of(Pacing::Even);
            assert_eq!(even.end(), at(length));
            is(even.share(at(1)), 1.0 / length as f64);
            is(even.share(at(length)), 1.0);
            let three = if length == 23 { 2 } else { length - 21 };
            is(of(Pacing::Hours(hours)).share(at(three)), share_by_three);
        }
    }

    proptest! {
        #[test]
        fn a_plan_never_goes_back_and_ends_with_all_the_money(
            hours in any::<[u16; 24]>(),
            kind in 0..5usize,
            begins in 0..1_440u64,
            spent in 0..2_000_000i64,
            minutes in proptest::collection::vec(0..1_500u64, 2..20),
        ) {
            let pacing = [Pacing::Even, Pacing::Asap, Pacing::Ahead, Pacing::Hours(hours), Pacing::Traffic][kind];
            let budget = Micros(1_000_000);
            let mut plan = DayPlan::of(&campaign(pacing), hour(0));
            let minute = |minute: u64| hour(0) + Duration::from_secs(minute * 60);
            plan.begin_at(minute(begins), Micros(spent));
            let mut minutes = minutes;
            minutes.sort_unstable();
            let due: Vec<Micros> = minutes.iter().map(|at| plan.due(minute(*at), budget)).collect();
            prop_assert!(due.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", due);
            for (at, due) in minutes.iter().zip(due) {
                let allowance = plan.allowance(minute(*at), budget);
                prop_assert!(due <= allowance && allowance <= budget);
            }
            prop_assert!(plan.due(minute(1_440), budget) >= budget - Micros(1));
        }
    }
}
