//! The sealed tokens in notice URLs.
//!
//! AES-256-GCM (NIST SP 800-38D) under a key of this process alone, which HKDF-SHA256 (RFC 5869) derives from the kept key
//! and 16 random bytes that the token carries. The nonce is a counter, so under one key none comes twice, not even after
//! an old data folder was restored. The first of those bytes is the number of the kept key, of which there is a ring (`keys.rs`). The
//! kinds are told apart by the associated data: a token out of the ad's markup,
//! which a browser sees, opens no money notice.

// By its path, so that whoever takes this file alone finds it, too.
#[path = "token/keys.rs"]
mod keys;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use haggle_domain::{
    BidId, CampaignKey, CpmMicros, Decision, ExchangeKey, Footing, Quantity, Quote, Rate, Segment, Terms,
    Timestamp, UserKey,
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};

use self::keys::KEY;
pub use self::keys::{KeyError, KeyFile, SETTLES};
use crate::entropy;

/// The number of a key from before there were rings.
const LEGACY: u8 = 0;
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

/// Seals and opens tokens.
pub struct Sealer {
    keys: ArcSwap<Keys>,
    followed: Option<Followed>,
}

/// The keys as a file has them.
struct Followed {
    file: KeyFile,
    /// What was taken over: the file's bytes, and which key seals.
    seen: Mutex<(Vec<u8>, Option<u8>)>,
}

/// What the sealer works with until the ring changes. A change begins anew, under bytes of its own, so that no counter comes twice.
struct Keys {
    /// What the processes' keys are derived from, by the keys' numbers.
    roots: Vec<(u8, Prk)>,
    process: [u8; PROCESS],
    own: Option<LessSafeKey>,
    counter: AtomicU64,
    /// The keys of other processes, the last one that opened a token first. One that opens nothing is not kept, so that
    /// strangers drive none out.
    others: Mutex<Vec<([u8; PROCESS], Arc<LessSafeKey>)>>,
}

impl Keys {
    /// With a ring, of which one key seals, and bytes that no other process has. They begin with that key's number, but where it is 0:
    /// then they are as they were before there were rings.
    fn new(ring: &[(u8, [u8; KEY])], sealing: u8, mut process: [u8; PROCESS]) -> Self {
        if sealing != LEGACY {
            process[0] = sealing;
        }
        let salt = Salt::new(HKDF_SHA256, b"haggle notice tokens");
        let roots: Vec<(u8, Prk)> = ring.iter().map(|(id, key)| (*id, salt.extract(key))).collect();
        let own = roots.iter().find(|(id, _)| *id == sealing).and_then(|(_, root)| derive(root, &process));
        Self { roots, process, own, counter: AtomicU64::new(0), others: Mutex::default() }
    }

    fn root(&self, id: u8) -> Option<&Prk> {
        self.roots.iter().find(|(known, _)| *known == id).map(|(_, root)| root)
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

    /// Opens what another process has sealed.
    fn open_others<'t>(
        &self,
        process: [u8; PROCESS],
        count: u64,
        aad: Aad<[u8; 1]>,
        sealed: &'t mut [u8],
    ) -> Option<&'t mut [u8]> {
        if let Some(key) = self.kept(&process) {
            let opened = key.open_in_place(nonce(count), aad, sealed).ok()?;
            self.keep(process, key);
            return Some(opened);
        }
        let numbered = self.root(process[0]).filter(|_| process[0] != LEGACY);
        let legacy = self.root(LEGACY);
        // A key from before there were rings has sealed under any bytes, so it has a try after the one whose number they begin with.
        for root in [numbered, legacy].into_iter().flatten() {
            let mut copy = [0; MOST_BYTES];
            let copy = copy.get_mut(..sealed.len())?;
            copy.copy_from_slice(sealed);
            let key = Arc::new(derive(root, &process)?);
            if let Ok(opened) = key.open_in_place(nonce(count), aad, copy) {
                let opened = opened.len();
                sealed[..opened].copy_from_slice(&copy[..opened]);
                self.keep(process, key);
                return sealed.get_mut(..opened);
            }
        }
        None
    }
}

impl Sealer {
    /// With the keys in `path`, of which one is made (readable by its owner alone) if there is no file.
    pub fn open_or_create(path: &Path, now: Timestamp) -> Result<Self, KeyError> {
        let file = KeyFile::new(path);
        let bytes = file.read_or_create(now)?;
        let (keys, sealing) = taken_over(&file, &bytes, now)?;
        let followed = Followed { file, seen: Mutex::new((bytes, sealing)) };
        Ok(Self { keys: ArcSwap::from_pointee(keys), followed: Some(followed) })
    }

    /// With a key, and bytes that no other process under this key has.
    pub fn new(key: [u8; KEY], process: [u8; PROCESS]) -> Self {
        Self { keys: ArcSwap::from_pointee(Keys::new(&[(LEGACY, key)], LEGACY, process)), followed: None }
    }

    /// Takes over what has changed in the keys' file, or in which of them seals by now; true if anything has. On an error, also
    /// where the file is gone, the keys stay as they are.
    pub fn follow(&self, now: Timestamp) -> Result<bool, KeyError> {
        let Some(Followed { file, seen }) = &self.followed else { return Ok(false) };
        let bytes = file.read_or_gone()?;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let sealing = file.parse(&bytes)?.sealing(now);
        if (&bytes, &sealing) == (&seen.0, &seen.1) {
            return Ok(false);
        }
        let (keys, sealing) = taken_over(file, &bytes, now)?;
        self.keys.store(Arc::new(keys));
        *seen = (bytes, sealing);
        Ok(true)
    }

    /// Appends the token of a decision, as URL-safe text.
    pub fn seal(&self, kind: TokenKind, decision: &Decision, out: &mut String) {
        let keys = self.keys.load();
        let count = keys.counter.fetch_add(1, Ordering::Relaxed);
        let mut token = Bytes::new();
        token.put(&keys.process);
        token.put(&count.to_le_bytes());
        write(kind, decision, &mut token);
        let sealed = keys.own.as_ref().and_then(|key| {
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
        let count = u64::from_le_bytes(*count);
        let aad = Aad::from([kind as u8]);
        let keys = self.keys.load();
        let opened = if *process == keys.process {
            let own = keys.own.as_ref().ok_or(Forged)?;
            own.open_in_place(nonce(count), aad, sealed).map_err(|_| Forged)?
        } else {
            keys.open_others(*process, count, aad, sealed).ok_or(Forged)?
        };
        read(kind, opened).ok_or(Forged)
    }
}

/// What to work with, by a file's bytes: which key seals, and new bytes of the process.
fn taken_over(file: &KeyFile, bytes: &[u8], now: Timestamp) -> Result<(Keys, Option<u8>), KeyError> {
    let ring = file.parse(bytes)?;
    let sealing = ring.sealing(now);
    let mut process = [0; PROCESS];
    entropy::fill(&mut process).map_err(KeyError::Entropy)?;
    let keys: Vec<(u8, [u8; KEY])> = ring.keys.iter().map(|key| (key.id, key.bytes)).collect();
    Ok((Keys::new(&keys, sealing.unwrap_or(LEGACY), process), sealing))
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
    use std::fs;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

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
        let token = sealed(&Sealer::open_or_create(&path, NOW).unwrap(), TokenKind::Event, &decision());
        assert_eq!(
            Sealer::open_or_create(&path, NOW).unwrap().open(TokenKind::Event, &token),
            Ok(decision())
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, b"short").unwrap();
        assert!(matches!(Sealer::open_or_create(&path, NOW), Err(KeyError::Malformed { line: 1, .. })));
    }

    #[test]
    fn a_token_of_the_one_key_of_old_opens_after_a_rotation_until_it_is_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        fs::write(&path, [5; KEY]).unwrap();
        // Among processes' bytes of old are some that begin with the number of a key of now.
        let old: Vec<String> = (0..=255)
            .map(|first| sealed(&Sealer::new([5; KEY], [first; PROCESS]), TokenKind::Money, &decision()))
            .collect();
        let sealer = Sealer::open_or_create(&path, NOW).unwrap();
        let file = KeyFile::new(&path);
        let opens = |token: &String| sealer.open(TokenKind::Money, token).is_ok();
        assert!(old.iter().all(opens));
        assert_eq!(file.rotate(NOW).unwrap(), 1);
        let before = sealed(&sealer, TokenKind::Money, &decision());
        assert!(sealer.follow(NOW).unwrap() && !sealer.follow(NOW).unwrap());
        let unsettled = sealed(&sealer, TokenKind::Money, &decision());
        let later = NOW + SETTLES;
        assert!(sealer.follow(later).unwrap());
        let after = sealed(&sealer, TokenKind::Money, &decision());
        assert_eq!(BASE64.decode(&after).unwrap()[0], 1, "the new key's number");
        for token in old.iter().chain([&before, &unsettled, &after]) {
            assert!(opens(token));
        }
        assert_eq!(file.prune(Duration::from_secs(60), later + Duration::from_secs(60)).unwrap(), [0]);
        assert!(opens(&before), "until it is read");
        assert!(sealer.follow(later).unwrap());
        assert!(opens(&after) && !old.iter().chain([&before, &unsettled]).any(opens));
    }

    #[test]
    fn a_damaged_or_missing_ring_is_refused_with_the_reason_and_a_running_sealer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let sealer = Sealer::open_or_create(&path, NOW).unwrap();
        KeyFile::new(&path).rotate(NOW).unwrap();
        let token = sealed(&sealer, TokenKind::Money, &decision());
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() - 30;
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        for error in [Sealer::open_or_create(&path, NOW).err(), sealer.follow(NOW).err()] {
            let error = error.unwrap().to_string();
            assert!(
                error.contains("line 3: the checksum does not match") && error.contains("token.key"),
                "{error}"
            );
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(sealer.follow(NOW), Err(KeyError::Io { .. })));
        assert!(sealer.open(TokenKind::Money, &token).is_ok());
    }

    /// Several nodes share the file; one reads a second later than the other.
    #[test]
    fn no_token_is_refused_while_keys_are_rotated_under_load() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let nodes = [(); 2].map(|()| Sealer::open_or_create(&path, NOW).unwrap());
        let file = KeyFile::new(&path);
        let (done, opened) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for (seals, opens) in [(0, 1), (1, 0)] {
                let (nodes, done, opened) = (&nodes, &done, &opened);
                scope.spawn(move || {
                    let mut earlier: Vec<String> = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        let token = sealed(&nodes[seals], TokenKind::Event, &decision());
                        assert_eq!(nodes[opens].open(TokenKind::Event, &token), Ok(decision()));
                        let count = opened.fetch_add(1, Ordering::Relaxed);
                        if count.is_multiple_of(64) {
                            earlier.push(token);
                        }
                        let past = count.wrapping_mul(0x9e37_79b9) as usize % earlier.len().max(1);
                        if let Some(token) = earlier.get(past) {
                            assert!(nodes[opens].open(TokenKind::Event, token).is_ok());
                        }
                    }
                });
            }
            let mut now = NOW;
            for _ in 0..20 {
                file.rotate(now).unwrap();
                for _ in 0..10 {
                    nodes[0].follow(now).unwrap();
                    now = now + Duration::from_secs(1);
                    nodes[1].follow(now).unwrap();
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(opened.into_inner() > 1_000);
    }

    /// Flipped bits, cuts, two tokens spliced, another kind, another key. `HAGGLE_TOKEN_FORGERIES` says how many.
    #[test]
    fn no_forgery_is_accepted() {
        let forgeries = std::env::var("HAGGLE_TOKEN_FORGERIES").map_or(100_000, |text| text.parse().unwrap());
        let kinds = [TokenKind::Money, TokenKind::Event, TokenKind::Order];
        let ring = [(LEGACY, [5; KEY]), (1, [6; KEY]), (2, [7; KEY])];
        let of = |keys: &[(u8, [u8; KEY])], seals: u8, process: u8| Sealer {
            keys: ArcSwap::from_pointee(Keys::new(keys, seals, [process; PROCESS])),
            followed: None,
        };
        let sealer = of(&ring, 2, 9);
        let others = [of(&ring, 0, 1), of(&ring, 1, 9), of(&ring, 2, 9), of(&[(2, [8; KEY])], 2, 9)];
        let mut seed = 20_261_129_u64;
        let mut random = move || {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 31) as usize
        };
        let mut tokens = Vec::new();
        for number in 0..64 {
            for kind in kinds {
                let bid = BidId { campaign: CampaignKey(7), lease: 3, number };
                let decision = Decision { bid, ..decision() };
                // The last sealer has a key that nobody here knows.
                for (index, by) in [&sealer, &others[0], &others[1], &others[3]].into_iter().enumerate() {
                    let token = BASE64.decode(sealed(by, kind, &decision)).unwrap();
                    tokens.push((kind, index == 3, token));
                }
            }
        }
        let genuine = |kind: TokenKind, bytes: &[u8]| {
            tokens.iter().any(|(other, foreign, token)| *other == kind && !foreign && token == bytes)
        };
        let (mut refused, mut same) = (0, 0);
        while refused < forgeries {
            let (kind, _, token) = &tokens[random() % tokens.len()];
            let (mut kind, mut bytes) = (*kind, token.clone());
            match random() % 6 {
                0 => {
                    let at = random() % bytes.len();
                    bytes[at] ^= 1 << (random() % 8);
                }
                1 => bytes.truncate(random() % bytes.len()),
                2 => {
                    let other = &tokens[random() % tokens.len()].2;
                    let at = random() % bytes.len().min(other.len());
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[at..]);
                }
                3 => kind = kinds[random() % 3],
                4 => bytes.extend((0..=random() % 4).map(|byte| byte as u8)),
                _ => bytes[0] = random() as u8,
            }
            if genuine(kind, &bytes) {
                same += 1;
                assert!(sealer.open(kind, &BASE64.encode(&bytes)).is_ok());
                continue;
            }
            assert_eq!(sealer.open(kind, &BASE64.encode(&bytes)), Err(Forged), "{kind:?} {bytes:?}");
            refused += 1;
        }
        println!("{refused} refused, {same} were no forgeries");
    }

    #[test]
    fn tokens_of_earlier_processes_open_and_strangers_drive_no_kept_key_out() {
        let sealer = sealer();
        let of = |process: u8| sealed(&Sealer::new([5; 32], [process; 16]), TokenKind::Money, &decision());
        let tokens: Vec<String> = (10..30).map(of).collect();
        let kept = || {
            sealer
                .keys
                .load()
                .others
                .lock()
                .unwrap()
                .iter()
                .map(|(process, _)| process[0])
                .collect::<Vec<_>>()
        };
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
