//! In which currency and for how many impressions a bid was made: what turns an exchange's price into our money.

use crate::money::CpmMicros;
use crate::opportunity::Quantity;
use crate::rate::Rate;

/// What an exchange's prices mean for one bid. A bid at price `q` reserves `charge(q)`; a notice with price `p` costs
/// `charge(p)`. Since `charge` never falls when its argument rises, a notice of at most the bid's own price costs at most
/// what was reserved, whatever the roundings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Terms {
    /// Units of the account's currency for one of the bid's.
    #[n(0)]
    pub rate: Rate,
    /// How many impressions are paid for at once.
    #[n(1)]
    pub quantity: Quantity,
}

/// Millionths, what a [`Quantity`] counts in.
const QUANTITY: i128 = 1_000_000;

impl Terms {
    /// Whether a price means what it says: one impression, in the account's currency.
    pub fn are_plain(&self) -> bool {
        *self == Self::default()
    }

    /// What a thousand showings at an exchange's price cost in the account's currency, rounded up; stops at the largest
    /// price.
    pub fn charge(&self, price: CpmMicros) -> CpmMicros {
        if self.are_plain() {
            return price;
        }
        // Both steps round up, so the whole never falls when the price rises.
        let converted = i128::from(self.in_account(price).0.max(0));
        let exact = converted * i128::from(self.quantity.0);
        let rounded = exact / QUANTITY + i128::from(exact % QUANTITY > 0);
        CpmMicros(i64::try_from(rounded).unwrap_or(i64::MAX))
    }

    /// An exchange's price in the account's currency, for one impression, rounded up.
    pub fn in_account(&self, price: CpmMicros) -> CpmMicros {
        price.to_account_rounded_up(self.rate)
    }

    /// The highest price in the bid's currency that is worth at most `price` of the account's.
    pub fn offer(&self, price: CpmMicros) -> CpmMicros {
        price.from_account_rounded_down(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_terms_change_nothing() {
        let terms = Terms::default();
        assert!(terms.are_plain());
        assert_eq!(terms.charge(CpmMicros(1_234_567)), CpmMicros(1_234_567));
        assert_eq!(terms.offer(CpmMicros(1_234_567)), CpmMicros(1_234_567));
    }

    #[test]
    fn currencies_and_quantities_multiply() {
        // 1 EUR = 1.0832 USD, and a screen that 2.5 people see.
        let terms = Terms { rate: Rate::from_billionths(1_083_200_000), quantity: Quantity(2_500_000) };
        assert_eq!(terms.offer(CpmMicros(1_083_200)), CpmMicros(1_000_000));
        assert_eq!(terms.charge(CpmMicros(1_000_000)), CpmMicros(2_708_000));
        assert_eq!(terms.in_account(CpmMicros(1_000_000)), CpmMicros(1_083_200));
    }

    proptest! {
        #[test]
        fn no_notice_up_to_the_bid_costs_more_than_was_reserved(
            price in 0i64..1_000_000_000_000,
            rate in 1u64..1_000_000_000_000_000,
            quantity in 0u64..1_000_000_000_000,
            share in 0.0f64..=1.0,
        ) {
            let terms = Terms { rate: Rate::from_billionths(rate), quantity: Quantity(quantity) };
            let sent = terms.offer(CpmMicros(price));
            prop_assert!(terms.in_account(sent) <= CpmMicros(price), "an offer is worth at most the price");
            let reserved = terms.charge(sent).per_impression_rounded_up();
            let asked = CpmMicros((sent.0 as f64 * share) as i64).min(sent);
            prop_assert!(terms.charge(asked).per_impression_rounded_up() <= reserved);
        }

        #[test]
        fn a_floor_in_the_bids_own_currency_is_met(floor in 0i64..1_000_000_000_000, rate in 1u64..1_000_000_000_000_000) {
            let terms = Terms { rate: Rate::from_billionths(rate), quantity: Quantity::ONE };
            let needed = terms.in_account(CpmMicros(floor));
            prop_assume!(needed.0 < i64::MAX);
            prop_assert!(terms.offer(needed) >= CpmMicros(floor));
        }

        #[test]
        fn nothing_overflows(price in any::<i64>(), rate in any::<u64>(), quantity in any::<u64>()) {
            let terms = Terms { rate: Rate::from_billionths(rate), quantity: Quantity(quantity) };
            prop_assert!(terms.charge(CpmMicros(price)).0 >= 0 || terms.are_plain());
            let _ = (terms.offer(CpmMicros(price)), terms.in_account(CpmMicros(price)));
        }
    }
}
