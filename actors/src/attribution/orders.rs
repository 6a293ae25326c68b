//! Which orders are known, so that each counts once and can be corrected. In bounded memory.
//!
//! An order and what the shop changes of it may be read in either order: the one may wait in a node's spool while another node is
//! told of the other, and a click's order lies in another part of the log. So a correction waits for its order as long as an order is known.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use haggle_domain::{Attribution, Micros, Standing, Tag, Timestamp};
use haggle_learning::attribution::split;
use minicbor::{Decode, Encode};

/// How long an order is known after it was told of.
pub const ORDER_MEMORY: Duration = Duration::from_secs(90 * 86_400);
/// Orders that are known, at most; the one told of first makes room.
pub const MOST_ORDERS: usize = 500_000;
/// Corrections that wait for their orders, at most; the one told of first makes room.
pub const MOST_EARLY: usize = 100_000;

/// An order.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Known {
    /// How it stands.
    #[n(0)]
    pub attribution: Attribution,
    /// It was told of with its lines, by the shop's server.
    #[n(1)]
    pub by_shop: bool,
    /// It was told of with the click's token alone.
    #[n(2)]
    pub by_click: bool,
    /// The campaigns' shares, or where an old record does not tell them, what they were credited with before anything was corrected.
    #[n(3)]
    pub weights: Vec<f64>,
    /// What it brings now as the shop's server says, whose word counts for more than a browser's; none where that said nothing.
    #[n(4)]
    pub shop: Option<Micros>,
}

impl Known {
    /// One that was told of for the first time.
    pub fn new(attribution: Attribution, by_shop: bool) -> Self {
        let weights = weights(&attribution);
        let shop = by_shop.then_some(attribution.value);
        Self { attribution, by_shop, by_click: !by_shop, weights, shop }
    }

    /// One that is known by its credit alone, since that was read before the order itself: where several nodes share a log, a click's
    /// order and its credit lie in different parts of it, and whoever catches up may be days further in the one than in the other.
    pub fn credited(attribution: Attribution) -> Self {
        let weights = weights(&attribution);
        Self { attribution, by_shop: false, by_click: false, weights, shop: None }
    }

    /// It was told of, in whichever way.
    pub fn is_told(&self) -> bool {
        self.by_shop || self.by_click
    }

    /// Has its credits follow what the shop says that it brings, in their proportions. None where they do already.
    pub fn correct(&mut self) -> Option<Attribution> {
        let attribution = &mut self.attribution;
        let value = self.shop.filter(|value| *value != attribution.value)?;
        for (credit, amount) in attribution.credits.iter_mut().zip(split(value, &self.weights)) {
            credit.amount = amount;
        }
        (attribution.value, attribution.standing) = (value, Standing::Corrected);
        Some(attribution.clone())
    }

    /// How it was credited says the journal.
    pub fn settle(&mut self, attribution: &Attribution) {
        let shares = attribution.credits.iter().all(|credit| credit.share.is_some());
        // Of one that was corrected the first credit may be in the journal no more.
        let unlike = self.weights.len() != attribution.credits.len();
        if attribution.standing != Standing::Corrected || shares || unlike {
            self.weights = weights(attribution);
        }
        let id = self.attribution.id.take().or_else(|| attribution.id.clone());
        self.attribution = Attribution { id, ..attribution.clone() };
    }
}

fn weights(attribution: &Attribution) -> Vec<f64> {
    attribution.credits.iter().map(|credit| credit.share.unwrap_or_else(|| credit.amount.to_f64())).collect()
}

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Orders {
    #[n(0)]
    known: BTreeMap<Tag, Known>,
    #[n(1)]
    by_age: VecDeque<(Timestamp, Tag)>,
    /// What the shop says that orders bring now that are not known yet.
    #[n(2)]
    #[cbor(default)]
    early: BTreeMap<Tag, Micros>,
    /// Some are gone already.
    #[n(3)]
    #[cbor(default)]
    early_by_age: VecDeque<(Timestamp, Tag)>,
}

impl Orders {
    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// An order that is known.
    pub fn get(&self, order: Tag) -> Option<&Known> {
        self.known.get(&order)
    }

    /// An order that is known.
    pub fn get_mut(&mut self, order: Tag) -> Option<&mut Known> {
        self.known.get_mut(&order)
    }

    /// A new one, told of now. What was changed of it before is known then, too.
    pub fn add(&mut self, now: Timestamp, mut known: Known) {
        let order = known.attribution.order;
        known.shop = self.early.remove(&order).or(known.shop);
        if self.known.insert(order, known).is_none() {
            self.by_age.push_back((now, order));
        }
        while self.known.len() > MOST_ORDERS {
            let Some((_, oldest)) = self.by_age.pop_front() else { break };
            self.known.remove(&oldest);
        }
    }

    /// Keeps those alone of which that is so; told when each was told of.
    pub fn retain(&mut self, keep: impl Fn(Timestamp, Tag) -> bool) {
        let known = &mut self.known;
        self.by_age.retain(|(at, order)| {
            let kept = keep(*at, *order);
            if !kept {
                known.remove(order);
            }
            kept
        });
    }

    /// What the shop says now that one brings that is not known yet.
    pub fn add_early(&mut self, now: Timestamp, order: Tag, value: Micros) {
        if self.early.insert(order, value).is_none() {
            self.early_by_age.push_back((now, order));
        }
        while self.early_by_age.len() > MOST_EARLY {
            let Some((_, oldest)) = self.early_by_age.pop_front() else { break };
            self.early.remove(&oldest);
        }
    }

    /// Forgets those that were told of before.
    pub fn expire(&mut self, before: Timestamp) {
        while let Some((_, order)) = self.early_by_age.pop_front_if(|(at, _)| *at < before) {
            self.early.remove(&order);
        }
        while let Some((_, order)) = self.by_age.pop_front_if(|(at, _)| *at < before) {
            self.known.remove(&order);
        }
    }
}
