//! What a node does to its journal: campaigns' money, impressions, checkpoints, opt-outs and erasures, on made-up time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haggle_actors::books::Books;
use haggle_actors::campaign::{
    CampaignMachine, CampaignSettings, Effects, checkpoint_name, recover_all, replay_all,
};
use haggle_actors::journal::{EmbeddedJournal, Journal, JournalError, JournalOptions, replay};
use haggle_domain::{
    BidId, Budget, Campaign, CampaignKey, CpmMicros, Creative, Decision, Event, Flight, Goal, Micros, Notice,
    Pacing, PrivacyKey, Record, Size, Tag, Timestamp, UserKey,
};
use haggle_strategies::{CampaignLive, Entry};

use crate::disk::{Disk, Random};

const MINUTE: Duration = Duration::from_secs(60);
/// Small, so that a short life sorts much into tables and compacts them.
const MEMTABLE: u64 = 64 * 1024;

pub(crate) fn options() -> JournalOptions {
    JournalOptions {
        memtable_bytes: MEMTABLE,
        check_every: Duration::from_millis(5),
        cache_bytes: 1024 * 1024,
        ..JournalOptions::default()
    }
}

pub(crate) fn open(root: &Path) -> Result<EmbeddedJournal, JournalError> {
    EmbeddedJournal::open(&root.join("journal"), &options())
}

/// What was asked of a journal in one life, and what it acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The log's records when the life began, and those that were handed over in it.
    pub(crate) records: Vec<Record>,
    /// Ends of commits: a life ends at one of them.
    pub(crate) ends: Vec<u64>,
    /// After which change of the disk everything below an offset was acknowledged.
    pub(crate) acknowledged: Arc<Mutex<Vec<(usize, u64)>>>,
    /// Names and offsets of checkpoints, and below which offset something was committed after.
    pub(crate) checkpoints: Vec<(String, u64)>,
}

impl Log {
    /// Everything below was acknowledged before the change at that position.
    pub(crate) fn sure(&self, position: usize) -> u64 {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        acknowledged.iter().filter(|(at, _)| *at <= position).map(|(_, end)| *end).max().unwrap_or(0)
    }
}

struct Player {
    campaign: Arc<Campaign>,
    live: Arc<CampaignLive>,
    machine: CampaignMachine,
    open: Vec<Decision>,
}

/// One life of a node.
pub(crate) struct Life<'d> {
    disk: &'d Arc<Disk>,
    journal: Arc<EmbeddedJournal>,
    players: Vec<Player>,
    random: Random,
    now: Timestamp,
    pub(crate) log: Log,
    /// The first refusal.
    pub(crate) failed: Option<JournalError>,
}

fn campaign(number: usize) -> Campaign {
    Campaign {
        name: "Boots".into(),
        advertiser_domain: "shop.example".into(),
        budget: Budget { daily: Some(Micros::from_units(2 + number as i64)), total: None },
        goal: Goal::Cpc { max: Micros(500_000) },
        flight: Flight { start: Timestamp::default(), end: Timestamp::MAX },
        pacing: [Pacing::Asap, Pacing::Even][number % 2],
        max_bid: CpmMicros(10_000_000),
        creatives: vec![Creative::banner(
            "a",
            Size { width: 300, height: 250 },
            "https://cdn.shop.example/a.jpg",
            "https://shop.example/a",
            "A",
        )],
        ..Campaign::named(&format!("boots-{number}"))
    }
}

fn user(number: usize) -> UserKey {
    UserKey((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl<'d> Life<'d> {
    /// Begins with what a journal has, whose records are known.
    pub(crate) fn begin(
        disk: &'d Arc<Disk>,
        records: Vec<Record>,
        seed: u64,
        now: Timestamp,
    ) -> Result<Self, JournalError> {
        let journal = Arc::new(open(&disk.root)?);
        let end = journal.durable_end();
        let mut books = recover_all(&*journal).expect("the campaigns' books can be recovered");
        let log = Log { ends: vec![end], records, ..Log::default() };
        log.acknowledged.lock().unwrap().push((disk.position(), end));
        let mut life =
            Self { disk, journal, players: Vec::new(), random: Random(seed), now, log, failed: None };
        for number in 0..3 {
            let Entry { campaign, live, .. } = Entry::new(Arc::new(campaign(number)));
            let mut effects = Effects::default();
            let books = books.remove(&campaign.key).unwrap_or_default();
            let bytes = minicbor::to_vec(&books).unwrap();
            life.checkpoint(&checkpoint_name(campaign.key), bytes);
            let machine = CampaignMachine::new(
                Arc::clone(&campaign),
                Arc::clone(&live),
                CampaignSettings {
                    notice_timeout: MINUTE * 60,
                    lease_duration: MINUTE * 10,
                    click_expiry: MINUTE * 60 * 24,
                    conversion_window: MINUTE * 60 * 24 * 30,
                },
                books,
                now,
                &mut effects,
            );
            let key = campaign.key;
            life.players.push(Player { campaign, live, machine, open: Vec::new() });
            life.commit_events(key, effects.events);
        }
        Ok(life)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    fn checkpoint(&mut self, name: &str, bytes: Vec<u8>) {
        if self.journal.put_checkpoint_here(name, bytes).is_ok() {
            self.log.checkpoints.push((name.to_owned(), self.log.records.len() as u64));
        }
    }

    fn commit_events(&mut self, campaign: CampaignKey, events: Vec<Event>) {
        let at = self.now;
        self.commit(events.into_iter().map(|event| Record { at, campaign, event }).collect());
    }

    /// Hands records over, and notes when they are acknowledged.
    pub(crate) fn commit(&mut self, records: Vec<Record>) {
        if records.is_empty() || self.failed.is_some() {
            return;
        }
        let Ok(permit) = self.journal.try_reserve() else {
            self.failed = Some(self.journal.failure().unwrap_or(JournalError::Closed));
            return;
        };
        self.log.records.extend(records.iter().cloned());
        let end = self.log.records.len() as u64;
        self.log.ends.push(end);
        let acknowledged = Arc::clone(&self.log.acknowledged);
        let disk = Arc::clone(self.disk);
        permit.commit(
            records,
            Some(Box::new(move |result| {
                if result.is_ok() {
                    acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push((disk.position(), end));
                }
            })),
        );
    }

    /// Waits until all that was handed over is answered.
    pub(crate) fn settle(&mut self) {
        let (sender, answer) = std::sync::mpsc::channel();
        let asked = self.journal.barrier(Box::new(move |result| sender.send(result).unwrap_or(())));
        let result = match asked {
            Ok(()) => answer.recv_timeout(MINUTE).expect("a barrier is answered"),
            Err(_) => Err(self.journal.failure().unwrap_or(JournalError::Closed)),
        };
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    /// Some minutes of a node's life.
    pub(crate) fn turn(&mut self) {
        self.now = self.now + Duration::from_secs(20 + self.random.next() % 400);
        let mut grants = Vec::new();
        for index in 0..self.players.len() {
            let mut effects = Effects::default();
            let player = &mut self.players[index];
            player.machine.tick(self.now, &mut effects);
            let key = player.campaign.key;
            grants.extend(effects.grant.map(|grant| (index, grant)));
            self.commit_events(key, effects.events);
        }
        self.settle();
        for (index, grant) in grants {
            grant.publish(&self.players[index].live);
        }
        for index in 0..self.players.len() {
            for _ in 0..self.random.below(12) {
                self.bid(index);
            }
            for _ in 0..self.random.below(24) {
                self.notify(index);
            }
            if self.random.below(4) == 0 {
                let player = &self.players[index];
                let (name, bytes) =
                    (checkpoint_name(player.campaign.key), minicbor::to_vec(player.machine.books()).unwrap());
                self.checkpoint(&name, bytes);
            }
        }
        match self.random.below(6) {
            0 => {
                let bytes = vec![self.random.next() as u8 | 1; self.random.below(20_000)];
                self.checkpoint("learner/model", bytes);
            }
            1 => {
                let user = PrivacyKey::of(user(self.random.below(1_000_000)));
                self.commit_events(CampaignKey::default(), vec![Event::UserOptedOut { user }]);
            }
            _ => {}
        }
        if self.random.below(3) > 0 {
            self.settle();
        }
    }

    fn bid(&mut self, index: usize) {
        let price = CpmMicros(1_000_000 + self.random.below(9_000_000) as i64);
        let features = (0..self.random.below(64)).map(|_| self.random.next() as u32 & 0xff_ffff).collect();
        let who = user(self.random.below(50));
        let player = &mut self.players[index];
        let lease = player.live.lease.load();
        match lease.take(price.per_impression_rounded_up()) {
            None => player.live.want(),
            Some(number) => player.open.push(Decision {
                bid: BidId { campaign: player.campaign.key, lease: lease.number(), number },
                at: self.now,
                expires_at: lease.expires_at(),
                ceiling: price,
                user: Some(who),
                features,
                ..Decision::default()
            }),
        }
    }

    fn notify(&mut self, index: usize) {
        let player = &mut self.players[index];
        if player.open.is_empty() {
            return;
        }
        let decision = player.open[self.random.below(player.open.len())].clone();
        let price = CpmMicros(self.random.below(12_000_000) as i64);
        let notice = match self.random.below(6) {
            0 => Notice::Lost { decision, min_to_win: None },
            1 | 2 => Notice::Bill { decision, price },
            3 => Notice::Click { decision },
            4 => Notice::Conversion {
                decision,
                revenue: Micros(self.random.below(1 << 30) as i64),
                order: Tag(self.random.next()),
            },
            _ => Notice::Impression { decision },
        };
        let mut effects = Effects::default();
        player.machine.notice(self.now, notice, &mut effects);
        let key = player.campaign.key;
        self.commit_events(key, effects.events);
    }

    /// Somebody is erased, from their records and from every file that held them.
    pub(crate) fn erase(&mut self, number: usize) {
        let user = PrivacyKey::of(user(number));
        self.commit_events(CampaignKey::default(), vec![Event::UserErased { user }]);
        self.settle();
        assert_eq!(self.journal.complete_erasures(Duration::ZERO), Ok(1));
    }

    /// A clean stop, as far as the disk lets it.
    pub(crate) fn end(mut self) -> (Log, Option<JournalError>) {
        self.settle();
        if let Err(error) = self.journal.close() {
            self.failed.get_or_insert(error);
        }
        (self.log, self.failed)
    }
}

/// What was handed over, or what an erasure leaves of it.
fn agrees(found: &Record, committed: &Record) -> bool {
    if found == committed {
        return true;
    }
    let mut rest = committed.clone();
    match rest.event.decision_mut() {
        Some(decision) => {
            decision.user = None;
            let kept = found.clone().event.decision_mut().map(|decision| decision.features.clone());
            let kept = kept.unwrap_or_default();
            decision.features.retain(|feature| kept.contains(feature));
            *found == rest
        }
        None => found.event == Event::Redacted && committed.event.subject().is_some(),
    }
}

/// All that must hold of a journal that was opened after a life was cut off at a position of its disk.
pub(crate) fn verify(journal: &EmbeddedJournal, log: &Log, position: usize) -> Result<(), String> {
    let sure = log.sure(position);
    let have = journal.durable_end();
    if have < sure {
        return Err(format!("it ends at {have}, but {sure} was acknowledged"));
    }
    if !log.ends.contains(&have) {
        return Err(format!("it ends at {have}, in the middle of a commit"));
    }
    let found: Result<Vec<_>, _> = replay(journal, 0).collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.len() as u64 != have {
        return Err(format!("{} records below {have}", found.len()));
    }
    for ((offset, record), (number, committed)) in found.iter().zip((0u64..).zip(&log.records)) {
        if *offset != number || !agrees(record, committed) {
            return Err(format!("{record:?} at {offset} instead of {committed:?} at {number}"));
        }
    }
    let mut books: HashMap<CampaignKey, Books> = HashMap::new();
    for record in &log.records[..found.len()] {
        if record.campaign != CampaignKey::default() {
            let books = books.entry(record.campaign).or_default();
            books.apply(&record.event, record.at).map_err(|violation| violation.to_string())?;
        }
    }
    let recovered = recover_all(journal).map_err(|error| error.to_string())?;
    let replayed = replay_all(journal, |_| ()).map_err(|error| error.to_string())?;
    for (key, books) in &books {
        let known =
            |of: &HashMap<CampaignKey, Books>| of.get(key).map(|of| (of.ledger.clone(), of.stats.clone()));
        let expected = Some((books.ledger.clone(), books.stats.clone()));
        if known(&recovered) != expected || known(&replayed) != expected {
            return Err(format!("the books of {key} are not what its records come to"));
        }
    }
    for record in &log.records[..found.len()] {
        if let Event::UserOptedOut { user } = record.event
            && !journal.suppressions().forgets(user, Timestamp::MAX)
        {
            return Err(format!("{user:?} opted out and is forgotten"));
        }
    }
    for (name, offset) in &log.checkpoints {
        // One that was handed over before something that was acknowledged is there, or a newer one.
        if *offset < sure && name.starts_with("campaign/") {
            let known = journal.checkpoint(name).map_err(|error| error.to_string())?;
            if known.as_ref().is_none_or(|known| known.offset < *offset) {
                return Err(format!("the checkpoint {name} of {offset} is lost: {known:?}"));
            }
        }
    }
    Ok(())
}
