//! Clearing prices that an exchange encrypts, by the scheme of Google's Authorized Buyers ("Decrypt price
//! confirmations"), which other exchanges use too.
//!
//! What `${AUCTION_PRICE}` becomes is 28 bytes in web-safe base64: an initialisation vector of 16, the price XORed with
//! the first 8 of HMAC-SHA1(encryption key, vector), and the first 4 of HMAC-SHA1(integrity key, price ‖ vector). The
//! price is a big-endian number of millionths of the currency for a thousand impressions. A ciphertext that is sent
//! again is harmless, because a bid settles once.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use haggle_domain::CpmMicros;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

const KEY_BYTES: usize = 32;
const VECTOR_BYTES: usize = 16;
const PRICE_BYTES: usize = 8;
const SIGNATURE_BYTES: usize = 4;
const ALL_BYTES: usize = VECTOR_BYTES + PRICE_BYTES + SIGNATURE_BYTES;

/// No price is above this, so that sums of prices keep far from the end of the numbers: a thousand million units.
const MOST: CpmMicros = CpmMicros(1_000_000_000_000_000);

/// One of the two keys of an exchange; no log and no message shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct PriceKey([u8; KEY_BYTES]);

impl fmt::Debug for PriceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PriceKey(…)")
    }
}

impl PriceKey {
    /// Reads a key as exchanges hand it out: 32 bytes in web-safe base64, padded or not, or in 64 hexadecimal digits.
    /// `None` where it is neither; the text is never repeated.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = if text.len() == 2 * KEY_BYTES { hexadecimal(text) } else { web_safe(text) };
        bytes?.try_into().ok().map(Self)
    }

    fn hmac(&self, parts: &[&[u8]]) -> Option<Hmac<Sha1>> {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).ok()?;
        parts.iter().for_each(|part| mac.update(part));
        Some(mac)
    }
}

fn web_safe(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.trim_end_matches('=')).ok()
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// The keys with which an exchange encrypts its prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceKeys {
    /// Hides the price.
    pub encryption: PriceKey,
    /// Signs it.
    pub integrity: PriceKey,
}

impl PriceKeys {
    /// The price in a ciphertext. `None` where it is not one of this exchange's, and of an impossible price. Takes the
    /// same time for every wrong signature.
    pub fn decrypt(&self, text: &str) -> Option<CpmMicros> {
        // Longer ones are not decoded only to be thrown away.
        let bytes = web_safe(text).filter(|bytes| bytes.len() == ALL_BYTES && text.len() <= 2 * ALL_BYTES)?;
        let (vector, rest) = bytes.split_at(VECTOR_BYTES);
        let (hidden, signature) = rest.split_at(PRICE_BYTES);
        let pad = self.encryption.hmac(&[vector])?.finalize().into_bytes();
        let mut price = [0; PRICE_BYTES];
        for (byte, (hidden, pad)) in price.iter_mut().zip(hidden.iter().zip(pad)) {
            *byte = hidden ^ pad;
        }
        // Compares in constant time.
        self.integrity.hmac(&[&price, vector])?.verify_truncated_left(signature).ok()?;
        i64::try_from(u64::from_be_bytes(price)).ok().map(CpmMicros).filter(|price| *price <= MOST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENCRYPTION: &str = "skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o=";
    const INTEGRITY: &str = "arO23ykdNqUQ5LEoQ0FVmPkBd7xB5CO89PDZlSjpFxo=";

    fn keys() -> PriceKeys {
        let key = |text| PriceKey::parse(text).unwrap();
        PriceKeys { encryption: key(ENCRYPTION), integrity: key(INTEGRITY) }
    }

    fn encrypt(keys: &PriceKeys, price: u64, vector: [u8; VECTOR_BYTES]) -> String {
        let pad = keys.encryption.hmac(&[&vector]).unwrap().finalize().into_bytes();
        let price = price.to_be_bytes();
        let signature = keys.integrity.hmac(&[&price, &vector]).unwrap().finalize().into_bytes();
        let mut bytes = vector.to_vec();
        bytes.extend(price.iter().zip(pad).map(|(price, pad)| price ^ pad));
        bytes.extend_from_slice(&signature[..SIGNATURE_BYTES]);
        BASE64.encode(bytes)
    }

    #[test]
    fn the_published_examples_decrypt() {
        for (text, micros) in [
            ("YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCce_6msaw", 100),
            ("YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCAWJRxOgA", 1900),
            ("YWJjMTIzZGVmNDU2Z2hpN7fhCuPemC32prpWWw", 2700),
        ] {
            assert_eq!(keys().decrypt(text), Some(CpmMicros(micros)));
        }
    }

    #[test]
    fn a_key_is_read_in_either_form_and_never_shown() {
        let key = PriceKey::parse(INTEGRITY).unwrap();
        let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(PriceKey::parse(&hex), Some(key.clone()));
        assert_eq!(PriceKey::parse(&hex.to_uppercase()), Some(key.clone()));
        assert_eq!(PriceKey::parse(INTEGRITY.trim_end_matches('=')), Some(key));
        for bad in ["", "arO2", &hex[1..], &format!("{hex}00"), &"é".repeat(32), &"g".repeat(64)] {
            assert_eq!(PriceKey::parse(bad), None, "{bad}");
        }
        assert!(!format!("{:?}", keys()).contains(|c: char| c.is_ascii_digit()));
    }

    proptest! {
        #[test]
        fn what_was_encrypted_is_read_and_any_changed_bit_refused(
            price in 0u64..=1_000_000_000_000_000, vector: [u8; VECTOR_BYTES], at in 0..ALL_BYTES, bit in 0u8..8,
        ) {
            let text = encrypt(&keys(), price, vector);
            prop_assert_eq!(keys().decrypt(&text).map(|price| price.0), i64::try_from(price).ok());
            let swapped = PriceKeys { encryption: keys().integrity, integrity: keys().encryption };
            prop_assert_eq!(swapped.decrypt(&text), None);
            let mut bytes = BASE64.decode(&text).unwrap();
            bytes[at] ^= 1 << bit;
            // The signature has 32 bits, so one in 4 thousand million changed ones would pass.
            prop_assert_eq!(keys().decrypt(&BASE64.encode(bytes)), None);
        }

        #[test]
        fn an_impossible_price_is_refused(price in 1_000_000_000_000_001u64.., vector: [u8; VECTOR_BYTES]) {
            prop_assert_eq!(keys().decrypt(&encrypt(&keys(), price, vector)), None);
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            prop_assert_eq!(keys().decrypt(&text), None);
        }
    }
}
