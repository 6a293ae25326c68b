//! What users met, and whether they ordered: the counts that fitted models are made of.

use std::collections::BTreeMap;

use haggle_domain::CampaignKey;
use minicbor::{Decode, Encode};

use super::Touch;

/// Sets of campaigns that are counted, at most.
pub const MOST_SETS: usize = 16_384;
/// Steps from one campaign to the next that are counted, at most.
pub const MOST_STEPS: usize = 65_536;

/// Where a journey can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Stop {
    /// Before the first ad.
    #[n(0)]
    Start,
    /// At a campaign's ad.
    #[n(1)]
    Met(#[n(0)] CampaignKey),
    /// At an order.
    #[n(2)]
    Ordered,
    /// At the end, without an order.
    #[n(3)]
    Gone,
}

/// Journeys, by which campaigns were met and by what followed on what. Where there is no room for another, all counts are halved
/// and those that come to nothing go: so what was long ago counts less, and memory is bounded.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Journeys {
    /// Of a set of campaigns (rising keys): how many journeys ended, and how many of those in an order.
    #[n(0)]
    sets: BTreeMap<Vec<CampaignKey>, (u64, u64)>,
    #[n(1)]
    steps: BTreeMap<(Stop, Stop), u64>,
}

impl Journeys {
    /// A journey is over: these touches, oldest first, and then an order or none. One without touches says nothing.
    pub fn note(&mut self, path: &[Touch], ordered: bool) {
        if path.is_empty() {
            return;
        }
        let set = super::campaigns(path);
        if self.sets.len() >= MOST_SETS && !self.sets.contains_key(&set) {
            self.sets.retain(|_, (ended, ordered)| {
                (*ended, *ordered) = (*ended / 2, *ordered / 2);
                *ended > 0
            });
        }
        if self.sets.len() < MOST_SETS || self.sets.contains_key(&set) {
            let (ended, orders) = self.sets.entry(set).or_default();
            *ended = ended.saturating_add(1);
            *orders = orders.saturating_add(u64::from(ordered));
        }
        let end = if ordered { Stop::Ordered } else { Stop::Gone };
        let stops = path.iter().map(|touch| Stop::Met(touch.campaign)).chain([end]);
        let mut before = Stop::Start;
        for stop in stops {
            // An ad after one of the same campaign is no step: it says how often, not by whom.
            if stop != before {
                self.step(before, stop);
            }
            before = stop;
        }
    }

    fn step(&mut self, from: Stop, to: Stop) {
        if self.steps.len() >= MOST_STEPS && !self.steps.contains_key(&(from, to)) {
            self.steps.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
        if self.steps.len() < MOST_STEPS || self.steps.contains_key(&(from, to)) {
            let count = self.steps.entry((from, to)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// How many journeys are known, and how many of them ended in an order.
    pub fn totals(&self) -> (u64, u64) {
        self.sets.values().fold((0, 0), |(all, orders), (ended, ordered)| {
            (all.saturating_add(*ended), orders.saturating_add(*ordered))
        })
    }

    /// Sets of campaigns (rising keys): how many journeys met exactly them, and how many of those ended in an order.
    pub fn sets(&self) -> impl Iterator<Item = (&[CampaignKey], u64, u64)> {
        self.sets.iter().map(|(set, (ended, ordered))| (set.as_slice(), *ended, *ordered))
    }

    /// How often what followed on what.
    pub fn steps(&self) -> impl Iterator<Item = (Stop, Stop, u64)> + '_ {
        self.steps.iter().map(|((from, to), count)| (*from, *to, *count))
    }
}
