//! The partitions that are this node's: it claims them, begins their campaigns' actors from its copy of the journal, and hands them what
//! nodes saw.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use haggle_actors::backbone::{Deafness, Heard, Presence, SeenFact, Term};
use haggle_actors::campaign::{
    Disown, Outcome, Own, Recovered, RecoveryError, Repost, Settle, keep_shared, recover_sound,
};
use haggle_actors::journal::Journal;
use haggle_domain::{CampaignKey, Event, Holder, Notice, Record, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout_at};

use super::Several;
use super::behind::{Act, Behind};
use crate::campaigns::{CampaignHandle, Changes, Roster};
use crate::clock::monotonic;

/// How long until something is tried again.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it is looked how much there would be to replay, and how many records are worth a round of checkpoints.
const STAND_BY: Duration = Duration::from_secs(10);
const STAND_BY_RECORDS: u64 = 100_000;
/// How often it is looked who is there.
const LOOK: Duration = Duration::from_millis(200);
/// How long until a claim that did not count, or was lost, is made again: before that it is read who else is there.
const CLAIM_AGAIN: Duration = Duration::from_secs(3);
/// How long it is waited for a claim to be read back: whoever waits looks at nothing else.
const CLAIMED: Duration = Duration::from_secs(5);
/// How long until books that could not be recovered are read again.
const BEGIN_AGAIN: Duration = Duration::from_secs(10);
/// How long a campaign that is not configured here is waited for: it may have been added on another node just now.
pub const UNKNOWN: Duration = Duration::from_secs(15);
/// Campaigns of which it is remembered that nobody has ever heard of them.
const STRANGERS: usize = 4096;
/// Facts that were handed to actors and are not durable, in all partitions.
const UNDER_WAY: usize = 4096;

/// Told what became of a notice that a node passed on, once that is durable.
pub type OnSettled = Box<dyn Fn(&Notice, Outcome) + Send + Sync>;

/// What it takes to own campaigns.
pub struct Owner {
    /// What the node knows of others.
    pub several: Arc<Several>,
    /// The campaigns' actors.
    pub roster: Arc<Roster>,
    /// What starts more of them.
    pub changes: Arc<Changes>,
    /// The partitions whose campaigns' actors have their books, or will before anything else, and under which claim.
    pub begun: Mutex<HashMap<u32, Term>>,
    /// Campaigns of those partitions whose records break a rule: they have no actor.
    pub broken: Mutex<HashSet<CampaignKey>>,
    /// Who is told what became of notices.
    pub on_settled: OnSettled,
    /// How long a campaign that is not configured here is waited for, see [`UNKNOWN`].
    pub patience: Duration,
    /// Campaigns that the journal did not know under a claim, where nobody else can make it know them.
    pub strangers: Mutex<HashSet<(CampaignKey, Term)>>,
}

/// How far the facts of one partition are settled.
#[derive(Debug, Default)]
struct Settling {
    /// Those that are not.
    open: BTreeSet<u64>,
    /// One above the last that was handed on.
    next: u64,
    /// The first that nobody can settle.
    stuck: Option<u64>,
}

impl Settling {
    fn below(&self) -> u64 {
        let below = self.open.first().copied().unwrap_or(self.next);
        self.stuck.map_or(below, |stuck| stuck.min(below))
    }
}

/// A fact on its way to its campaign's actor.
struct Handed {
    partition: u32,
    offset: u64,
    at: Timestamp,
    event: Event,
    /// Its place among all that is under way.
    place: Option<OwnedSemaphorePermit>,
    campaign: CampaignKey,
    /// Under which claim this node is told.
    term: Term,
    /// When it was.
    since: Instant,
}

/// By partition and claim: what was under way under an earlier one comes again.
type Settlings = Arc<Mutex<BTreeMap<(u32, Term), Settling>>>;

impl Owner {
    /// Claims what should be this node's and lets go of what others have claimed, until it leaves or the journal ends.
    pub async fn follow(self: Arc<Self>) {
        let journal = &self.several.journal;
        // Who was there when this node was not says nothing.
        while !journal.is_caught_up() {
            if journal.failure().is_some() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let mut presence = Presence::new(journal.node());
        let mut tenures = journal.tenures();
        let started = monotonic();
        let (mut claim_at, mut begin_at) = (started, started);
        let mut deafness = Deafness::default();
        // So many campaigns were there when it was last looked for new ones.
        let mut known = self.roster.len();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                changed = tenures.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let held = tenures.borrow_and_update().clone();
                    let is_lost = |partition: &u32, term| held.get(partition).is_none_or(|held| held.term != term);
                    let lost = self.begun().iter().filter(|(partition, term)| is_lost(partition, **term)).map(|(partition, _)| *partition).collect::<Vec<u32>>();
                    if !lost.is_empty() {
                        self.give_up(&lost);
                        claim_at = monotonic() + CLAIM_AGAIN;
                    }
                }
                _ = look.tick() => {
                    if self.several.is_leaving() || journal.failure().is_some() {
                        return;
                    }
                    if monotonic() >= begin_at {
                        match self.begin_new(known).await {
                            Some(all) => known = all,
                            // To read the books takes its time, and what is wrong with them is rarely over at once.
                            None => begin_at = monotonic() + BEGIN_AGAIN,
                        }
                    }
                    presence.look(&journal.voices(), started.elapsed());
                    self.give_up_unheard(&mut deafness, &presence, started.elapsed());
                    let mine = presence.mine(started.elapsed());
                    let wanted: Vec<u32> =
                        mine.into_iter().filter(|partition| !self.begun().contains_key(partition)).collect();
                    if wanted.is_empty() || monotonic() < claim_at {
                        continue;
                    }
                    self.take_over(&wanted).await;
                    if wanted.iter().any(|partition| !self.begun().contains_key(partition)) {
                        claim_at = monotonic() + CLAIM_AGAIN;
                    }
                    tracing::info!(partitions = self.begun().len(), "campaigns of so many partitions are this node's");
                }
            }
        }
    }

    /// Claims partitions, and once that counts begins with their campaigns.
    pub(super) async fn take_over(&self, partitions: &[u32]) {
        let mut claims = Vec::new();
        for partition in partitions {
            let (done, claimed) = oneshot::channel();
            let on_claimed = Box::new(move |result| {
                // Whoever waited has gone.
                let _ = done.send(result);
            });
            if let Err(error) = self.several.journal.claim(*partition, on_claimed) {
                tracing::error!(partition, %error, "it cannot be claimed");
                continue;
            }
            claims.push((*partition, claimed));
        }
        let mut claimed = HashMap::new();
        let until = monotonic() + CLAIMED;
        for (partition, claim) in claims {
            let Ok(claim) = timeout_at(until.into(), claim).await else {
                tracing::warn!(partition, "its claim was not read back in time");
                continue;
            };
            match claim {
                Ok(Ok(term)) => {
                    tracing::info!(partition, term, "claimed");
                    self.several.claims.fetch_add(1, Ordering::Relaxed);
                    claimed.insert(partition, term);
                }
                Ok(Err(error)) => tracing::warn!(partition, %error, "another node has it"),
                Err(_) => return,
            }
        }
        if claimed.is_empty() {
            return;
        }
        let journal = Arc::clone(&self.several.journal);
        let recovered = tokio::task::spawn_blocking(move || recover_sound(&*journal)).await;
        let recovered = match recovered {
            Ok(Ok(recovered)) => recovered,
            Ok(Err(error)) => {
                tracing::error!(
                    %error, "the books of the campaigns that became this node's cannot be recovered; others may go on with them"
                );
                self.give_up_all();
                return;
            }
            Err(_) => return,
        };
        let (now, journal) = (self.several.clock.now(), &self.several.journal);
        for partition in claimed.keys() {
            let nodes = journal.nodes(*partition);
            self.several
                .heard()
                .insert(*partition, Heard::new(journal.node(), nodes.into_iter(), self.several.grace, now));
        }
        self.begin(recovered, &claimed).await;
        self.begun().extend(claimed);
    }

    /// Gives up what this node owns if others hear it and it cannot read the log: they would not take over, and it settles nothing.
    fn give_up_unheard(&self, deafness: &mut Deafness, presence: &Presence, now: Duration) {
        let journal = &self.several.journal;
        let unheard = deafness.look(presence.hears_itself(now), journal.log().stats().kept, now);
        if unheard && !self.begun().is_empty() {
            tracing::warn!(
                "the log takes what this node says, but cannot be read; others go on with its campaigns"
            );
            self.give_up_all();
        }
    }

    /// Gives up what this node owns: others claim it at once.
    fn give_up_all(&self) {
        self.several.journal.hand_over(Duration::ZERO);
        let begun: Vec<u32> = self.begun().keys().copied().collect();
        self.give_up(&begun);
    }

    /// Gives their books to actors of campaigns that were added since there were `known`, where they are this node's; gives how many there
    /// are now, or `None` where their books cannot be recovered. Those that a take-over gave theirs meanwhile do not mind.
    async fn begin_new(&self, known: usize) -> Option<usize> {
        let all = self.roster.len();
        if all <= known {
            return Some(all);
        }
        let journal = Arc::clone(&self.several.journal);
        let new: Vec<Arc<CampaignHandle>> = self.roster.all().into_iter().skip(known).collect();
        let claim =
            |handle: &Arc<CampaignHandle>| self.begun().get(&journal.partition_of(handle.key)).copied();
        let is_begun = |handle: &&Arc<CampaignHandle>| claim(handle).is_some();
        if !new.iter().any(|handle| is_begun(&handle)) {
            return Some(known + new.len());
        }
        // The journal may know them from before.
        let reading = Arc::clone(&journal);
        let mut recovered = match tokio::task::spawn_blocking(move || recover_sound(&*reading)).await {
            Ok(Ok(recovered)) => recovered,
            Ok(Err(error)) => {
                tracing::error!(%error, "the books of new campaigns cannot be recovered; it is tried again");
                return None;
            }
            Err(_) => return None,
        };
        for handle in new.iter().filter(is_begun) {
            self.own(handle, claim(handle), &mut recovered);
        }
        Some(known + new.len())
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<u32, Term>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self) -> MutexGuard<'_, HashSet<CampaignKey>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an actor the books that are its own under a claim. Without books that add up it gets none, so nothing is bid for the
    /// campaign, and what nodes saw of it stays in the log.
    fn own(&self, handle: &CampaignHandle, claim: Option<Term>, recovered: &mut Recovered) {
        let Some(claim) = claim else { return };
        if let Some(error) = recovered.broken.get(&handle.key) {
            tracing::error!(campaign = %handle.id, %error, "nothing is bid for it, and what was seen of it waits");
            self.broken().insert(handle.key);
            return;
        }
        self.broken().remove(&handle.key);
        let books = Box::new(recovered.books.remove(&handle.key).unwrap_or_default());
        handle.address.do_send(Own { claim, books });
    }

    /// Gives actors the books that are theirs from now on.
    async fn begin(&self, mut recovered: Recovered, claimed: &HashMap<u32, Term>) {
        let claim = |key: CampaignKey| claimed.get(&self.several.journal.partition_of(key)).copied();
        let gone = recovered.books.iter().filter(|(key, books)| {
            claim(**key).is_some()
                && books.ledger.leases().next().is_some()
                && self.roster.get(**key).is_none()
        });
        let gone: Vec<String> =
            gone.filter_map(|(_, books)| books.id.as_deref().map(str::to_owned)).collect();
        if let Err(error) = self.changes.settle_only(&gone).await {
            tracing::error!(%error, "campaigns that are not configured any more have no actors");
        }
        for handle in &*self.roster.all() {
            self.own(handle, claim(handle.key), &mut recovered);
        }
    }

    /// Has the actors of their campaigns stop at once.
    fn give_up(&self, partitions: &[u32]) {
        let partitions: HashSet<u32> = partitions.iter().copied().collect();
        self.begun().retain(|partition, _| !partitions.contains(partition));
        partitions.iter().for_each(|partition| self.several.journal.release(*partition));
        let journal = &self.several.journal;
        let theirs = |handle: &&Arc<CampaignHandle>| partitions.contains(&journal.partition_of(handle.key));
        self.roster.all().iter().filter(theirs).for_each(|handle| handle.address.do_send(Disown));
    }

    /// Hands what nodes saw to the campaigns' actors, for each in the order of the log, until the journal ends.
    pub async fn settle(self: Arc<Self>, mut facts: mpsc::Receiver<SeenFact>) {
        let settlings: Settlings = Arc::default();
        let room = Arc::new(Semaphore::new(UNDER_WAY));
        let mut holders: BTreeMap<Holder, ()> = BTreeMap::new();
        let behind = Behind::new(self.several.lagging.clone());
        let (owner, all) = (Arc::clone(&self), Arc::clone(&settlings));
        let hand: Rc<Act<Handed>> =
            Rc::new(move |handed| Box::pin(Arc::clone(&owner).hand(Arc::clone(&all), handed)));
        while let Some(fact) = facts.recv().await {
            let SeenFact { partition, offset, term, node, at, record } = fact;
            // Its campaigns' actors are there first, those of campaigns that are settled only, too.
            while self.owns(partition, term) && self.begun().get(&partition) != Some(&term) {
                tokio::time::sleep(PAUSE).await;
            }
            // Whoever owns it now is told again.
            if !self.owns(partition, term) {
                continue;
            }
            if let Event::Heard { holder } = record.event {
                let now = self.several.clock.now();
                self.several.compare_clocks(node, at, now);
                if let Some(heard) = self.several.heard().get_mut(&partition) {
                    heard.hear(node, at, now);
                }
                if holders.insert(holder, ()).is_none() {
                    self.roster.all().iter().for_each(|handle| handle.address.do_send(Repost));
                }
                self.settled(&settlings, (partition, term), offset, None);
                continue;
            }
            if self.broken().contains(&record.campaign) {
                self.stick(&settlings, (partition, term), offset);
                continue;
            }
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            self.open(&settlings, (partition, term), offset);
            let Record { campaign, event, .. } = record;
            let (place, since) = (Some(place), monotonic());
            let handed = Handed { partition, offset, at, event, place, campaign, term, since };
            behind.pass(campaign, handed, &hand).await;
        }
    }

    /// Hands a fact to its campaign's actor, again and again until that takes it or it is another node's.
    async fn hand(self: Arc<Self>, settlings: Settlings, handed: Handed) {
        let Handed { partition, offset, at, event, place, campaign, term, since } = handed;
        let (place, event) = (Arc::new(Mutex::new(place)), Arc::new(event));
        while self.owns(partition, term) {
            let Some(handle) = self.roster.get(campaign) else {
                if since.elapsed() < self.patience {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                if self.settle_only(campaign, (partition, term)).await {
                    continue;
                }
                tracing::warn!(%campaign, "what was seen of it is of no campaign that is known");
                self.settled(&settlings, (partition, term), offset, Some(()));
                return;
            };
            let (owner, settlings, place) = (Arc::clone(&self), Arc::clone(&settlings), Arc::clone(&place));
            let settled = Arc::clone(&event);
            let durable = Box::new(move |outcome: Option<Outcome>| {
                if let (Event::Noticed { notice }, Some(outcome)) = (&*settled, outcome) {
                    (owner.on_settled)(notice, outcome);
                }
                owner.settled(&settlings, (partition, term), offset, Some(()));
                drop(place.lock().unwrap_or_else(PoisonError::into_inner).take());
            });
            let settle = Settle { claim: term, at, event: Event::clone(&event), durable };
            if handle.address.send(settle).await.unwrap_or(false) {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Starts an actor for a campaign that is not configured here, but that the journal knows: clicks and orders come long after its
    /// last lease. Whether it is to be looked for again; if not, nobody has ever heard of it.
    async fn settle_only(&self, campaign: CampaignKey, of: (u32, Term)) -> bool {
        if self.strangers().contains(&(campaign, of.1)) {
            return false;
        }
        let journal = Arc::clone(&self.several.journal);
        let mut recovered = match tokio::task::spawn_blocking(move || recover_sound(&*journal)).await {
            Ok(Ok(recovered)) => recovered,
            Ok(Err(error)) => return self.again(campaign, &error).await,
            Err(_) => return true,
        };
        if let Some(error) = recovered.broken.get(&campaign) {
            return self.again(campaign, error).await;
        }
        let Some(id) =
            recovered.books.get(&campaign).and_then(|books| books.id.as_deref().map(str::to_owned))
        else {
            let mut strangers = self.strangers();
            if strangers.len() >= STRANGERS {
                strangers.clear();
            }
            strangers.insert((campaign, of.1));
            return false;
        };
        if let Err(error) = self.changes.settle_only(&[id]).await {
            return self.again(campaign, &error).await;
        }
        if let Some(handle) = self.roster.get(campaign).filter(|_| self.owns(of.0, of.1)) {
            self.own(&handle, Some(of.1), &mut recovered);
        }
        true
    }

    /// What was seen of a campaign waits, and is tried again.
    async fn again(&self, campaign: CampaignKey, error: &dyn std::error::Error) -> bool {
        tracing::error!(%campaign, %error, "it has no actor, and what was seen of it waits");
        tokio::time::sleep(BEGIN_AGAIN).await;
        true
    }

    fn strangers(&self) -> MutexGuard<'_, HashSet<(CampaignKey, Term)>> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps checkpoints of campaigns that no actor of this node has, so that there is little to replay when one becomes this node's.
    pub async fn stand_by(self: Arc<Self>) {
        let mut kept = 0;
        loop {
            tokio::time::sleep(STAND_BY).await;
            let journal = Arc::clone(&self.several.journal);
            if journal.failure().is_some() {
                return;
            }
            if journal.durable_end() < STAND_BY_RECORDS + kept {
                continue;
            }
            // Of this node's campaigns that are not configured here nobody else keeps any.
            let (owned, roster) = (self.begun().clone(), Arc::clone(&self.roster));
            let refreshed = tokio::task::spawn_blocking(move || {
                let recovered = recover_sound(&*journal)?;
                let has_actor =
                    |key| owned.contains_key(&journal.partition_of(key)) && roster.get(key).is_some();
                Ok::<_, RecoveryError>((keep_shared(&*journal, &recovered, has_actor).is_ok(), recovered.end))
            });
            match refreshed.await {
                Ok(Ok((true, end))) => kept = end,
                Ok(Ok((false, _))) | Err(_) => {}
                Ok(Err(error)) => tracing::warn!(%error, "others' campaigns cannot be followed"),
            }
        }
    }

    fn owns(&self, partition: u32, term: Term) -> bool {
        self.several.journal.tenures().borrow().get(&partition).is_some_and(|tenure| tenure.term == term)
    }

    fn open(&self, settlings: &Settlings, of: (u32, Term), offset: u64) {
        let mut all = settlings.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(partition, term), _| *partition != of.0 || *term == of.1);
        let settling = all.entry(of).or_default();
        settling.open.insert(offset);
        settling.next = settling.next.max(offset.saturating_add(1));
    }

    /// One that nobody can settle: how far is settled stays below it.
    fn stick(&self, settlings: &Settlings, of: (u32, Term), offset: u64) {
        let mut all = settlings.lock().unwrap_or_else(PoisonError::into_inner);
        let settling = all.entry(of).or_default();
        settling.stuck.get_or_insert(offset);
        settling.next = settling.next.max(offset.saturating_add(1));
    }

    /// What was opened and is settled, or needs nothing done.
    fn settled(&self, settlings: &Settlings, of: (u32, Term), offset: u64, opened: Option<()>) {
        let mut all = settlings.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.is_some() && !all.contains_key(&of) {
            return;
        }
        let settling = all.entry(of).or_default();
        settling.next = settling.next.max(offset.saturating_add(1));
        if opened.is_some() {
            settling.open.remove(&offset);
        }
        self.several.journal.settled_below(of.0, of.1, settling.below());
    }
}
