//! All that a campaign's actor must not forget: its ledger, its counts, and which notices it has seen.

use std::collections::BTreeMap;
use std::time::Duration;

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{BidId, Event, Micros, Tag, Timestamp};
use haggle_strategies::explore::ArmCounts;
use haggle_strategies::pacing::Traffic;
use minicbor::{Decode, Encode};

use crate::averages::{Averages, Kind};
use crate::bits::Bits;
use crate::ledger::{Ledger, Violation};
use crate::pauses::Pauses;
use crate::revenues::Revenues;

/// How long an order is known at least, so that a shop that reports one again, under whichever later click, finds it counted.
const ORDERS_REMEMBERED: Duration = Duration::from_secs(35 * 86_400);

/// What came of a campaign's bids, since its beginning.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Stats {
    /// Bids of closed leases.
    #[n(0)]
    pub bids: u64,
    /// Win notices.
    #[n(1)]
    pub wins: u64,
    /// Impressions.
    #[n(2)]
    pub impressions: u64,
    /// Clicks.
    #[n(3)]
    pub clicks: u64,
    /// Orders.
    #[n(4)]
    pub conversions: u64,
    /// What the orders brought.
    #[n(5)]
    pub revenue: Micros,
    /// Per creative.
    #[n(6)]
    pub arms: Vec<ArmCounts>,
    /// What was billed, and what all resolved bids had reserved: their ratio is the share of reserved money that
    /// is spent in the end.
    #[n(7)]
    pub billed: Micros,
    /// See `billed`.
    #[n(8)]
    pub resolved: Micros,
    /// How many bids were billed or lost.
    #[n(9)]
    pub resolutions: u64,
    /// What bids had reserved of which no notice came.
    #[n(10)]
    #[cbor(default)]
    pub expired: Micros,
}

/// What bids above what predictions say have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, Decode)]
pub struct Explored {
    /// The day that `today` is of.
    #[n(0)]
    day: Option<i32>,
    /// Charged on that day.
    #[n(1)]
    pub today: Micros,
    /// Charged since the beginning.
    #[n(2)]
    pub ever: Micros,
}

/// Which notices of a lease's bids have come.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
struct Seen {
    #[n(0)]
    won: Bits,
    #[n(1)]
    shown: Bits,
    /// One above the highest bid number any notice named.
    #[n(2)]
    bids: u32,
    /// The lease said itself how many bids it paid for.
    #[n(3)]
    counted: bool,
}

/// A campaign's memory: a fold over its events, like the [`Ledger`] in it.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Books {
    /// The configured id, once the campaign was defined.
    #[n(0)]
    pub id: Option<Box<str>>,
    /// The money.
    #[n(1)]
    pub ledger: Ledger,
    /// The counts.
    #[n(2)]
    pub stats: Stats,
    /// Per lease that has not expired.
    #[n(3)]
    seen: BTreeMap<u32, Box<Seen>>,
    /// Bids that were clicked, and when they may be forgotten.
    #[n(4)]
    clicked: BTreeMap<(u32, u32), Timestamp>,
    /// Orders that were counted, and when they may be forgotten.
    #[n(5)]
    ordered: BTreeMap<Tag, Timestamp>,
    /// How many orders each bid's click brought, and when the last one came.
    #[n(6)]
    orders: BTreeMap<(u32, u32), (Timestamp, u32)>,
    /// Somebody said that it shall not bid.
    #[n(7)]
    #[cbor(default)]
    pub paused: bool,
    /// Whose counts [`Stats::arms`] are; empty in books from before that was noted.
    #[n(8)]
    #[cbor(default)]
    creatives: Box<[Tag]>,
    #[n(9)]
    #[cbor(default)]
    explored: Explored,
    /// What holds the averages that were promised, once one was.
    #[n(10)]
    #[cbor(default)]
    pub averages: Option<Box<Averages>>,
    /// What orders brought, as far as single ones were noted.
    #[n(11)]
    #[cbor(default)]
    revenues: Revenues,
    /// How many those are, and what they brought together.
    #[n(12)]
    #[cbor(default)]
    noted: (u64, Micros),
    /// How requests come, of a campaign that spends as they do.
    #[n(13)]
    #[cbor(default)]
    pub traffic: Option<Box<Traffic>>,
    /// What was told of `paused`, where several nodes are told.
    #[n(14)]
    #[cbor(default)]
    pauses: Option<Box<Pauses>>,
}

impl Books {
    /// Applies one of the campaign's events. On an error nothing has changed.
    pub fn apply(&mut self, event: &Event, at: Timestamp) -> Result<(), Violation> {
        self.ledger.apply(event)?;
        match event {
            Event::Defined { id } => self.id = Some(id.as_str().into()),
            Event::Paused { paused, told_at } => {
                self.paused = *paused;
                if let Some(at) = told_at {
                    self.pauses.get_or_insert_default().note(*at);
                }
            }
            Event::Creatives { tags } => self.move_counts(tags),
            Event::Steered { goal, total, aim } => {
                let averages = self.averages.get_or_insert_with(|| Box::new(Averages::new(at)));
                averages.steer(at, *goal, *total, *aim);
            }
            Event::LeaseReturned { lease, bids, .. } => {
                let seen = self.seen.entry(*lease).or_default();
                // A lease that a crash cut off cannot say how many bids it paid for; its notices can, in part.
                seen.counted |= *bids > 0;
                self.stats.bids += u64::from(*bids);
            }
            // Its bids' numbers have gaps, so notices do not tell how many there were: its tranches do when they are returned.
            Event::TrancheGranted { lease, .. } => self.seen.entry(*lease).or_default().counted = true,
            Event::TrancheReturned { bids, .. } => self.stats.bids += u64::from(*bids),
            Event::Traffic { hour, imps } => {
                self.traffic.get_or_insert_default().observe(usize::from(*hour), *imps);
            }
            Event::LeaseExpired { lease, amount } => {
                self.stats.expired += *amount;
                if let Some(seen) = self.seen.remove(lease)
                    && !seen.counted
                {
                    self.stats.bids += u64::from(seen.bids);
                }
            }
            Event::Billed { bid, reserved, charged, explored, .. } => {
                self.seen(*bid);
                if *explored {
                    self.explored = self.explored();
                    self.explored.today += *charged;
                    self.explored.ever += *charged;
                }
                self.stats.billed += *charged;
                self.averages.iter_mut().for_each(|averages| averages.paid(at, *charged));
                self.stats.resolved += *reserved;
                self.stats.resolutions += 1;
            }
            Event::Lost { bid, reserved, .. } => {
                self.seen(*bid);
                self.stats.resolved += *reserved;
                self.stats.resolutions += 1;
            }
            Event::Won { bid, .. } => {
                self.seen(*bid).won.insert(bid.number);
                self.stats.wins += 1;
            }
            Event::Impression { decision } => {
                self.seen(decision.bid).shown.insert(decision.bid.number);
                self.stats.impressions += 1;
                self.arm(decision.creative).impressions += 1;
                let (clicks, orders) = (decision.click_probability, decision.order_probability);
                self.averages.iter_mut().for_each(|averages| averages.shown(at, decision.at, clicks, orders));
            }
            Event::Click { decision } => {
                self.clicked.insert((decision.bid.lease, decision.bid.number), at);
                self.stats.clicks += 1;
                self.arm(decision.creative).clicks += 1;
                self.averages.iter_mut().for_each(|averages| averages.came(at, decision.at, Kind::Clicks));
            }
            Event::Conversion { decision, revenue, order } => {
                self.ordered.insert(*order, at);
                let orders = self.orders.entry((decision.bid.lease, decision.bid.number)).or_default();
                *orders = (at, orders.1.saturating_add(1));
                self.stats.conversions += 1;
                let odd = if planted(Bug::RevenueInUnits) { revenue.0 % 1_000_000 } else { 0 };
                self.stats.revenue = self.stats.revenue.saturating_add(*revenue - Micros(odd));
                self.revenues.note(*revenue);
                self.noted = (self.noted.0 + 1, self.noted.1.saturating_add(*revenue));
                self.averages.iter_mut().for_each(|averages| averages.came(at, decision.at, Kind::Orders));
            }
            Event::BudgetOpened { .. }
            | Event::BudgetLapsed { .. }
            | Event::LeaseGranted { .. }
            | Event::Noticed { .. }
            | Event::Wanted { .. }
            | Event::Unspent { .. }
            | Event::Heard { .. }
            | Event::Bid { .. }
            | Event::Behaviour { .. }
            | Event::Eligible { .. }
            | Event::UserOptedOut { .. }
            | Event::UserErased { .. }
            | Event::Ordered { .. }
            | Event::OrderCorrected { .. }
            | Event::Attributed { .. }
            | Event::PostedBack { .. }
            | Event::BilledLate { .. }
            | Event::Redacted => {}
        }
        Ok(())
    }

    /// What bids above what predictions say have cost.
    pub fn explored(&self) -> Explored {
        let day = self.ledger.day();
        let today = if self.explored.day == day { self.explored.today } else { Micros::ZERO };
        Explored { day, today, ever: self.explored.ever }
    }

    /// Whether the counts are those of these creatives.
    pub fn counts_for(&self, creatives: &[Tag]) -> bool {
        *self.creatives == *creatives
    }

    /// Books from before creatives were noted have counted for the same positions.
    fn move_counts(&mut self, tags: &[Tag]) {
        let before = std::mem::replace(&mut self.creatives, tags.into());
        if before.is_empty() || self.stats.arms.is_empty() {
            return;
        }
        let counted = |tag: &Tag| {
            let position = before.iter().position(|known| known == tag)?;
            self.stats.arms.get(position).copied()
        };
        self.stats.arms = tags.iter().map(|tag| counted(tag).unwrap_or_default()).collect();
    }

    /// Whether there are clicks or orders that time will make it forget.
    pub fn remembers(&self) -> bool {
        !(self.clicked.is_empty() && self.ordered.is_empty() && self.orders.is_empty())
    }

    fn seen(&mut self, bid: BidId) -> &mut Seen {
        let seen = self.seen.entry(bid.lease).or_default();
        seen.bids = seen.bids.max(bid.number.saturating_add(1));
        seen
    }

    fn arm(&mut self, creative: u16) -> &mut ArmCounts {
        let index = usize::from(creative);
        if index >= self.stats.arms.len() {
            self.stats.arms.resize(index + 1, ArmCounts::default());
        }
        &mut self.stats.arms[index]
    }

    /// Whether the bid's win notice has come.
    pub fn was_won(&self, bid: BidId) -> bool {
        self.seen.get(&bid.lease).is_some_and(|seen| seen.won.contains(bid.number))
    }

    /// Whether the bid's impression has come.
    pub fn was_shown(&self, bid: BidId) -> bool {
        self.seen.get(&bid.lease).is_some_and(|seen| seen.shown.contains(bid.number))
    }

    /// Whether the bid's click has come.
    pub fn was_clicked(&self, bid: BidId) -> bool {
        self.clicked.contains_key(&(bid.lease, bid.number))
    }

    /// Whether what a node was told at that time, that it shall not bid or shall again, is known.
    pub fn was_told_to_pause(&self, at: Timestamp) -> bool {
        self.pauses.as_ref().is_some_and(|pauses| pauses.is_known(at))
    }

    /// Whether the order has been counted.
    pub fn was_ordered(&self, order: Tag) -> bool {
        self.ordered.contains_key(&order)
    }

    /// How many orders the bid's click brought.
    pub fn orders_of(&self, bid: BidId) -> u32 {
        self.orders.get(&(bid.lease, bid.number)).map_or(0, |(_, orders)| *orders)
    }

    /// Forgets clicks and orders whose tokens no longer count. Not an event: it follows from time alone.
    pub fn forget(&mut self, now: Timestamp, click_expiry: Duration, conversion_window: Duration) {
        self.clicked.retain(|_, at| now.since(*at) <= click_expiry);
        let window = conversion_window.max(ORDERS_REMEMBERED);
        self.ordered.retain(|_, at| now.since(*at) <= window);
        self.orders.retain(|_, (at, _)| now.since(*at) <= conversion_window);
    }

    /// Bids of leases that nobody counted yet, as far as notices tell.
    pub fn uncounted_bids(&self, except: u32) -> u64 {
        self.seen
            .iter()
            .filter(|(lease, seen)| **lease != except && !seen.counted)
            .map(|(_, seen)| u64::from(seen.bids))
            .sum()
    }

    /// What the open bids of the current day are expected to be billed, where `free` is what the open lease `open` still has for
    /// bids. Of a lease's money a part is resolved in the end, as seen so far: where exchanges tell nothing of bids that lost, little is
    /// to be expected of a lease most of whose bids must have been billed by now.
    pub fn expected(&self, open: u32, free: Micros) -> Micros {
        // Each prior weighs as much as ten cents of reservations: that all is resolved, and that half of that is billed.
        const PRIOR: f64 = 0.1;
        let Stats { billed, resolved, expired, .. } = &self.stats;
        let (billed, resolved, expired) = (billed.to_f64(), resolved.to_f64(), expired.to_f64());
        let resolves = (resolved + PRIOR) / (resolved + expired + PRIOR);
        let today = self.ledger.leases().filter(|(_, book)| self.ledger.day() == Some(book.day()));
        let to_come = today.map(|(number, book)| {
            let free = if number == open { free } else { Micros::ZERO };
            let taken = book.held().minus_or_zero(free) + book.resolved();
            (taken.to_f64() * resolves - book.resolved().to_f64()).max(0.0)
        });
        let to_come: f64 = to_come.sum();
        Micros((to_come * (billed + PRIOR / 2.0) / (resolved + PRIOR) * 1e6) as i64)
    }

    /// What a bid reserves on average, as seen so far.
    pub fn mean_reservation(&self) -> Option<Micros> {
        let resolutions = i64::try_from(self.stats.resolutions).ok().filter(|count| *count > 0)?;
        Some(Micros(self.stats.resolved.0 / resolutions))
    }

    /// The mean revenue of an order: what was configured weighs as much as ten orders, and no order counts for more than ten
    /// times the middle one.
    pub fn order_value(&self, configured: Micros) -> Micros {
        let (orders, revenue) = self.noted;
        let earlier = self.stats.conversions.saturating_sub(orders);
        self.revenues.mean(configured, earlier, self.stats.revenue.minus_or_zero(revenue))
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{CampaignKey, Decision};

    use super::*;

    #[test]
    fn order_value_moves_from_the_configured_to_the_seen() {
        let mut books = Books::default();
        let configured = Micros::from_units(70);
        assert_eq!(books.order_value(configured), configured);
        for order in 0..990 {
            let event = Event::Conversion {
                decision: Decision::default(),
                revenue: Micros::from_units(30),
                order: Tag(order + 1),
            };
            books.apply(&event, Timestamp(0)).unwrap();
        }
        assert_eq!(books.order_value(configured), Micros(30_400_000));
    }

    #[test]
    fn counts_follow_their_creatives() {
        let mut books = Books::default();
        let at = Timestamp(0);
        let (a, b, c) = (Tag(1), Tag(2), Tag(3));
        let shown = |creative| Event::Impression { decision: Decision { creative, ..Decision::default() } };
        books.apply(&shown(1), at).unwrap();
        // Books that do not say whose counts they are have counted for the same positions.
        books.apply(&Event::Creatives { tags: vec![a, b] }, at).unwrap();
        books.apply(&Event::Creatives { tags: vec![b, c, a] }, at).unwrap();
        let impressions: Vec<u64> = books.stats.arms.iter().map(|arm| arm.impressions).collect();
        assert_eq!(impressions, [1, 0, 0]);
        assert!(books.counts_for(&[b, c, a]));
        let bytes = minicbor::to_vec(&books).unwrap();
        assert_eq!(minicbor::decode::<Books>(&bytes).unwrap(), books);
    }

    /// [`Books`] as they were before averages were held.
    #[derive(Encode)]
    struct Before {
        #[n(0)]
        id: Option<Box<str>>,
        #[n(1)]
        ledger: Ledger,
        #[n(2)]
        stats: Stats,
        #[n(3)]
        seen: BTreeMap<u32, Box<Seen>>,
        #[n(4)]
        clicked: BTreeMap<(u32, u32), Timestamp>,
        #[n(5)]
        ordered: BTreeMap<Tag, Timestamp>,
        #[n(6)]
        orders: BTreeMap<(u32, u32), (Timestamp, u32)>,
        #[n(7)]
        paused: bool,
        #[n(8)]
        creatives: Box<[Tag]>,
    }

    #[test]
    fn a_checkpoint_from_before_averages_were_held_is_read() {
        let stats = Stats { conversions: 990, revenue: Micros::from_units(990 * 30), ..Stats::default() };
        let before = Before {
            id: Some("boots".into()),
            ledger: Ledger::default(),
            stats,
            seen: BTreeMap::new(),
            clicked: BTreeMap::new(),
            ordered: BTreeMap::new(),
            orders: BTreeMap::new(),
            paused: true,
            creatives: Box::new([Tag(1)]),
        };
        let books: Books = minicbor::decode(&minicbor::to_vec(&before).unwrap()).unwrap();
        assert!(books.paused && books.averages.is_none() && books.counts_for(&[Tag(1)]));
        assert_eq!(books.order_value(Micros::from_units(70)), Micros(30_400_000), "earlier orders count");
    }

    #[test]
    fn what_open_bids_will_cost_follows_what_became_of_others() {
        let mut books = Books::default();
        let at = Timestamp(0);
        let units = Micros::from_units;
        let granted = |lease| Event::LeaseGranted {
            lease,
            amount: units(100),
            expires_at: Timestamp(5),
            shared: false,
        };
        let bid = |lease, number| BidId { campaign: CampaignKey(1), lease, number };
        let billed = |bid| Event::Billed {
            bid,
            reserved: units(10),
            charged: units(5),
            capped: false,
            explored: false,
        };
        let is = |books: &Books, open, free, expected: f64| {
            let found = books.expected(open, units(free)).to_f64();
            // What has come of a lease itself moves what is thought of all.
            assert!((found - expected).abs() < 1.0, "{found} is not {expected}");
        };
        books.apply(&Event::BudgetOpened { day: 0, amount: units(1_000) }, at).unwrap();
        books.apply(&granted(0), at).unwrap();
        is(&books, 0, 40, 30.0);
        // Of twenty units that a bid takes one is billed, at half of what it reserved; nothing is told of the others.
        for lease in 0..5 {
            if lease > 0 {
                books.apply(&granted(lease), at).unwrap();
            }
            (0..2).for_each(|number| books.apply(&billed(bid(lease, number)), at).unwrap());
            books.apply(&Event::LeaseReturned { lease, amount: units(60), bids: 4 }, at).unwrap();
            books.apply(&Event::LeaseExpired { lease, amount: units(20) }, at).unwrap();
        }
        books.apply(&granted(5), at).unwrap();
        is(&books, 5, 60, 10.0);
        books.apply(&billed(bid(5, 0)), at).unwrap();
        is(&books, 5, 60, 5.0);
        books.apply(&billed(bid(5, 1)), at).unwrap();
        is(&books, 5, 60, 0.0);
        // Another day's bids are another day's spend.
        books.apply(&Event::BudgetOpened { day: 1, amount: Micros::ZERO }, at).unwrap();
        books.apply(&granted(6), at).unwrap();
        is(&books, 6, 0, 27.3);
    }

    #[test]
    fn a_lease_cut_off_by_a_crash_counts_the_bids_its_notices_named() {
        let mut books = Books::default();
        let at = Timestamp(0);
        books.apply(&Event::BudgetOpened { day: 0, amount: Micros(100) }, at).unwrap();
        books
            .apply(
                &Event::LeaseGranted {
                    lease: 0,
                    amount: Micros(100),
                    expires_at: Timestamp(5),
                    shared: false,
                },
                at,
            )
            .unwrap();
        let bid = BidId { campaign: CampaignKey(1), lease: 0, number: 6 };
        books
            .apply(
                &Event::Billed {
                    bid,
                    reserved: Micros(5),
                    charged: Micros(5),
                    capped: false,
                    explored: false,
                },
                at,
            )
            .unwrap();
        books.apply(&Event::LeaseReturned { lease: 0, amount: Micros(0), bids: 0 }, at).unwrap();
        assert_eq!(books.uncounted_bids(u32::MAX), 7);
        books.apply(&Event::LeaseExpired { lease: 0, amount: Micros(95) }, at).unwrap();
        assert_eq!((books.stats.bids, books.uncounted_bids(u32::MAX)), (7, 0));
    }
}
