//! What was known of orders before some records, of one that has taken those in: for whoever is to take them in again.

use std::collections::{BTreeMap, BTreeSet};

use haggle_domain::{Event, Micros, Record, Standing, Tag, Timestamp};

use super::{Attributor, State};

/// See the module's text.
pub struct Before {
    known: Attributor,
    /// When each order was first told of in the records.
    told: BTreeMap<Tag, Timestamp>,
    /// Orders that the records change.
    corrected: BTreeSet<Tag>,
    /// Those that they credit with another value than before.
    revalued: BTreeSet<Tag>,
}

/// What no order brings: it stands for the value before the records, which is not known any more.
const NOT_KNOWN: Micros = Micros(-1);

impl Before {
    /// Of one that has taken in all the records.
    pub fn new(known: Attributor) -> Self {
        Self { known, told: BTreeMap::new(), corrected: BTreeSet::new(), revalued: BTreeSet::new() }
    }

    /// The next of the records, from the first on.
    pub fn tell(&mut self, record: &Record) {
        match &record.event {
            Event::Ordered { order } => drop(self.told.entry(order.tag).or_insert(record.at)),
            Event::Conversion { order, .. } => drop(self.told.entry(*order).or_insert(record.at)),
            Event::OrderCorrected { order, .. } => drop(self.corrected.insert(*order)),
            Event::Attributed { attribution } if attribution.standing == Standing::Corrected => {
                self.revalued.insert(attribution.order);
            }
            _ => {}
        }
    }

    /// The orders from before, as [`Attributor::save_orders`] has them: how they were credited, and which are still to be. What the
    /// records tell is not in it, nor what they would be counted and learned for twice. An order of theirs that was known before
    /// stays, so that it is a repeat again; one that they correct is as it was but for its value, so that the correction counts again.
    pub fn save(self) -> Vec<u8> {
        let Self { known, told, corrected, mut revalued } = self;
        let State { mut orders, mut awaited, .. } = known.state;
        orders.retain(|at, order| told.get(&order).is_none_or(|first| at < *first));
        awaited.retain(|found| {
            let again = found.standing == Standing::Corrected && corrected.contains(&found.order);
            if again {
                revalued.insert(found.order);
            }
            !again && orders.get(found.order).is_some()
        });
        for order in corrected {
            if let Some(known) = orders.get_mut(order) {
                known.shop = None;
                if revalued.contains(&order) {
                    known.attribution.value = NOT_KNOWN;
                }
            }
        }
        minicbor::to_vec(State { orders, awaited, ..State::default() }).unwrap_or_default()
    }
}
