//! How a campaign's money gets to the processes that bid with it, where there are several.
//!
//! The campaign's owner opens leases as ever, but no bid takes from them: processes ask, and are given tranches. A tranche is an
//! event before it is money, so whoever owns the campaign next knows to the micro what is where. A process that asks again has its
//! new tranche in place of the old one, and tells what of that is left.

use std::collections::BTreeMap;
use std::time::Duration;

use haggle_domain::{Holder, Micros, Timestamp};

/// What all processes together are given at once, as a share of the day's budget.
const HELD: i64 = 200;
/// With what is left of the tranches that they had before, they hold this share at most.
const MOST_HELD: i64 = 100;
/// For what all took so much is added, spread evenly.
const UNSEEN: f64 = 0.5;
/// Near the budget's end they hold this share of what is left, so that it is not stuck where nobody asks for it.
const OF_THE_REST: i64 = 4;
/// Over which time it is counted who takes how much.
const MEMORY: Duration = Duration::from_secs(600);
/// After this time whoever has not asked is not counted on.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Processes that are remembered, at most.
const MOST: usize = 1024;
/// How many bids a tranche can pay for: as if each took this share of what bids take on average.
const SMALLEST_BID: i64 = 8;
const NUMBERS: (i64, i64) = (64, 1 << 20);

/// Who bids with a campaign's money.
#[derive(Debug, Default)]
pub(super) struct Tranches {
    askers: BTreeMap<Holder, Asker>,
}

#[derive(Debug, Default)]
struct Asker {
    /// When it asked last.
    at: Timestamp,
    /// What its bids took lately; what is long ago counts little.
    taken: f64,
    /// It waits for an answer.
    waits: bool,
}

impl Asker {
    fn taken_by(&self, now: Timestamp) -> f64 {
        self.taken * (-now.since(self.at).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

impl Tranches {
    /// Somebody asks, and says what bids took since they last asked.
    pub(super) fn ask(&mut self, holder: Holder, taken: Micros, now: Timestamp) {
        self.askers.retain(|_, asker| now.since(asker.at) < FORGOTTEN);
        if self.askers.len() >= MOST && !self.askers.contains_key(&holder) {
            // Who has asked for the longest time is the least likely to ask again.
            let oldest = self.askers.iter().min_by_key(|(_, asker)| asker.at).map(|(holder, _)| *holder);
            oldest.and_then(|oldest| self.askers.remove(&oldest));
        }
        let asker = self.askers.entry(holder).or_default();
        asker.taken = asker.taken_by(now) + taken.0.max(0) as f64;
        asker.at = asker.at.max(now);
        asker.waits = true;
    }

    /// Whether somebody waits for an answer.
    pub(super) fn are_wanted(&self) -> bool {
        self.askers.values().any(|asker| asker.waits)
    }

    /// Who waits.
    pub(super) fn waiting(&self) -> Vec<Holder> {
        self.askers.iter().filter(|(_, asker)| asker.waits).map(|(holder, _)| *holder).collect()
    }

    /// It was given a tranche.
    pub(super) fn answered(&mut self, holder: Holder) {
        self.askers.entry(holder).and_modify(|asker| asker.waits = false);
    }

    /// How much a process is given: its share by what bids took of what all are given at once, within what all may hold, and never so
    /// little that the `highest` bid could not be made. `held` is who has what, and `rest` what of the day's budget nobody has.
    pub(super) fn size(
        &self,
        holder: Holder,
        held: impl Iterator<Item = (Holder, Micros)>,
        budget: Micros,
        rest: Micros,
        highest: Micros,
        now: Timestamp,
    ) -> Micros {
        let together = Micros((budget.0 / HELD).min(rest.0 / OF_THE_REST));
        // As if each had taken a little, so that the first to ask is given no more than its part, and as if bids had been made elsewhere,
        // too: who has just started, or had no money, could not take any.
        let taken: f64 = self.askers.values().map(|asker| asker.taken_by(now)).sum();
        let prior = budget.to_f64() * 1e6 * 1e-4 + 1.0 + taken * UNSEEN / self.askers.len().max(1) as f64;
        let weight = |asker: &Asker| asker.taken_by(now) + prior;
        let all: f64 = self.askers.values().map(weight).sum();
        let share = self.askers.get(&holder).map_or(0.0, |asker| weight(asker) / all);
        // What it has itself is less than half of what it was given, and comes back.
        let elsewhere = held.map(|(of, held)| if of == holder { Micros(held.0 / 2) } else { held }).sum();
        let room = Micros(budget.0 / MOST_HELD).minus_or_zero(elsewhere);
        Micros((together.0 as f64 * share) as i64).min(room).max(highest).min(rest)
    }
}

/// How many numbers a tranche of `amount` is given, where a bid takes `mean` on average.
pub(super) fn numbers(amount: Micros, mean: Micros) -> u32 {
    let bids = amount.0.saturating_mul(SMALLEST_BID) / mean.0.max(1);
    u32::try_from(bids.clamp(NUMBERS.0, NUMBERS.1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUDGET: Micros = Micros::from_units(150);

    #[test]
    fn who_takes_more_is_given_more() {
        let mut tranches = Tranches::default();
        let (now, high) = (Timestamp(0), Micros(1_000));
        (1..=3).for_each(|holder| tranches.ask(Holder(holder), Micros::ZERO, now));
        let size = |tranches: &Tranches, holder, now| {
            tranches.size(Holder(holder), std::iter::empty(), BUDGET, BUDGET, high, now)
        };
        assert_eq!(size(&tranches, 1, now), Micros(250_000), "nothing is known of them");
        let later = now + Duration::from_secs(60);
        tranches.ask(Holder(1), Micros::from_units(3), later);
        tranches.ask(Holder(2), Micros::from_units(1), later);
        let sizes: Vec<i64> = (1..=3).map(|holder| size(&tranches, holder, later).0).collect();
        // A ninth at least, however much the others take.
        assert!(sizes[0] > 2 * sizes[1] && sizes[1] > 2 * sizes[2] && sizes[2] > 750_000 / 9, "{sizes:?}");
        let much_later = later + FORGOTTEN;
        tranches.ask(Holder(3), Micros::ZERO, much_later);
        assert_eq!(size(&tranches, 3, much_later), Micros(750_000), "the others are gone");
    }

    proptest! {
        #[test]
        fn together_they_hold_no_more_than_is_said(
            asked in proptest::collection::vec((1u64..9, 0i64..5_000_000, 0i64..4_000), 1..60),
            rest in 0i64..150_000_000,
        ) {
            let mut tranches = Tranches::default();
            let mut now = Timestamp(0);
            for (holder, taken, seconds) in asked {
                now = now + Duration::from_secs(seconds as u64);
                tranches.ask(Holder(holder), Micros(taken), now);
            }
            let (rest, high) = (Micros(rest), Micros(1_000));
            let holders: Vec<Holder> = tranches.askers.keys().copied().collect();
            let mut sizes: Vec<(Holder, Micros)> = Vec::new();
            for holder in holders {
                let held = sizes.iter().copied();
                sizes.push((holder, tranches.size(holder, held, BUDGET, rest, high, now)));
            }
            let together: Micros = sizes.iter().map(|(_, size)| *size).sum();
            let most = (BUDGET.0 / HELD).min(rest.0 / OF_THE_REST) + high.0 * sizes.len() as i64;
            prop_assert!(together.0 <= most, "{sizes:?}");
            prop_assert!(sizes.iter().all(|(_, size)| *size <= rest && *size >= high.min(rest)));
        }
    }
}
