//! What is learned from a record, without actors or clocks.

use std::sync::Arc;
use std::time::Duration;

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{BehaviourKind, Event, Record, Timestamp};
use haggle_learning::{Example, ExampleKind, Guest, JoinerSettings, LabelJoiner, Role, Trainer, ad_features};
use haggle_strategies::{Catalog, Landscape, Market};
use minicbor::{Decode, Encode};

use super::outcome;
use super::unanswered::{Unanswered, Waiting};
use crate::audience::Audience;
use crate::holdout::Panel;

/// Users who did nothing and saw nothing for this long are forgotten.
const PROFILE_MEMORY: Duration = Duration::from_secs(90 * 86_400);

/// The model's trainer, the labels it waits for, the market's prices and the users' profiles: each a fold over the
/// journal.
pub struct LearnerMachine {
    catalog: Arc<Catalog>,
    audience: Arc<Audience>,
    trainer: Trainer,
    joiner: LabelJoiner,
    landscape: Landscape,
    unanswered: Unanswered,
    panel: Panel,
    /// The share of the bids that the journal has.
    bid_sample: f64,
    /// Records below are learned.
    learned: u64,
    /// Records below are in the profiles.
    profiled: u64,
    /// Behaviours and impressions taken in.
    noted: u64,
    /// Opt-outs and erasures taken in.
    forgotten: u64,
}

/// A checkpoint's bytes.
#[derive(Encode, Decode)]
struct Saved {
    #[cbor(n(0), with = "minicbor::bytes")]
    trainer: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    joiner: Vec<u8>,
    #[n(2)]
    landscape: Landscape,
    /// What was learned of models of archives; checkpoints of before there were any have none.
    #[cbor(n(3), with = "minicbor::bytes")]
    #[cbor(default)]
    guests: Vec<u8>,
    /// Sampled bids that were waited for.
    #[n(4)]
    #[cbor(default)]
    unanswered: Vec<Waiting>,
    /// Users whose orders are compared.
    #[n(5)]
    #[cbor(default)]
    panel: Panel,
}

impl LearnerMachine {
    /// One that knows nothing yet.
    pub fn new(catalog: Arc<Catalog>, audience: Arc<Audience>, settings: JoinerSettings) -> Self {
        Self {
            catalog,
            audience,
            trainer: Trainer::default(),
            joiner: LabelJoiner::new(settings),
            landscape: Landscape::default(),
            unanswered: Unanswered::default(),
            panel: Panel::default(),
            bid_sample: 0.0,
            learned: 0,
            profiled: 0,
            noted: 0,
            forgotten: 0,
        }
    }

    /// These models of archives are asked from now on.
    pub fn set_guests(&mut self, guests: &[(Arc<Guest>, Role)]) {
        self.trainer.set_guests(guests);
    }

    /// The journal has this share of the bids (0 where it has none): what one that was never answered stands for.
    pub fn set_bid_sample(&mut self, share: f64) {
        self.bid_sample = share;
    }

    /// The campaigns are these now.
    pub fn follow(&mut self, catalog: &Arc<Catalog>) {
        if !Arc::ptr_eq(&self.catalog, catalog) {
            self.catalog = Arc::clone(catalog);
        }
    }

    /// Goes on from a checkpoint of the model that includes all records below `offset`.
    pub fn restore(&mut self, bytes: &[u8], offset: u64) -> Result<(), String> {
        let saved: Saved = minicbor::decode(bytes).map_err(|error| error.to_string())?;
        let mut trainer = Trainer::load(&saved.trainer).map_err(|error| error.to_string())?;
        if !saved.guests.is_empty() {
            trainer.restore_guests(&saved.guests).map_err(|error| error.to_string())?;
        }
        self.joiner.restore(&saved.joiner).map_err(|error| error.to_string())?;
        self.trainer = trainer;
        self.landscape = saved.landscape;
        self.unanswered = Unanswered::default();
        self.unanswered.restore(saved.unanswered);
        self.panel = saved.panel;
        self.learned = offset + if planted(Bug::LearnerSkipsRecords) { 20 } else { 0 };
        Ok(())
    }

    /// Goes on from a checkpoint of the profiles that includes all records below `offset`.
    pub fn restore_profiles(&mut self, bytes: &[u8], offset: u64) -> Result<(), String> {
        self.audience.load(bytes).map_err(|error| error.to_string())?;
        self.profiled = offset;
        Ok(())
    }

    /// From where the journal has to be read.
    pub fn cursor(&self) -> u64 {
        self.learned.min(self.profiled)
    }

    /// Goes on at `start`, where the journal begins: what it has not read below is gone.
    pub fn begin_at(&mut self, start: u64) {
        self.learned = self.learned.max(start);
        self.profiled = self.profiled.max(start);
    }

    /// The model's state, for a checkpoint at [`LearnerMachine::learned`].
    pub fn save(&self) -> Vec<u8> {
        let (mut trainer, mut guests) = (Vec::new(), Vec::new());
        self.trainer.save(&mut trainer);
        self.trainer.save_guests(&mut guests);
        let (joiner, landscape) = (self.joiner.save(), self.landscape.clone());
        let (unanswered, panel) = (self.unanswered.save(), self.panel.clone());
        let saved = Saved { trainer, joiner, landscape, guests, unanswered, panel };
        minicbor::to_vec(saved).unwrap_or_default()
    }

    /// Records below are learned.
    pub fn learned(&self) -> u64 {
        self.learned
    }

    /// Records below are in the profiles.
    pub fn profiled(&self) -> u64 {
        self.profiled
    }

    /// Takes in one record. Records come in order; those that a checkpoint includes are passed over.
    pub fn consume(&mut self, offset: u64, record: &Record) {
        if offset >= self.profiled {
            self.profiled = offset + 1;
            match &record.event {
                Event::Behaviour { user, did, what } => {
                    self.audience.note(*user, *did, *what, record.at);
                    self.noted += 1;
                }
                Event::Impression { decision } => {
                    // A campaign that is gone caps nothing.
                    if let Some(entry) = self.catalog.get(decision.bid.campaign) {
                        let advertisers = &self.catalog.advertiser_caps;
                        self.audience.show(decision, &entry.caps, advertisers, record.at);
                        self.noted += 1;
                    }
                }
                Event::UserOptedOut { user } | Event::UserErased { user } => {
                    self.audience.erase(*user);
                    self.forgotten += 1;
                }
                _ => {}
            }
        }
        if offset < self.learned {
            return;
        }
        self.learned = offset + 1;
        // Time is what the journal says, and windows close before the record counts: so a replay labels exactly like
        // the first reading did.
        self.learn(record.at);
        self.unanswered.expire(record.at, self.bid_sample, &mut self.landscape);
        self.unanswered.note(&record.event);
        match &record.event {
            Event::Impression { decision } => self.joiner.impression(decision, record.at),
            Event::Click { decision } => self.joiner.click(decision, record.at),
            Event::Conversion { decision, .. } => {
                self.joiner.conversion(decision);
                if let Some(user) = decision.user {
                    self.panel.followed(record.campaign, user, record.at);
                }
            }
            Event::Won { .. } | Event::Lost { .. } => outcome::learn(&record.event, &mut self.landscape),
            Event::UserOptedOut { user } | Event::UserErased { user } => {
                self.joiner.forget(|waiting| waiting == *user);
                self.panel.forget(*user);
            }
            Event::Eligible { user, group } => {
                self.panel.eligible(record.campaign, *user, *group, record.at);
            }
            Event::Behaviour { user, did: BehaviourKind::Bought, .. } => self.panel.bought(*user, record.at),
            _ => {}
        }
        // What came after its window is taught at once.
        self.learn(record.at);
    }

    /// Forgets users who have long done nothing.
    pub fn forget(&mut self, now: Timestamp) {
        self.audience.forget(now - PROFILE_MEMORY, now);
    }

    fn learn(&mut self, now: Timestamp) {
        for example in self.joiner.advance(now) {
            self.teach(&example);
        }
    }

    fn teach(&mut self, example: &Example) {
        // A campaign that is gone teaches nothing: nobody could bid with it.
        let Some(entry) = self.catalog.get(example.bid.campaign) else { return };
        let ad = ad_features(&entry.campaign, usize::from(example.creative));
        match example.kind {
            ExampleKind::Click => {
                self.trainer.learn_click_of(example.user, &example.features, &ad, example.label)
            }
            ExampleKind::Conversion => {
                self.trainer.learn_conversion_of(example.user, &example.features, &ad, example.label)
            }
        };
    }

    /// The model's trainer.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The curves of the market's prices, prepared for bids.
    pub fn market(&mut self) -> Market {
        self.landscape.prepare()
    }

    /// What is known of the market's prices.
    pub fn landscape(&self) -> &Landscape {
        &self.landscape
    }

    /// Who is compared to know what ads bring.
    pub fn panel(&self) -> &Panel {
        &self.panel
    }

    /// The users' profiles.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Behaviours and impressions taken in since the start.
    pub fn noted(&self) -> u64 {
        self.noted
    }

    /// Opt-outs and erasures taken in since the start: checkpoints from before them hold what is to be forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
