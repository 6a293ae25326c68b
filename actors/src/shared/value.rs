//! What is kept of a user where nodes share it: one value of bytes, 16 for what it is and 16 for each thing.
//!
//! ```text
//! "HGU" | version, 1 | revision, u32 | stamp, u64        then for each thing one of
//! 0..=3 (what was done) | 0 | count, u16 | last, u32 | to what, u64
//! 4 | counts, 7 × u8 | key, u32 | last, u32
//! 5 | node, u8 | creative, u16 | campaign, u32 | advertiser, u32 | at, u32
//! ```
//!
//! Numbers are little-endian. No two writes have the same stamp, so the first 16 bytes tell a value from every other: a write
//! names those that it goes by, and comes to nothing where others stand there by then.

use std::time::Duration;

use haggle_domain::BehaviourKind;
use haggle_strategies::frequency::CapKey;
use smallvec::SmallVec;

use crate::items::{Item, Items, last};

/// Bytes of the head, and of a thing.
pub const HEAD: usize = 16;
const MAGIC: [u8; 4] = *b"HGU\x01";
/// More things than any user has here: what holds more is not ours.
const MOST: usize = 1024;
/// What is idle for longer is forgotten.
const MEMORY: u32 = 90 * 86_400;

/// For how long it is kept that nothing is known.
const NOTHING: Duration = Duration::from_secs(15);

/// The first bytes of what stands there: empty for nothing, fewer than [`HEAD`] only where it is not ours.
pub type Head = SmallVec<[u8; HEAD]>;

/// A value, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) head: Head,
    /// Rises with every write, but begins anew where there was nothing.
    pub(crate) revision: u32,
    pub(crate) items: Items,
}

impl Value {
    /// Reads what stands there. What is not ours holds nothing, and is overwritten by what is.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let head = Head::from_slice(bytes.get(..HEAD).unwrap_or(bytes));
        let (revision, items) = parse(bytes).unwrap_or_default();
        Self { head, revision, items }
    }

    /// The bytes of the value that takes this one's place.
    pub(crate) fn follow(&self, items: &[Item], stamp: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + items.len() * HEAD);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.revision.saturating_add(1).to_le_bytes());
        bytes.extend_from_slice(&stamp.to_le_bytes());
        items.iter().take(MOST).for_each(|item| write(item, &mut bytes));
        bytes
    }
}

/// For how long things say something from now on: until the last of them has ended, and until nothing has happened for 90 days. That
/// there is nothing is kept for longer than any copy, so that revisions go on.
pub(crate) fn says_something_for(items: &[Item], now: u32) -> Duration {
    let idle = last(items).saturating_add(MEMORY);
    let end = |item: &Item| item.ends().unwrap_or(u32::MAX);
    let ends = items.iter().map(end).max().unwrap_or(0).min(idle);
    Duration::from_secs(u64::from(ends.saturating_sub(now))).max(NOTHING)
}

fn write(item: &Item, bytes: &mut Vec<u8>) {
    match *item {
        Item::Behaviour { did, count, last, what: [high, low] } => {
            bytes.extend_from_slice(&[did as u8, 0]);
            bytes.extend_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&last.to_le_bytes());
            bytes.extend_from_slice(&(u64::from(high) << 32 | u64::from(low)).to_le_bytes());
        }
        Item::Exposure { counts, key, last } => {
            bytes.push(4);
            bytes.extend_from_slice(&counts);
            bytes.extend_from_slice(&key.to_bits().to_le_bytes());
            bytes.extend_from_slice(&last.to_le_bytes());
        }
        Item::Mark { by, creative, campaign, advertiser, at } => {
            bytes.extend_from_slice(&[5, by]);
            bytes.extend_from_slice(&creative.to_le_bytes());
            for number in [campaign, advertiser, at] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<(u32, Items)> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (things, over) = rest.as_chunks::<HEAD>();
    if head.get(..4)? != MAGIC || !over.is_empty() || things.len() > MOST {
        return None;
    }
    let items = things.iter().map(thing).collect::<Option<Items>>()?;
    Some((number(head, 4)?, items))
}

fn thing(bytes: &[u8; HEAD]) -> Option<Item> {
    let half = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| number(bytes, at);
    let did = match bytes[0] {
        0 => BehaviourKind::Viewed,
        1 => BehaviourKind::Carted,
        2 => BehaviourKind::Bought,
        3 => BehaviourKind::Searched,
        4 => {
            let counts = bytes.get(1..8)?.try_into().ok()?;
            return Some(Item::Exposure { counts, key: CapKey::from_bits(word(8)?), last: word(12)? });
        }
        5 => {
            return Some(Item::Mark {
                by: bytes[1],
                creative: half(2)?,
                campaign: word(4)?,
                advertiser: word(8)?,
                at: word(12)?,
            });
        }
        _ => return None,
    };
    Some(Item::Behaviour { did, count: half(2)?, last: word(4)?, what: [word(12)?, word(8)?] })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item() -> impl Strategy<Value = Item> {
        let did = prop_oneof![
            Just(BehaviourKind::Viewed),
            Just(BehaviourKind::Carted),
            Just(BehaviourKind::Bought),
            Just(BehaviourKind::Searched)
        ];
        prop_oneof![
            (did, any::<u16>(), any::<u32>(), any::<[u32; 2]>())
                .prop_map(|(did, count, last, what)| Item::Behaviour { did, count, last, what }),
            (any::<[u8; 7]>(), any::<u32>(), any::<u32>()).prop_map(|(counts, key, last)| Item::Exposure {
                counts,
                key: CapKey::from_bits(key),
                last
            }),
            (any::<u8>(), any::<u16>(), any::<[u32; 3]>()).prop_map(
                |(by, creative, [campaign, advertiser, at])| Item::Mark {
                    by,
                    creative,
                    campaign,
                    advertiser,
                    at
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(items in proptest::collection::vec(item(), 0..90), revision: u32, stamp: u64) {
            let before = Value { revision, ..Value::default() };
            let bytes = before.follow(&items, stamp);
            prop_assert_eq!(bytes.len(), HEAD * (1 + items.len()));
            let read = Value::read(&bytes);
            prop_assert_eq!(&read.items[..], &items[..]);
            prop_assert_eq!(read.revision, revision.saturating_add(1));
            prop_assert_eq!(&read.head[..], &bytes[..HEAD]);
        }

        #[test]
        fn anything_can_stand_there(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), ours: bool, now: u32) {
            if ours && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(&MAGIC);
            }
            let read = Value::read(&bytes);
            prop_assert_eq!(&read.head[..], &bytes[..bytes.len().min(HEAD)]);
            let _ = says_something_for(&read.items, now);
            if !ours && !bytes.starts_with(&MAGIC) {
                prop_assert!(read.items.is_empty());
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_of_another_version_is_not_ours() {
        let mark = Item::Mark { by: 1, creative: 2, campaign: 3, advertiser: 4, at: 5 };
        let bytes = Value::default().follow(&[mark, mark], 9);
        assert_eq!(Value::read(&bytes).items.len(), 2);
        for cut in 0..bytes.len() {
            let expected = if cut % HEAD == 0 && cut > 0 { cut / HEAD - 1 } else { 0 };
            assert_eq!(Value::read(&bytes[..cut]).items.len(), expected, "{cut}");
        }
        let mut newer = bytes.clone();
        newer[3] = 2;
        assert!(Value::read(&newer).items.is_empty());
        let mut unknown = bytes;
        unknown[16] = 6;
        assert!(Value::read(&unknown).items.is_empty());
    }

    #[test]
    fn a_value_lasts_as_long_as_it_says_something() {
        let mark = Item::Mark { by: 0, creative: 0, campaign: 1, advertiser: 2, at: 1000 };
        assert_eq!(says_something_for(&[mark], 1010), Duration::from_secs(110));
        assert_eq!(says_something_for(&[], 1010), NOTHING);
        let lifetime = Item::Exposure { counts: [0; 7], key: CapKey::from_bits(31), last: 1000 };
        assert_eq!(says_something_for(&[lifetime, mark], 1010), Duration::from_secs(90 * 86_400 - 10));
        // Buckets of at most 2⁴ seconds.
        let short = Item::Exposure { counts: [0; 7], key: CapKey::from_bits(4), last: 1000 };
        assert_eq!(says_something_for(&[short], 1000), Duration::from_secs(16 * 7));
    }
}
