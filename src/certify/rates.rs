//! Exchange rates, for floors in another currency than the bid's.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// What one unit of each currency is worth in a common one, in billionths.
#[derive(Clone, Debug, Default)]
pub struct Rates(BTreeMap<String, i128>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    rates: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "as_of")]
    _as_of: Option<toml::Value>,
}

const LARGEST_FILE: u64 = 1 << 20;

impl Rates {
    /// Reads a TOML file: a table `rates` of currency codes and what one unit is worth in a common currency. That is
    /// US dollars, unless the file gives the dollar a worth too.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let size = std::fs::metadata(path).map_err(|error| format!("cannot read {name}: {error}"))?.len();
        if size > LARGEST_FILE {
            return Err(format!("{name} is larger than {LARGEST_FILE} bytes; name a file of exchange rates"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
        Self::parse(&text).map_err(|error| format!("{name}: {error}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let document: Document =
            toml::from_str(text).map_err(|error| format!("{error}; write [rates] and EUR = \"1.08\""))?;
        let mut rates = BTreeMap::from([("USD".to_owned(), 1_000_000_000)]);
        for (code, value) in document.rates {
            let rate = match &value {
                toml::Value::String(text) => text.parse().ok(),
                toml::Value::Integer(whole) => Some(*whole as f64),
                toml::Value::Float(float) => Some(*float),
                _ => None,
            };
            match rate.filter(|rate: &f64| *rate >= 1e-6 && *rate < 1e6) {
                Some(rate) => rates.insert(code, (rate * 1e9).round() as i128),
                None => {
                    return Err(format!(
                        "rates.{code} is {value}; write what one {code} is worth, as \"1.08\""
                    ));
                }
            };
        }
        Ok(Self(rates))
    }

    /// An amount in another currency, rounded down to millionths so that nobody fails by a rounding; none where a
    /// rate is missing.
    pub(super) fn convert(&self, nanos: i128, from: &str, to: &str) -> Option<i128> {
        if from == to {
            return Some(nanos);
        }
        let converted = nanos.checked_mul(*self.0.get(from)?)? / self.0.get(to)?;
        Some(converted - converted.rem_euclid(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_converted_through_the_common_currency() {
        let rates = Rates::parse("as_of = \"2026-01-01\"\n[rates]\nEUR = \"1.25\"\nGBP = 1.5").unwrap();
        assert_eq!(rates.convert(2_000_000_000, "EUR", "USD"), Some(2_500_000_000));
        assert_eq!(rates.convert(1_000_000_000, "GBP", "EUR"), Some(1_200_000_000));
        assert_eq!(rates.convert(1, "SEK", "SEK"), Some(1));
        assert_eq!(rates.convert(1, "SEK", "USD"), None);
        for bad in
            ["", "[rates]\nEUR = 0", "[rates]\nEUR = \"x\"", "[rates]\nEUR = true", "rates = 1", "[rats]\n"]
        {
            assert!(Rates::parse(bad).is_err(), "{bad}");
        }
    }
}
