//! Exchange rates, and prices across them, in integers.
//!
//! A bid is reserved in the account's currency and sent in the exchange's. With `p` the price in the account's, the
//! price sent is `q = p.from_account_rounded_down(rate)`, and a notice that names a clearing price `c` is charged
//! `c.to_account_rounded_up(rate)`. Both round against us, and so the money holds:
//!
//! - whatever is charged fits what was reserved: `c ≤ q` implies `c.to_account_rounded_up(rate) ≤ p`. For
//!   `q ≤ p ÷ rate`, so `c × rate ≤ p`, and the least whole number that is not below `c × rate` is at most `p`;
//! - a floor that `p` meets in the account's currency is met by `q` in the exchange's: `f.to_account_rounded_up(rate) ≤
//!   p` implies `f ≤ q`, since `f ≤ p ÷ rate` and `f` is whole;
//! - what rounding leaves unused is less than one millionth of the other currency: `q`, converted back, is above
//!   `p − rate` (in millionths).
//!
//! Amounts beyond what fits stop at the largest amount, which keeps the first two.

use std::fmt;
use std::str::FromStr;

use crate::money::CpmMicros;
use crate::planted::{Bug, planted};

/// A rate of 1, and digits after its point.
const SCALE: u64 = 1_000_000_000;
const SCALE_DIGITS: usize = 9;

/// The largest rate: a million.
const MOST: u64 = 1_000_000 * SCALE;

/// Units of the account's currency for one unit of another, in billionths; above 0 and at most a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode)]
#[cbor(transparent)]
pub struct Rate(#[n(0)] u64);

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rate; write a decimal above 0, at most 1000000 and with at most 9 digits after the point, \
     like \"1.0832\""
)]
pub struct RateError(String);

/// What one unit of each currency is worth in the account's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// The account's currency, ISO 4217. Its own rate is [`Rate::ONE`].
    pub account: String,
    /// Other currencies, ISO 4217, each once and never the account's.
    pub pairs: Vec<(String, Rate)>,
}

impl Rate {
    /// Of the account's own currency.
    pub const ONE: Self = Self(SCALE);

    /// So many billionths. Of what this program wrote itself; nothing is checked.
    pub const fn from_billionths(billionths: u64) -> Self {
        Self(billionths)
    }

    /// In billionths.
    pub const fn billionths(self) -> u64 {
        self.0
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self::ONE
    }
}

impl FromStr for Rate {
    type Err = RateError;

    /// Reads `digits[.digits]`, exactly.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let fits = digits(whole) && digits(fraction) && fraction.len() <= SCALE_DIGITS;
        let padding = SCALE_DIGITS.saturating_sub(fraction.len());
        let padded = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', padding));
        let number = padded.filter(|_| fits).try_fold(0u64, |number, byte| {
            // Checked at every digit, so that no length of text overflows.
            number
                .checked_mul(10)?
                .checked_add(u64::from(byte.wrapping_sub(b'0')))
                .filter(|number| *number <= MOST)
        });
        match number {
            Some(number @ 1..) => Ok(Self(number)),
            _ => Err(RateError(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / SCALE, self.0 % SCALE);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Rates {
    /// The code and rate of `currency`; `None` where it has none. Letters' case and spaces around are ignored.
    pub fn find(&self, currency: &str) -> Option<(&str, Rate)> {
        let currency = currency.trim();
        if currency.eq_ignore_ascii_case(&self.account) || planted(Bug::CurrencyIgnored) {
            return Some((&self.account, Rate::ONE));
        }
        let other = self.pairs.iter().find(|(code, _)| currency.eq_ignore_ascii_case(code));
        other.map(|(code, rate)| (code.as_str(), *rate))
    }
}

/// Rounding and charges as the [module](self) states them.
impl CpmMicros {
    /// A price in another currency, in the account's: rounded **up**, as floors and charges are. Stops at the largest
    /// price.
    pub fn to_account_rounded_up(self, rate: Rate) -> Self {
        let exact = i128::from(self.0) * i128::from(rate.0);
        let scale = i128::from(SCALE);
        clamped(exact.div_euclid(scale) + i128::from(exact.rem_euclid(scale) > 0))
    }

    /// A price in the account's currency, in another: rounded **down**, as bids are. Stops at the largest price.
    pub fn from_account_rounded_down(self, rate: Rate) -> Self {
        // A rate is never 0.
        clamped((i128::from(self.0) * i128::from(SCALE)).div_euclid(i128::from(rate.0.max(1))))
    }
}

fn clamped(price: i128) -> CpmMicros {
    let bound = if price < 0 { i64::MIN } else { i64::MAX };
    CpmMicros(i64::try_from(price).unwrap_or(bound))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_read_exactly_and_nothing_else_does() {
        for (text, shown) in [
            ("1.0832", "1.0832"),
            ("1", "1"),
            ("0.000000001", "0.000000001"),
            (".5", "0.5"),
            ("1000000", "1000000"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), shown);
        }
        assert_eq!("1.000000000".parse(), Ok(Rate::ONE));
        for wrong in [
            "",
            ".",
            "0",
            "0.0",
            "-1",
            "+1",
            "1e3",
            "1,5",
            " 1",
            "1.0000000001",
            "1000000.000000001",
            "99999999999999999999999",
            "NaN",
            "1.2.3",
            "١",
        ] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong:?}");
        }
        assert!("x".repeat(1000).parse::<Rate>().unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn prices_cross_as_a_person_would_reckon() {
        let euro: Rate = "1.0832".parse().unwrap();
        assert_eq!(CpmMicros(2_000_000).to_account_rounded_up(euro), CpmMicros(2_166_400));
        assert_eq!(CpmMicros(2_166_400).from_account_rounded_down(euro), CpmMicros(2_000_000));
        assert_eq!(CpmMicros(2_166_399).from_account_rounded_down(euro), CpmMicros(1_999_999));
        assert_eq!(CpmMicros(1).to_account_rounded_up(euro), CpmMicros(2));
        let yen: Rate = "0.0066".parse().unwrap();
        assert_eq!(CpmMicros(1_000_000).from_account_rounded_down(yen), CpmMicros(151_515_151));
        assert_eq!(CpmMicros(151_515_151).to_account_rounded_up(yen), CpmMicros(1_000_000));
        assert_eq!(CpmMicros(i64::MAX).to_account_rounded_up(euro), CpmMicros(i64::MAX));
        assert_eq!(CpmMicros(i64::MAX).from_account_rounded_down(yen), CpmMicros(i64::MAX));
    }

    #[test]
    fn a_currency_is_found_whatever_its_case_and_the_accounts_is_one() {
        let rates =
            Rates { account: "USD".to_owned(), pairs: vec![("EUR".to_owned(), "1.0832".parse().unwrap())] };
        assert_eq!(rates.find(" usd"), Some(("USD", Rate::ONE)));
        assert_eq!(rates.find("eur"), Some(("EUR", "1.0832".parse().unwrap())));
        assert_eq!(rates.find("JPY"), None);
    }

    fn any_rate() -> impl Strategy<Value = Rate> {
        prop_oneof![1u64..=MOST, 1u64..=1_000, 900_000_000u64..1_200_000_000, Just(SCALE)].prop_map(Rate)
    }

    /// As large as parsing and models make prices, and beyond.
    fn any_price() -> impl Strategy<Value = CpmMicros> {
        prop_oneof![0i64..100_000_000, 0i64..1_000_000_000_000_000, 0..=i64::MAX].prop_map(CpmMicros)
    }

    proptest! {
        #[test]
        fn whatever_is_charged_fits_what_was_reserved(
            reserved in any_price(), rate in any_rate(), share in 0u64..=1_000,
        ) {
            let sent = reserved.from_account_rounded_down(rate);
            let clearing = CpmMicros((i128::from(sent.0) * i128::from(share) / 1_000) as i64);
            for charged in [clearing, sent].map(|price| price.to_account_rounded_up(rate)) {
                prop_assert!(charged <= reserved);
                prop_assert!(charged.per_impression_rounded_up() <= reserved.per_impression_rounded_up());
            }
        }

        #[test]
        fn rounding_leaves_less_than_one_step_of_the_other_currency(
            reserved in 0i64..1_000_000_000_000_000, rate in any_rate(),
        ) {
            let price = CpmMicros(reserved).from_account_rounded_down(rate);
            prop_assume!(price.0 < i64::MAX);
            let back = i128::from(price.to_account_rounded_up(rate).0);
            prop_assert!((i128::from(reserved) - back) * i128::from(SCALE) < i128::from(rate.0));
        }

        #[test]
        fn a_floor_met_in_the_accounts_currency_is_met_by_what_is_sent(
            floor in 0i64..=1_000_000_000_000_000, above in 0i64..1_000_000, rate in any_rate(),
        ) {
            let floor = CpmMicros(floor);
            let needed = floor.to_account_rounded_up(rate);
            // A floor beyond the largest price stops there; no bid is that high.
            prop_assume!(needed.0 < i64::MAX - above);
            prop_assert!(CpmMicros(needed.0 + above).from_account_rounded_down(rate) >= floor);
            if needed.0 > 0 {
                prop_assert!(CpmMicros(needed.0 - 1).from_account_rounded_down(rate) < floor);
            }
        }

        #[test]
        fn the_accounts_own_prices_stay(price in any_price()) {
            prop_assert_eq!(price.to_account_rounded_up(Rate::ONE), price);
            prop_assert_eq!(price.from_account_rounded_down(Rate::ONE), price);
        }

        #[test]
        fn rates_round_trip_as_text(rate in any_rate()) {
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Rate>();
        }
    }
}
