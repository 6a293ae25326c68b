//! How a record lies in the store: a version byte, CBOR, and a checksum over both and the offset.
//!
//! The store has checksums of its own blocks. This one goes from end to end: it also catches a record that is
//! whole but not the one that was acknowledged at this offset.

use haggle_domain::Record;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The newest version of a frame.
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// The bytes are not those that were written.
    #[error("the checksum does not match")]
    Checksum,
    /// Intact, but of a version unknown here.
    #[error("version {0}")]
    Version(u8),
    /// Intact, but no record that this program knows.
    #[error("no record: {0}")]
    Record(String),
}

fn checksum(offset: u64, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    xxh3_64_with_seed(bytes, offset).to_le_bytes()
}

/// The frame of a record.
pub(super) fn encode(offset: u64, record: &Record) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::with_capacity(256);
    frame.push(VERSION);
    minicbor::encode(record, &mut frame).map_err(|error| FrameError::Record(error.to_string()))?;
    frame.extend_from_slice(&checksum(offset, &frame));
    Ok(frame)
}

/// Holds the place of a record whose loss was accepted: a frame of nothing.
pub(super) fn lost(offset: u64) -> Vec<u8> {
    let mut frame = vec![VERSION];
    frame.extend_from_slice(&checksum(offset, &frame));
    frame
}

/// The record of a frame; `None` where its loss was accepted.
pub(super) fn decode(offset: u64, frame: &[u8]) -> Result<Option<Record>, FrameError> {
    let (bytes, sum) = frame.split_last_chunk::<CHECKSUM_BYTES>().ok_or(FrameError::Checksum)?;
    if *sum != checksum(offset, bytes) {
        return Err(FrameError::Checksum);
    }
    match bytes.split_first() {
        Some((&VERSION, [])) => Ok(None),
        Some((&VERSION, cbor)) => record(cbor).map(Some),
        Some((&version, _)) => Err(FrameError::Version(version)),
        None => Err(FrameError::Checksum),
    }
}

fn record(cbor: &[u8]) -> Result<Record, FrameError> {
    let mut decoder = minicbor::Decoder::new(cbor);
    let record = decoder.decode().map_err(|error| FrameError::Record(error.to_string()))?;
    if decoder.position() == cbor.len() {
        Ok(record)
    } else {
        Err(FrameError::Record("bytes follow it".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{
        Attribution, AttributionModel, BehaviourKind, BidId, CampaignKey, CpmMicros, Credit, Decision, Event,
        ExchangeKey, Footing, Group, Holder, Micros, Notice, Order, OrderLine, PrivacyKey, ProvenClick,
        Quantity, Quote, Rate, Segment, Standing, Tag, Terms, Timestamp, UserKey,
    };
    use proptest::prelude::*;

    use super::*;

    fn quote(from: u64) -> Quote {
        let footing = [Footing::Unknown, Footing::First, Footing::Second, Footing::Deal][from as usize % 4];
        let propensity = from.is_multiple_of(3).then(|| (from % 1000) as f32 / 1000.0);
        Quote { segment: Segment((from >> 32) as u32), footing, propensity }
    }

    fn decision() -> impl Strategy<Value = Decision> {
        let ids = (any::<[u64; 4]>(), any::<[u32; 2]>(), any::<u16>(), proptest::option::of(any::<u64>()));
        let rest = (any::<[i64; 4]>(), 0f32..1.0, 0f32..1.0, proptest::collection::vec(any::<u32>(), 0..32));
        (ids, rest).prop_map(
            |((keys, [lease, number], creative, user), (amounts, propensity, click, features))| {
                let [campaign, exchange, model_version, _] = keys;
                let [at, expires_at, ceiling, value] = amounts;
                Decision {
                    bid: BidId { campaign: CampaignKey(campaign), lease, number },
                    at: Timestamp(at),
                    expires_at: Timestamp(expires_at),
                    ceiling: CpmMicros(ceiling),
                    exchange: ExchangeKey(exchange),
                    creative,
                    propensity,
                    model_version,
                    click_probability: click,
                    order_probability: click * 0.25,
                    value: CpmMicros(value),
                    user: user.map(UserKey),
                    features,
                    terms: Terms { rate: Rate::from_billionths(model_version), quantity: Quantity(campaign) },
                    explored: (creative % 2 == 1).then_some(click),
                    quote: quote(exchange),
                }
            },
        )
    }

    fn event() -> impl Strategy<Value = Event> {
        let amount = || any::<i64>().prop_map(Micros);
        let bid = || {
            any::<(u64, u32, u32)>().prop_map(|(campaign, lease, number)| BidId {
                campaign: CampaignKey(campaign),
                lease,
                number,
            })
        };
        prop_oneof![
            ".{0,20}".prop_map(|id| Event::Defined { id }),
            any::<(bool, Option<i64>)>()
                .prop_map(|(paused, at)| Event::Paused { paused, told_at: at.map(Timestamp) }),
            (0f64..4.0, 0f64..4.0, any::<u64>()).prop_map(|(goal, total, aim)| Event::Steered {
                goal,
                total,
                aim: Tag(aim)
            }),
            proptest::collection::vec(any::<u64>().prop_map(Tag), 0..5)
                .prop_map(|tags| Event::Creatives { tags }),
            any::<(u8, u64)>().prop_map(|(hour, imps)| Event::Traffic { hour, imps }),
            (any::<i32>(), amount()).prop_map(|(day, amount)| Event::BudgetOpened { day, amount }),
            amount().prop_map(|amount| Event::BudgetLapsed { amount }),
            (any::<u32>(), amount(), any::<i64>(), any::<bool>()).prop_map(|(lease, amount, at, shared)| {
                Event::LeaseGranted { lease, amount, expires_at: Timestamp(at), shared }
            }),
            (any::<[u32; 3]>(), [amount(), amount()], any::<[i64; 2]>(), any::<u64>()).prop_map(
                |([lease, first, count], [amount, explore], [closes, expires], holder)| {
                    let (closes_at, expires_at) = (Timestamp(closes), Timestamp(expires));
                    let holder = Holder(holder);
                    Event::TrancheGranted {
                        lease,
                        holder,
                        amount,
                        first,
                        count,
                        explore,
                        closes_at,
                        expires_at,
                    }
                }
            ),
            (any::<[u32; 3]>(), amount()).prop_map(|([lease, first, bids], amount)| Event::TrancheReturned {
                lease,
                first,
                amount,
                bids
            }),
            (any::<[u32; 3]>(), amount()).prop_map(|([lease, first, bids], amount)| Event::Unspent {
                lease,
                first,
                amount,
                bids
            }),
            (any::<u64>(), amount(), amount()).prop_map(|(holder, taken, left)| Event::Wanted {
                holder: Holder(holder),
                taken,
                left
            }),
            any::<u64>().prop_map(|holder| Event::Heard { holder: Holder(holder) }),
            (decision(), any::<i64>()).prop_map(|(decision, price)| Event::Noticed {
                notice: Notice::Bill { decision, price: CpmMicros(price) }
            }),
            (any::<[u32; 2]>(), amount()).prop_map(|([lease, bids], amount)| Event::LeaseReturned {
                lease,
                amount,
                bids
            }),
            (any::<u32>(), amount()).prop_map(|(lease, amount)| Event::LeaseExpired { lease, amount }),
            (bid(), amount(), amount(), any::<[bool; 2]>()).prop_map(
                |(bid, reserved, charged, [capped, explored])| Event::Billed {
                    bid,
                    reserved,
                    charged,
                    capped,
                    explored
                }
            ),
            (bid(), amount(), any::<(Option<i64>, i64, u64)>()).prop_map(
                |(bid, reserved, (min, ceiling, from))| {
                    Event::Lost {
                        bid,
                        reserved,
                        min_to_win: min.map(CpmMicros),
                        ceiling: CpmMicros(ceiling),
                        exchange: ExchangeKey(from),
                        quote: quote(from),
                    }
                }
            ),
            (bid(), any::<(Option<i64>, i64, i64, u64)>()).prop_map(|(bid, (min, price, ceiling, from))| {
                Event::Won {
                    bid,
                    price: CpmMicros(price),
                    ceiling: CpmMicros(ceiling),
                    exchange: ExchangeKey(from),
                    min_to_win: min.map(CpmMicros),
                    quote: quote(from),
                }
            }),
            decision().prop_map(|decision| Event::Impression { decision }),
            decision().prop_map(|decision| Event::Click { decision }),
            (decision(), amount(), any::<u64>()).prop_map(|(decision, revenue, order)| Event::Conversion {
                decision,
                revenue,
                order: Tag(order)
            }),
            any::<(u64, u64)>().prop_map(|(user, what)| Event::Behaviour {
                user: UserKey(user),
                did: BehaviourKind::Carted,
                what: Tag(what)
            }),
            any::<(u64, bool)>().prop_map(|(user, held)| Event::Eligible {
                user: UserKey(user),
                group: if held { Group::Held } else { Group::Control },
            }),
            decision().prop_map(|decision| Event::Bid { decision }),
            any::<u64>().prop_map(|user| Event::UserOptedOut { user: PrivacyKey(user) }),
            any::<u64>().prop_map(|user| Event::UserErased { user: PrivacyKey(user) }),
            Just(Event::Redacted),
            (any::<[u64; 3]>(), amount(), ".{0,12}").prop_map(|([tag, user, campaign], value, id)| {
                let bid = BidId { campaign: CampaignKey(campaign), lease: 1, number: 2 };
                let clicks = vec![ProvenClick { bid, bid_at: Timestamp(value.0) }];
                let lines = vec![OrderLine { product: id.clone(), quantity: 2, value }];
                let (placed_at, user) = (Timestamp(value.0), Some(UserKey(user)));
                let (tag, kind) = (Tag(tag), Some(id.clone()));
                Event::Ordered {
                    order: Box::new(Order { tag, id, user, clicks, placed_at, value, lines, kind }),
                }
            }),
            (bid(), any::<(i64, u64)>()).prop_map(|(bid, (price, exchange))| Event::BilledLate {
                bid,
                price: CpmMicros(price),
                exchange: ExchangeKey(exchange),
            }),
            (any::<u64>(), amount()).prop_map(|(order, value)| Event::OrderCorrected {
                order: Tag(order),
                value,
                lines: Vec::new()
            }),
            (any::<[u64; 2]>(), amount(), any::<bool>()).prop_map(|([order, campaign], value, late)| {
                let share = late.then_some(campaign as f64);
                let credits = vec![Credit {
                    campaign: CampaignKey(campaign),
                    amount: value,
                    touches: 3,
                    clicks: 1,
                    share,
                }];
                let standing = if late { Standing::Late } else { Standing::Credited };
                let attribution = Attribution {
                    order: Tag(order),
                    id: None,
                    placed_at: Timestamp(value.0),
                    value,
                    standing,
                    model: AttributionModel::Markov,
                    credits,
                };
                Event::Attributed { attribution: Box::new(attribution) }
            }),
            ("[a-z]{1,9}", any::<u64>(), any::<bool>()).prop_map(|(postback, delivery, delivered)| {
                Event::PostedBack { postback, delivery, delivered }
            }),
        ]
    }

    fn any_record() -> impl Strategy<Value = Record> {
        (any::<i64>(), any::<u64>(), event()).prop_map(|(at, campaign, event)| Record {
            at: Timestamp(at),
            campaign: CampaignKey(campaign),
            event,
        })
    }

    proptest! {
        #[test]
        fn records_round_trip(offset in any::<u64>(), record in any_record()) {
            let frame = encode(offset, &record).unwrap();
            prop_assert_eq!(decode(offset, &frame), Ok(Some(record)));
        }

        #[test]
        fn any_changed_bit_or_place_is_noticed(
            offset in any::<u64>(), record in any_record(), at in any::<proptest::sample::Index>(), bit in 0u8..8
        ) {
            let mut frame = encode(offset, &record).unwrap();
            prop_assert_eq!(decode(offset.wrapping_add(1), &frame), Err(FrameError::Checksum));
            let at = at.index(frame.len());
            frame[at] ^= 1 << bit;
            prop_assert_eq!(decode(offset, &frame), Err(FrameError::Checksum));
        }

        /// With a right checksum, so that the CBOR is reached.
        #[test]
        fn mutated_cbor_is_a_record_or_an_error(
            record in any_record(),
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
            keep in any::<proptest::sample::Index>(),
        ) {
            let mut frame = encode(7, &record).unwrap();
            frame.truncate(frame.len() - CHECKSUM_BYTES);
            for (at, byte) in edits {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            frame.truncate(1 + keep.index(frame.len()));
            frame.extend_from_slice(&checksum(7, &frame));
            if let Ok(Some(read)) = decode(7, &frame) {
                let again = encode(7, &read).unwrap();
                prop_assert!(decode(7, &again).is_ok());
            }
        }

        #[test]
        fn any_bytes_are_a_frame_or_an_error(offset in any::<u64>(), bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(decode(offset, &bytes).is_err());
        }
    }

    #[test]
    fn a_lost_record_holds_its_place() {
        assert_eq!(decode(5, &lost(5)), Ok(None));
        assert_eq!(decode(6, &lost(5)), Err(FrameError::Checksum));
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut frame = vec![9, 1, 2, 3];
        frame.extend_from_slice(&checksum(0, &frame));
        assert_eq!(decode(0, &frame), Err(FrameError::Version(9)));
    }
}
