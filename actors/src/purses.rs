//! The money that this process bids with, where several bid for the same campaigns: one tranche a campaign, asked of whoever owns it.
//!
//! Without actors, threads or clocks. What is to be told to the owners comes out as events; what the owners decided comes in as
//! events of the journal, and nothing is spent before it has come in there.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use haggle_domain::{Campaign, CampaignKey, Event, Holder, Micros, Timestamp};
use haggle_strategies::{Board, CampaignLive, Lease};

use crate::campaign::Posted;

/// How long an answer is waited for: an owner that has just come does not know who asked the one before. Each time without one
/// makes it twice as long.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Owners' words of campaigns that are not known yet; more are not kept.
const MOST_EARLY: usize = 10_000;
const MOST_PATIENCE: Duration = Duration::from_secs(60);

/// See the module's text.
pub struct Purses {
    holder: Holder,
    slots: Vec<Slot>,
    numbers: HashMap<CampaignKey, usize>,
    /// What owners said of campaigns that are not known yet.
    early: HashMap<CampaignKey, Posted>,
    boards: Vec<Arc<Board>>,
    /// When tranches end, by this process's monotonic time.
    ends: BTreeSet<(Duration, usize)>,
    /// Who waits for an answer, and until when.
    asked: BTreeSet<(Duration, usize)>,
}

/// One campaign.
struct Slot {
    campaign: Arc<Campaign>,
    live: Arc<CampaignLive>,
    tranche: Option<Tranche>,
    posted: Option<Posted>,
    /// What bids took of tranches that are closed, since its owner was told.
    taken: Micros,
    asked_until: Option<Duration>,
    /// How long the next answer is waited for.
    patience: Duration,
}

struct Tranche {
    lease: Arc<Lease>,
    amount: Micros,
    /// What of `taken` its owner was told.
    told: Micros,
    ends: Duration,
}

/// A tranche as the journal says it was granted.
#[derive(Clone, Copy, Debug)]
pub struct Granted {
    /// The campaign's.
    pub campaign: CampaignKey,
    /// When, by its owner's clock.
    pub at: Timestamp,
    /// The number of its lease.
    pub lease: u32,
    /// To whom.
    pub holder: Holder,
    /// How much.
    pub amount: Micros,
    /// How much of it for bids above what predictions say.
    pub explore: Micros,
    /// The number of its first bid.
    pub first: u32,
    /// How many bids.
    pub count: u32,
    /// When it takes no more bids.
    pub closes_at: Timestamp,
    /// When its reservations are released.
    pub expires_at: Timestamp,
}

impl Granted {
    /// What an event says of that, if it does.
    pub fn of(campaign: CampaignKey, at: Timestamp, event: &Event) -> Option<Self> {
        let Event::TrancheGranted { lease, holder, amount, explore, first, count, closes_at, expires_at } =
            *event
        else {
            return None;
        };
        Some(Self { campaign, at, lease, holder, amount, explore, first, count, closes_at, expires_at })
    }

    fn unspent(&self) -> Event {
        Event::Unspent { lease: self.lease, first: self.first, amount: self.amount, bids: 0 }
    }
}

impl Tranche {
    /// What bids took that its owner was not told of yet.
    fn untold(&self, left: Micros) -> Micros {
        (self.amount - left).minus_or_zero(self.told)
    }

    /// Ends it; what is to be told of that, and what bids took of it since that was told.
    fn close(self) -> (Event, Micros) {
        let amount = self.lease.close();
        let (lease, first, bids) = (self.lease.number(), self.lease.first(), self.lease.bids());
        (Event::Unspent { lease, first, amount, bids }, self.untold(amount))
    }
}

impl Purses {
    /// Of a process that has just started.
    pub fn new(holder: Holder) -> Self {
        Self {
            holder,
            slots: Vec::new(),
            numbers: HashMap::new(),
            early: HashMap::new(),
            boards: Vec::new(),
            ends: BTreeSet::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Who this is.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// Bids may be made for a campaign from now on, or under another definition of it.
    pub fn enter(&mut self, campaign: &Arc<Campaign>, live: &Arc<CampaignLive>) {
        if let Some(slot) = self.numbers.get(&campaign.key).and_then(|number| self.slots.get_mut(*number)) {
            slot.campaign = Arc::clone(campaign);
            return;
        }
        let number = self.slots.len();
        if number / Board::BELLS == self.boards.len() {
            self.boards.push(Arc::default());
        }
        if let Some(board) = self.boards.last() {
            live.hang(board.bell(number % Board::BELLS));
        }
        self.numbers.insert(campaign.key, number);
        self.slots.push(Slot {
            campaign: Arc::clone(campaign),
            live: Arc::clone(live),
            tranche: None,
            posted: None,
            taken: Micros::ZERO,
            asked_until: None,
            patience: ASK_AGAIN,
        });
        if let Some(posted) = self.early.remove(&campaign.key) {
            self.posted(campaign.key, posted);
        }
    }

    /// A campaign's owner says how to bid for it. Of one that is not known yet it is kept until it is: the owner may say no more.
    pub fn posted(&mut self, campaign: CampaignKey, posted: Posted) {
        if let Some(slot) = self.numbers.get(&campaign).and_then(|number| self.slots.get_mut(*number)) {
            posted.show(slot.posted.as_ref(), &slot.campaign, &slot.live);
            slot.posted = Some(posted);
        } else if self.early.len() < MOST_EARLY || self.early.contains_key(&campaign) {
            self.early.insert(campaign, posted);
        }
    }

    /// A tranche was granted, to whomever, durably. `elapsed` is this process's monotonic time. What is to be told to the campaign's owner.
    ///
    /// It takes bids for no longer than its owner said, whatever this machine's clock does: so no bid is made after the reservations
    /// of its lease were released.
    pub fn granted(&mut self, granted: &Granted, elapsed: Duration) -> Option<Event> {
        if granted.holder != self.holder {
            return None;
        }
        let number = *self.numbers.get(&granted.campaign).unwrap_or(&usize::MAX);
        let ends = elapsed + granted.closes_at.since(granted.at);
        let Some(slot) = self.slots.get_mut(number).filter(|_| ends > elapsed) else {
            return Some(granted.unspent());
        };
        let numbers = granted.first..granted.first.saturating_add(granted.count);
        let lease = Lease::new(granted.lease, granted.closes_at, granted.expires_at);
        let lease = Arc::new(lease.tranche(granted.amount, granted.explore, numbers));
        slot.live.lease.store(Arc::clone(&lease));
        let tranche = Tranche { lease, amount: granted.amount, told: Micros::ZERO, ends };
        let before = slot.tranche.replace(tranche);
        slot.patience = ASK_AGAIN;
        if let Some(until) = slot.asked_until.take() {
            self.asked.remove(&(until, number));
        }
        self.ends.insert((ends, number));
        slot.show();
        let (event, taken) = before.map(|before| {
            self.ends.remove(&(before.ends, number));
            before.close()
        })?;
        slot.taken += taken;
        Some(event)
    }

    /// Looks at the campaigns whose bells were rung, and at what time has come for. What is to be told to the campaigns' owners.
    pub fn turn(&mut self, elapsed: Duration) -> Vec<(CampaignKey, Event)> {
        let mut told = Vec::new();
        while let Some((at, number)) = self.ends.first().copied().filter(|(at, _)| *at <= elapsed) {
            self.ends.remove(&(at, number));
            self.close(number, &mut told);
        }
        let mut rung = Vec::new();
        for (board, bells) in self.boards.iter().enumerate() {
            bells.answer(|bell| rung.push(board * Board::BELLS + bell));
        }
        while let Some((at, number)) = self.asked.first().copied().filter(|(at, _)| *at <= elapsed) {
            self.asked.remove(&(at, number));
            self.slots.get_mut(number).into_iter().for_each(|slot| slot.asked_until = None);
            rung.push(number);
        }
        for number in rung {
            self.look(number, elapsed, &mut told);
        }
        told
    }

    /// Closes everything. What is to be told to the campaigns' owners.
    pub fn drain(&mut self) -> Vec<(CampaignKey, Event)> {
        let mut told = Vec::new();
        (0..self.slots.len()).for_each(|number| self.close(number, &mut told));
        self.ends.clear();
        told
    }

    /// What a campaign's owner said last.
    pub fn last_posted(&self, campaign: CampaignKey) -> Option<&Posted> {
        self.slots.get(*self.numbers.get(&campaign)?)?.posted.as_ref()
    }

    /// What all tranches have left.
    pub fn left(&self) -> Micros {
        self.slots.iter().filter_map(|slot| slot.tranche.as_ref()).map(|it| it.lease.available()).sum()
    }

    fn close(&mut self, number: usize, told: &mut Vec<(CampaignKey, Event)>) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let Some(tranche) = slot.tranche.take() else { return };
        let (event, taken) = tranche.close();
        slot.taken += taken;
        told.push((slot.campaign.key, event));
        slot.show();
    }

    /// Asks for more where less than half is left, and bids ask.
    fn look(&mut self, number: usize, elapsed: Duration, told: &mut Vec<(CampaignKey, Event)>) {
        let Some(slot) = self.slots.get_mut(number) else { return };
        let left = slot.left();
        if left == Micros::ZERO {
            slot.show();
        }
        if slot.asked_until.is_some() {
            return;
        }
        let low = slot.tranche.as_ref().is_some_and(|tranche| left.0 < tranche.amount.0 / 2);
        if !slot.live.take_wanted() && !low {
            return;
        }
        let untold = slot.tranche.as_mut().map_or(Micros::ZERO, |tranche| {
            let untold = tranche.untold(left);
            tranche.told += untold;
            untold
        });
        let taken = std::mem::take(&mut slot.taken) + untold;
        let until = elapsed + slot.patience;
        slot.patience = (slot.patience * 2).min(MOST_PATIENCE);
        slot.asked_until = Some(until);
        self.asked.insert((until, number));
        told.push((slot.campaign.key, Event::Wanted { holder: self.holder, taken, left }));
    }
}

impl Slot {
    fn left(&self) -> Micros {
        self.tranche.as_ref().map_or(Micros::ZERO, |tranche| tranche.lease.available())
    }

    /// Whether bids may be made follows from what is left, too.
    fn show(&self) {
        if let Some(posted) = &self.posted {
            self.live.set_state(posted.state(self.left()));
        }
    }
}
