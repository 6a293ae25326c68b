//! The sealed tokens in notice URLs.
//!
//! AES-256-GCM (NIST SP 800-38D) under a key of this process alone, which HKDF-SHA256 (RFC 5869) derives from the kept key
//! and 16 random bytes that the token carries. The nonce is a counter, so under one key none comes twice, not even after
//! an old data folder was restored. The kinds are told apart by the associated data: a token out of the ad's markup,
//! which a browser sees, opens no money notice.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use haggle_domain::{
    BidId, CampaignKey, CpmMicros, Decision, ExchangeKey, Footing, Quantity, Quote, Rate, Segment, Terms,
    Timestamp, UserKey,
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};

use crate::entropy;

/// The random bytes of a process.
const PROCESS: usize = 16;
/// Those and the counter, in the open before what is sealed.
const HEAD: usize = PROCESS + 8;
/// Longer texts are no tokens of ours, and are not decoded.
const LONGEST: usize = 512;
/// The bytes of a text of that length.
const MOST_BYTES: usize = LONGEST / 4 * 3;
/// Keys of earlier processes that are kept; a token of another costs a derivation. A notice comes within hours of its bid,
/// so there are seldom more than one or two.
const KEPT_KEYS: usize = 8;
/// The model's features are 24-bit hashes; more than this many do not fit a token's count.
const MOST_FEATURES: usize = 64;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Win, billing and loss notices: between the exchange and us. Carries what money needs.
    Money = 1,
    /// Impression and click: in the markup, seen by the user's browser. Carries what the learner needs, too.
    Event = 2,
    /// Conversion: given out with a click, so that markup alone reports no orders. Carries the same.
    Order = 3,
}

/// The text is no token of that kind under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a genuine token for this notice")]
pub struct Forged;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot read or make the token key {path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{0} is not a token key (32 bytes): restore it from a backup, or delete it to make a new one, which voids every open notice"
    )]
    Malformed(PathBuf),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Entropy(getrandom::Error),
}

/// Seals and opens tokens.
pub struct Sealer {
    /// What the processes' keys are derived from.
    root: Prk,
    process: [u8; PROCESS],
    own: Option<LessSafeKey>,
    counter: AtomicU64,
    /// The keys of other processes, the last one that opened a token first. One that opens nothing is not kept, so that
    /// strangers drive none out.
    others: Mutex<Vec<([u8; PROCESS], Arc<LessSafeKey>)>>,
}

impl Sealer {
    /// With the key in `path`, which is made (readable by its owner alone) if it is not there.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        let io_error = |error| KeyError::Io { path: path.to_owned(), error };
        let mut key = [0; 32];
        match fs::File::open(path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(64).read_to_end(&mut bytes).map_err(io_error)?;
                key = bytes.try_into().map_err(|_| KeyError::Malformed(path.to_owned()))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                entropy::fill(&mut key).map_err(KeyError::Entropy)?;
                // Written aside, synced, then renamed: a crash leaves the whole key or none.
                let aside = path.with_extension("new");
                let mut options = fs::OpenOptions::new();
                options.write(true).create(true).truncate(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(&aside).map_err(io_error)?;
                file.write_all(&key).and_then(|()| file.sync_all()).map_err(io_error)?;
                fs::rename(&aside, path).map_err(io_error)?;
                if let Some(folder) = path.parent() {
                    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)?;
                }
            }
            Err(error) => return Err(io_error(error)),
        }
        let mut process = [0; 16];
        entropy::fill(&mut process).map_err(KeyError::Entropy)?;
        Ok(Self::new(key, process))
    }

    /// With a key, and bytes that no other process under this key has.
    pub fn new(key: [u8; 32], process: [u8; PROCESS]) -> Self {
        let root = Salt::new(HKDF_SHA256, b"haggle notice tokens").extract(&key);
        let own = derive(&root, &process);
        Self { root, process, own, counter: AtomicU64::new(0), others: Mutex::default() }
    }

    /// Appends the token of a decision, as URL-safe text.
    pub fn seal(&self, kind: TokenKind, decision: &Decision, out: &mut String) {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut token = Bytes::new();
        token.put(&self.process);
        token.put(&count.to_le_bytes());
        write(kind, decision, &mut token);
        let sealed = self.own.as_ref().and_then(|key| {
            let body = token.bytes.get_mut(HEAD..token.length)?;
            key.seal_in_place_separate_tag(nonce(count), Aad::from([kind as u8]), body).ok()
        });
        // Fails for texts of gigabytes only; an empty token opens as nothing.
        let Some(mac) = sealed else { return };
        token.put(mac.as_ref());
        let mut text = [0; LONGEST];
        let length = BASE64.encode_slice(token.written(), &mut text).unwrap_or(0);
        out.push_str(std::str::from_utf8(&text[..length]).unwrap_or_default());
    }

    /// The decision in a token.
    pub fn open(&self, kind: TokenKind, text: &str) -> Result<Decision, Forged> {
        let mut bytes = [0; MOST_BYTES];
        if text.len() > LONGEST {
            return Err(Forged);
        }
        let length = BASE64.decode_slice(text, &mut bytes).map_err(|_| Forged)?;
        let token = bytes.get_mut(..length).ok_or(Forged)?;
        let (process, rest) = token.split_first_chunk_mut::<PROCESS>().ok_or(Forged)?;
        let (count, sealed) = rest.split_first_chunk_mut::<{ HEAD - PROCESS }>().ok_or(Forged)?;
        let nonce = nonce(u64::from_le_bytes(*count));
        let aad = Aad::from([kind as u8]);
        let opened = if *process == self.process {
            self.own.as_ref().ok_or(Forged)?.open_in_place(nonce, aad, sealed).map_err(|_| Forged)?
        } else {
            let key = self.kept(process).or_else(|| derive(&self.root, process).map(Arc::new));
            let key = key.ok_or(Forged)?;
            let opened = key.open_in_place(nonce, aad, sealed).map_err(|_| Forged)?;
            self.keep(*process, key);
            opened
        };
        read(kind, opened).ok_or(Forged)
    }

    fn kept(&self, process: &[u8; PROCESS]) -> Option<Arc<LessSafeKey>> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.iter().find(|(other, _)| other == process).map(|(_, key)| Arc::clone(key))
    }

    /// Keeps the key of a process whose token is genuine, and the `KEPT_KEYS - 1` before it.
    fn keep(&self, process: [u8; PROCESS], key: Arc<LessSafeKey>) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.retain(|(other, _)| *other != process);
        others.truncate(KEPT_KEYS - 1);
        others.insert(0, (process, key));
    }
}

/// The key of a process. It is always had: HKDF fails for outputs of kilobytes only.
fn derive(root: &Prk, process: &[u8; PROCESS]) -> Option<LessSafeKey> {
    let info = [&process[..]];
    let key = root.expand(&info, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(key)))
}

fn nonce(count: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&count.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// A token in the making.
struct Bytes {
    bytes: [u8; MOST_BYTES],
    length: usize,
}

impl Bytes {
    fn new() -> Self {
        Self { bytes: [0; MOST_BYTES], length: 0 }
    }

    /// Appends; what does not fit, which no token's fields come to, is left out.
    #[inline]
    fn put(&mut self, more: &[u8]) {
        let end = self.length + more.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(more);
            self.length = end;
        }
    }

    /// Appends seven bits a byte, the lowest first, all but the last byte with their high bit set.
    #[inline]
    fn put_short(&mut self, mut number: u64) {
        while number >= 0x80 {
            // Of the low seven bits nothing is lost.
            self.put(&[number as u8 | 0x80]);
            number >>= 7;
        }
        self.put(&[number as u8]);
    }

    fn written(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The layout of a bid whose prices mean what they say.
const PLAIN: u8 = 1;
/// The same, with the bid's terms after the first byte.
const WITH_TERMS: u8 = 2;
/// Added to the layout where how the bid was priced follows.
const WITH_QUOTE: u8 = 2;
/// Added where an event's token says how probable an order was. Those from before say 0.
const WITH_ORDERS: u8 = 4;
/// Added for a bid above what its prediction says; with which probability follows the value.
const EXPLORED: u8 = 0x80;
/// Set in a quote's first byte where the probability of its price follows.
const DRAWN: u8 = 0x80;

/// Little-endian, fixed fields first; numbers that are mostly small are written short. The first byte is the layout.
fn write(kind: TokenKind, decision: &Decision, out: &mut Bytes) {
    let quoted = decision.quote != Quote::default();
    let more = if quoted { WITH_QUOTE } else { 0 }
        + if kind == TokenKind::Money { 0 } else { WITH_ORDERS }
        + if decision.explored.is_some() { EXPLORED } else { 0 };
    if decision.terms.are_plain() {
        out.put(&[PLAIN + more]);
    } else {
        out.put(&[WITH_TERMS + more]);
        out.put(&decision.terms.rate.billionths().to_le_bytes());
        out.put(&decision.terms.quantity.0.to_le_bytes());
    }
    if quoted {
        write_quote(&decision.quote, out);
    }
    out.put(&decision.bid.campaign.0.to_le_bytes());
    out.put(&decision.bid.lease.to_le_bytes());
    out.put_short(decision.bid.number.into());
    out.put(&decision.at.0.to_le_bytes());
    // Signed numbers wrap, and come back by the same: any of them is carried, the usual ones in few bytes.
    out.put_short(decision.expires_at.0.wrapping_sub(decision.at.0).cast_unsigned());
    out.put_short(decision.ceiling.0.cast_unsigned());
    out.put(&decision.exchange.0.to_le_bytes());
    if kind == TokenKind::Money {
        return;
    }
    out.put(&decision.creative.to_le_bytes());
    out.put(&decision.propensity.to_le_bytes());
    out.put_short(decision.model_version);
    out.put(&decision.click_probability.to_le_bytes());
    out.put(&decision.order_probability.to_le_bytes());
    out.put_short(decision.value.0.cast_unsigned());
    if let Some(propensity) = decision.explored {
        out.put(&propensity.to_le_bytes());
    }
    match decision.user {
        Some(user) => {
            out.put(&[1]);
            out.put(&user.0.to_le_bytes());
        }
        None => out.put(&[0]),
    }
    for feature in decision.features.iter().take(MOST_FEATURES) {
        out.put(&feature.to_le_bytes()[..3]);
    }
}

/// What it takes to learn from the bid's outcome; both kinds of notices carry it.
fn write_quote(quote: &Quote, out: &mut Bytes) {
    let footing = match quote.footing {
        Footing::Unknown => 0,
        Footing::First => 1,
        Footing::Second => 2,
        Footing::Deal => 3,
    };
    out.put(&[footing | if quote.propensity.is_some() { DRAWN } else { 0 }]);
    out.put(&quote.segment.0.to_le_bytes());
    if let Some(propensity) = quote.propensity {
        out.put(&propensity.to_le_bytes());
    }
}

fn read_quote(bytes: &mut &[u8]) -> Option<Quote> {
    let [head] = take(bytes)?;
    let footing = match head & !DRAWN {
        0 => Footing::Unknown,
        1 => Footing::First,
        2 => Footing::Second,
        3 => Footing::Deal,
        _ => return None,
    };
    let segment = Segment(u32::from_le_bytes(take(bytes)?));
    let propensity = if head & DRAWN > 0 { Some(f32::from_le_bytes(take(bytes)?)) } else { None };
    Some(Quote { segment, footing, propensity })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

fn take_short(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let [byte] = take(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn read(kind: TokenKind, mut bytes: &[u8]) -> Option<Decision> {
    let bytes = &mut bytes;
    let [head] = take(bytes)?;
    let layout = head & !EXPLORED;
    let (orders, layout) = if layout > WITH_ORDERS { (true, layout - WITH_ORDERS) } else { (false, layout) };
    let (quoted, layout) = if layout > WITH_QUOTE { (true, layout - WITH_QUOTE) } else { (false, layout) };
    let terms = match layout {
        PLAIN => Terms::default(),
        WITH_TERMS => Terms {
            rate: Rate::from_billionths(u64::from_le_bytes(take(bytes)?)),
            quantity: Quantity(u64::from_le_bytes(take(bytes)?)),
        },
        _ => return None,
    };
    let quote = if quoted { read_quote(bytes)? } else { Quote::default() };
    let bid = BidId {
        campaign: CampaignKey(u64::from_le_bytes(take(bytes)?)),
        lease: u32::from_le_bytes(take(bytes)?),
        number: u32::try_from(take_short(bytes)?).ok()?,
    };
    let at = Timestamp(i64::from_le_bytes(take(bytes)?));
    let mut decision = Decision {
        terms,
        quote,
        bid,
        at,
        expires_at: Timestamp(at.0.wrapping_add(take_short(bytes)?.cast_signed())),
        ceiling: CpmMicros(take_short(bytes)?.cast_signed()),
        exchange: ExchangeKey(u64::from_le_bytes(take(bytes)?)),
        // Of money it matters only that it was.
        explored: (head & EXPLORED != 0).then_some(0.0),
        ..Decision::default()
    };
    if kind != TokenKind::Money {
        decision.creative = u16::from_le_bytes(take(bytes)?);
        decision.propensity = f32::from_le_bytes(take(bytes)?);
        decision.model_version = take_short(bytes)?;
        decision.click_probability = f32::from_le_bytes(take(bytes)?);
        if orders {
            decision.order_probability = f32::from_le_bytes(take(bytes)?);
        }
        decision.value = CpmMicros(take_short(bytes)?.cast_signed());
        if let Some(propensity) = &mut decision.explored {
            *propensity = f32::from_le_bytes(take(bytes)?);
        }
        decision.user = match take::<1>(bytes)? {
            [0] => None,
            _ => Some(UserKey(u64::from_le_bytes(take(bytes)?))),
        };
        decision.features = bytes
            .chunks(3)
            .map(|it| it.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
            .collect();
        if !bytes.len().is_multiple_of(3) {
            return None;
        }
        *bytes = &[];
    }
    bytes.is_empty().then_some(decision)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decision() -> Decision {
        Decision {
            bid: BidId { campaign: CampaignKey(7), lease: 3, number: 9 },
            at: Timestamp(1_000),
            expires_at: Timestamp(9_000),
            ceiling: CpmMicros(2_345_000),
            exchange: ExchangeKey(11),
            creative: 2,
            propensity: 0.25,
            model_version: 77,
            click_probability: 0.03,
            order_probability: 0.002,
            value: CpmMicros(5_000_000),
            user: Some(UserKey(13)),
            features: (0..24).map(|i| i * 699_051).collect(),
            terms: Terms::default(),
            explored: None,
            quote: Quote::default(),
        }
    }

    fn sealer() -> Sealer {
        Sealer::new([5; 32], [6; 16])
    }

    fn sealed(sealer: &Sealer, kind: TokenKind, decision: &Decision) -> String {
        let mut out = String::new();
        sealer.seal(kind, decision, &mut out);
        out
    }

    #[test]
    fn an_event_token_carries_the_whole_decision_and_a_money_token_what_money_needs() {
        let sealer = sealer();
        let event = sealed(&sealer, TokenKind::Event, &decision());
        assert_eq!(sealer.open(TokenKind::Event, &event), Ok(decision()));
        let money = sealed(&sealer, TokenKind::Money, &decision());
        let opened = sealer.open(TokenKind::Money, &money).unwrap();
        assert_eq!((opened.bid, opened.ceiling), (decision().bid, decision().ceiling));
        assert!(opened.features.is_empty() && opened.user.is_none());
        assert!(money.len() < 110 && event.len() < 250, "{} {}", money.len(), event.len());
    }

    #[test]
    fn tokens_from_before_orders_were_in_them_open() {
        let mut bytes = Bytes::new();
        write(TokenKind::Event, &decision(), &mut bytes);
        let (mut old, now) = (bytes.written().to_vec(), decision().order_probability.to_le_bytes());
        let at = old.windows(4).position(|window| window == now).unwrap();
        old.drain(at..at + 4);
        old[0] = PLAIN;
        let before = Decision { order_probability: 0.0, ..decision() };
        assert_eq!(read(TokenKind::Event, &old), Some(before));
    }

    #[test]
    fn a_bid_in_another_currency_or_for_many_carries_its_terms() {
        let terms = Terms { rate: Rate::from_billionths(1_083_200_000), quantity: Quantity(2_500_000) };
        let decision = Decision { terms, ..decision() };
        for kind in [TokenKind::Money, TokenKind::Event] {
            assert_eq!(sealer().open(kind, &sealed(&sealer(), kind, &decision)).unwrap().terms, terms);
        }
    }

    #[test]
    fn that_a_bid_tried_something_costs_a_plain_one_nothing_and_is_known_to_money() {
        let sealer = sealer();
        let tried = Decision { explored: Some(0.05), ..decision() };
        let event = sealed(&sealer, TokenKind::Event, &tried);
        assert_eq!(sealer.open(TokenKind::Event, &event), Ok(tried.clone()));
        let money = sealed(&sealer, TokenKind::Money, &tried);
        assert!(sealer.open(TokenKind::Money, &money).unwrap().explored.is_some());
        assert_eq!(money.len(), sealed(&sealer, TokenKind::Money, &decision()).len());
    }

    #[test]
    fn how_a_bid_was_priced_takes_few_letters_and_without_it_a_token_is_as_before() {
        let quote = Quote { segment: Segment(u32::MAX), footing: Footing::First, propensity: None };
        let drawn = Quote { propensity: Some(0.02 / 16.0), ..quote };
        for (kind, layout) in [(TokenKind::Money, PLAIN), (TokenKind::Event, PLAIN + WITH_ORDERS)] {
            let [without, with, longest] = [Quote::default(), quote, drawn].map(|quote| {
                let decision = Decision { quote, ..decision() };
                let token = sealed(&sealer(), kind, &decision);
                assert_eq!(sealer().open(kind, &token).unwrap().quote, quote);
                token.len()
            });
            assert!(with <= without + 7 && longest <= without + 12, "{without} {with} {longest}");
            let mut plain = Bytes::new();
            write(kind, &decision(), &mut plain);
            assert_eq!(plain.written()[0], layout);
        }
    }

    #[test]
    fn one_kind_does_not_open_as_the_other_and_no_key_opens_anothers() {
        let sealer = sealer();
        let event = sealed(&sealer, TokenKind::Event, &decision());
        for other in [TokenKind::Money, TokenKind::Order] {
            assert_eq!(sealer.open(other, &event), Err(Forged));
        }
        assert_eq!(Sealer::new([4; 32], [6; 16]).open(TokenKind::Event, &event), Err(Forged));
    }

    #[test]
    fn the_same_decision_never_gives_the_same_token() {
        let sealer = sealer();
        assert_ne!(
            sealed(&sealer, TokenKind::Money, &decision()),
            sealed(&sealer, TokenKind::Money, &decision())
        );
    }

    #[test]
    fn the_key_is_made_once_kept_private_and_never_guessed_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let token = sealed(&Sealer::open_or_create(&path).unwrap(), TokenKind::Event, &decision());
        assert_eq!(Sealer::open_or_create(&path).unwrap().open(TokenKind::Event, &token), Ok(decision()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, b"short").unwrap();
        assert!(matches!(Sealer::open_or_create(&path), Err(KeyError::Malformed(_))));
    }

    #[test]
    fn tokens_of_earlier_processes_open_and_strangers_drive_no_kept_key_out() {
        let sealer = sealer();
        let of = |process: u8| sealed(&Sealer::new([5; 32], [process; 16]), TokenKind::Money, &decision());
        let tokens: Vec<String> = (10..30).map(of).collect();
        let kept = || sealer.others.lock().unwrap().iter().map(|(process, _)| process[0]).collect::<Vec<_>>();
        for token in &tokens {
            assert!(sealer.open(TokenKind::Money, token).is_ok());
        }
        assert_eq!(kept(), (22..30).rev().collect::<Vec<_>>());
        // Process bytes that nobody has, and a token of the right ones that is not genuine.
        for process in 100..=255 {
            let mut bytes = BASE64.decode(&tokens[19]).unwrap();
            bytes[0] = process;
            assert_eq!(sealer.open(TokenKind::Money, &BASE64.encode(&bytes)), Err(Forged));
        }
        assert_eq!(sealer.open(TokenKind::Event, &tokens[0]), Err(Forged));
        assert_eq!(kept(), (22..30).rev().collect::<Vec<_>>());
        // The one that was used last stays longest.
        assert!(sealer.open(TokenKind::Money, &tokens[12]).is_ok());
        assert_eq!(kept()[0], 22);
        assert!(sealer.open(TokenKind::Event, &sealed(&sealer, TokenKind::Event, &decision())).is_ok());
    }

    proptest! {
        #[test]
        fn every_number_comes_back(
            (number, at, expires, ceiling, value) in any::<(u32, i64, i64, i64, i64)>(),
            (model_version, user, features) in any::<(u64, Option<u64>, [u32; MOST_FEATURES])>(),
            (small, explored) in any::<(bool, bool)>(),
        ) {
            let few = |number: i64| if small { number >> 44 } else { number };
            let decision = Decision {
                bid: BidId { campaign: CampaignKey(7), lease: u32::MAX, number },
                at: Timestamp(at),
                expires_at: Timestamp(few(expires)),
                ceiling: CpmMicros(few(ceiling)),
                value: CpmMicros(few(value)),
                model_version,
                user: user.map(UserKey),
                features: features.iter().map(|feature| feature & 0xff_ffff).collect(),
                terms: Terms { rate: Rate::from_billionths(3), quantity: Quantity(u64::MAX) },
                explored: explored.then_some(0.05),
                quote: Quote { segment: Segment(number), footing: Footing::Deal, propensity: Some(0.5) },
                ..decision()
            };
            let text = sealed(&sealer(), TokenKind::Event, &decision);
            prop_assert!(text.len() <= LONGEST);
            prop_assert_eq!(sealer().open(TokenKind::Event, &text), Ok(decision));
        }

        #[test]
        fn an_altered_token_is_forged(position in 0usize..120, bit in 0u8..8) {
            let sealer = sealer();
            let token = sealed(&sealer, TokenKind::Money, &decision());
            let mut bytes = BASE64.decode(&token).unwrap();
            let position = position % bytes.len();
            bytes[position] ^= 1 << bit;
            prop_assert_eq!(sealer.open(TokenKind::Money, &BASE64.encode(&bytes)), Err(Forged));
            bytes.truncate(position);
            prop_assert_eq!(sealer.open(TokenKind::Money, &BASE64.encode(&bytes)), Err(Forged));
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,300}") {
            prop_assert!(sealer().open(TokenKind::Event, &text).is_err());
        }
    }
}
