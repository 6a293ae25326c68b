//! Floors in the account's currency.

use haggle_domain::{CpmMicros, NoBidReason, Quantity, Rates, Terms};

use crate::domains::trimmed;
use crate::request::Floor;

/// What a floor's currency is where none is named (sections 3.2.4 and 3.2.12).
pub(super) const DEFAULT_CURRENCY: &str = "USD";

/// Reads the prices of one imp or deal.
#[derive(Clone, Copy)]
pub(super) struct Prices<'a> {
    /// What currencies are worth.
    pub(super) rates: &'a Rates,
    /// The currency that the prices are in.
    pub(super) currency: &'a str,
}

impl Prices<'_> {
    /// Whether the prices are in this currency.
    pub(super) fn is_in(&self, currency: &str) -> bool {
        trimmed(self.currency).eq_ignore_ascii_case(currency)
    }

    /// A floor in the account's currency, rounded up.
    pub(super) fn read(&self, floor: Floor) -> Result<CpmMicros, NoBidReason> {
        match floor {
            Floor::Absent | Floor::Price(CpmMicros::ZERO) => Ok(CpmMicros::ZERO),
            Floor::Unreadable => Err(NoBidReason::InvalidImp),
            Floor::Price(price) => {
                let (_, rate) = self.rates.find(self.currency).ok_or(NoBidReason::UnsupportedCurrency)?;
                Ok(Terms { rate, quantity: Quantity::ONE }.in_account(price))
            }
        }
    }
}
