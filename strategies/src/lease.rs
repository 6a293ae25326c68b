//! The purse that bids pay from, without asking anybody.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haggle_domain::{Micros, Timestamp};

/// In the purse of a closed lease. No amount reaches it: amounts are never negative.
const CLOSED: i64 = i64::MIN;

/// Money that a campaign's actor has set aside for bids of the next few minutes.
///
/// Any number of threads take from it with one compare-and-swap each; the campaign's actor alone tops it up and
/// closes it. Closing swaps in a mark that no taker can get past, so the amount that comes back is exact: what was
/// granted and did not come back was reserved by bids, and nobody has to remember which.
#[derive(Debug)]
pub struct Lease {
    /// Durable number within the campaign; part of every bid's id.
    number: u32,
    /// When it takes no more bids, should nobody have closed it by then.
    closes_at: Timestamp,
    /// When its reservations are released; its bids' tokens expire then too.
    expires_at: Timestamp,
    /// Money not yet taken, or [`CLOSED`].
    purse: AtomicI64,
    /// How much of it may still pay for bids above what predictions say.
    to_explore: AtomicI64,
    /// The next bid's number.
    next: AtomicU32,
    /// The number of the first bid, and the one above all that bids may have.
    numbers: Range<u32>,
    /// A grant that is on its way to the journal. Locked while it moves into the purse, so that whoever does the books
    /// sees the money in one place or the other. Bids never touch it.
    promised: Mutex<Micros>,
}

impl Lease {
    /// An open, empty lease. Between `closes_at` and `expires_at` lies the time that its last bid's notice has.
    pub fn new(number: u32, closes_at: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            number,
            closes_at,
            expires_at,
            purse: AtomicI64::new(0),
            to_explore: AtomicI64::new(0),
            next: AtomicU32::new(0),
            numbers: 0..u32::MAX,
            promised: Mutex::new(Micros::ZERO),
        }
    }

    /// A part of a lease that others take from, too: so much money, of it so much for bids above what predictions say, and the
    /// numbers that its bids may have.
    pub fn tranche(self, amount: Micros, explore: Micros, numbers: Range<u32>) -> Self {
        Self {
            purse: AtomicI64::new(amount.0.max(0)),
            to_explore: AtomicI64::new(explore.0.clamp(0, amount.0.max(0))),
            next: AtomicU32::new(numbers.start),
            numbers,
            ..self
        }
    }

    /// A lease that never had money: what a campaign has before its first grant.
    pub fn closed() -> Self {
        let lease = Self::new(0, Timestamp::default(), Timestamp::default());
        lease.purse.store(CLOSED, Ordering::Relaxed);
        lease
    }

    /// The lease's number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// When it takes no more bids at the latest.
    pub fn closes_at(&self) -> Timestamp {
        self.closes_at
    }

    /// When reservations from it are released.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Takes `amount` out if it is there, and numbers the bid. `None` leaves the purse as it was.
    pub fn take(&self, amount: Micros) -> Option<u32> {
        if amount < Micros::ZERO {
            return None;
        }
        // Relaxed is enough: the purse alone decides, and nothing else is published through it.
        self.purse
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |purse| {
                (purse != CLOSED && purse >= amount.0).then_some(purse.wrapping_sub(amount.0))
            })
            .ok()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number < self.numbers.end {
            return Some(number);
        }
        // Closed meanwhile, it stays so: the amount counts as reserved until the lease expires.
        let _ = self.purse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |purse| {
            (purse != CLOSED).then(|| purse.saturating_add(amount.0))
        });
        None
    }

    /// Takes a tranche out: so much money, of it `explore` for bids above what predictions say, and `count` numbers, of which it
    /// gives the first. Called by the campaign's actor alone, for a lease that no bid takes from directly.
    pub fn take_tranche(&self, amount: Micros, explore: Micros, count: u32) -> Option<u32> {
        let first = self.next.load(Ordering::Relaxed);
        let next = first.checked_add(count).filter(|_| explore <= self.to_explore())?;
        self.purse
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |purse| {
                (purse != CLOSED && amount >= Micros::ZERO && purse >= amount.0)
                    .then_some(purse.wrapping_sub(amount.0))
            })
            .ok()?;
        self.to_explore.fetch_sub(explore.0, Ordering::AcqRel);
        self.next.store(next, Ordering::Relaxed);
        Some(first)
    }

    /// The same for a bid above what its prediction says: only if as much is left for such bids, too.
    pub fn take_to_explore(&self, amount: Micros) -> Option<u32> {
        if amount < Micros::ZERO {
            return None;
        }
        self.to_explore
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| {
                (left >= amount.0).then_some(left.wrapping_sub(amount.0))
            })
            .ok()?;
        let number = self.take(amount);
        if number.is_none() {
            self.to_explore.fetch_add(amount.0, Ordering::AcqRel);
        }
        number
    }

    /// What is left for such bids; for a moment less than that while one of them finds the purse empty.
    pub fn to_explore(&self) -> Micros {
        Micros(self.to_explore.load(Ordering::Acquire))
    }

    /// Makes it another amount, unless a bid took of it meanwhile.
    pub fn set_to_explore(&self, known: Micros, amount: Micros) -> bool {
        self.to_explore.compare_exchange(known.0, amount.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Announces a grant. The lease must not be closed before [`Lease::keep_promise`].
    pub fn promise(&self, amount: Micros) {
        *self.lock() = amount;
    }

    /// Puts the announced grant in, once it is durable. A closed lease stays empty.
    pub fn keep_promise(&self) {
        let mut promised = self.lock();
        let amount = std::mem::take(&mut *promised).0.max(0);
        // A closed purse refuses.
        let _ = self.purse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |purse| {
            (purse != CLOSED).then(|| purse.saturating_add(amount))
        });
    }

    /// What can be taken now, and what is announced.
    pub fn holds(&self) -> (Micros, Micros) {
        let promised = self.lock();
        (self.available(), *promised)
    }

    fn lock(&self) -> MutexGuard<'_, Micros> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it for bids and gives back what none took. Again: gives nothing.
    pub fn close(&self) -> Micros {
        match self.purse.swap(CLOSED, Ordering::AcqRel) {
            CLOSED => Micros::ZERO,
            rest => Micros(rest),
        }
    }

    /// What can still be taken.
    pub fn available(&self) -> Micros {
        Micros(self.purse.load(Ordering::Relaxed).max(0))
    }

    /// Whether it takes no more bids.
    pub fn is_closed(&self) -> bool {
        self.purse.load(Ordering::Relaxed) == CLOSED
    }

    /// How many bids it has paid for.
    pub fn bids(&self) -> u32 {
        self.next.load(Ordering::Relaxed).min(self.numbers.end) - self.numbers.start
    }

    /// The number of its first bid.
    pub fn first(&self) -> u32 {
        self.numbers.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Lease {
        fn top_up(&self, amount: Micros) {
            self.promise(amount);
            self.keep_promise();
        }
    }

    #[test]
    fn pays_until_empty_and_numbers_bids_without_gaps() {
        let lease = Lease::new(3, Timestamp(5), Timestamp(9));
        assert_eq!(lease.take(Micros(1)), None);
        lease.promise(Micros(10));
        assert_eq!(
            (lease.take(Micros(1)), lease.holds()),
            (None, (Micros::ZERO, Micros(10))),
            "not durable yet"
        );
        lease.keep_promise();
        assert_eq!(lease.take(Micros(6)), Some(0));
        assert_eq!(lease.take(Micros(6)), None);
        assert_eq!(lease.take(Micros(4)), Some(1));
        assert_eq!(lease.take(Micros(-1)), None, "a negative bid would put money in");
        assert_eq!((lease.available(), lease.bids()), (Micros::ZERO, 2));
    }

    #[test]
    fn what_may_be_explored_with_is_a_part_of_the_purse() {
        let lease = Lease::new(1, Timestamp(5), Timestamp(9));
        lease.top_up(Micros(10));
        assert_eq!(lease.take_to_explore(Micros(1)), None, "nothing is set aside for it");
        assert!(lease.set_to_explore(Micros::ZERO, Micros(6)));
        assert_eq!(lease.take_to_explore(Micros(4)), Some(0));
        assert!(!lease.set_to_explore(Micros(6), Micros(9)), "a bid has taken of it");
        assert_eq!(lease.take_to_explore(Micros(4)), None);
        assert_eq!((lease.available(), lease.to_explore()), (Micros(6), Micros(2)));
        assert_eq!(lease.take(Micros(5)), Some(1));
        assert_eq!(lease.take_to_explore(Micros(2)), None, "the purse is empty");
        assert_eq!((lease.available(), lease.to_explore()), (Micros(1), Micros(2)), "and both are as before");
        lease.close();
        assert_eq!(lease.take_to_explore(Micros(1)), None);
    }

    #[test]
    fn a_closed_lease_neither_pays_nor_takes() {
        let lease = Lease::new(1, Timestamp(5), Timestamp(9));
        lease.top_up(Micros(10));
        assert_eq!(lease.close(), Micros(10));
        assert_eq!(lease.close(), Micros::ZERO);
        assert_eq!(lease.take(Micros::ZERO), None);
        lease.top_up(Micros(1));
        assert!(lease.is_closed() && Lease::closed().is_closed());
    }

    #[test]
    fn a_tranche_pays_for_bids_of_its_own_numbers() {
        let lease = Lease::new(1, Timestamp(5), Timestamp(9));
        lease.top_up(Micros(100));
        assert!(lease.set_to_explore(Micros::ZERO, Micros(20)));
        assert_eq!(lease.take_tranche(Micros(101), Micros::ZERO, 2), None, "more than there is");
        assert_eq!(lease.take_tranche(Micros(50), Micros(21), 2), None, "more than may be tried with");
        assert_eq!(lease.take_tranche(Micros(50), Micros(5), 2), Some(0));
        assert_eq!(lease.take_tranche(Micros(10), Micros(0), 2), Some(2));
        assert_eq!((lease.available(), lease.to_explore()), (Micros(40), Micros(15)));
        assert_eq!(lease.take_tranche(Micros(10), Micros(0), u32::MAX), None, "more than there are numbers");
        let tranche = Lease::new(1, Timestamp(5), Timestamp(9)).tranche(Micros(50), Micros(5), 2..4);
        assert_eq!(tranche.take_to_explore(Micros(6)), None);
        assert_eq!((tranche.take(Micros(10)), tranche.take_to_explore(Micros(5))), (Some(2), Some(3)));
        assert_eq!(tranche.take(Micros(10)), None, "its numbers are used up");
        assert_eq!((tranche.bids(), tranche.close()), (2, Micros(35)));
        assert_eq!(tranche.bids(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn taken_and_returned_equal_granted_under_contention(
            grants in proptest::collection::vec(0i64..5_000, 1..20),
            price in 1i64..50,
        ) {
            let lease = Lease::new(1, Timestamp(5), Timestamp(9));
            let granted: i64 = grants.iter().sum();
            let (taken, returned) = std::thread::scope(|scope| {
                let takers: Vec<_> = (0..3).map(|_| scope.spawn(|| {
                    let mut taken = 0;
                    while !lease.is_closed() {
                        if lease.take(Micros(price)).is_some() { taken += price; }
                    }
                    taken
                })).collect();
                for grant in &grants { lease.top_up(Micros(*grant)); }
                let returned = lease.close();
                (takers.into_iter().map(|taker| taker.join().unwrap()).sum::<i64>(), returned)
            });
            prop_assert_eq!(taken + returned.0, granted);
            prop_assert_eq!(i64::from(lease.bids()) * price, taken);
        }
    }
}
