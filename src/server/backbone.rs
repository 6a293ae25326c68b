//! Where a node's events go: into a journal of its own, or by way of a log that it shares with others.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use haggle_actors::backbone::{
    KafkaLog, KafkaOptions, Log, OnPost, Post, SeenFact, SharedJournal, SharedOptions,
};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalError, JournalOptions};
use haggle_domain::{Clock, Holder, NodeId};
use tokio::sync::mpsc;

use super::node::{StartError, attribution_of};
use crate::config::{Brokers, Settings};
use crate::entropy;
use crate::several::{Definitions, Seed, SeedError, Several, Words, is_copy, share_key};
use crate::small_file;
use crate::token::Sealer;

/// A node's journal, and what it takes to be one of several.
pub(super) struct Backbone {
    pub(super) journal: Arc<dyn Journal>,
    /// What lies on this node's disk.
    pub(super) local: Arc<EmbeddedJournal>,
    pub(super) others: Option<Joined>,
}

/// A node that others are to hear of.
pub(super) struct Joined {
    pub(super) several: Arc<Several>,
    pub(super) words: Arc<Words>,
    pub(super) facts: mpsc::Receiver<SeenFact>,
}

impl Backbone {
    /// Opens the journal in the data folder. Blocks; of several nodes also until a broker answers.
    pub(super) fn open(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        let options = JournalOptions { capacity: settings.journal_queue, ..JournalOptions::default() };
        let Some(brokers) = &settings.kafka else {
            if is_copy(&settings.data) {
                return Err(SeedError::Several(settings.data.clone()).into());
            }
            let local = Arc::new(EmbeddedJournal::open(&settings.data.join("journal"), &options)?);
            return Ok(Self { journal: Arc::clone(&local) as _, local, others: None });
        };
        let kafka = kafka(settings, brokers)?;
        let log: Arc<dyn Log> = Arc::new(KafkaLog::open(kafka).map_err(JournalError::Log)?);
        // Before the keys are compared: it is why they differ.
        Seed::check(&settings.data, &log)?;
        if settings.token_key_file.is_none() {
            let path = settings.data.join("token.key");
            let make =
                || Sealer::open_or_create(&path, clock.now()).map(drop).map_err(|error| error.to_string());
            share_key(&*log, &path, make)?;
        }
        let holder = Holder(random()?);
        let options = SharedOptions {
            holder,
            journal: options,
            spool_bytes: settings.spool_bytes as u64,
            ..SharedOptions::default()
        };
        let words: Arc<Words> = Arc::default();
        let said = Arc::clone(&words);
        let on_post: OnPost = Box::new(move |post: Post| said.say(post.campaign, post.bytes));
        let node = node_id(&settings.data.join("node.id"))?;
        let seed = Seed::find(&settings.data, &log, node, attribution_of(settings), clock.now())?;
        let shared = Arc::new(SharedJournal::open(log, &settings.data, node, &options, on_post)?);
        let planted = seed.plant(&shared)?;
        if planted > 0 {
            tracing::info!(records = planted, "this node's journal is the beginning of the nodes' log");
        }
        let facts = shared.facts().ok_or_else(|| StartError::Internal("facts are taken already".into()))?;
        let local = Arc::clone(shared.mirror());
        let path = settings.data.join("definitions-seen");
        let definitions = Definitions::open(path.clone())
            .map_err(|error| StartError::Definitions { path, why: error.to_string() })?;
        let clock = Arc::clone(clock);
        let several = Several::new(Arc::clone(&shared), holder, settings.node_grace, definitions, clock);
        let others = Joined { several: Arc::new(several), words, facts };
        Ok(Self { journal: shared, local, others: Some(others) })
    }
}

fn kafka(settings: &Settings, brokers: &Brokers) -> Result<KafkaOptions, StartError> {
    let mut kafka = KafkaOptions {
        brokers: brokers.0.clone(),
        prefix: settings.kafka_prefix.clone(),
        partitions: settings.kafka_partitions.into(),
        ..KafkaOptions::default()
    };
    let Some(path) = &settings.kafka_properties_file else { return Ok(kafka) };
    let wrong = |why: String| StartError::KafkaProperties { path: path.clone(), why };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(wrong(format!("line {number} is no key=value")));
        };
        kafka.properties.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(kafka)
}

fn random() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    entropy::fill(&mut bytes).map_err(|error| StartError::Internal(format!("no randomness: {error}")))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Who this node is, for as long as its data folder lives.
fn node_id(path: &Path) -> Result<NodeId, StartError> {
    let failed =
        |error: &dyn std::fmt::Display| StartError::NodeId { path: path.to_owned(), why: error.to_string() };
    match fs::File::open(path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(64).read_to_string(&mut text).map_err(|error| failed(&error))?;
            u64::from_str_radix(text.trim(), 16).map(NodeId).map_err(|error| failed(&error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let node = NodeId(random()?);
            let text = format!("{node}\n");
            small_file::replace(path, text.as_bytes()).map_err(|error| failed(&error))?;
            Ok(node)
        }
        Err(error) => Err(failed(&error)),
    }
}
