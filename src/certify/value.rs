//! Reading members of a request the way that exchanges write them: numbers may be strings and strings numbers, one string
//! may be a list, null is absent.

use std::borrow::Cow;

use serde_json::Value;

/// A member that is there and not null.
pub(super) fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

/// A member below others, such as `["regs", "ext", "gdpr"]`.
pub(super) fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |object, name| member(object, name))
}

/// A string that is not empty.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    member(object, name)?.as_str().filter(|text| !text.is_empty())
}

/// A finite number, or a string that holds one.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite())
}

/// An amount in billionths, so that sums and comparisons are exact where the decimals are.
pub(super) fn nanos(value: &Value) -> Option<i128> {
    number(value).filter(|number| number.abs() < 1e18).map(|number| (number * 1e9).round() as i128)
}

/// An amount in billionths as people write it.
pub(super) fn amount(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let text = format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A whole number, or a string that holds one.
pub(super) fn whole(value: &Value) -> Option<i64> {
    number(value)
        .filter(|number| number.fract().abs() < 1e-9 && number.abs() < 9e15)
        .map(|number| number as i64)
}

/// A member as a whole number.
pub(super) fn whole_at(object: &Value, name: &str) -> Option<i64> {
    member(object, name).and_then(whole)
}

/// Whether a member is 1, as flags are.
pub(super) fn flag(object: &Value, path: &[&str]) -> bool {
    match at(object, path) {
        Some(Value::Bool(set)) => *set,
        Some(value) => whole(value) == Some(1),
        None => false,
    }
}

/// The objects of an array; none where it is absent or no array.
pub(super) fn list<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    member(object, name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A string, or the digits of a number, which some exchanges write in place of it.
fn word(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// Whether a value can be read as strings: an array of them, or one alone.
pub(super) fn is_strings(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| word(value).is_some()),
        value => word(value).is_some(),
    }
}

/// The strings of an array; a string alone is a list of one.
pub(super) fn strings<'a>(object: &'a Value, name: &str) -> Vec<Cow<'a, str>> {
    match member(object, name) {
        Some(Value::Array(values)) => values.iter().filter_map(word).collect(),
        value => value.and_then(word).into_iter().collect(),
    }
}

/// The whole numbers of an array.
pub(super) fn wholes(object: &Value, name: &str) -> Vec<i64> {
    list(object, name).iter().filter_map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn numbers_may_be_strings_and_null_is_absent() {
        let object = json!({"a": "1.5", "b": null, "c": [1, "2", 2.5, "x"], "d": {"e": true}, "f": "1"});
        assert_eq!(nanos(&object["a"]), Some(1_500_000_000));
        assert_eq!(member(&object, "b"), None);
        assert_eq!(wholes(&object, "c"), [1, 2]);
        assert!(flag(&object, &["d", "e"]) && flag(&object, &["f"]) && !flag(&object, &["b"]));
        assert_eq!(number(&json!("1e999")), None);
        assert_eq!(text(&json!({"a": ""}), "a"), None);
    }

    #[test]
    fn strings_may_stand_alone_and_be_numbers() {
        let object = json!({"a": ["x", 7], "b": "x", "c": 7, "d": ["x", {}], "e": true, "f": null});
        assert_eq!(strings(&object, "a"), ["x", "7"]);
        assert_eq!(strings(&object, "b"), ["x"]);
        assert_eq!(strings(&object, "c"), ["7"]);
        assert_eq!(strings(&object, "d"), ["x"]);
        assert!(strings(&object, "e").is_empty() && strings(&object, "f").is_empty());
        let readable = ["a", "b", "c", "d", "e", "f"].map(|name| is_strings(&object[name]));
        assert_eq!(readable, [true, true, true, false, false, false]);
    }

    proptest! {
        #[test]
        fn decimals_of_six_places_are_exact(micros in -1_000_000_000_000i64..1_000_000_000_000) {
            let written = format!("{}{}.{:06}", if micros < 0 { "-" } else { "" }, micros.abs() / 1_000_000, micros.abs() % 1_000_000);
            let number: Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(nanos(&number), Some(i128::from(micros) * 1000));
            let again: f64 = amount(i128::from(micros) * 1000).parse().unwrap();
            prop_assert_eq!(nanos(&json!(again)), Some(i128::from(micros) * 1000));
        }
    }
}
