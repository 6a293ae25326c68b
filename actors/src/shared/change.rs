//! What happens to a user, as one node tells the others of it.

use haggle_domain::{BehaviourKind, Tag, Timestamp};
use haggle_strategies::frequency::{Bucket, CapKey, Mark};
use smallvec::SmallVec;

use crate::items::{self, Item, Items};

/// One change. Applied to whatever is known of the user by then, so that none undoes another's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// They did something.
    Did { did: BehaviourKind, what: Tag, at: Timestamp },
    /// A bid is under way to them.
    Marked(Mark),
    /// It came to nothing.
    Unmarked(Mark),
    /// They saw what was bid at a time.
    Shown { mark: Mark, bid_at: Timestamp, at: u32, counted: SmallVec<[(CapKey, Bucket); 2]> },
    /// What happened up to a time, in seconds since 1970, is to be forgotten.
    Forgotten { until: u32 },
}

/// Applies changes that the node `by` tells of, but for what is to be forgotten; gives whether any came to something, and how
/// many impressions found all counts in use.
pub(crate) fn apply(
    items: &mut Items,
    changes: &[Change],
    by: u8,
    now: u32,
    forgets: impl Fn(Timestamp) -> bool,
) -> (bool, u64) {
    let (mut changed, mut crowded) = (false, 0);
    items.retain(|item| item.mark().is_none() || item.counts(now));
    for change in changes {
        changed |= match change {
            Change::Did { at, .. } if forgets(*at) => false,
            Change::Did { did, what, at } => {
                items::note(items, *did, *what, *at);
                true
            }
            Change::Marked(mark) => {
                let counts = mark.counts(now) && !forgets(Timestamp(i64::from(mark.at) * 1_000_000));
                if counts {
                    items.push(Item::marked(*mark, by));
                }
                counts
            }
            Change::Unmarked(mark) => {
                take(items, |item| *item == Item::marked(*mark, by));
                true
            }
            Change::Shown { bid_at, .. } if forgets(*bid_at) => false,
            Change::Shown { mark, at, counted, .. } => {
                // Whichever node has bid.
                take(items, |item| item.mark() == Some(*mark));
                for (key, bucket) in counted {
                    crowded += u64::from(items::count(items, *key, *bucket, *at));
                }
                true
            }
            Change::Forgotten { until } => {
                items.retain(|item| item.last() > *until);
                true
            }
        };
    }
    (changed, crowded)
}

fn take(items: &mut Items, which: impl FnMut(&Item) -> bool) {
    if let Some(place) = items.iter().position(which) {
        items.remove(place);
    }
}
