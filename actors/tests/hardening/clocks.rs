//! Clocks that are set forwards and back, that smear a leap second, and days of 23, 24.5 and 25 hours.

use std::collections::BTreeMap;

use haggle_domain::time::Zone;
use proptest::prelude::*;

use super::*;

/// A zone, and an evening before its clocks change.
const CHANGES: [(&str, &str); 6] = [
    ("America/New_York", "2026-03-07T12:00:00Z"),
    ("America/New_York", "2026-10-31T12:00:00Z"),
    ("Europe/Berlin", "2026-03-28T10:00:00Z"),
    ("Europe/Berlin", "2026-10-24T10:00:00Z"),
    // By half an hour.
    ("Australia/Lord_Howe", "2026-04-03T20:00:00Z"),
    // Not at all.
    ("UTC", "2026-12-30T20:00:00Z"),
];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes, in minutes.
    Pass(u32),
    /// The clock is wrong by so many milliseconds from now on, until it is right again.
    Wrong(i64),
    Right,
    /// For the next hours the clock runs slow or fast by a second a day, as servers smear a leap second.
    Smear(bool),
    Restart(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let hour = 3_600_000i64;
    prop_oneof![
        12 => (1u32..90).prop_map(Step::Pass),
        2 => proptest::sample::select(vec![-24 * hour, -hour, hour, 24 * hour, -1_000, 1_000]).prop_map(Step::Wrong),
        2 => Just(Step::Right),
        1 => any::<bool>().prop_map(Step::Smear),
        2 => any::<bool>().prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A market that sells all that is asked for: no day of the advertiser's brings more than its budget, no day comes twice,
    /// and each begins when the clock says so.
    #[test]
    fn no_day_spends_more_than_its_budget_whatever_clocks_do(
        place in 0..CHANGES.len(),
        steps in proptest::collection::vec(step(), 60..140),
    ) {
        let (zone, begin) = CHANGES[place];
        let zone = Zone::named(zone).unwrap();
        let daily = Micros::from_units(1);
        let mut time: Timestamp = begin.parse().unwrap();
        let (mut off, mut smear) = (0i64, 0i64);
        let mut rig = Rig::new(Campaign { zone: zone.clone(), ..campaign(1) }, time);
        rig.tick_at(time);
        let mut latest = zone.local(time).day;
        let mut days: BTreeMap<i32, Micros> = BTreeMap::new();
        let mut unpaid: Vec<(Decision, i32)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(minutes) => {
                    let passed = MINUTE * minutes;
                    time = time + passed;
                    off += i64::try_from(passed.as_micros()).unwrap() * smear / 86_400;
                }
                Step::Wrong(by) => off = by * 1_000,
                Step::Right => (off, smear) = (0, 0),
                Step::Smear(fast) => smear = if fast { 1 } else { -1 },
                Step::Restart(checkpoint) => rig = rig.restart(checkpoint),
            }
            let clock = Timestamp(time.0 + off);
            latest = latest.max(zone.local(clock).day);
            rig.live.want();
            // Twice: while a grant is on its way, a day does not begin.
            rig.tick_at(clock);
            rig.tick_at(clock);
            let day = rig.machine.books().ledger.day();
            prop_assert_eq!(day, Some(latest), "the day of the furthest that the clock ever was, at {}", clock);
            for _ in 0..40 {
                let Some(bid) = rig.bid(CpmMicros(10_000_000)) else { break };
                unpaid.push((bid, latest));
            }
            // Some bills come at once and some later, or never.
            let keep = unpaid.len() / 3;
            for (bid, day) in unpaid.split_off(keep) {
                let before = rig.machine.report().settled;
                rig.notice(Notice::Bill { price: bid.ceiling, decision: bid });
                *days.entry(day).or_default() += rig.machine.report().settled - before;
            }
            for (day, spent) in &days {
                prop_assert!(*spent <= daily, "{spent:?} on day {day}");
            }
            let report = rig.machine.report();
            prop_assert!(report.settled <= report.budget);
            prop_assert!(report.budget <= Micros(daily.0 * (days.len() as i64 + 3)));
        }
        prop_assert!(days.values().any(|spent| *spent > Micros::ZERO), "nothing was ever spent");
    }
}
