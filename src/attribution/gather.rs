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
            found: Gathered::default(),
        }
    }

    pub(super) fn take(&mut self, offset: u64, record: &Record) {
        self.found.records += 1;
        match &record.event {
            Event::Defined { id } => drop(self.found.names.insert(record.campaign, id.clone())),
            Event::Billed { bid, charged, .. } => {
                if self.period.has(record.at) {
                    *self.found.costs.entry(record.campaign).or_default() += *charged;
                }
                self.charged.insert(*bid, *charged);
                self.by_age.push_back((record.at, *bid));
                while let Some((_, old)) = self.by_age.pop_front_if(|(at, _)| *at < record.at - self.memory) {
                    self.charged.remove(&old);
                }
            }
            Event::OrderCorrected { order, value, lines } => {
                if let Some(sale) = self.places.get(order).and_then(|place| self.found.sales.get_mut(*place))
                {
                    correct(sale, *value, lines);
                }
            }
            _ => {}
        }
        let before = self.attributor.counts();
        let sale = self.attributor.consume(offset, record);
        if self.period.has(record.at) {
            add(&mut self.found.counts, &before, &self.attributor.counts());
        }
        let Some(sale) = sale.filter(|sale| self.period.has(sale.placed_at)) else { return };
        let cost = |kept: &Kept| self.charged.get(&kept.bid).copied().unwrap_or_default();
        let lines = match &record.event {
            Event::Ordered { order } => order.lines.clone(),
            _ => Vec::new(),
        };
        self.places.insert(sale.order, self.found.sales.len());
        self.found.sales.push(Sale {
            placed_at: sale.placed_at,
            value: sale.value,
            costs: sale.path.iter().map(cost).collect(),
            path: sale.path,
            lines,
        });
    }

    pub(super) fn finish(mut self) -> Gathered {
        self.found.journeys = self.attributor.journeys().clone();
        self.found.dropped = self.attributor.touches().1;
        self.found
    }
}

/// What is told of an order now; lines that are not told anew shrink as the order does.
fn correct(sale: &mut Sale, value: Micros, lines: &[OrderLine]) {
    if !lines.is_empty() || value == Micros::ZERO {
        sale.lines = lines.to_vec();
    } else if sale.value > Micros::ZERO {
        for line in &mut sale.lines {
            let scaled = i128::from(line.value.0) * i128::from(value.0) / i128::from(sale.value.0);
            line.value = Micros(i64::try_from(scaled).unwrap_or(i64::MAX));
        }
    }
    sale.value = value;
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
