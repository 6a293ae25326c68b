//! What other currencies are worth.

use crate::money::Rate;

/// The account's currency, and what one unit of each other known currency is worth in it. Codes are three capital letters
/// (ISO 4217).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    account: String,
    others: Vec<(String, Rate)>,
}

impl Rates {
    /// Of the account's currency and others. The account's own always has [`Rate::ONE`].
    pub fn new(account: impl Into<String>, others: Vec<(String, Rate)>) -> Self {
        Self { account: account.into(), others }
    }

    /// The account's currency.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The code and rate of a currency, however its letters are written; `None` where no rate is known.
    pub fn find(&self, currency: &str) -> Option<(&str, Rate)> {
        let currency = currency.trim();
        if currency.eq_ignore_ascii_case(&self.account) {
            return Some((&self.account, Rate::ONE));
        }
        let other = self.others.iter().find(|(code, _)| code.eq_ignore_ascii_case(currency));
        other.map(|(code, rate)| (code.as_str(), *rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_currency_and_known_others_are_found() {
        let rates = Rates::new("USD", vec![("EUR".into(), Rate(1_083_200_000))]);
        assert_eq!(rates.find(" usd "), Some(("USD", Rate::ONE)));
        assert_eq!(rates.find("eur"), Some(("EUR", Rate(1_083_200_000))));
        assert_eq!(rates.find("JPY"), None);
        assert_eq!(rates.find(""), None);
    }
}
