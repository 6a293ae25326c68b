//! An episode cut into slots, at whose ends controllers look at the money.

use haggle_domain::Micros;

use crate::replay::auction::Episodes;

/// Slots in an episode.
const SLOTS: usize = 100;

/// Where an episode stands.
#[derive(Default)]
pub(super) struct Slots {
    budget: f64,
    auctions: usize,
    length: usize,
    passed: usize,
    spent: Micros,
    spent_before: Micros,
}

/// A slot that has ended.
pub(super) struct Slot {
    /// What was spent in it, as a share of what an even spread of the rest of the money would have spent in it.
    pub(super) pace: f64,
    /// What was spent since the episode began, less what an even spread would have spent, as a share of the budget.
    pub(super) ahead: f64,
}

impl Slots {
    pub(super) fn begin(&mut self, episodes: &Episodes) {
        let auctions = episodes.auctions.get();
        *self = Self {
            budget: episodes.budget.to_f64(),
            auctions,
            length: (auctions / SLOTS).max(1),
            ..Self::default()
        };
    }

    pub(super) fn spend(&mut self, paid: Micros) {
        self.spent += paid;
    }

    /// Another auction is over; gives the slot that ended with it.
    pub(super) fn pass(&mut self) -> Option<Slot> {
        self.passed += 1;
        if self.length == 0 || !self.passed.is_multiple_of(self.length) {
            return None;
        }
        let (spent, before) = (self.spent.to_f64(), self.spent_before.to_f64());
        let auctions_left = (self.auctions + self.length).saturating_sub(self.passed) as f64;
        let even = (self.budget - before).max(0.0) * self.length as f64 / auctions_left;
        self.spent_before = self.spent;
        Some(Slot {
            pace: if even > 0.0 { (spent - before) / even } else { 1.0 },
            ahead: if self.budget > 0.0 {
                spent / self.budget - self.passed as f64 / self.auctions as f64
            } else {
                1.0
            },
        })
    }
}
