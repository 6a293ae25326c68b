//! What changes about a campaign every tick, where bids can see it without a lock.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use haggle_domain::draw::Stream;
use haggle_domain::{Campaign, CampaignKey, CpmMicros, Draw, Micros, Timestamp};

use crate::bell::Bell;
use crate::explore::{Arms, Drawn, Fitting, Shape, draw, shares};
use crate::funnel::Funnel;
use crate::lease::Lease;
use crate::pacing;
use crate::pricing::MOST_MULTIPLIER;
use crate::seats::Seats;

/// Whether a campaign may bid, as its actor last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CampaignState {
    /// It has no actor, or one that keeps failing.
    Down = 0,
    /// It may.
    Active = 1,
    /// The plan says: not yet.
    Paced = 2,
    /// The budget is spent or reserved.
    Exhausted = 3,
    /// Somebody has said: not until I say so.
    Paused = 4,
}

/// The mutable side of a campaign. Written by its actor alone, but for what its ads bring; snapshots point to it, so a tick rebuilds nothing.
///
/// What every request reads lies in one cache line, apart from the counters behind it that every request writes.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct CampaignLive {
    controls: Controls,
    /// What tells its actor; without one nobody is told.
    bell: OnceLock<Bell>,
    /// The open lease, or a closed one.
    pub lease: ArcSwap<Lease>,
    /// The creatives' probabilities, where there are more than [`SHARES`].
    many_arms: ArcSwapOption<Arms>,
    /// How far it came at each imp.
    pub funnel: Funnel,
    /// Bits of an `f64` above 0, at most 1. Its actor reads it, bids do not.
    incremental: AtomicU64,
    /// Where the catalog keeps whether it may bid. Locked when that changes or the catalog does; bids never touch it.
    seat: Mutex<Option<(Arc<Seats>, usize)>>,
}

/// Creatives whose probabilities lie where everything else does that a bid reads: most campaigns have no more.
const SHARES: usize = 8;

const TWO_32: f64 = 4_294_967_296.0;

/// What every bid reads, in one line of the cache.
#[derive(Debug)]
#[repr(align(64))]
struct Controls {
    state: AtomicU8,
    /// A bid found no money in the lease.
    wanted: AtomicBool,
    /// There is money for bids above what the prediction says.
    explores: AtomicBool,
    /// The share of the auctions that are taken, in 2⁻³²; `u32::MAX` for all of them.
    taken: AtomicU32,
    /// Bits of an `f64` in 0..=[`MOST_MULTIPLIER`].
    multiplier: AtomicU64,
    order_value: AtomicI64,
    /// A minute since 1970, and in the lowest bit whether it lies in the campaign's hours.
    hours: AtomicI64,
    /// Bits of an `f32` a creative; not a number where there are too many. A bid that reads some from before a change and some
    /// from after it draws from that mixture, and says so in the propensity.
    shares: [AtomicU32; SHARES],
}

impl CampaignLive {
    /// A campaign that is down and has no money: what it is until its actor has started.
    pub fn new(arms: Arms) -> Self {
        let live = Self {
            controls: Controls {
                state: AtomicU8::new(CampaignState::Down as u8),
                wanted: AtomicBool::new(false),
                explores: AtomicBool::new(false),
                taken: AtomicU32::new(u32::MAX),
                multiplier: AtomicU64::new(1.0f64.to_bits()),
                order_value: AtomicI64::new(0),
                hours: AtomicI64::new(i64::MIN),
                shares: std::array::from_fn(|_| AtomicU32::new(0)),
            },
            bell: OnceLock::new(),
            lease: ArcSwap::from_pointee(Lease::closed()),
            many_arms: ArcSwapOption::empty(),
            funnel: Funnel::default(),
            incremental: AtomicU64::new(1.0f64.to_bits()),
            seat: Mutex::new(None),
        };
        live.set_arms(arms);
        live
    }

    /// Sets the creatives' probabilities.
    pub fn set_arms(&self, arms: Arms) {
        let masses = arms.masses();
        if masses.len() <= SHARES {
            let padded = masses.iter().copied().chain(std::iter::repeat(0.0));
            for (share, mass) in self.controls.shares.iter().zip(padded) {
                share.store((mass as f32).to_bits(), Ordering::Relaxed);
            }
        } else {
            self.many_arms.store(Some(Arc::new(arms)));
            if let Some(first) = self.controls.shares.first() {
                first.store(f32::NAN.to_bits(), Ordering::Release);
            }
        }
    }

    /// Draws one of the creatives that fit with a uniform number in `[0, 1)`; `None` if none does.
    pub fn draw_creative(&self, fitting: Fitting, uniform: f64) -> Option<Drawn> {
        let shares = &self.controls.shares;
        let masses: [f64; SHARES] =
            std::array::from_fn(|at| f64::from(f32::from_bits(shares[at].load(Ordering::Acquire))));
        if masses[0].is_nan() {
            return self.many_arms.load().as_ref()?.draw(fitting, uniform);
        }
        draw(&masses, fitting, uniform)
    }

    /// By creative: the probability among those of its shape. `shapes` has one entry a creative.
    pub fn creative_shares(&self, shapes: &[Shape]) -> Vec<f64> {
        let few = self
            .controls
            .shares
            .each_ref()
            .map(|share| f64::from(f32::from_bits(share.load(Ordering::Acquire))));
        match few.first() {
            Some(first) if first.is_nan() => {
                self.many_arms.load().as_ref().map_or_else(Vec::new, |arms| arms.shares(shapes))
            }
            _ => shares(&few, shapes),
        }
    }

    /// Has what bids read brought near.
    pub(crate) fn warm(&self) -> u64 {
        self.controls.multiplier.load(Ordering::Relaxed)
    }

    /// Takes a place in a block, and leaves the one that it had.
    pub(crate) fn sit(&self, seats: &Arc<Seats>, place: usize, expected: CpmMicros) {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        seats.give(place, expected);
        seats.open(place, self.state() == CampaignState::Active);
        *seat = Some((Arc::clone(seats), place));
        // The campaign may have other hours now.
        self.controls.hours.store(i64::MIN, Ordering::Relaxed);
    }

    /// Leaves its place to whoever comes.
    pub(crate) fn stand(&self, seats: &Arc<Seats>, place: usize) {
        let mut seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        if seat.as_ref().is_some_and(|(known, at)| Arc::ptr_eq(known, seats) && *at == place) {
            *seat = None;
        }
    }

    /// Whether it may bid.
    pub fn state(&self) -> CampaignState {
        match self.controls.state.load(Ordering::Relaxed) {
            1 => CampaignState::Active,
            2 => CampaignState::Paced,
            3 => CampaignState::Exhausted,
            4 => CampaignState::Paused,
            _ => CampaignState::Down,
        }
    }

    /// Says whether it may bid.
    pub fn set_state(&self, state: CampaignState) {
        let seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        self.controls.state.store(state as u8, Ordering::Relaxed);
        if let Some((seats, place)) = &*seat {
            seats.open(*place, state == CampaignState::Active);
        }
    }

    /// The hours are others now.
    pub fn forget_hours(&self) {
        self.controls.hours.store(i64::MIN, Ordering::Relaxed);
    }

    /// Whether a moment lies in the campaign's hours. Asked once a minute, because what hour it is in a zone takes longer to
    /// say than all else; hours begin and end at whole minutes, and so do the zones' offsets.
    pub fn in_daypart(&self, campaign: &Campaign, now: Timestamp) -> bool {
        if campaign.dayparts.is_empty() {
            return true;
        }
        let minute = now.0.div_euclid(60_000_000);
        let known = self.controls.hours.load(Ordering::Relaxed);
        if known >> 1 == minute {
            return known & 1 == 1;
        }
        let inside = pacing::in_daypart(campaign, now);
        self.controls.hours.store(minute << 1 | i64::from(inside), Ordering::Relaxed);
        inside
    }

    /// Gives it the bell that its actor hears. The first one stays.
    pub fn hang(&self, bell: Bell) {
        // An actor that starts again has the same bell.
        let _ = self.bell.set(bell);
    }

    /// Tells its actor that there is something to do.
    pub fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    /// Says that a bid found no money in the lease.
    pub fn want(&self) {
        self.controls.wanted.store(true, Ordering::Relaxed);
        self.ring();
    }

    /// Whether a bid found no money since the last call.
    pub fn take_wanted(&self) -> bool {
        self.controls.wanted.swap(false, Ordering::Relaxed)
    }

    /// Whether there is money for bids above what the prediction says.
    pub fn explores(&self) -> bool {
        self.controls.explores.load(Ordering::Relaxed)
    }

    /// Says whether there is.
    pub fn set_explores(&self, explores: bool) {
        self.controls.explores.store(explores, Ordering::Relaxed);
    }

    /// What bids are multiplied by, in 0..=[`MOST_MULTIPLIER`]: what pacing leaves, times what holds the goal's average.
    pub fn multiplier(&self) -> f64 {
        f64::from_bits(self.controls.multiplier.load(Ordering::Relaxed))
    }

    /// Sets that; clamped, NaN counts as 0.
    pub fn set_multiplier(&self, multiplier: f64) {
        let multiplier = if multiplier > 0.0 { multiplier.min(MOST_MULTIPLIER) } else { 0.0 };
        self.controls.multiplier.store(multiplier.to_bits(), Ordering::Relaxed);
    }

    /// The share of the auctions that pacing lets it take, in 0..=1.
    pub fn taken(&self) -> f64 {
        match self.controls.taken.load(Ordering::Relaxed) {
            u32::MAX => 1.0,
            share => f64::from(share) / TWO_32,
        }
    }

    /// Sets that share; clamped to 0..=1, NaN counts as 0.
    pub fn set_taken(&self, share: f64) {
        // The cast takes what is no number for 0, and 1 for the largest.
        self.controls.taken.store((share * TWO_32) as u32, Ordering::Relaxed);
    }

    /// Whether pacing leaves this auction to others. The same for one imp and campaign, however often it is asked.
    pub fn is_throttled(&self, draw: Draw, campaign: CampaignKey) -> bool {
        let taken = self.controls.taken.load(Ordering::Relaxed);
        taken != u32::MAX && (draw.bits(Stream::Throttle, campaign.0) >> 32) as u32 >= taken
    }

    /// What an order is worth of what it would be if none came without the ads, above 0, at most 1.
    pub fn incremental(&self) -> f64 {
        f64::from_bits(self.incremental.load(Ordering::Relaxed))
    }

    /// Sets that, as the learner knows it; what is no such share counts as 1.
    pub fn set_incremental(&self, share: f64) {
        let share = if share > 0.0 && share <= 1.0 { share } else { 1.0 };
        self.incremental.store(share.to_bits(), Ordering::Relaxed);
    }

    /// What an order brings on average.
    pub fn order_value(&self) -> Micros {
        Micros(self.controls.order_value.load(Ordering::Relaxed))
    }

    /// Sets what an order brings on average.
    pub fn set_order_value(&self, value: Micros) {
        self.controls.order_value.store(value.0.max(0), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{Creative, Size};

    use super::*;
    use crate::explore::ArmCounts;

    #[test]
    fn the_share_of_auctions_that_is_asked_for_is_taken() {
        let live = CampaignLive::new(Arms::thompson(&[], &[]));
        let key = CampaignKey::of("boots");
        let taken =
            || (0..20_000).filter(|at| !live.is_throttled(Draw::new(7, &at.to_string(), "1"), key)).count();
        assert_eq!((taken(), live.taken()), (20_000, 1.0));
        for (share, least, most) in
            [(0.0, 0, 0), (0.001, 5, 40), (0.25, 4_800, 5_200), (0.999, 19_940, 19_999)]
        {
            live.set_taken(share);
            assert!((least..=most).contains(&taken()), "{share}: {}", taken());
            assert!((live.taken() - share).abs() < 1e-9, "{share}: {}", live.taken());
        }
        for share in [1.0, 7.0, f64::INFINITY] {
            live.set_taken(share);
            assert_eq!(taken(), 20_000);
        }
        live.set_taken(f64::NAN);
        assert_eq!(taken(), 0);
        assert!(size_of::<Controls>() == 64, "what every bid reads lies in one line of the cache");
    }

    #[test]
    fn creatives_are_drawn_as_their_arms_say_be_they_few_or_many() {
        for count in [1usize, 3, SHARES, SHARES + 1, 40] {
            let size = |at: usize| Size { width: 100 + (at % 3) as u16, height: 50 };
            let shapes: Vec<Shape> = (0..count)
                .map(|at| {
                    Shape::of(&Creative::banner(
                        "a",
                        size(at),
                        "https://a.example/",
                        "https://b.example/",
                        "A",
                    ))
                })
                .collect();
            let counts: Vec<ArmCounts> =
                (0..count).map(|at| ArmCounts { impressions: 1_000, clicks: at as u64 }).collect();
            let arms = Arms::thompson(&shapes, &counts);
            let live = CampaignLive::new(Arms::thompson(&shapes, &[]));
            live.set_arms(arms.clone());
            for (shown, share) in live.creative_shares(&shapes).into_iter().zip(arms.shares(&shapes)) {
                assert!((shown - share).abs() < 1e-6);
            }
            let fitting = Fitting::of(count, |creative| creative % 2 == 0);
            for step in 0..100 {
                let uniform = (f64::from(step) + 0.37) / 100.0;
                let (drawn, expected) =
                    (live.draw_creative(fitting, uniform).unwrap(), arms.draw(fitting, uniform).unwrap());
                assert_eq!(drawn.creative, expected.creative);
                assert!((drawn.propensity - expected.propensity).abs() < 1e-6);
            }
            assert_eq!(live.draw_creative(Fitting::default(), 0.5), None);
        }
    }
}
