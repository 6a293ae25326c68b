//! What was known of orders before some records, of one that has taken those in: for whoever is to take them in again.

use std::collections::{BTreeMap, BTreeSet};

use haggle_domain::{Event, Record, Standing, Tag, Timestamp};

use super::{Attributor, State};

/// See the module's text.
pub struct Before {
    known: Attributor,
    /// When each order was first told of in the records.
    told: BTreeMap<Tag, Timestamp>,
    corrected: BTreeSet<Tag>,
}

impl Before {
    /// Of one that has taken in all the records.
    pub fn new(known: Attributor) -> Self {
        Self { known, told: BTreeMap::new(), corrected: BTreeSet::new() }
    }

    /// The next of the records, from the first on.
    pub fn tell(&mut self, record: &Record) {
        match &record.event {
            Event::Ordered { order } => drop(self.told.entry(order.tag).or_insert(record.at)),
            Event::Conversion { order, .. } => drop(self.told.entry(*order).or_insert(record.at)),
            Event::OrderCorrected { order, .. } => drop(self.corrected.insert(*order)),
            _ => {}
        }
    }

    /// The orders from before, as [`Attributor::save_orders`] has them: how they were credited, and which are still to be. What the
    /// records tell is not in it, nor what they would be counted and learned for twice. An order of theirs that was known before
    /// stays, so that it is a repeat again; one that they correct is as it was but for its value, so that the correction counts again.
    pub fn save(self) -> Vec<u8> {
        let Self { known, told, corrected } = self;
        let State { mut orders, mut awaited, .. } = known.state;
        orders.retain(|at, order| told.get(&order).is_none_or(|first| at < *first));
        awaited.retain(|found| !corrected.contains(&found.order) && orders.get_mut(found.order).is_some());
        for order in corrected {
            if let Some(known) = orders.get_mut(order)
                && known.attribution.standing == Standing::Corrected
            {
                known.attribution.standing = Standing::Credited;
            }
        }
        minicbor::to_vec(State { orders, awaited, ..State::default() }).unwrap_or_default()
    }
}
