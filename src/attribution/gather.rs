//! What a journal tells of money and orders, read once from its beginning to its end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haggle_actors::attribution::{Attributor, AttributorSettings, Counts, Kept};
use haggle_actors::journal::{Journal, replay};
use haggle_domain::{BidId, CampaignKey, Event, Micros, OrderLine, Record, Tag, Timestamp};
use haggle_learning::attribution::Journeys;

use crate::exit::ExitError;
use crate::ledger::open_journal;
use crate::model::Progress;
use crate::server::StartError;

/// Records after which a signal is looked for.
const LOOK_EVERY: u64 = 4_096;
/// A touch's cost is remembered for so long beyond the windows, as the touch is.
const LATENESS: Duration = Duration::from_secs(7 * 86_400);

/// An order and what led to it.
#[derive(Debug)]
pub(super) struct Sale {
    pub(super) placed_at: Timestamp,
    /// What it brings in the end.
    pub(super) value: Micros,
    pub(super) path: Vec<Kept>,
    /// What each touch of the path cost.
    pub(super) costs: Vec<Micros>,
    pub(super) lines: Vec<OrderLine>,
}

/// All that a report is made of.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Campaigns' ids by their keys.
    pub(super) names: BTreeMap<CampaignKey, String>,
    /// What campaigns were charged.
    pub(super) costs: BTreeMap<CampaignKey, Micros>,
    pub(super) sales: Vec<Sale>,
    pub(super) journeys: Journeys,
    pub(super) counts: Counts,
    pub(super) records: u64,
    pub(super) dropped: (u64, u64),
}

/// From when, and before when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Period {
    fn has(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// Reads the journal below a data folder.
pub(super) fn gather(
    data: &Path,
    settings: AttributorSettings,
    period: Period,
    progress: &Progress,
) -> Result<Gathered, ExitError> {
    let journal = open_journal(data)?;
    progress.length.store(journal.durable_end(), Ordering::Relaxed);
    let mut reading = Reading::new(settings, period);
    // What was dropped before is not to be had.
    for entry in replay(&journal, journal.durable_start()) {
        let (offset, record) = entry.map_err(StartError::from)?;
        if offset.is_multiple_of(LOOK_EVERY) {
            progress.check()?;
            progress.read.store(offset, Ordering::Relaxed);
            progress.rows.store(offset, Ordering::Relaxed);
        }
        reading.take(offset, &record);
    }
    journal.close().map_err(StartError::from)?;
    Ok(reading.finish())
}

/// The reading so far.
pub(super) struct Reading {
    attributor: Attributor,
    period: Period,
    memory: Duration,
    /// What bids were charged, and the bids in the order in which they were.
    charged: HashMap<BidId, Micros>,
    by_age: VecDeque<(Timestamp, BidId)>,
    /// Where an order stands among the sales.
    places: HashMap<Tag, usize>,
    /// The shop's last word of what was ordered. It may come before the order does.
    lines: HashMap<Tag, Lines>,
    found: Gathered,
}

impl Reading {
    pub(super) fn new(settings: AttributorSettings, period: Period) -> Self {
        Self {
            attributor: Attributor::new(settings),
            period,
            memory: settings.click_window.max(settings.view_window) + LATENESS,
            charged: HashMap::new(),
            by_age: VecDeque::new(),
            places: HashMap::new(),
            lines: HashMap::new(),
            found: Gathered::default(),
        }
    }

    pub(super) fn take(&mut self, offset: u64, record: &Record) {
        self.found.records += 1;
        let before = self.attributor.counts();
        let sale = self.attributor.consume(offset, record);
        if self.period.has(record.at) {
            add(&mut self.found.counts, &before, &self.attributor.counts());
        }
        match &record.event {
            Event::Defined { id } => drop(self.found.names.insert(record.campaign, id.clone())),
            Event::Billed { bid, charged, .. } => {
                if self.period.has(record.at) {
                    *self.found.costs.entry(record.campaign).or_default() += *charged;
                }
                self.charged.insert(*bid, *charged);
                // No record with a wrong time makes all others old.
                let now = self.attributor.now();
                self.by_age.push_back((record.at.min(now), *bid));
                while let Some((_, old)) = self.by_age.pop_front_if(|(at, _)| *at < now - self.memory) {
                    self.charged.remove(&old);
                }
            }
            // Told again, it counts no more.
            Event::Ordered { order } => {
                self.lines.entry(order.tag).or_insert_with(|| Lines::of(order.value, &order.lines));
            }
            Event::OrderCorrected { order, value, lines } if !lines.is_empty() => {
                self.lines.insert(*order, Lines::of(*value, lines));
            }
            _ => {}
        }
        if let Some(sale) = sale.filter(|sale| self.period.has(sale.placed_at)) {
            let cost = |kept: &Kept| self.charged.get(&kept.bid).copied().unwrap_or_default();
            self.places.insert(sale.order, self.found.sales.len());
            self.found.sales.push(Sale {
                placed_at: sale.placed_at,
                value: sale.value,
                costs: sale.path.iter().map(cost).collect(),
                path: sale.path,
                lines: Vec::new(),
            });
        }
        let (order, value) = match &record.event {
            Event::OrderCorrected { order, value, .. } => (*order, Some(*value)),
            Event::Ordered { order } => (order.tag, self.attributor.value(order.tag)),
            Event::Conversion { order, .. } => (*order, self.attributor.value(*order)),
            Event::Attributed { attribution } => {
                (attribution.order, self.attributor.value(attribution.order))
            }
            _ => return,
        };
        let place = self.places.get(&order);
        if let (Some(sale), Some(value)) = (place.and_then(|place| self.found.sales.get_mut(*place)), value) {
            sale.value = value;
        }
    }

    pub(super) fn finish(mut self) -> Gathered {
        for (order, place) in &self.places {
            if let (Some(lines), Some(sale)) = (self.lines.remove(order), self.found.sales.get_mut(*place)) {
                sale.lines = lines.at(sale.value);
            }
        }
        self.found.journeys = self.attributor.journeys().clone();
        self.found.dropped = self.attributor.touches().1;
        self.found
    }
}

/// What was ordered, and what that brought together when it was told.
struct Lines {
    value: Micros,
    lines: Vec<OrderLine>,
}

impl Lines {
    fn of(value: Micros, lines: &[OrderLine]) -> Self {
        Self { value, lines: lines.to_vec() }
    }

    /// What they are of an order that brings something else now, without lines of its own: they shrink as it does.
    fn at(mut self, value: Micros) -> Vec<OrderLine> {
        if value == self.value || self.value <= Micros::ZERO {
            return self.lines;
        }
        if value == Micros::ZERO {
            return Vec::new();
        }
        for line in &mut self.lines {
            let scaled = i128::from(line.value.0) * i128::from(value.0) / i128::from(self.value.0);
            line.value = Micros(i64::try_from(scaled).unwrap_or(i64::MAX));
        }
        self.lines
    }
}

/// What was counted between two moments.
fn add(sum: &mut Counts, before: &Counts, after: &Counts) {
    sum.credited += after.credited - before.credited;
    sum.late += after.late - before.late;
    sum.orphans += after.orphans - before.orphans;
    sum.duplicates += after.duplicates - before.duplicates;
    sum.corrected += after.corrected - before.corrected;
    sum.unknown += after.unknown - before.unknown;
    sum.unfitted += after.unfitted - before.unfitted;
}
