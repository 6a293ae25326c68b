//! Money in integers.
//!
//! Two types, so that the price of a thousand impressions can never be debited as the price of one:
//! [`Micros`] is an amount, in millionths of the account's currency; [`CpmMicros`] is a price for a thousand
//! impressions in the same unit, which is what OpenRTB speaks (`bidfloor`, `price`, `${AUCTION_PRICE}`).
//! Decimals are read and written as text, digit by digit, and never pass through a float.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

/// Micro-units in one unit of currency, and digits after the decimal point.
const SCALE: i64 = 1_000_000;
const SCALE_DIGITS: usize = 6;

/// The largest magnitude that parsing accepts: a billion units. Sums of thousands of such amounts fit an `i64`, so larger
/// ones are refused where they enter.
const MAX_PARSED: i64 = 1_000_000_000 * SCALE;

/// An amount of money in millionths of the account's currency. May be negative (a difference).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    minicbor::Encode,
    minicbor::Decode,
    serde::Serialize,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Micros(#[n(0)] pub i64);

/// A price for a thousand impressions, in millionths of the account's currency.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    minicbor::Encode,
    minicbor::Decode,
    serde::Serialize,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct CpmMicros(#[n(0)] pub i64);

/// Why a text is no amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a plain decimal number.
    #[error("{0:?} is not a decimal amount; write it like \"12.50\"")]
    NotDecimal(String),
    /// More than six digits after the point, where exactness was asked for.
    #[error("{0:?} has more than 6 digits after the point; money is kept in millionths")]
    TooPrecise(String),
    /// Beyond a billion units.
    #[error("{0:?} is larger than a billion")]
    TooLarge(String),
}

impl Micros {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// The largest amount; stands for "no limit" in comparisons.
    pub const MAX: Self = Self(i64::MAX);

    /// Whole units of currency.
    pub const fn from_units(units: i64) -> Self {
        Self(units * SCALE)
    }

    /// For gauges and models only: a float, never to come back as money.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }

    /// Subtracts, stopping at zero.
    pub fn minus_or_zero(self, other: Self) -> Self {
        Self((self.0.saturating_sub(other.0)).max(0))
    }

    /// Adds, stopping at the largest amount.
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// A share of this amount, rounded down. `share` is clamped to `0..=1`; NaN counts as 0.
    pub fn share_rounded_down(self, share: f64) -> Self {
        let share = if share > 0.0 { share.min(1.0) } else { 0.0 };
        // Exact for amounts below 2^53 micros (nine billion units); above that the error is below one unit
        // in nine billion, and downward because of the clamp.
        Self(((self.0 as f64 * share).floor() as i64).clamp(0, self.0.max(0)))
    }
}

impl CpmMicros {
    /// A price of nothing.
    pub const ZERO: Self = Self(0);

    /// What one impression costs at this price, rounded **up** to a whole micro: used for what is reserved
    /// and for what is charged, so a charge never exceeds its reservation.
    pub const fn per_impression_rounded_up(self) -> Micros {
        Micros(self.0.div_euclid(1000) + if self.0.rem_euclid(1000) > 0 { 1 } else { 0 })
    }

    /// The price whose single impression costs exactly `amount`.
    pub const fn from_per_impression(amount: Micros) -> Self {
        Self(amount.0.saturating_mul(1000))
    }

    /// From a float price as OpenRTB sends a floor (currency units per thousand), rounded **up**, so that a
    /// bid at the result satisfies the floor. `None` unless finite, non-negative and at most a billion.
    pub fn from_f64_rounded_up(units: f64) -> Option<Self> {
        let micros = units * SCALE as f64;
        if !(0.0..=MAX_PARSED as f64).contains(&micros) {
            return None;
        }
        // A float such as 0.1 is off by less than 1e-9 micro; do not let that lift the price by a micro.
        let nearest = micros.round();
        let micros = if (micros - nearest).abs() < 1e-6 { nearest } else { micros.ceil() };
        Some(Self(micros as i64))
    }

    /// From a model's float price, rounded **down** to a price whose single impression costs whole micros, so
    /// that a first-price charge equals the bid to the micro. Not finite or negative gives zero; the result
    /// is capped at a million units per thousand.
    pub fn from_f64_rounded_down(units: f64) -> Self {
        if units.is_nan() || units <= 0.0 {
            return Self::ZERO;
        }
        let per_impression = (units.min(1e6) * 1000.0).floor() as i64;
        Self::from_per_impression(Micros(per_impression))
    }

    /// For models only: currency units per thousand impressions.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }

    /// Reads a clearing price as an exchange writes it into `${AUCTION_PRICE}`: a plain decimal; digits past
    /// the sixth round up. Negative, signed, exponent and empty texts are errors.
    pub fn parse_rounded_up(text: &str) -> Result<Self, MoneyError> {
        if text.starts_with(['-', '+']) {
            return Err(MoneyError::NotDecimal(shorten(text)));
        }
        parse_decimal(text, true).map(Self)
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Reads `[-]digits[.digits]` into millionths.
fn parse_decimal(text: &str, round_up: bool) -> Result<i64, MoneyError> {
    let not_decimal = || MoneyError::NotDecimal(shorten(text));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(not_decimal());
    }
    let mut value: i64 = 0;
    let (kept, dropped) = fraction.split_at(fraction.len().min(SCALE_DIGITS));
    let padding = SCALE_DIGITS - kept.len();
    for byte in whole.bytes().chain(kept.bytes()).chain(std::iter::repeat_n(b'0', padding)) {
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(i64::from(byte - b'0')))
            .filter(|value| *value <= MAX_PARSED)
            .ok_or_else(|| MoneyError::TooLarge(shorten(text)))?;
    }
    if dropped.bytes().any(|byte| byte != b'0') {
        if !round_up {
            return Err(MoneyError::TooPrecise(shorten(text)));
        }
        value += 1;
    }
    Ok(if negative { -value } else { value })
}

fn format_decimal(value: i64, min_fraction: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let magnitude = value.unsigned_abs();
    let (whole, fraction) = (magnitude / SCALE.unsigned_abs(), magnitude % SCALE.unsigned_abs());
    let digits = format!("{fraction:06}");
    let kept = digits.trim_end_matches('0').len().max(min_fraction);
    let sign = if value < 0 { "-" } else { "" };
    if kept == 0 {
        f.pad(&format!("{sign}{whole}"))
    } else {
        f.pad(&format!("{sign}{whole}.{}", &digits[..kept]))
    }
}

impl FromStr for Micros {
    type Err = MoneyError;

    /// Exact: more than six digits after the point is an error.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        parse_decimal(text, false).map(Self)
    }
}

impl FromStr for CpmMicros {
    type Err = MoneyError;

    /// Exact: more than six digits after the point is an error.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        parse_decimal(text, false).map(Self)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format_decimal(self.0, 2, f)
    }
}

impl fmt::Display for CpmMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format_decimal(self.0, 0, f)
    }
}

impl Add for Micros {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Micros {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Micros {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Micros {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Micros {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Sum for Micros {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_decimals_exactly() {
        assert_eq!("12.50".parse(), Ok(Micros(12_500_000)));
        assert_eq!("0.000001".parse(), Ok(Micros(1)));
        assert_eq!(".5".parse(), Ok(Micros(500_000)));
        assert_eq!("-3".parse(), Ok(Micros(-3_000_000)));
        assert!(matches!("0.0000001".parse::<Micros>(), Err(MoneyError::TooPrecise(_))));
        for bad in ["", ".", "-", "1e3", "1,5", " 1", "0x1", "NaN", "inf", "--1", "1.2.3", "١"] {
            assert!(matches!(bad.parse::<Micros>(), Err(MoneyError::NotDecimal(_))), "{bad:?}");
        }
        assert!(matches!("1000000001".parse::<Micros>(), Err(MoneyError::TooLarge(_))));
        assert!(matches!("99999999999999999999999".parse::<Micros>(), Err(MoneyError::TooLarge(_))));
    }

    #[test]
    fn clearing_price_rounds_up_and_refuses_signs() {
        assert_eq!(CpmMicros::parse_rounded_up("1.2345671"), Ok(CpmMicros(1_234_568)));
        assert_eq!(CpmMicros::parse_rounded_up("1.2345670000"), Ok(CpmMicros(1_234_567)));
        for bad in ["-1", "+1", "${AUCTION_PRICE}", "1e9"] {
            assert!(CpmMicros::parse_rounded_up(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn one_impression_is_a_thousandth_rounded_up() {
        assert_eq!(CpmMicros(1_234_000).per_impression_rounded_up(), Micros(1_234));
        assert_eq!(CpmMicros(1_234_001).per_impression_rounded_up(), Micros(1_235));
        assert_eq!(CpmMicros(0).per_impression_rounded_up(), Micros(0));
    }

    #[test]
    fn floats_from_requests_round_toward_the_floor_being_met() {
        assert_eq!(CpmMicros::from_f64_rounded_up(0.1), Some(CpmMicros(100_000)));
        assert_eq!(CpmMicros::from_f64_rounded_up(0.123_456_7), Some(CpmMicros(123_457)));
        for bad in [-0.01, f64::NAN, f64::INFINITY, 1e30] {
            assert_eq!(CpmMicros::from_f64_rounded_up(bad), None);
        }
        assert_eq!(CpmMicros::from_f64_rounded_down(f64::NAN), CpmMicros::ZERO);
    }

    proptest! {
        #[test]
        fn text_round_trips(value in -1_000_000_000_000i64..1_000_000_000_000) {
            prop_assert_eq!(Micros(value).to_string().parse(), Ok(Micros(value)));
            prop_assert_eq!(CpmMicros(value).to_string().parse(), Ok(CpmMicros(value)));
        }

        #[test]
        fn a_lower_price_never_costs_more(a in 0i64..1_000_000_000, b in 0i64..1_000_000_000) {
            let (low, high) = (CpmMicros(a.min(b)), CpmMicros(a.max(b)));
            prop_assert!(low.per_impression_rounded_up() <= high.per_impression_rounded_up());
        }

        #[test]
        fn model_prices_cost_whole_micros(units in 0.0f64..1e5) {
            let price = CpmMicros::from_f64_rounded_down(units);
            prop_assert!(price.to_f64() <= units + 1e-9);
            prop_assert_eq!(CpmMicros::from_per_impression(price.per_impression_rounded_up()), price);
        }

        #[test]
        fn shares_stay_within(value in 0i64..i64::MAX / 2, share in proptest::num::f64::ANY) {
            let part = Micros(value).share_rounded_down(share);
            prop_assert!(part >= Micros::ZERO && part <= Micros(value));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Micros>();
            let _ = CpmMicros::parse_rounded_up(&text);
        }
    }
}
