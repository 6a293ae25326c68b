//! The sealed tokens in notice URLs.
//!
//! XChaCha20-Poly1305. The nonce is 16 random bytes of this process and a counter, so it cannot repeat, not even after
//! an old data folder was restored. The kinds are told apart by the associated data: a token out of the ad's markup,
//! which a browser sees, opens no money notice.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag as Mac, XChaCha20Poly1305, XNonce};
use haggle_domain::{
    BidId, CampaignKey, CpmMicros, Decision, ExchangeKey, Quantity, Rate, Terms, Timestamp, UserKey,
};

use crate::entropy;

const NONCE: usize = 24;
const MAC: usize = 16;
/// Longer texts are no tokens of ours, and are not decoded.
const LONGEST: usize = 512;
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
    cipher: XChaCha20Poly1305,
    process: [u8; 16],
    counter: AtomicU64,
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
    pub fn new(key: [u8; 32], process: [u8; 16]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&key.into()), process, counter: AtomicU64::new(0) }
    }

    /// The token of a decision, as URL-safe text.
    pub fn seal(&self, kind: TokenKind, decision: &Decision) -> String {
        let mut nonce = [0; NONCE];
        nonce[..16].copy_from_slice(&self.process);
        nonce[16..].copy_from_slice(&self.counter.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&nonce);
        write(kind, decision, &mut bytes);
        let nonce: XNonce = nonce.into();
        // Fails for texts of hundreds of gigabytes only; an empty token opens as nothing.
        match self.cipher.encrypt_inout_detached(&nonce, &[kind as u8], (&mut bytes[NONCE..]).into()) {
            Ok(mac) => {
                bytes.extend_from_slice(&mac);
                BASE64.encode(&bytes)
            }
            Err(_) => String::new(),
        }
    }

    /// The decision in a token.
    pub fn open(&self, kind: TokenKind, text: &str) -> Result<Decision, Forged> {
        if text.len() > LONGEST {
            return Err(Forged);
        }
        let mut bytes = BASE64.decode(text).map_err(|_| Forged)?;
        if bytes.len() < NONCE + MAC {
            return Err(Forged);
        }
        let mac: [u8; MAC] = bytes.split_off(bytes.len() - MAC).try_into().map_err(|_| Forged)?;
        let (nonce, body) = bytes.split_at_mut(NONCE);
        let nonce: [u8; NONCE] = (&*nonce).try_into().map_err(|_| Forged)?;
        self.cipher
            .decrypt_inout_detached(&XNonce::from(nonce), &[kind as u8], (&mut *body).into(), &Mac::from(mac))
            .map_err(|_| Forged)?;
        read(kind, body).ok_or(Forged)
    }
}

/// The layout of a bid whose prices mean what they say.
const PLAIN: u8 = 1;
/// The same, with the bid's terms after the first byte.
const WITH_TERMS: u8 = 2;

/// Little-endian, fixed fields first. The first byte is the layout.
fn write(kind: TokenKind, decision: &Decision, out: &mut Vec<u8>) {
    if decision.terms.are_plain() {
        out.push(PLAIN);
    } else {
        out.push(WITH_TERMS);
        out.extend_from_slice(&decision.terms.rate.billionths().to_le_bytes());
        out.extend_from_slice(&decision.terms.quantity.0.to_le_bytes());
    }
    out.extend_from_slice(&decision.bid.campaign.0.to_le_bytes());
    out.extend_from_slice(&decision.bid.lease.to_le_bytes());
    out.extend_from_slice(&decision.bid.number.to_le_bytes());
    out.extend_from_slice(&decision.at.0.to_le_bytes());
    out.extend_from_slice(&decision.expires_at.0.to_le_bytes());
    out.extend_from_slice(&decision.ceiling.0.to_le_bytes());
    out.extend_from_slice(&decision.exchange.0.to_le_bytes());
    if kind == TokenKind::Money {
        return;
    }
    out.extend_from_slice(&decision.creative.to_le_bytes());
    out.extend_from_slice(&decision.propensity.to_le_bytes());
    out.extend_from_slice(&decision.model_version.to_le_bytes());
    out.extend_from_slice(&decision.click_probability.to_le_bytes());
    out.extend_from_slice(&decision.value.0.to_le_bytes());
    out.push(u8::from(decision.user.is_some()));
    out.extend_from_slice(&decision.user.unwrap_or_default().0.to_le_bytes());
    for feature in decision.features.iter().take(MOST_FEATURES) {
        out.extend_from_slice(&feature.to_le_bytes()[..3]);
    }
}

fn read(kind: TokenKind, mut bytes: &[u8]) -> Option<Decision> {
    fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (head, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*head)
    }
    let bytes = &mut bytes;
    let terms = match take::<1>(bytes)? {
        [PLAIN] => Terms::default(),
        [WITH_TERMS] => Terms {
            rate: Rate::from_billionths(u64::from_le_bytes(take(bytes)?)),
            quantity: Quantity(u64::from_le_bytes(take(bytes)?)),
        },
        _ => return None,
    };
    let mut decision = Decision {
        terms,
        bid: BidId {
            campaign: CampaignKey(u64::from_le_bytes(take(bytes)?)),
            lease: u32::from_le_bytes(take(bytes)?),
            number: u32::from_le_bytes(take(bytes)?),
        },
        at: Timestamp(i64::from_le_bytes(take(bytes)?)),
        expires_at: Timestamp(i64::from_le_bytes(take(bytes)?)),
        ceiling: CpmMicros(i64::from_le_bytes(take(bytes)?)),
        exchange: ExchangeKey(u64::from_le_bytes(take(bytes)?)),
        ..Decision::default()
    };
    if kind != TokenKind::Money {
        decision.creative = u16::from_le_bytes(take(bytes)?);
        decision.propensity = f32::from_le_bytes(take(bytes)?);
        decision.model_version = u64::from_le_bytes(take(bytes)?);
        decision.click_probability = f32::from_le_bytes(take(bytes)?);
        decision.value = CpmMicros(i64::from_le_bytes(take(bytes)?));
        let known = take::<1>(bytes)? == [1];
        let user = UserKey(u64::from_le_bytes(take(bytes)?));
        decision.user = known.then_some(user);
        while !bytes.is_empty() {
            let [a, b, c] = take(bytes)?;
            decision.features.push(u32::from_le_bytes([a, b, c, 0]));
        }
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
            value: CpmMicros(5_000_000),
            user: Some(UserKey(13)),
            features: (0..24).map(|i| i * 699_051).collect(),
            terms: Terms::default(),
        }
    }

    fn sealer() -> Sealer {
        Sealer::new([5; 32], [6; 16])
    }

    #[test]
    fn an_event_token_carries_the_whole_decision_and_a_money_token_what_money_needs() {
        let sealer = sealer();
        let event = sealer.seal(TokenKind::Event, &decision());
        assert_eq!(sealer.open(TokenKind::Event, &event), Ok(decision()));
        let money = sealer.seal(TokenKind::Money, &decision());
        let opened = sealer.open(TokenKind::Money, &money).unwrap();
        assert_eq!((opened.bid, opened.ceiling), (decision().bid, decision().ceiling));
        assert!(opened.features.is_empty() && opened.user.is_none());
        assert!(money.len() < 130 && event.len() < 300, "{} {}", money.len(), event.len());
    }

    #[test]
    fn a_bid_in_another_currency_or_for_many_carries_its_terms() {
        let terms = Terms { rate: Rate::from_billionths(1_083_200_000), quantity: Quantity(2_500_000) };
        let decision = Decision { terms, ..decision() };
        for kind in [TokenKind::Money, TokenKind::Event] {
            assert_eq!(sealer().open(kind, &sealer().seal(kind, &decision)).unwrap().terms, terms);
        }
    }

    #[test]
    fn one_kind_does_not_open_as_the_other_and_no_key_opens_anothers() {
        let sealer = sealer();
        let event = sealer.seal(TokenKind::Event, &decision());
        for other in [TokenKind::Money, TokenKind::Order] {
            assert_eq!(sealer.open(other, &event), Err(Forged));
        }
        assert_eq!(Sealer::new([4; 32], [6; 16]).open(TokenKind::Event, &event), Err(Forged));
    }

    #[test]
    fn the_same_decision_never_gives_the_same_token() {
        let sealer = sealer();
        assert_ne!(sealer.seal(TokenKind::Money, &decision()), sealer.seal(TokenKind::Money, &decision()));
    }

    #[test]
    fn the_key_is_made_once_kept_private_and_never_guessed_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let token = Sealer::open_or_create(&path).unwrap().seal(TokenKind::Event, &decision());
        assert_eq!(Sealer::open_or_create(&path).unwrap().open(TokenKind::Event, &token), Ok(decision()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, b"short").unwrap();
        assert!(matches!(Sealer::open_or_create(&path), Err(KeyError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn an_altered_token_is_forged(position in 0usize..120, bit in 0u8..8) {
            let sealer = sealer();
            let token = sealer.seal(TokenKind::Money, &decision());
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
