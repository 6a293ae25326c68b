//! A campaign's money, as a fold over its events.
//!
//! The ledger changes by [`Ledger::apply`] alone, live and in replay, so what was acknowledged and what a restart
//! recovers cannot differ. Every event that would break a rule of bookkeeping is refused with the rule's name.
//!
//! Accounts: *opened* and *lapsed* (the outside), *unleased*, one account a lease, *settled*.

use std::collections::BTreeMap;

use haggle_domain::planted::{Bug, planted};
use haggle_domain::{BidId, Event, Holder, Micros, Timestamp};
use minicbor::{Decode, Encode};

use crate::bits::Bits;

/// The rule that an event would break. The names are also the labels of the metric that counts violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An amount below zero.
    #[error("an amount is negative")]
    NegativeAmount,
    /// More was taken from unleased money than there is.
    #[error("more money was leased or lapsed than was unleased")]
    Overdrawn,
    /// A lease that is not open, not known, or out of order.
    #[error("the lease is not known, or not open")]
    UnknownLease,
    /// More came out of a lease than was in it.
    #[error("more came back or was charged than the lease held")]
    LeaseOverdrawn,
    /// A charge above what the bid reserved.
    #[error("a bid was charged more than it reserved")]
    ChargedAboveReservation,
    /// A bid resolved twice.
    #[error("a bid was settled or released twice")]
    ResolvedTwice,
    /// The accounts do not add up.
    #[error("settled + reserved + unspent is not the budget")]
    Unbalanced,
}

impl Violation {
    /// Every rule.
    pub const ALL: [Self; 7] = [
        Self::NegativeAmount,
        Self::Overdrawn,
        Self::UnknownLease,
        Self::LeaseOverdrawn,
        Self::ChargedAboveReservation,
        Self::ResolvedTwice,
        Self::Unbalanced,
    ];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NegativeAmount => "negative_amount",
            Self::Overdrawn => "overdrawn",
            Self::UnknownLease => "unknown_lease",
            Self::LeaseOverdrawn => "lease_overdrawn",
            Self::ChargedAboveReservation => "charged_above_reservation",
            Self::ResolvedTwice => "resolved_twice",
            Self::Unbalanced => "unbalanced",
        }
    }
}

/// The account of one lease.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct LeaseBook {
    /// What was put in.
    #[n(0)]
    granted: Micros,
    /// What came back unreserved when it was closed.
    #[n(1)]
    returned: Micros,
    /// What its resolved bids had reserved.
    #[n(2)]
    resolved: Micros,
    /// When its reservations end.
    #[n(3)]
    expires_at: Timestamp,
    /// The advertiser's day it was granted on.
    #[n(4)]
    day: i32,
    /// It takes no more bids.
    #[n(5)]
    closed: bool,
    /// Which of its bids are resolved.
    #[n(6)]
    bids: Bits,
    /// Which of those lost.
    #[n(7)]
    lost: Bits,
    /// Its parts, by the numbers of their first bids; `None` for a lease that bids take from directly.
    #[n(8)]
    tranches: Option<BTreeMap<u32, Tranche>>,
}

/// A part of a lease, as one process holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Encode, Decode)]
struct Tranche {
    /// What was put in.
    #[n(0)]
    granted: Micros,
    /// How many bids it can pay for.
    #[n(1)]
    count: u32,
    /// What its resolved bids had reserved.
    #[n(2)]
    resolved: Micros,
    /// What came back unreserved, once it was closed.
    #[n(3)]
    returned: Option<Micros>,
    /// Who has it.
    #[n(4)]
    holder: Holder,
    /// When it takes no more bids.
    #[n(5)]
    closes_at: Timestamp,
}

impl Tranche {
    /// What it may still be charged.
    fn held(&self) -> Micros {
        self.granted - self.returned.unwrap_or_default() - self.resolved
    }
}

/// How a bid's reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It waits for its notice.
    Open,
    /// It was billed.
    Billed,
    /// It was released by a loss notice.
    Lost,
}

impl LeaseBook {
    /// What the lease still holds: reserved by bids, or (while it is open) not yet taken.
    pub fn held(&self) -> Micros {
        self.granted - self.returned - self.resolved
    }

    /// What of a shared lease no process was ever given: all that it holds but for its tranches. `None` for a lease that bids
    /// take from directly, of which only its purse knows that.
    pub fn undistributed(&self) -> Option<Micros> {
        let tranches = self.tranches.as_ref()?;
        let given: Micros = tranches.values().map(|tranche| tranche.granted).sum();
        Some(if self.closed { Micros::ZERO } else { self.granted - given })
    }

    /// The number above all that its tranches may give to bids.
    pub fn next_number(&self) -> u32 {
        let last = self.tranches.as_ref().and_then(|tranches| tranches.last_key_value());
        last.map_or(0, |(first, tranche)| first.saturating_add(tranche.count))
    }

    /// What its resolved bids had reserved.
    pub fn resolved(&self) -> Micros {
        self.resolved
    }

    /// When its reservations end.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether it takes no more bids.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The advertiser's day it was granted on.
    pub fn day(&self) -> i32 {
        self.day
    }
}

/// A campaign's money.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Ledger {
    #[n(0)]
    opened: Micros,
    #[n(1)]
    lapsed: Micros,
    #[n(2)]
    unleased: Micros,
    #[n(3)]
    settled: Micros,
    /// The advertiser's current day, from the last opening.
    #[n(4)]
    day: Option<i32>,
    /// Settled on leases of the current day.
    #[n(5)]
    settled_today: Micros,
    #[n(6)]
    /// Boxed, because a tree makes room for several at once and most campaigns have one.
    leases: BTreeMap<u32, Box<LeaseBook>>,
    /// No later lease has a number below this.
    #[n(7)]
    next_lease: u32,
    /// Billing notices that asked for more than the signed ceiling.
    #[n(8)]
    capped: u64,
}

impl Ledger {
    /// Applies one event. An event that moves no money changes nothing. On an error nothing has changed.
    pub fn apply(&mut self, event: &Event) -> Result<(), Violation> {
        match *event {
            Event::BudgetOpened { day, amount } => {
                non_negative(amount)?;
                if self.day != Some(day) {
                    self.day = Some(day);
                    self.settled_today = Micros::ZERO;
                }
                self.opened += amount;
                self.unleased += amount;
            }
            Event::BudgetLapsed { amount } => {
                non_negative(amount)?;
                if amount > self.unleased {
                    return Err(Violation::Overdrawn);
                }
                self.unleased -= amount;
                self.lapsed += amount;
            }
            Event::LeaseGranted { lease, amount, expires_at, shared } => {
                self.grant(lease, amount, expires_at, shared)?;
            }
            Event::TrancheGranted { lease, holder, amount, first, count, closes_at, .. } => {
                non_negative(amount)?;
                let book =
                    self.leases.get_mut(&lease).filter(|book| !book.closed).ok_or(Violation::UnknownLease)?;
                if amount > book.undistributed().ok_or(Violation::UnknownLease)? {
                    return Err(Violation::LeaseOverdrawn);
                }
                if first < book.next_number() || count == 0 || first.checked_add(count).is_none() {
                    return Err(Violation::UnknownLease);
                }
                let tranche = Tranche { granted: amount, count, holder, closes_at, ..Tranche::default() };
                book.tranches.get_or_insert_default().insert(first, tranche);
            }
            Event::TrancheReturned { lease, first, amount, .. } => {
                non_negative(amount)?;
                let book = self.leases.get_mut(&lease).ok_or(Violation::UnknownLease)?;
                let tranche = book.tranches.as_mut().and_then(|tranches| tranches.get_mut(&first));
                let tranche = tranche.filter(|it| it.returned.is_none()).ok_or(Violation::UnknownLease)?;
                if amount > tranche.held() {
                    return Err(Violation::LeaseOverdrawn);
                }
                tranche.returned = Some(amount);
                book.returned += amount;
                self.unleased += amount;
            }
            Event::LeaseReturned { lease, amount, .. } => {
                non_negative(amount)?;
                let book =
                    self.leases.get_mut(&lease).filter(|book| !book.closed).ok_or(Violation::UnknownLease)?;
                if amount > book.undistributed().unwrap_or(book.held()) {
                    return Err(Violation::LeaseOverdrawn);
                }
                book.returned += amount;
                book.closed = true;
                self.unleased += amount;
            }
            Event::LeaseExpired { lease, amount } => {
                let book = self.leases.get(&lease).ok_or(Violation::UnknownLease)?;
                if amount != book.held() {
                    return Err(Violation::LeaseOverdrawn);
                }
                self.leases.remove(&lease);
                self.unleased += amount;
            }
            Event::Billed { bid, reserved, charged, capped, .. } => {
                if charged > reserved {
                    return Err(Violation::ChargedAboveReservation);
                }
                let day = self.resolve(bid, reserved, charged)?;
                self.settled += charged;
                if self.day == Some(day) {
                    self.settled_today += charged;
                }
                self.unleased += reserved - charged;
                self.capped += u64::from(capped);
            }
            Event::Lost { bid, reserved, .. } => {
                self.resolve(bid, reserved, Micros::ZERO)?;
                if let Some(book) = self.leases.get_mut(&bid.lease) {
                    book.lost.insert(bid.number);
                }
                self.unleased += reserved;
            }
            Event::Defined { .. }
            | Event::Paused { .. }
            | Event::Steered { .. }
            | Event::Creatives { .. }
            | Event::Traffic { .. }
            | Event::Bid { .. }
            | Event::Won { .. }
            | Event::Impression { .. }
            | Event::Click { .. }
            | Event::Conversion { .. }
            | Event::Behaviour { .. }
            | Event::Eligible { .. }
            | Event::UserOptedOut { .. }
            | Event::UserErased { .. }
            | Event::Ordered { .. }
            | Event::OrderCorrected { .. }
            | Event::Attributed { .. }
            | Event::PostedBack { .. }
            | Event::BilledLate { .. }
            | Event::Noticed { .. }
            | Event::Wanted { .. }
            | Event::Unspent { .. }
            | Event::Heard { .. }
            | Event::Redacted => {}
        }
        Ok(())
    }

    fn grant(
        &mut self,
        lease: u32,
        amount: Micros,
        expires_at: Timestamp,
        shared: bool,
    ) -> Result<(), Violation> {
        non_negative(amount)?;
        if amount > self.unleased {
            return Err(Violation::Overdrawn);
        }
        if let Some(book) = self.leases.get_mut(&lease) {
            if book.closed || book.tranches.is_some() != shared {
                return Err(Violation::UnknownLease);
            }
            book.granted += amount;
        } else {
            if lease < self.next_lease {
                return Err(Violation::UnknownLease);
            }
            let day = self.day.unwrap_or_default();
            let tranches = shared.then(BTreeMap::new);
            let book = LeaseBook { granted: amount, expires_at, day, tranches, ..LeaseBook::default() };
            self.leases.insert(lease, Box::new(book));
            self.next_lease = lease.saturating_add(1);
        }
        self.unleased -= amount;
        Ok(())
    }

    /// Ends a bid's reservation; gives the day of its lease.
    fn resolve(&mut self, bid: BidId, reserved: Micros, charged: Micros) -> Result<i32, Violation> {
        non_negative(reserved)?;
        non_negative(charged)?;
        let book = self.leases.get_mut(&bid.lease).ok_or(Violation::UnknownLease)?;
        if book.bids.contains(bid.number) && !planted(Bug::DoubleSettlement) {
            return Err(Violation::ResolvedTwice);
        }
        if reserved > book.held() {
            return Err(Violation::LeaseOverdrawn);
        }
        if let Some(tranches) = &mut book.tranches {
            let tranche = tranches.range_mut(..=bid.number).next_back();
            let tranche = tranche.filter(|(first, it)| bid.number - **first < it.count);
            let (_, tranche) = tranche.ok_or(Violation::UnknownLease)?;
            if reserved > tranche.held() {
                return Err(Violation::LeaseOverdrawn);
            }
            tranche.resolved += reserved;
        }
        book.bids.insert(bid.number);
        book.resolved += reserved;
        Ok(book.day)
    }

    /// How the bid's reservation stands; `None` if its lease has expired.
    pub fn resolution(&self, bid: BidId) -> Option<Resolution> {
        let book = self.leases.get(&bid.lease)?;
        Some(
            match (
                book.bids.contains(bid.number) && !planted(Bug::DoubleSettlement),
                book.lost.contains(bid.number),
            ) {
                (false, _) => Resolution::Open,
                (true, false) => Resolution::Billed,
                (true, true) => Resolution::Lost,
            },
        )
    }

    /// What an open tranche can at most still be charged; `None` where it has come back, or its lease has expired.
    pub fn in_tranche(&self, lease: u32, first: u32) -> Option<Micros> {
        let tranche = self.leases.get(&lease)?.tranches.as_ref()?.get(&first)?;
        tranche.returned.is_none().then(|| tranche.held())
    }

    /// What processes can still take of tranches at most, with what bids took of them that were not billed or lost.
    pub fn held(&self, now: Timestamp) -> impl Iterator<Item = (Holder, Micros)> {
        let tranches =
            self.leases.values().filter_map(|book| book.tranches.as_ref()).flat_map(BTreeMap::values);
        let open = tranches.filter(move |tranche| tranche.returned.is_none() && now < tranche.closes_at);
        open.map(|tranche| (tranche.holder, tranche.held()))
    }

    /// The budget so far: what was opened and did not lapse.
    pub fn budget(&self) -> Micros {
        self.opened - self.lapsed
    }

    /// What was charged, ever.
    pub fn settled(&self) -> Micros {
        self.settled
    }

    /// What was charged for bids of the current day.
    pub fn settled_today(&self) -> Micros {
        self.settled_today
    }

    /// What stands in leases: reserved by bids, or put where bids may take it.
    pub fn leased(&self) -> Micros {
        self.leases.values().map(|book| book.held()).sum()
    }

    /// What stands in leases of the current day.
    pub fn leased_today(&self) -> Micros {
        let today = self.leases.values().filter(|book| self.day == Some(book.day));
        today.map(|book| book.held()).sum()
    }

    /// What is neither spent nor leased.
    pub fn unleased(&self) -> Micros {
        self.unleased
    }

    /// The advertiser's current day.
    pub fn day(&self) -> Option<i32> {
        self.day
    }

    /// The leases that have not expired, in order.
    pub fn leases(&self) -> impl Iterator<Item = (u32, &LeaseBook)> {
        self.leases.iter().map(|(number, book)| (*number, &**book))
    }

    /// The least number the next lease may have.
    pub fn next_lease(&self) -> u32 {
        self.next_lease
    }

    /// How many billing notices asked for more than the signed ceiling.
    pub fn capped(&self) -> u64 {
        self.capped
    }

    /// The design's equation: settled + leased + unleased = budget, and nothing below zero.
    pub fn check(&self) -> Result<(), Violation> {
        let parts = [self.settled, self.unleased, self.budget(), self.settled_today];
        let leases = self.leases.values().flat_map(|book| [book.held(), book.granted, book.returned]);
        if parts.into_iter().chain(leases).any(|amount| amount < Micros::ZERO) {
            return Err(Violation::NegativeAmount);
        }
        if self.settled + self.leased() + self.unleased != self.budget() {
            return Err(Violation::Unbalanced);
        }
        Ok(())
    }
}

fn non_negative(amount: Micros) -> Result<(), Violation> {
    if amount < Micros::ZERO { Err(Violation::NegativeAmount) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use haggle_domain::CampaignKey;
    use proptest::prelude::*;

    use super::*;

    fn bid(lease: u32, number: u32) -> BidId {
        BidId { campaign: CampaignKey(1), lease, number }
    }

    fn billed(lease: u32, number: u32, reserved: i64, charged: i64) -> Event {
        Event::Billed {
            bid: bid(lease, number),
            reserved: Micros(reserved),
            charged: Micros(charged),
            explored: false,
            capped: false,
        }
    }

    fn open(amount: i64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.apply(&Event::BudgetOpened { day: 1, amount: Micros(amount) }).unwrap();
        ledger
    }

    fn granted(amount: i64, lease: u32, grant: i64) -> Ledger {
        let mut ledger = open(amount);
        for lease in 0..=lease {
            ledger
                .apply(&Event::LeaseGranted {
                    lease,
                    amount: Micros(grant),
                    expires_at: Timestamp(9),
                    shared: false,
                })
                .unwrap();
        }
        ledger
    }

    #[test]
    fn a_bid_is_charged_once_and_the_difference_comes_back() {
        let mut ledger = granted(100, 0, 40);
        ledger.apply(&billed(0, 0, 10, 7)).unwrap();
        assert_eq!(ledger.apply(&billed(0, 0, 10, 7)), Err(Violation::ResolvedTwice));
        assert_eq!(
            (ledger.settled(), ledger.leased(), ledger.unleased()),
            (Micros(7), Micros(30), Micros(63))
        );
        ledger.check().unwrap();
    }

    #[test]
    fn every_rule_is_enforced_and_a_refused_event_changes_nothing() {
        let mut ledger = granted(100, 0, 40);
        ledger.apply(&billed(0, 5, 30, 30)).unwrap();
        let before = ledger.clone();
        let lost = |lease, number, reserved| Event::Lost {
            bid: bid(lease, number),
            reserved: Micros(reserved),
            min_to_win: None,
            ceiling: Default::default(),
            exchange: Default::default(),
            quote: Default::default(),
        };
        let expires_at = Timestamp(9);
        for (event, violation) in [
            (Event::BudgetOpened { day: 1, amount: Micros(-1) }, Violation::NegativeAmount),
            (Event::BudgetLapsed { amount: Micros(61) }, Violation::Overdrawn),
            (
                Event::LeaseGranted { lease: 0, amount: Micros(61), expires_at, shared: false },
                Violation::Overdrawn,
            ),
            (Event::LeaseReturned { lease: 0, amount: Micros(11), bids: 0 }, Violation::LeaseOverdrawn),
            (Event::LeaseReturned { lease: 1, amount: Micros(0), bids: 0 }, Violation::UnknownLease),
            (Event::LeaseExpired { lease: 0, amount: Micros(9) }, Violation::LeaseOverdrawn),
            (billed(0, 6, 5, 6), Violation::ChargedAboveReservation),
            (billed(0, 6, 11, 1), Violation::LeaseOverdrawn),
            (lost(0, 5, 1), Violation::ResolvedTwice),
            (lost(7, 0, 1), Violation::UnknownLease),
        ] {
            assert_eq!(ledger.apply(&event), Err(violation), "{event:?}");
            assert_eq!(ledger, before, "{event:?}");
        }
    }

    #[test]
    fn money_of_an_expired_lease_comes_back_and_its_bids_are_forgotten() {
        let mut ledger = granted(100, 0, 40);
        ledger.apply(&billed(0, 0, 10, 10)).unwrap();
        ledger.apply(&Event::LeaseReturned { lease: 0, amount: Micros(5), bids: 0 }).unwrap();
        ledger.apply(&Event::LeaseExpired { lease: 0, amount: Micros(25) }).unwrap();
        assert_eq!((ledger.leased(), ledger.unleased()), (Micros(0), Micros(90)));
        assert_eq!(ledger.resolution(bid(0, 0)), None);
        assert_eq!(ledger.apply(&billed(0, 0, 10, 10)), Err(Violation::UnknownLease));
        ledger.check().unwrap();
    }

    #[test]
    fn yesterdays_bids_do_not_count_as_todays_spend() {
        let mut ledger = granted(100, 0, 40);
        ledger.apply(&billed(0, 0, 10, 10)).unwrap();
        ledger.apply(&Event::BudgetOpened { day: 2, amount: Micros(50) }).unwrap();
        assert_eq!(ledger.settled_today(), Micros::ZERO);
        ledger.apply(&billed(0, 1, 10, 10)).unwrap();
        assert_eq!((ledger.settled_today(), ledger.settled()), (Micros::ZERO, Micros(20)));
        ledger.check().unwrap();
    }

    #[test]
    fn a_tranche_is_charged_for_its_own_bids_alone_and_no_more_than_was_put_in() {
        let mut ledger = open(100);
        let expires_at = Timestamp(9);
        let lease = Event::LeaseGranted { lease: 0, amount: Micros(50), expires_at, shared: true };
        ledger.apply(&lease).unwrap();
        let tranche = |first, amount| Event::TrancheGranted {
            lease: 0,
            holder: Holder(7),
            amount: Micros(amount),
            first,
            count: 10,
            explore: Micros::ZERO,
            closes_at: expires_at,
            expires_at,
        };
        assert_eq!(ledger.apply(&tranche(0, 51)), Err(Violation::LeaseOverdrawn));
        ledger.apply(&tranche(0, 20)).unwrap();
        assert_eq!(ledger.apply(&tranche(9, 5)), Err(Violation::UnknownLease), "its numbers overlap");
        ledger.apply(&tranche(10, 20)).unwrap();
        ledger.apply(&billed(0, 3, 15, 15)).unwrap();
        assert_eq!(ledger.apply(&billed(0, 4, 6, 6)), Err(Violation::LeaseOverdrawn), "the other one has it");
        assert_eq!(ledger.apply(&billed(0, 20, 1, 1)), Err(Violation::UnknownLease), "nobody was given that");
        let returned =
            |amount| Event::TrancheReturned { lease: 0, first: 10, amount: Micros(amount), bids: 1 };
        assert_eq!(ledger.apply(&returned(21)), Err(Violation::LeaseOverdrawn));
        ledger.apply(&returned(12)).unwrap();
        assert_eq!(ledger.apply(&returned(0)), Err(Violation::UnknownLease), "it has come back");
        ledger.apply(&billed(0, 10, 8, 3)).unwrap();
        let close = |amount| Event::LeaseReturned { lease: 0, amount: Micros(amount), bids: 0 };
        assert_eq!(ledger.apply(&close(11)), Err(Violation::LeaseOverdrawn), "the rest is with a process");
        ledger.apply(&close(10)).unwrap();
        let (settled, leased, unleased) = (ledger.settled(), ledger.leased(), ledger.unleased());
        assert_eq!((settled, leased, unleased), (Micros(18), Micros(5), Micros(77)));
        ledger.check().unwrap();
    }

    prop_compose! {
        fn any_event()(
            kind in 0..9, lease in 0u32..4, number in 0u32..6, a in -5i64..60, b in -5i64..60, day in 0i32..3,
        ) -> Event {
            match kind {
                0 => Event::BudgetOpened { day, amount: Micros(a) },
                1 => Event::BudgetLapsed { amount: Micros(a) },
                2 => Event::LeaseGranted {
                    lease, amount: Micros(a), expires_at: Timestamp(1), shared: lease % 2 == 1,
                },
                7 => Event::TrancheGranted {
                    lease, holder: Holder(1), amount: Micros(a), first: number, count: 2, explore: Micros(0),
                    closes_at: Timestamp(1), expires_at: Timestamp(1),
                },
                8 => Event::TrancheReturned { lease, first: number, amount: Micros(a), bids: 1 },
                3 => Event::LeaseReturned { lease, amount: Micros(a), bids: 0 },
                4 => Event::LeaseExpired { lease, amount: Micros(a) },
                5 => billed(lease, number, a, b),
                _ => Event::Lost {
                    bid: bid(lease, number), reserved: Micros(a), min_to_win: None,
                    ceiling: Default::default(), exchange: Default::default(), quote: Default::default(),
                },
            }
        }
    }

    proptest! {
        #[test]
        fn no_sequence_of_events_breaks_the_equation(
            events in proptest::collection::vec(any_event(), 0..200),
        ) {
            let mut ledger = Ledger::default();
            for event in &events {
                let before = ledger.clone();
                if ledger.apply(event).is_err() { prop_assert_eq!(&ledger, &before); }
                prop_assert_eq!(ledger.check(), Ok(()));
                prop_assert!(ledger.settled() <= ledger.budget());
            }
            let bytes = minicbor::to_vec(&ledger).unwrap();
            prop_assert_eq!(minicbor::decode::<Ledger>(&bytes).unwrap(), ledger);
        }
    }
}
