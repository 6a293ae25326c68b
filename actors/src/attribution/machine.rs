//! From the journal's records to credits, without threads or clocks.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use haggle_domain::{
    Attribution, AttributionModel, CampaignKey, Credit, Decision, Event, Micros, Order, PrivacyKey, Record,
    Standing, Tag, Timestamp, UserKey,
};
use haggle_learning::attribution::{Fitted, Journeys, Touch, shares, split};
use minicbor::{Decode, Encode};

use super::orders::{Known, ORDER_MEMORY, Orders};
use super::touches::{Kept, Met, Touches, Windows};

/// The checkpoint's name. It holds what users did, so it is among those that an erasure replaces.
pub const CHECKPOINT: &str = "learner/attribution";
/// Touches are kept for so long beyond their windows: for orders that are told of late, and to tell those that came too late
/// from those of strangers.
const LATENESS: Duration = Duration::from_secs(7 * 86_400);
/// How often fitted models are fitted again, by the journal's time.
const REFIT: Duration = Duration::from_secs(3600);
/// One record moves the time by which things are forgotten by at most so much, onwards or back. So a node whose clock is months ahead
/// has nobody forget what others still need: it would take 28 of its records in a row to use up [`LATENESS`], and those of nodes with
/// a right clock take it back as fast. Four records a day keep up with time.
const STEP: Duration = Duration::from_secs(6 * 3600);

/// How orders are credited.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttributorSettings {
    /// By which model.
    pub model: AttributionModel,
    /// How long before an order a click counts.
    pub click_window: Duration,
    /// How long before an order a view counts.
    pub view_window: Duration,
    /// Of [`AttributionModel::Decay`].
    pub half_life: Duration,
    /// Touches that are kept, at most.
    pub touches: usize,
}

impl AttributorSettings {
    fn windows(&self) -> Windows {
        Windows { click: self.click_window, view: self.view_window }
    }
}

/// What came of orders, since the journal's beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Counts {
    /// Campaigns were credited.
    #[n(0)]
    pub credited: u64,
    /// Every touch was longer ago than its window.
    #[n(1)]
    pub late: u64,
    /// Nothing was known of the user.
    #[n(2)]
    pub orphans: u64,
    /// Told of again.
    #[n(3)]
    pub duplicates: u64,
    /// Changed or cancelled after they were placed.
    #[n(4)]
    pub corrected: u64,
    /// Changed, but not known then.
    #[n(5)]
    pub unknown: u64,
    /// Credited by the last click or view, because the configured model was not fitted yet.
    #[n(6)]
    pub unfitted: u64,
}

/// An order that has just been taken in, and what led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Which order.
    pub order: Tag,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// What it brought.
    pub value: Micros,
    /// What became of it.
    pub standing: Standing,
    /// The touches that count for it, oldest first.
    pub path: Vec<Kept>,
}

/// See the module's text.
pub struct Attributor {
    settings: AttributorSettings,
    cursor: u64,
    state: State,
    fitted: Option<Fitted>,
    /// Users forgotten since the start: checkpoints from before still hold what they did.
    forgotten: u64,
    /// Of what is awaited so many were handed over to the journal, the first ones.
    handed: usize,
}

#[derive(Default, Encode, Decode)]
struct State {
    #[n(0)]
    touches: Touches,
    #[n(1)]
    orders: Orders,
    #[n(2)]
    journeys: Journeys,
    #[n(3)]
    counts: Counts,
    /// Found, and not read back from the journal yet.
    #[n(4)]
    awaited: VecDeque<Attribution>,
    /// What the fitted models were fitted to last, and when.
    #[n(5)]
    fitted_to: Option<(Timestamp, Journeys)>,
    /// What time it is by the records so far: see [`STEP`].
    #[n(6)]
    clock: Option<Timestamp>,
}

/// A checkpoint's bytes as of the same records, without what some users did. Orders stay as they are: they name no user.
///
/// # Errors
///
/// The bytes are no state.
pub fn without_users(bytes: &[u8], users: &[PrivacyKey]) -> Result<Vec<u8>, minicbor::decode::Error> {
    let mut state: State = minicbor::decode(bytes)?;
    let users: HashSet<PrivacyKey> = users.iter().copied().collect();
    state.touches.erase_all(&users);
    // Encoding into memory cannot fail.
    Ok(minicbor::to_vec(&state).unwrap_or_default())
}

impl Attributor {
    /// One that knows nothing yet.
    pub fn new(settings: AttributorSettings) -> Self {
        Self { settings, cursor: 0, state: State::default(), fitted: None, forgotten: 0, handed: 0 }
    }

    /// Goes on from a checkpoint that includes all records below `offset`.
    ///
    /// # Errors
    ///
    /// The bytes are no state.
    pub fn restore(&mut self, bytes: &[u8], offset: u64) -> Result<(), minicbor::decode::Error> {
        self.state = minicbor::decode(bytes)?;
        self.fitted = self.state.fitted_to.as_ref().and_then(|(_, journeys)| Fitted::of(journeys));
        (self.cursor, self.handed) = (offset, 0);
        Ok(())
    }

    /// The state, for a checkpoint at [`Attributor::cursor`].
    pub fn save(&mut self) -> Vec<u8> {
        // It names nobody who was erased.
        self.state.touches.sweep();
        minicbor::to_vec(&self.state).unwrap_or_default()
    }

    /// The state without what users did: which orders are known, what became of them, and what is awaited.
    pub fn save_orders(&mut self) -> Vec<u8> {
        self.state.touches = Touches::default();
        self.save()
    }

    /// Records below are taken in.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// What came of orders.
    pub fn counts(&self) -> Counts {
        self.state.counts
    }

    /// Touches that are kept, and those that were dropped for lack of room: of one user, and of all.
    pub fn touches(&self) -> (usize, (u64, u64)) {
        (self.state.touches.len(), self.state.touches.dropped())
    }

    /// Orders that are known.
    pub fn orders(&self) -> usize {
        self.state.orders.len()
    }

    /// What an order brings as far as is known: as the shop says, or else as it was credited. None if the order is not known.
    pub fn value(&self, order: Tag) -> Option<Micros> {
        self.state.orders.get(order).map(|known| known.shop.unwrap_or(known.attribution.value))
    }

    /// What time it is by the records so far. No single one moves it far.
    pub fn now(&self) -> Timestamp {
        self.state.clock.unwrap_or_default()
    }

    /// Users forgotten since the start.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What users met and whether they ordered, so far.
    pub fn journeys(&self) -> &Journeys {
        &self.state.journeys
    }

    /// What was found and is not in the journal as far as it was read. Whoever writes it writes it in this order.
    pub fn awaited(&self) -> impl Iterator<Item = &Attribution> {
        self.state.awaited.iter()
    }

    /// What of that was not handed over to the journal yet.
    pub fn to_write(&self) -> impl Iterator<Item = &Attribution> {
        self.state.awaited.iter().skip(self.handed)
    }

    /// So many of those were handed over, the first ones.
    pub fn handed_over(&mut self, count: usize) {
        self.handed = (self.handed + count).min(self.state.awaited.len());
    }

    /// What was handed over and is not read yet will not come: another decides, or did meanwhile.
    pub fn hand_over_again(&mut self) {
        self.handed = 0;
    }

    /// Takes in one record. Records come in order; those that are known are passed over. Gives the order that it tells of, if
    /// it is a new one.
    pub fn consume(&mut self, offset: u64, record: &Record) -> Option<Found> {
        if offset < self.cursor {
            return None;
        }
        self.cursor = offset + 1;
        let (at, windows) = (record.at, self.settings.windows());
        let kept = LATENESS + windows.click.max(windows.view);
        let clock = self.state.clock.unwrap_or(at);
        let now = at.clamp(clock - STEP, clock + STEP);
        self.state.clock = Some(now);
        let State { touches, orders, journeys, .. } = &mut self.state;
        touches.expire(now - (LATENESS + windows.view), now - (LATENESS + windows.click), &windows, journeys);
        orders.expire(now - ORDER_MEMORY.max(kept));
        match &record.event {
            Event::Impression { decision } => self.met(decision, at, false),
            Event::Click { decision } => self.met(decision, at, true),
            Event::Conversion { decision, revenue, order } => {
                return self.clicked(decision, *revenue, *order, at);
            }
            Event::Ordered { order } => return self.ordered(order, at),
            Event::OrderCorrected { order, value, .. } => self.corrected(*order, *value),
            Event::Attributed { attribution } => self.settled(attribution),
            Event::UserOptedOut { user } | Event::UserErased { user } => {
                self.state.touches.erase(*user);
                self.forgotten += 1;
            }
            _ => {}
        }
        None
    }

    fn met(&mut self, decision: &Decision, at: Timestamp, clicked: bool) {
        let Some(user) = decision.user.map(PrivacyKey::of) else { return };
        let met = Met { bid: decision.bid, at, clicked, noted_at: at.min(self.now()) };
        let State { touches, journeys, .. } = &mut self.state;
        let (windows, capacity) = (self.settings.windows(), self.settings.touches);
        touches.note(user, met, capacity, &windows, journeys);
    }

    /// An order that was told of with a click's token alone.
    fn clicked(&mut self, decision: &Decision, revenue: Micros, order: Tag, at: Timestamp) -> Option<Found> {
        if let Some(known) = self.state.orders.get_mut(order).filter(|known| known.is_told()) {
            // The same order may be told of both ways; only what is told twice in one is repeated.
            let repeated = std::mem::replace(&mut known.by_click, true);
            self.state.counts.duplicates += u64::from(repeated);
            return None;
        }
        let click = Kept::proven(decision.bid, decision.at);
        self.credit(order, None, decision.user, &[click], at, revenue, false)
    }

    fn ordered(&mut self, order: &Order, at: Timestamp) -> Option<Found> {
        if let Some(known) = self.state.orders.get_mut(order.tag) {
            known.attribution.id.get_or_insert_with(|| order.id.clone());
            if known.by_shop {
                self.state.counts.duplicates += 1;
                return None;
            }
            known.by_shop = true;
            // What a browser said, or whoever had its word, is corrected by what the shop's server says: but not where that has
            // corrected it already, in a record from before the journal's beginning.
            let is_corrected = known.attribution.standing == Standing::Corrected;
            let value = if is_corrected { known.attribution.value } else { order.value };
            known.shop.get_or_insert(value);
            let is_told = known.by_click;
            let changes = self.correct(order.tag);
            self.state.counts.corrected += u64::from(changes);
            if is_told {
                return None;
            }
        }
        let clicks: Vec<Kept> =
            order.clicks.iter().map(|click| Kept::proven(click.bid, click.bid_at)).collect();
        let id = Some(order.id.clone());
        self.credit(order.tag, id, order.user, &clicks, order.placed_at.min(at), order.value, true)
    }

    #[allow(clippy::too_many_arguments, reason = "what the two ways to tell of an order have in common")]
    fn credit(
        &mut self,
        order: Tag,
        id: Option<String>,
        user: Option<UserKey>,
        clicks: &[Kept],
        placed_at: Timestamp,
        value: Micros,
        by_shop: bool,
    ) -> Option<Found> {
        let windows = self.settings.windows();
        let user = user.map(PrivacyKey::of);
        let mut met: Vec<Kept> = user.map_or_else(Vec::new, |user| self.state.touches.of(user).to_vec());
        for click in clicks {
            match met.iter_mut().find(|kept| kept.bid == click.bid && kept.clicked) {
                // Its time is that of its record, which a click that waited for its campaign's owner got after the order was placed.
                Some(kept) if kept.at > placed_at => kept.at = kept.at.min(click.at),
                Some(_) => {}
                None => {
                    met.retain(|kept| kept.bid != click.bid);
                    met.push(*click);
                }
            }
        }
        met.retain(|kept| kept.at <= placed_at);
        met.sort_by_key(|kept| (kept.at, kept.bid));
        let mut path: Vec<Kept> = met.iter().filter(|kept| windows.hold(kept, placed_at)).copied().collect();
        // Tokens may name some that the user's touches have not.
        let most = super::touches::MOST_OF_USER;
        path.drain(..path.len().saturating_sub(most));
        let standing = match (path.is_empty(), met.is_empty()) {
            (false, _) => Standing::Credited,
            (true, false) => Standing::Late,
            (true, true) => Standing::Orphan,
        };
        let counts = &mut self.state.counts;
        match standing {
            Standing::Late => counts.late += 1,
            Standing::Orphan => counts.orphans += 1,
            Standing::Credited | Standing::Corrected => counts.credited += 1,
        }
        let (model, credits) = self.credits(&path, placed_at, value);
        let touched: Vec<Touch> = path.iter().map(Kept::touch).collect();
        self.state.journeys.note(&touched, true);
        if let Some(user) = user {
            self.state.touches.ordered(user);
        }
        if let Some(decided) = self.state.orders.get_mut(order) {
            (decided.by_shop, decided.by_click) = (by_shop, !by_shop);
            decided.attribution.id = decided.attribution.id.take().or(id);
        } else {
            let attribution = Attribution { order, id, placed_at, value, standing, model, credits };
            self.state.awaited.push_back(attribution.clone());
            self.state.orders.add(self.now(), Known::new(attribution, by_shop));
            // It may have been changed before it was told of.
            let changes = self.correct(order);
            self.state.counts.corrected += u64::from(changes);
        }
        let value = self.value(order).unwrap_or(value);
        Some(Found { order, placed_at, value, standing, path })
    }

    /// What a path's campaigns are credited with, and by which model.
    fn credits(
        &mut self,
        path: &[Kept],
        placed_at: Timestamp,
        value: Micros,
    ) -> (AttributionModel, Vec<Credit>) {
        let (mut model, now) = (self.settings.model, self.now());
        if model.is_fitted() {
            let stale = self.state.fitted_to.as_ref().is_none_or(|(at, _)| now.since(*at) >= REFIT);
            if stale && let Some(fitted) = Fitted::of(&self.state.journeys) {
                self.fitted = Some(fitted);
                self.state.fitted_to = Some((now, self.state.journeys.clone()));
            }
            if self.fitted.is_none() && !path.is_empty() {
                model = AttributionModel::Last;
                self.state.counts.unfitted += 1;
            }
        }
        let touches: Vec<Touch> = path.iter().map(Kept::touch).collect();
        let shares = shares(model, &touches, placed_at, self.settings.half_life, self.fitted.as_ref());
        let shares = shares.unwrap_or_default();
        (model, by_campaign(&touches, &shares, &split(value, &shares)))
    }

    fn corrected(&mut self, order: Tag, value: Micros) {
        let now = self.now();
        let Some(known) = self.state.orders.get_mut(order) else {
            self.state.orders.add_early(now, order, value);
            self.state.counts.unknown += 1;
            return;
        };
        known.shop = Some(value);
        let changes = self.correct(order);
        self.state.counts.corrected += u64::from(changes);
        self.state.counts.duplicates += u64::from(!changes);
    }

    /// Awaits the correction of an order that the shop says to bring something else; false where it does not.
    fn correct(&mut self, order: Tag) -> bool {
        let corrected = self.state.orders.get_mut(order).and_then(Known::correct);
        let changes = corrected.is_some();
        self.state.awaited.extend(corrected);
        changes
    }

    /// What is in the journal counts, whatever would be found today. Where it is not what was expected next, all that was expected
    /// of the order begins anew from there.
    fn settled(&mut self, attribution: &Attribution) {
        let (order, now) = (attribution.order, self.now());
        let next = self.state.awaited.iter().position(|awaited| awaited.order == order);
        let expected = next.is_some_and(|place| self.state.awaited.get(place) == Some(attribution));
        let mut was_corrected = false;
        let mut place = next.unwrap_or(usize::MAX);
        while let Some(awaited) = self.state.awaited.get(place) {
            if awaited.order != order {
                place += 1;
                continue;
            }
            was_corrected |= awaited.standing == Standing::Corrected;
            self.state.awaited.remove(place);
            self.handed -= usize::from(place < self.handed);
            if expected {
                break;
            }
        }
        match self.state.orders.get_mut(order) {
            Some(_) if expected => return,
            Some(known) => known.settle(attribution),
            None => self.state.orders.add(now, Known::credited(attribution.clone())),
        }
        let changes = self.correct(order);
        self.state.counts.corrected += u64::from(changes && !was_corrected);
    }
}

/// Sums shares and parts of touches by campaigns, by rising keys.
fn by_campaign(touches: &[Touch], shares: &[f64], parts: &[Micros]) -> Vec<Credit> {
    let mut credits: Vec<Credit> = Vec::new();
    for ((touch, share), part) in touches.iter().zip(shares).zip(parts) {
        let place = credits.binary_search_by_key(&touch.campaign, |credit| credit.campaign);
        let place = place.unwrap_or_else(|place| {
            credits.insert(place, nothing(touch.campaign));
            place
        });
        if let Some(credit) = credits.get_mut(place) {
            credit.amount += *part;
            credit.share = credit.share.map(|sum| sum + share);
            credit.touches += 1;
            credit.clicks += u32::from(touch.clicked);
        }
    }
    credits
}

fn nothing(campaign: CampaignKey) -> Credit {
    Credit { campaign, amount: Micros::ZERO, touches: 0, clicks: 0, share: Some(0.0) }
}

mod before;

pub use before::Before;

#[cfg(test)]
mod tests;
