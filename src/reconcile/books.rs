//! What the journal says of an exchange's bids within a span.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use haggle_actors::journal::{Journal, replay};
use haggle_domain::{BidId, CampaignKey, CpmMicros, Event, ExchangeKey, Micros, Record, Tag, Timestamp};

use super::table::{AROUND, Span};
use crate::exit::{Exit, ExitError};
use crate::ledger::open_journal;
use crate::model::Progress;
use crate::server::StartError;

/// Records after which a signal is looked for.
const LOOK_EVERY: u64 = 4_096;

/// A bid of which something was told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// Who asked; none where nothing but its bill came, which does not say.
    pub(super) exchange: Option<ExchangeKey>,
    /// When it was won or shown first.
    pub(super) won_at: Option<Timestamp>,
    /// What its win notice asked for.
    pub(super) price: Option<CpmMicros>,
    /// It was shown.
    pub(super) shown: bool,
    /// When it was billed, and what was charged.
    pub(super) billed: Option<(Timestamp, Micros)>,
    /// The bill asked for more than the bid.
    pub(super) capped: bool,
    /// A bill came after the reservation's end, and asked for this; nothing was charged.
    pub(super) late: Option<(Timestamp, CpmMicros)>,
    /// The creative's place, once the ad was shown.
    pub(super) creative: Option<u16>,
}

/// What is compared with.
#[derive(Debug, Default)]
pub(super) struct BidBooks {
    pub(super) bids: HashMap<BidId, Told>,
    /// Campaigns' ids by their keys.
    pub(super) names: BTreeMap<CampaignKey, String>,
    /// The tags of campaigns' creatives, in their order.
    pub(super) creatives: HashMap<CampaignKey, Vec<Tag>>,
    /// Bids that were billed in the span and of which nothing says at which exchange.
    pub(super) nowhere: (u64, Micros),
}

/// Reads the journal below a data folder, as far as it concerns the span and what lies around it.
pub(super) fn read(
    data: &Path,
    exchange: &str,
    span: Span,
    progress: &Progress,
) -> Result<BidBooks, ExitError> {
    let journal = open_journal(data)?;
    progress.length.store(journal.durable_end(), Ordering::Relaxed);
    let mut books = BidBooks::default();
    // What was dropped before is not to be had.
    for entry in replay(&journal, journal.durable_start()) {
        let (offset, record) = entry.map_err(StartError::from)?;
        if offset.is_multiple_of(LOOK_EVERY) {
            progress.check()?;
            progress.read.store(offset, Ordering::Relaxed);
            progress.rows.store(offset, Ordering::Relaxed);
        }
        books.take(&record, span);
    }
    journal.close().map_err(StartError::from)?;
    books.keep(ExchangeKey::of(exchange), exchange, span)
}

impl BidBooks {
    /// Takes in one record.
    pub(super) fn take(&mut self, record: &Record, span: Span) {
        match &record.event {
            Event::Defined { id } => drop(self.names.insert(record.campaign, id.clone())),
            Event::Creatives { tags } => drop(self.creatives.insert(record.campaign, tags.clone())),
            _ => {}
        }
        if record.at < span.from - AROUND || record.at >= span.to + AROUND {
            return;
        }
        let bids = &mut self.bids;
        match &record.event {
            Event::Won { bid, price, exchange, .. } => {
                let told = bids.entry(*bid).or_default();
                told.exchange = Some(*exchange);
                told.won_at.get_or_insert(record.at);
                told.price = Some(*price);
            }
            Event::Impression { decision } => {
                let told = bids.entry(decision.bid).or_default();
                told.exchange = Some(decision.exchange);
                told.won_at.get_or_insert(record.at);
                told.shown = true;
                told.creative = Some(decision.creative);
            }
            Event::Click { decision } => {
                bids.entry(decision.bid).or_default().exchange = Some(decision.exchange);
            }
            Event::Billed { bid, charged, capped, .. } => {
                let told = bids.entry(*bid).or_default();
                told.billed = Some((record.at, *charged));
                told.capped = *capped;
            }
            Event::BilledLate { bid, price, exchange } => {
                let told = bids.entry(*bid).or_default();
                told.exchange = Some(*exchange);
                told.late.get_or_insert((record.at, *price));
            }
            _ => {}
        }
    }

    /// Keeps the exchange's alone.
    pub(super) fn keep(mut self, exchange: ExchangeKey, name: &str, span: Span) -> Result<Self, ExitError> {
        let met: HashSet<ExchangeKey> = self.bids.values().filter_map(|told| told.exchange).collect();
        if !met.is_empty() && !met.contains(&exchange) {
            let problem = format!(
                "no bid of that time was made at {name:?}; is it the exchange's name in the configuration?"
            );
            return Err(ExitError::new(Exit::Usage, problem));
        }
        for told in self.bids.values().filter(|told| told.exchange.is_none()) {
            if let Some((_, charged)) = told.billed.filter(|(at, _)| (span.from..span.to).contains(at)) {
                self.nowhere = (self.nowhere.0 + 1, self.nowhere.1 + charged);
            }
        }
        self.bids.retain(|_, told| told.exchange == Some(exchange));
        Ok(self)
    }
}
