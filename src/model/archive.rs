//! A node's own journal as rows to learn from: each labelled impression is one, by the features that bids are scored with, and
//! each click of which it is settled whether an order followed is a row of orders.
//!
//! Labels are joined exactly as the learner does, so what a model of archives learns is what the model that learns while it
//! bids was taught. Campaigns that are not configured any more teach nothing: their ads' features are not known.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};
use haggle_domain::{BidId, Event, Timestamp};
use haggle_learning::data::ReadReport;
use haggle_learning::{
    Batch, Example, ExampleKind, JoinerSettings, LabelJoiner, ad_features, push_archived,
    push_archived_conversion,
};
use haggle_strategies::{Catalog, Entry};

use crate::config::{self, Loaded, SettingsLayer};
use crate::exit::{Exit, ExitError};
use crate::ledger::note_start;
use crate::server::journal_exit;

/// Records read at once.
const CHUNK: usize = 4_096;
/// Impressions and clicks that may wait for their labels, as in a node.
const MOST_PENDING: usize = 1_000_000;

/// A journal that is read from its beginning.
pub(crate) struct Archive {
    journal: EmbeddedJournal,
    catalog: Catalog,
    joiner: LabelJoiner,
    ready: VecDeque<Example>,
    /// The next record, and the one after the last.
    cursor: u64,
    end: u64,
    report: ReadReport,
    /// Impressions of campaigns that are not configured.
    unknown: u64,
    /// Of each impression that waits for its label its record and propensity, where somebody wants them.
    shown: Option<HashMap<BidId, (u64, f32)>>,
}

/// An impression with its label, and how probable its creative was.
pub(crate) struct Shown {
    /// What a model learns from it.
    pub(crate) example: Example,
    /// The number of its record in the journal.
    pub(crate) record: u64,
    /// The probability with which its creative was drawn.
    pub(crate) propensity: f32,
}

/// Opens the journal of the node with this configuration, which must not be running.
///
/// # Errors
///
/// The configuration is wrong, the journal cannot be read, or a node has it open.
pub(crate) fn open_journal(config: &Path) -> Result<(Loaded, EmbeddedJournal), ExitError> {
    let loaded = config::load(Some(config), &SettingsLayer::default())?;
    let folder = loaded.settings.data.join("journal");
    if !folder.is_dir() {
        let data = loaded.settings.data.display();
        let problem = format!("{}: there is no journal in its data folder {data}", config.display());
        return Err(ExitError::new(Exit::InputUnusable, problem));
    }
    let journal = EmbeddedJournal::open(&folder, &JournalOptions::default()).map_err(|error| {
        let hint = "stop the node first, or read a copy of its data folder";
        ExitError::new(journal_exit(&error), format!("{} cannot be read: {error}; {hint}", folder.display()))
    })?;
    note_start(&journal);
    Ok((loaded, journal))
}

impl Drop for Archive {
    /// Frees the journal before anybody goes on, such as the next pass over it; dropping it alone would let it end by itself.
    fn drop(&mut self) {
        // Nothing was written, so what it may complain of is not about these rows.
        let _ = self.journal.close();
    }
}

impl Archive {
    /// Opens the journal of the node with this configuration. It must not be running.
    ///
    /// # Errors
    ///
    /// The configuration is wrong, the journal cannot be read, or a node has it open.
    pub(crate) fn open(config: &Path) -> Result<Self, ExitError> {
        let (loaded, journal) = open_journal(config)?;
        let entries = loaded.campaigns.into_iter().map(|campaign| Entry::new(Arc::new(campaign)));
        let settings = JoinerSettings {
            click_window: loaded.settings.click_window,
            order_window: loaded.settings.order_window,
            capacity: MOST_PENDING,
        };
        Ok(Self {
            cursor: journal.durable_start(),
            end: journal.durable_end(),
            journal,
            catalog: Catalog::new(entries.collect()),
            joiner: LabelJoiner::new(settings),
            ready: VecDeque::new(),
            report: ReadReport::default(),
            unknown: 0,
            shown: None,
        })
    }

    /// Replaces what is in `batch` by the next rows of both kinds, at most so many, and returns how many: none at the end.
    pub(super) fn fill(&mut self, batch: &mut Batch, rows: usize) -> Result<usize, ExitError> {
        batch.clear();
        let count = |batch: &Batch| batch.len() + batch.conversions().len();
        while count(batch) < rows {
            match self.ready.pop_front() {
                Some(example) => self.push(batch, &example),
                None if self.cursor < self.end => self.read()?,
                None => break,
            }
        }
        Ok(count(batch))
    }

    /// Remembers propensities, for [`Archive::next_shown`].
    pub(crate) fn with_propensities(mut self) -> Self {
        self.shown = Some(HashMap::new());
        self
    }

    /// The next impression whose click window is over; each comes once, however late a click is. `None` at the end.
    pub(crate) fn next_shown(&mut self) -> Result<Option<Shown>, ExitError> {
        loop {
            match self.ready.pop_front() {
                Some(example) if example.kind == ExampleKind::Click => {
                    let known = self.shown.as_mut().and_then(|shown| shown.remove(&example.bid));
                    if let Some((record, propensity)) = known {
                        return Ok(Some(Shown { example, record, propensity }));
                    }
                }
                Some(_) => {}
                None if self.cursor < self.end => self.read()?,
                None => return Ok(None),
            }
        }
    }

    /// What an example's ad is called, `campaign/creative`, and its features; `None` and counted where it is not configured.
    pub(crate) fn ad(&mut self, example: &Example) -> Option<(String, Vec<u32>)> {
        let found = self.catalog.get(example.bid.campaign).and_then(|entry| {
            let at = usize::from(example.creative);
            let creative = entry.campaign.creatives.get(at)?;
            let name = format!("{}/{}", entry.campaign.id, creative.id);
            Some((name, ad_features(&entry.campaign, at).to_vec()))
        });
        self.unknown += u64::from(found.is_none());
        found
    }

    fn push(&mut self, batch: &mut Batch, example: &Example) {
        let Some(entry) = self.catalog.get(example.bid.campaign) else {
            self.unknown += u64::from(example.kind == ExampleKind::Click);
            return;
        };
        let ad = ad_features(&entry.campaign, usize::from(example.creative));
        let (positive, report) = (u64::from(example.label), &mut self.report);
        match example.kind {
            ExampleKind::Click => {
                push_archived(batch, &example.features, &ad, example.label);
                (report.rows, report.clicks) = (report.rows + 1, report.clicks + positive);
            }
            ExampleKind::Conversion => {
                push_archived_conversion(batch, &example.features, &ad, example.label);
                (report.conversion_rows, report.conversions) =
                    (report.conversion_rows + 1, report.conversions + positive);
            }
        }
    }

    /// Joins the next records' labels.
    fn read(&mut self) -> Result<(), ExitError> {
        let records = self.journal.read_from(self.cursor, CHUNK).map_err(|error| {
            ExitError::new(Exit::IoFailed, format!("the journal cannot be read: {error}"))
        })?;
        if records.is_empty() {
            self.cursor = self.end;
        }
        for (offset, record) in records {
            self.cursor = offset + 1;
            self.advance(record.at);
            match &record.event {
                Event::Impression { decision } => {
                    self.joiner.impression(decision, record.at);
                    if let Some(shown) = &mut self.shown {
                        shown.entry(decision.bid).or_insert((offset, decision.propensity));
                    }
                }
                Event::Click { decision } => self.joiner.click(decision, record.at),
                Event::Conversion { decision, .. } => self.joiner.conversion(decision),
                Event::UserOptedOut { user } | Event::UserErased { user } => {
                    self.joiner.forget(|waiting| waiting == *user);
                }
                _ => {}
            }
            self.advance(record.at);
        }
        Ok(())
    }

    fn advance(&mut self, now: Timestamp) {
        self.ready.extend(self.joiner.advance(now));
    }

    /// What was read so far.
    pub(super) fn report(&self) -> ReadReport {
        self.report.clone()
    }

    /// Impressions of campaigns that are not configured, which were left out.
    pub(crate) fn unknown(&self) -> u64 {
        self.unknown
    }
}
