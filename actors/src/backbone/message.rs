//! What nodes write into the log: a version byte, CBOR with numbered fields, and a checksum over both.
//!
//! To evolve: give a new field a new number and make it optional; never reuse a number. A reader passes over fields
//! that it does not know, and refuses a message or a version that it does not know rather than skip what might be
//! money.

use haggle_domain::{CampaignKey, NodeId, Record, Timestamp};
use minicbor::{Decode, Encode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How often a partition has changed hands, counted from 1; 0 is nobody's.
pub type Term = u64;

/// The newest version of a message.
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
const SEED: u64 = u64::from_be_bytes(*b"hagglelg");

/// One message of the log. The partition it lies in is part of its meaning.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Message {
    /// The node owns the partition from here on. It may act upon that once it has read this back.
    #[n(0)]
    Claim {
        /// Above the partition's term, or it does not count.
        #[n(0)]
        term: Term,
        /// Who claims.
        #[n(1)]
        node: NodeId,
    },
    /// What the owner did, as one: all of it counts, or nothing.
    #[n(1)]
    Commit {
        /// The claim under which it acts.
        #[n(0)]
        term: Term,
        /// Who commits.
        #[n(1)]
        node: NodeId,
        /// Counts the term's commits from 1, without gaps: one that does not follow the last does not count.
        #[n(2)]
        seq: u64,
        /// Every fact of this partition below this offset is settled, and what came of it is durable.
        #[n(3)]
        facts_below: u64,
        /// What happened. May be empty, to say only how far facts are settled.
        #[n(4)]
        records: Vec<Record>,
    },
    /// What a node saw, for the partition's owner to act upon.
    #[n(2)]
    Fact {
        /// Who saw it.
        #[n(0)]
        node: NodeId,
        /// Rises with every fact and note of the node, for ever.
        #[n(1)]
        seq: u64,
        /// When it was seen.
        #[n(2)]
        at: Timestamp,
        /// What was seen.
        #[n(3)]
        record: Record,
    },
    /// What a node saw and nobody has to act upon.
    #[n(3)]
    Note {
        /// Who saw it.
        #[n(0)]
        node: NodeId,
        /// Rises with every fact and note of the node, for ever.
        #[n(1)]
        seq: u64,
        /// What was seen.
        #[n(2)]
        records: Vec<Record>,
    },
    /// The owner's latest word on how a campaign bids. The last one counts, and none is kept in the journal.
    #[n(4)]
    Post {
        /// The claim under which it is said.
        #[n(0)]
        term: Term,
        /// Who says it.
        #[n(1)]
        node: NodeId,
        /// Of which campaign.
        #[n(2)]
        campaign: CampaignKey,
        /// The word, as the campaign's actor encodes it.
        #[n(3)]
        #[cbor(with = "minicbor::bytes")]
        bytes: Vec<u8>,
    },
    /// The owner gives the partition up: it is nobody's until the next claim.
    #[n(5)]
    Release {
        /// The claim that ends.
        #[n(0)]
        term: Term,
        /// Whose it was.
        #[n(1)]
        node: NodeId,
    },
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The bytes are not those that a node wrote.
    #[error("the checksum does not match, so it is damaged or not of this program")]
    Checksum,
    /// Intact, but of a version unknown here.
    #[error("it has version {0}, this program reads {VERSION}; use the version that wrote it")]
    Version(u8),
    /// Intact, but no message that this program knows.
    #[error("it is no message that this version knows ({0}); use the version that wrote it")]
    Unknown(String),
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    xxh3_64_with_seed(bytes, SEED).to_le_bytes()
}

impl Message {
    /// Who wrote it.
    pub fn node(&self) -> NodeId {
        match self {
            Self::Claim { node, .. }
            | Self::Commit { node, .. }
            | Self::Fact { node, .. }
            | Self::Note { node, .. }
            | Self::Post { node, .. }
            | Self::Release { node, .. } => *node,
        }
    }

    /// As it lies in the log.
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        seal(self)
    }

    /// From the log.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        unseal(bytes)
    }
}

/// A version byte, the value in CBOR, and a checksum over both.
pub(super) fn seal<T: Encode<()>>(value: &T) -> Result<Vec<u8>, MessageError> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(VERSION);
    minicbor::encode(value, &mut bytes).map_err(|error| MessageError::Unknown(error.to_string()))?;
    bytes.extend_from_slice(&checksum(&bytes));
    Ok(bytes)
}

/// What was sealed.
pub(super) fn unseal<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, MessageError> {
    let (bytes, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(MessageError::Checksum)?;
    if *sum != checksum(bytes) {
        return Err(MessageError::Checksum);
    }
    let (&version, cbor) = bytes.split_first().ok_or(MessageError::Checksum)?;
    if version != VERSION {
        return Err(MessageError::Version(version));
    }
    let mut decoder = minicbor::Decoder::new(cbor);
    let value = decoder.decode().map_err(|error| MessageError::Unknown(error.to_string()))?;
    if decoder.position() == cbor.len() {
        Ok(value)
    } else {
        Err(MessageError::Unknown("bytes follow it".to_owned()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use haggle_domain::{BidId, Event, Micros};
    use proptest::prelude::*;

    use super::*;

    pub(in crate::backbone) fn any_record() -> impl Strategy<Value = Record> {
        let event = prop_oneof![
            any::<(i32, i64)>().prop_map(|(day, amount)| Event::BudgetOpened { day, amount: Micros(amount) }),
            any::<(u32, u32, i64, bool)>().prop_map(|(lease, number, amount, capped)| Event::Billed {
                bid: BidId { campaign: CampaignKey(7), lease, number },
                reserved: Micros(amount),
                charged: Micros(amount / 2),
                capped,
                explored: !capped,
            }),
            "[a-z]{0,20}".prop_map(|id| Event::Defined { id }),
            Just(Event::Redacted),
        ];
        (any::<i64>(), any::<u64>(), event).prop_map(|(at, campaign, event)| Record {
            at: Timestamp(at),
            campaign: CampaignKey(campaign),
            event,
        })
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let records = || proptest::collection::vec(any_record(), 0..4);
        prop_oneof![
            any::<(u64, u64)>().prop_map(|(term, node)| Message::Claim { term, node: NodeId(node) }),
            any::<(u64, u64)>().prop_map(|(term, node)| Message::Release { term, node: NodeId(node) }),
            (any::<[u64; 4]>(), records()).prop_map(|([term, node, seq, facts_below], records)| {
                Message::Commit { term, node: NodeId(node), seq, facts_below, records }
            }),
            (any::<(u64, u64, i64)>(), any_record()).prop_map(|((node, seq, at), record)| {
                Message::Fact { node: NodeId(node), seq, at: Timestamp(at), record }
            }),
            (any::<[u64; 2]>(), records()).prop_map(|([node, seq], records)| Message::Note {
                node: NodeId(node),
                seq,
                records
            }),
            (any::<[u64; 3]>(), any::<Vec<u8>>()).prop_map(|([term, node, campaign], bytes)| {
                Message::Post { term, node: NodeId(node), campaign: CampaignKey(campaign), bytes }
            }),
        ]
    }

    /// With a right checksum.
    fn sealed(version: u8, cbor: &[u8]) -> Vec<u8> {
        let mut bytes = [&[version], cbor].concat();
        bytes.extend_from_slice(&checksum(&bytes));
        bytes
    }

    proptest! {
        #[test]
        fn messages_round_trip(message in any_message()) {
            prop_assert_eq!(Message::decode(&message.encode().unwrap()), Ok(message));
        }

        #[test]
        fn any_changed_bit_is_noticed(
            message in any_message(), at in any::<proptest::sample::Index>(), bit in 0u8..8
        ) {
            let mut bytes = message.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Message::decode(&bytes), Err(MessageError::Checksum));
        }

        /// With a right checksum, so that the CBOR is reached.
        #[test]
        fn mutated_cbor_is_a_message_or_an_error(
            message in any_message(),
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
            keep in any::<proptest::sample::Index>(),
        ) {
            let bytes = message.encode().unwrap();
            let mut cbor = bytes[1..bytes.len() - CHECKSUM_BYTES].to_vec();
            for (at, byte) in edits {
                let at = at.index(cbor.len());
                cbor[at] = byte;
            }
            cbor.truncate(1 + keep.index(cbor.len()));
            if let Ok(read) = Message::decode(&sealed(VERSION, &cbor)) {
                prop_assert!(Message::decode(&read.encode().unwrap()).is_ok());
            }
        }

        #[test]
        fn any_bytes_are_no_message(bytes in any::<Vec<u8>>()) {
            prop_assert!(Message::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_later_field_is_passed_over() {
        // Claim is variant 0: [0, [term, node]]. A later version adds a third field to it.
        let cbor = [0x82, 0, 0x83, 5, 9, 0x63, b'n', b'e', b'w'];
        let claim = Message::Claim { term: 5, node: NodeId(9) };
        assert_eq!(Message::decode(&sealed(VERSION, &cbor)), Ok(claim.clone()));
        let bytes = claim.encode().unwrap();
        assert_eq!(bytes[1..bytes.len() - CHECKSUM_BYTES], [0x82, 0, 0x82, 5, 9]);
    }

    #[test]
    fn what_is_not_known_is_refused_and_named() {
        assert_eq!(Message::decode(&sealed(9, &[0x82, 0, 0x82, 5, 9])), Err(MessageError::Version(9)));
        let unknown = Message::decode(&sealed(VERSION, &[0x82, 17, 0x82, 5, 9])).unwrap_err();
        assert!(matches!(&unknown, MessageError::Unknown(why) if why.contains("17")), "{unknown}");
        assert!(Message::decode(&sealed(VERSION, &[0x82, 0, 0x82, 5, 9, 1])).is_err(), "bytes follow it");
    }
}
