//! What variants change.

use std::fmt;
use std::str::FromStr;

use toml::{Table, Value};

/// Parts of a key at most; no file has deeper ones.
const DEEPEST: usize = 16;

/// One key and the values that are tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Vary {
    choices: Vec<Choice>,
}

/// Where a value goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into the scenario.
    Scenario(Vec<String>),
    /// Into the campaign of that id, or `*`.
    Campaign(String, Vec<String>),
}

/// One value of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    key: String,
    /// As it was typed.
    said: String,
    /// Where it goes.
    pub target: Target,
    /// What it is.
    pub value: Value,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.said)
    }
}

impl Choice {
    /// What a variant of these is called.
    pub fn name(choices: &[Self]) -> String {
        choices.iter().map(Self::to_string).collect::<Vec<_>>().join(" ")
    }
}

impl FromStr for Vary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write it like requests_a_day=20000,40000 or campaign.ID.budget.daily=20.00,40.00";
        let (key, values) = text.split_once('=').ok_or_else(|| format!("has no =; {form}"))?;
        let parts: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
        if parts.len() > DEEPEST {
            return Err(format!("a key of {} parts is none; {form}", parts.len()));
        }
        if parts.iter().any(String::is_empty) {
            return Err(format!("{key:?} is no key; {form}"));
        }
        let target = match parts.as_slice() {
            [first, id, path @ ..] if first == "campaign" && !path.is_empty() => {
                Target::Campaign(id.clone(), path.to_vec())
            }
            [first, ..] if first == "campaign" => {
                return Err(format!("{key:?} names no key of a campaign; {form}"));
            }
            _ => Target::Scenario(parts.clone()),
        };
        let choices: Vec<Choice> = split(values)
            .into_iter()
            .map(|said| Choice {
                key: key.trim().to_owned(),
                said: said.trim().to_owned(),
                target: target.clone(),
                value: value(&target, said.trim()),
            })
            .collect();
        match choices.iter().any(|choice| choice.said.is_empty()) {
            true => Err(format!("one of the values of {key} is empty; {form}")),
            false => Ok(Self { choices }),
        }
    }
}

/// At commas that are in no brackets and no quotes.
fn split(values: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start, mut parts) = (0i32, false, 0, Vec::new());
    for (at, letter) in values.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(values.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(values.get(start..).unwrap_or_default());
    parts
}

/// As TOML where it is that, else a text. Amounts of money are texts in a campaign, so what is typed as a number with a point
/// stays one there.
fn value(target: &Target, said: &str) -> Value {
    let read =
        toml::from_str::<Table>(&format!("value = {said}")).ok().and_then(|mut table| table.remove("value"));
    let text = || Value::String(said.to_owned());
    match (read, target) {
        (None, _) => text(),
        (Some(Value::Float(_) | Value::Integer(_)), Target::Campaign(_, path)) if is_money(path) => text(),
        (Some(value), _) => value,
    }
}

/// Whether a campaign's key takes an amount of money.
fn is_money(path: &[String]) -> bool {
    let last = path.last().map(String::as_str).unwrap_or_default();
    let roas = path.iter().any(|part| part == "roas") && last == "target";
    !roas
        && !last.starts_with("target_roas")
        && ["daily", "total", "price", "max", "target", "order_value", "max_bid_cpm", "max_cpc", "target_cpa"]
            .contains(&last)
}

/// How many variants there are, the scenario as it is included; none where they cannot be counted.
pub fn count(vary: &[Vary]) -> Option<usize> {
    let combined = vary.iter().try_fold(1usize, |count, one| count.checked_mul(one.choices.len()))?;
    if vary.is_empty() { Some(1) } else { combined.checked_add(1) }
}

/// The scenario as it is, then all combinations.
pub fn variants(vary: &[Vary]) -> Vec<Vec<Choice>> {
    let mut variants = vec![Vec::new()];
    if vary.is_empty() {
        return variants;
    }
    let mut combined = vec![Vec::new()];
    for one in vary {
        combined = combined
            .iter()
            .flat_map(|before: &Vec<Choice>| {
                one.choices.iter().map(|choice| [before.clone(), vec![choice.clone()]].concat())
            })
            .collect();
    }
    variants.extend(combined);
    variants
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vary(text: &str) -> Vary {
        text.parse().unwrap()
    }

    #[test]
    fn values_are_what_their_keys_take() {
        let values = |text: &str| vary(text).choices.into_iter().map(|it| it.value).collect::<Vec<_>>();
        assert_eq!(values("requests_a_day=20000,4e4"), [Value::Integer(20_000), Value::Float(4e4)]);
        let text = |text: &str| Value::String(text.to_owned());
        assert_eq!(values("campaign.boots.budget.daily=20.00,4"), [text("20.00"), text("4")]);
        assert_eq!(values("campaign.*.goal.roas.target=4.5"), [Value::Float(4.5)]);
        assert_eq!(values("campaign.*.pacing=even,\"asap\""), [text("even"), text("asap")]);
        let goals = values("campaign.boots.goal={ cpc = { max = \"0.10\" } },{ cpm = { price = \"2.00\" } }");
        assert!(goals.len() == 2 && goals.iter().all(Value::is_table), "{goals:?}");
    }

    #[test]
    fn all_combinations_are_tried_after_the_scenario_itself() {
        let all = variants(&[vary("a=1,2"), vary("b=3,4,5")]);
        assert_eq!((all.len(), count(&[vary("a=1,2"), vary("b=3,4,5")]), count(&[])), (7, Some(7), Some(1)));
        assert!(all[0].is_empty());
        assert_eq!(Choice::name(&all[1]), "a=1 b=3");
        assert_eq!(Choice::name(&all[6]), "a=2 b=5");
        assert_eq!(variants(&[]).len(), 1);
    }

    #[test]
    fn what_is_no_key_or_value_is_refused() {
        for text in ["", "a", "=1", "a=", "a=1,", "a..b=1", "campaign.boots=1", "campaign=1"] {
            assert!(text.parse::<Vary>().is_err(), "{text}");
        }
        assert!(format!("{}=1", vec!["a"; 40_000].join(".")).parse::<Vary>().is_err());
    }
}
