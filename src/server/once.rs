//! JSON whose objects have each member once. Of one that comes twice nobody can say which was meant, and a list of orders would be
//! credited with the last.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A value in which no object has a member twice.
#[derive(Debug, PartialEq)]
pub(super) struct Once(pub(super) Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Once(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if members.contains_key(&name) {
                let shown: String = name.chars().take(40).collect();
                return Err(A::Error::custom(format_args!("an object has {shown:?} twice")));
            }
            let Once(value) = object.next_value()?;
            members.insert(name, value);
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_member_that_comes_twice_is_named_with_its_place() {
        for (text, column) in [(r#"[{"a":1,"b":2,"a":3}]"#, 17), (r#"[{"x":[{"a":1,"\u0061":3}]}]"#, 22)] {
            let error = serde_json::from_str::<Vec<Once>>(text).unwrap_err();
            assert!(error.to_string().starts_with("an object has \"a\" twice"), "{error}");
            assert_eq!(error.column(), column, "{error}");
        }
    }

    proptest! {
        /// Without such a member it is read as ever.
        #[test]
        fn everything_else_is_read_as_it_is(text in "\\[?(\\{\"[ab]\":(1|-2.5|null|true|\"\\PC{0,3}\"|\\[\\]),\"c\":\\{\\}\\},?){0,2}\\]?") {
            let (strict, loose) = (serde_json::from_str::<Once>(&text), serde_json::from_str::<Value>(&text));
            prop_assert_eq!(strict.map(|Once(value)| value).ok(), loose.ok());
        }
    }
}
