//! What changes about a campaign every tick, where bids can see it without a lock.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use crossbeam::utils::CachePadded;
use haggle_domain::Micros;

use crate::explore::Arms;
use crate::funnel::Funnel;
use crate::lease::Lease;

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
}

/// The mutable side of a campaign. Written by its actor alone; snapshots point to it, so a tick rebuilds nothing.
#[derive(Debug)]
pub struct CampaignLive {
    controls: CachePadded<Controls>,
    /// The open lease, or a closed one.
    pub lease: ArcSwap<Lease>,
    /// The creatives' probabilities.
    pub arms: ArcSwap<Arms>,
    /// How far it came at each imp.
    pub funnel: Funnel,
}

#[derive(Debug)]
struct Controls {
    state: AtomicU8,
    /// Bits of an `f64` in 0..=1.
    multiplier: AtomicU64,
    order_value: AtomicI64,
}

impl CampaignLive {
    /// A campaign that is down and has no money: what it is until its actor has started.
    pub fn new(arms: Arms) -> Self {
        Self {
            controls: CachePadded::new(Controls {
                state: AtomicU8::new(CampaignState::Down as u8),
                multiplier: AtomicU64::new(1.0f64.to_bits()),
                order_value: AtomicI64::new(0),
            }),
            lease: ArcSwap::from_pointee(Lease::closed()),
            arms: ArcSwap::from_pointee(arms),
            funnel: Funnel::default(),
        }
    }

    /// Whether it may bid.
    pub fn state(&self) -> CampaignState {
        match self.controls.state.load(Ordering::Relaxed) {
            1 => CampaignState::Active,
            2 => CampaignState::Paced,
            3 => CampaignState::Exhausted,
            _ => CampaignState::Down,
        }
    }

    /// Says whether it may bid.
    pub fn set_state(&self, state: CampaignState) {
        self.controls.state.store(state as u8, Ordering::Relaxed);
    }

    /// The pacing multiplier, in 0..=1.
    pub fn multiplier(&self) -> f64 {
        f64::from_bits(self.controls.multiplier.load(Ordering::Relaxed))
    }

    /// Sets the pacing multiplier; clamped to 0..=1, NaN counts as 0.
    pub fn set_multiplier(&self, multiplier: f64) {
        let multiplier = if multiplier > 0.0 { multiplier.min(1.0) } else { 0.0 };
        self.controls.multiplier.store(multiplier.to_bits(), Ordering::Relaxed);
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
