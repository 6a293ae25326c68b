//! How far two groups of users differ in how many of them buy.

use minicbor::{Decode, Encode};

/// Of the normal distribution: intervals hold in 95 of 100 cases.
const Z: f64 = 1.959_963_984_540_054;

/// The users of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Band {
    /// How many there are.
    #[n(0)]
    pub users: u64,
    /// How many of them bought.
    #[n(1)]
    pub buyers: u64,
    /// Of how many an order followed from a click on the campaign's ads.
    #[n(2)]
    #[cbor(default)]
    pub followed: u64,
}

/// The groups of one campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Split {
    /// Those whom it leaves alone.
    #[n(0)]
    pub held: Band,
    /// Those whom it bids for.
    #[n(1)]
    pub control: Band,
}

/// An estimate and what it lies between in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Not less.
    pub low: f64,
    /// What is seen.
    pub seen: f64,
    /// Not more.
    pub high: f64,
}

/// What a comparison shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The interval has zero in it, or a group has nobody.
    NoDifference,
    /// More buy where the campaign bids.
    More,
    /// Fewer do.
    Fewer,
}

impl Verdict {
    /// As reports say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoDifference => "no difference shown",
            Self::More => "more buy with the ads",
            Self::Fewer => "fewer buy with the ads",
        }
    }
}

impl Band {
    /// The share of users who bought, in 0..=1, by Wilson's score interval (Wilson 1927); none of nobody.
    pub fn rate(&self) -> Option<Interval> {
        if self.users == 0 {
            return None;
        }
        let n = self.users as f64;
        let seen = (self.buyers as f64 / n).min(1.0);
        let middle = seen + Z * Z / (2.0 * n);
        let reach = Z * (seen * (1.0 - seen) / n + Z * Z / (4.0 * n * n)).sqrt();
        let whole = 1.0 + Z * Z / n;
        // Roundings must not put the estimate outside.
        let (low, high) =
            (((middle - reach) / whole).clamp(0.0, seen), ((middle + reach) / whole).clamp(seen, 1.0));
        Some(Interval { low, seen, high })
    }
}

impl Split {
    /// How many more users of 1 buy where the campaign bids, in −1..=1: the difference of both rates, with the hybrid score interval
    /// (Newcombe 1998, method 10). None where a group has nobody.
    pub fn lift(&self) -> Option<Interval> {
        let (with, without) = (self.control.rate()?, self.held.rate()?);
        let seen = with.seen - without.seen;
        let below = (with.seen - with.low).hypot(without.high - without.seen);
        let above = (with.high - with.seen).hypot(without.seen - without.low);
        Some(Interval { low: seen - below, seen, high: seen + above })
    }

    /// The share of buyers who would not have bought without the ads, in 0..=1: 1 less the ratio of both rates, whose interval is
    /// made of the rates' own (Donner and Zou 2012), so that it leaves 0 out where that of [`Split::lift`] does. None
    /// where a group has nobody, or nobody buys where the campaign bids.
    pub fn incremental(&self) -> Option<Interval> {
        let (with, without) = (self.control.rate()?, self.held.rate()?);
        if with.seen <= 0.0 {
            return None;
        }
        let both = with.seen * without.seen;
        let inner = |without: f64, with: f64, of: &Self| {
            let (p, q) = (
                of.held.rate().map_or(0.0, |rate| rate.seen),
                of.control.rate().map_or(0.0, |rate| rate.seen),
            );
            (both * both - without * with * (2.0 * p - without) * (2.0 * q - with)).max(0.0).sqrt()
        };
        // As the paper's, with its root taken to the other side, which needs no difference of near numbers.
        let least =
            without.low * (2.0 * without.seen - without.low) / (both + inner(without.low, with.high, self));
        let most = (both + inner(without.high, with.low, self)) / (with.low * (2.0 * with.seen - with.low));
        let share = |ratio: f64| if ratio.is_nan() { 0.0 } else { (1.0 - ratio).clamp(0.0, 1.0) };
        let seen = share(without.seen / with.seen);
        let high = if without.low > 0.0 { share(least) } else { 1.0 };
        Some(Interval { low: share(most).min(seen), seen, high: high.max(seen) })
    }

    /// What an order that follows from a click is worth of what it would be if none came without the ads, in (0, 1]: as many more
    /// buyers as the ads are shown to bring, for each whose order followed from a click; and all of it before they are.
    ///
    /// Not less before, since a share whose interval has zero in it says how few users were seen, not what the ads bring: a young
    /// campaign would stop for want of proof, and then never be proved. Not [`Split::incremental`], since most buyers may never
    /// have clicked, and what they would have done says nothing of those who did. In steps of a twentieth, so that a
    /// campaign's target does not change with every user.
    pub fn worth(&self) -> f64 {
        match (self.verdict(), self.lift()) {
            (Verdict::More, Some(lift)) if self.control.followed > 0 => {
                let share = lift.seen * self.control.users as f64 / self.control.followed as f64;
                (share * 20.0).round().clamp(1.0, 20.0) / 20.0
            }
            _ => 1.0,
        }
    }

    /// What it shows.
    pub fn verdict(&self) -> Verdict {
        match self.lift() {
            Some(lift) if lift.low > 0.0 => Verdict::More,
            Some(lift) if lift.high < 0.0 => Verdict::Fewer,
            _ => Verdict::NoDifference,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(control: (u64, u64), held: (u64, u64)) -> Split {
        let band = |(buyers, users)| Band { users, buyers, followed: 0 };
        Split { held: band(held), control: band(control) }
    }

    #[test]
    fn the_intervals_are_those_of_the_papers() {
        // Newcombe 1998, table II, method 10.
        for (control, held, low, high) in [
            ((56, 70), (48, 80), 0.0524, 0.3339),
            ((9, 10), (3, 10), 0.1705, 0.8090),
            ((5, 56), (0, 29), -0.0381, 0.1926),
            ((10, 10), (0, 10), 0.6075, 1.0),
        ] {
            let lift = split(control, held).lift().unwrap();
            assert!(
                (lift.low - low).abs() < 1e-4 && (lift.high - high).abs() < 1e-4,
                "{control:?}: {lift:?}"
            );
        }
    }

    #[test]
    fn where_there_is_nothing_to_compare_nothing_is_said() {
        let none = split((0, 0), (1, 5));
        assert_eq!((none.lift(), none.incremental(), none.verdict()), (None, None, Verdict::NoDifference));
        assert_eq!(split((0, 9), (1, 9)).incremental(), None);
        let all = split((900, 10_000), (0, 10_000));
        assert_eq!(all.verdict(), Verdict::More);
        assert_eq!(all.incremental().map(|share| (share.seen, share.high)), Some((1.0, 1.0)));
        assert_eq!(split((300, 10_000), (500, 10_000)).verdict(), Verdict::Fewer);
        let fewer = split((300, 10_000), (500, 10_000)).incremental().unwrap();
        assert_eq!((fewer.low, fewer.seen, fewer.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn orders_are_worth_less_only_once_that_is_shown() {
        for (control, followed, held, worth) in [
            ((0, 0), 0, (0, 0), 1.0),
            ((50, 1_000), 40, (40, 1_000), 1.0),
            // A thousand more buy, after a click of 4000, or of 1000.
            ((5_000, 100_000), 4_000, (4_000, 100_000), 0.25),
            ((5_000, 100_000), 1_000, (4_000, 100_000), 1.0),
            // More than clicked: some saw the ad and came by themselves.
            ((5_000, 100_000), 300, (4_000, 100_000), 1.0),
            ((5_000, 100_000), 0, (4_000, 100_000), 1.0),
            ((5_000, 100_000), 4_000, (4_990, 100_000), 1.0),
            ((5_000_000, 100_000_000), 4_000_000, (4_980_000, 100_000_000), 0.05),
            ((4_000, 100_000), 4_000, (5_000, 100_000), 1.0),
        ] {
            let mut split = split(control, held);
            split.control.followed = followed;
            assert!(
                (split.worth() - worth).abs() < 1e-9,
                "{control:?} {followed} {held:?}: {}",
                split.worth()
            );
        }
    }

    proptest! {
        #[test]
        fn intervals_hold_what_is_seen_and_agree(
            users in (1u64..100_000, 1u64..100_000),
            shares in (0.0f64..=1.0, 0.0f64..=1.0),
        ) {
            let of = |users: u64, share: f64| ((users as f64 * share) as u64, users);
            let split = split(of(users.0, shares.0), of(users.1, shares.1));
            let lift = split.lift().unwrap();
            prop_assert!(-1.0 - 1e-9 <= lift.low && lift.low <= lift.seen);
            prop_assert!(lift.seen <= lift.high && lift.high <= 1.0 + 1e-9);
            if let Some(share) = split.incremental() {
                prop_assert!(0.0 <= share.low && share.low <= share.seen && share.seen <= share.high && share.high <= 1.0);
                // Both say the same of whether the ads bring anything, but for roundings at the very edge.
                if lift.low.abs() > 1e-9 {
                    prop_assert_eq!(share.low > 0.0, lift.low > 0.0, "{:?} {:?}", lift, share);
                }
            }
        }
    }
}
