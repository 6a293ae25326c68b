//! Identity, in integers that are the same on every machine and in every version.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Part of every journal and model file: changing it orphans them.
const SEED: u64 = 0x6861_6767_6c65;

/// A stable 64-bit hash (XXH3) of a name, ASCII letters' case ignored.
fn stable_hash(space: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let seed = SEED ^ space;
    // Most words are short.
    let mut lower = [0; 16];
    if let Some(lower) = lower.get_mut(..bytes.len()) {
        lower_into(bytes, lower);
        return xxh3_64_with_seed(lower, seed);
    }
    let mut lower = [0; 64];
    match lower.get_mut(..bytes.len()) {
        Some(lower) => {
            lower_into(bytes, lower);
            xxh3_64_with_seed(lower, seed)
        }
        None => xxh3_64_with_seed(&bytes.to_ascii_lowercase(), seed),
    }
}

/// Copies bytes, ASCII capitals as small letters, to a place of the same length: eight at a time.
#[inline(always)]
fn lower_into(bytes: &[u8], lower: &mut [u8]) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let lowered = |chunk: &[u8; 8]| {
        let word = u64::from_le_bytes(*chunk);
        let low = word & (ONES * 0x7f);
        // The high bit of each byte that is at least `A`, but of none that is above `Z`.
        let capitals = (low + ONES * (0x80 - 0x41)) & !(low + ONES * (0x80 - 0x5b)) & !word & (ONES * 0x80);
        (word | capitals >> 2).to_le_bytes()
    };
    if let (Some(last), Some(to)) = (bytes.last_chunk::<8>(), lower.last_chunk_mut::<8>()) {
        // Of some bytes twice.
        *to = lowered(last);
        for (chunk, to) in bytes.as_chunks::<8>().0.iter().zip(lower.as_chunks_mut::<8>().0) {
            *to = lowered(chunk);
        }
    } else {
        for (byte, to) in bytes.iter().zip(lower) {
            *to = byte.to_ascii_lowercase();
        }
    }
}

/// A word from a request or a campaign (a country, a site, a segment, a category …), as a number.
///
/// Words are compared and hashed into features far more often than they are read, so they become numbers where
/// they enter, once. Letters' case is ignored. What kind of word it is stands in the type of the field.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct Tag(#[n(0)] pub u64);

impl Tag {
    /// An absent word.
    pub const NONE: Self = Self(0);

    /// The tag of a word; of an empty word, [`Tag::NONE`].
    pub fn of(word: &str) -> Self {
        if word.is_empty() { Self::NONE } else { Self(stable_hash(0, word).max(1)) }
    }

    /// The tag of a word whose letters' case and spaces tell it from others, such as a deal's id.
    pub fn exactly(word: &str) -> Self {
        if word.is_empty() { Self::NONE } else { Self(xxh3_64_with_seed(word.as_bytes(), SEED ^ 4).max(1)) }
    }

    /// The tag of a content category in one of AdCOM 1.0's category taxonomies; of an empty code, [`Tag::NONE`].
    pub fn category(taxonomy: u8, code: &str) -> Self {
        if code.is_empty() {
            return Self::NONE;
        }
        Self(stable_hash(5 + (u64::from(taxonomy) << 8), code).max(1))
    }

    /// Whether a word is there.
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// A list of sites, apps or users, by the stable hash of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListKey(pub u64);

impl ListKey {
    /// The key of a list's name.
    pub fn of(name: &str) -> Self {
        Self(stable_hash(6, name))
    }
}

/// A campaign, by the stable hash of its id. The configuration refuses two campaigns with one key.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct CampaignKey(#[n(0)] pub u64);

impl CampaignKey {
    /// The key of a campaign's id.
    pub fn of(id: &str) -> Self {
        Self(stable_hash(1, id))
    }
}

impl fmt::Display for CampaignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An exchange, by the stable hash of its name.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct ExchangeKey(#[n(0)] pub u64);

impl ExchangeKey {
    /// The key of an exchange's name.
    pub fn of(name: &str) -> Self {
        Self(stable_hash(2, name))
    }
}

/// A person's browser or device, by a stable hash of what the exchange calls it; the id itself is never kept.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct UserKey(#[n(0)] pub u64);

impl UserKey {
    /// The key of a user id as the exchange, or the shop after a user match, writes it.
    pub fn of(id: &str) -> Self {
        Self(stable_hash(3, id))
    }
}

/// One of the nodes that work as one: whoever writes something down for the others. No two nodes may share it, and it stays
/// the same across restarts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct NodeId(#[n(0)] pub u64);

impl NodeId {
    /// The id of a node's configured name.
    pub fn of(name: &str) -> Self {
        Self(stable_hash(7, name))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A user as opt-outs, erasures and profiles name them: a hash of the [`UserKey`], so that what has to be kept for ever
/// of somebody who is forgotten is not itself what was to be forgotten.
///
/// Not a secret: whoever has the user's id can compute it, which is how they are recognised when they come again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct PrivacyKey(#[n(0)] pub u64);

impl PrivacyKey {
    /// The privacy key of a user.
    pub fn of(user: UserKey) -> Self {
        Self(xxh3_64_with_seed(&user.0.to_le_bytes(), SEED ^ 4))
    }
}

/// A process that may be given money to bid with. Another one with each start, so that money that an earlier life was given is
/// never taken for one's own.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct Holder(#[n(0)] pub u64);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One bid, for ever: campaign, the lease that paid for it, and its number within that lease.
///
/// Leases are numbered durably per campaign before they are spent from, so an id never comes twice, not after a
/// crash either, and nothing has to be remembered to make the next one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
pub struct BidId {
    /// The campaign that bids.
    #[n(0)]
    pub campaign: CampaignKey,
    /// The lease the bid reserved from.
    #[n(1)]
    pub lease: u32,
    /// The bid's number within the lease, from 0; without gaps where one process alone bids from it.
    #[n(2)]
    pub number: u32,
}

impl fmt::Display for BidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}-{:x}", self.campaign, self.lease, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN_USER: u64 = 1_104_043_159_524_556_716;

    #[test]
    fn capitals_become_small_wherever_they_stand_and_nothing_else_changes() {
        for length in 1..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    for around in [b'a', b'@', b'[', 0, 0xff] {
                        let mut bytes = vec![around; length];
                        bytes[at] = byte;
                        let mut lower = vec![1; length];
                        lower_into(&bytes, &mut lower);
                        assert_eq!(lower, bytes.to_ascii_lowercase(), "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn keys_are_stable_across_versions() {
        // These numbers are in journals and model files on users' disks.
        assert_eq!(CampaignKey::of("spring-shoes").to_string(), "bec1f0579c8aa541");
        assert_eq!(PrivacyKey::of(UserKey::of("user-1")), PrivacyKey(GOLDEN_USER));
        assert_eq!(Tag::of("USA"), Tag::of("usa"));
        assert_ne!(Tag::of("usa").0, CampaignKey::of("usa").0);
        assert_eq!(Tag::of(""), Tag::NONE);
        let long = "A".repeat(200);
        assert_eq!(Tag::of(&long), Tag::of(&long.to_lowercase()));
    }
}
