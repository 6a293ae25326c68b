//! Tolerant scalars: what exchanges send, rather than what the specification says they send.
//!
//! `null` and values of a wrong type leave a member "not said". A member that comes twice takes the later value, but a
//! privacy signal keeps whichever is worse for us.
//!
//! Scalars are taken as raw JSON text and read here, because the JSON reader refuses a whole document for a number
//! beyond a float's range or an unpaired surrogate, and neither should cost more than the member it stands in.

use std::borrow::Cow;
use std::fmt;

use haggle_domain::CpmMicros;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::object::{Key, Member, other_types};

/// A list of texts; one text where a list belongs is a list of one.
pub type Words<'a> = SmallVec<[Cow<'a, str>; 2]>;

impl<'de> Member<'de> for Words<'de> {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        struct WordsVisitor<'p, 'de>(&'p mut Words<'de>);
        impl<'de> Visitor<'de> for WordsVisitor<'_, 'de> {
            type Value = ();
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
                self.0.clear();
                while let Some(raw) = list.next_element::<&RawValue>()? {
                    let word = text(Scalar::of(raw.get()));
                    if !word.is_empty() {
                        self.0.push(word);
                    }
                }
                Ok(())
            }
            fn visit_borrowed_str<E>(self, word: &'de str) -> Result<(), E> {
                self.0.clear();
                self.0.push(Cow::Borrowed(word));
                Ok(())
            }
            fn visit_str<E>(self, word: &str) -> Result<(), E> {
                self.0.clear();
                self.0.push(Cow::Owned(word.to_owned()));
                Ok(())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                while map.next_entry::<Key<'_>, IgnoredAny>()?.is_some() {}
                Ok(())
            }
            other_types!((), (); visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64);
        }
        deserializer.deserialize_any(WordsVisitor(self))
    }
}

/// One JSON value, as far as scalars go.
enum Scalar<'a> {
    Null,
    Flag(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    /// A list, an object, or a text that is no Unicode.
    Other,
}

impl<'a> Scalar<'a> {
    /// Of one well-formed JSON value.
    fn of(json: &'a str) -> Self {
        match json.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => match json.get(1..json.len() - 1) {
                Some(inner) => Self::Text(Cow::Borrowed(inner)),
                None => Self::Other,
            },
            [b'"', ..] => {
                serde_json::from_str(json).map_or(Self::Other, |unescaped| Self::Text(Cow::Owned(unescaped)))
            }
            [b'n', ..] => Self::Null,
            [b't', ..] => Self::Flag(true),
            [b'f', ..] => Self::Flag(false),
            [b'-' | b'0'..=b'9', ..] => Self::Number(json),
            _ => Self::Other,
        }
    }
}

fn read_raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scalar<'de>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(|raw| Scalar::of(raw.get()))
}

/// A text, or the digits of a number; empty for anything else.
fn text(scalar: Scalar<'_>) -> Cow<'_, str> {
    match scalar {
        Scalar::Text(text) => text,
        Scalar::Number(digits) => Cow::Borrowed(digits),
        Scalar::Null | Scalar::Flag(_) | Scalar::Other => Cow::Borrowed(""),
    }
}

/// A number in decimal notation. Narrower than Rust's, which knows "inf" and "nan".
fn float(text: &str) -> Option<f64> {
    let text = text.trim();
    let decimal = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    if text.bytes().all(decimal) { text.parse().ok() } else { None }
}

/// A whole number; beyond an `i64`, the nearest there is.
fn integer(scalar: &Scalar<'_>) -> Option<i64> {
    let text: &str = match scalar {
        Scalar::Number(digits) => digits,
        Scalar::Text(text) => text.trim(),
        Scalar::Flag(flag) => return Some(i64::from(*flag)),
        Scalar::Null | Scalar::Other => return None,
    };
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let value = float(text)?;
    // `as` saturates. An infinity has no fraction to speak of, but its `fract` is not a number.
    (value.is_infinite() || value.trunc().total_cmp(&value).is_eq()).then_some(value as i64)
}

impl<'de> Member<'de> for Cow<'de, str> {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        *self = text(read_raw(deserializer)?);
        Ok(())
    }
}

impl<'de> Member<'de> for Option<i64> {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        *self = integer(&read_raw(deserializer)?);
        Ok(())
    }
}

/// Whether a flag is raised: 1 or true.
impl<'de> Member<'de> for bool {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        *self = match read_raw(deserializer)? {
            Scalar::Text(text) if text.eq_ignore_ascii_case("true") => true,
            scalar => integer(&scalar) == Some(1),
        };
        Ok(())
    }
}

/// Whether an object stands there, where that is all we need to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence(
    /// It does.
    pub bool,
);

impl<'de> Member<'de> for Presence {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        self.0 = <&RawValue>::deserialize(deserializer)?.get().starts_with('{');
        Ok(())
    }
}

/// `imp.bidfloor`. A floor that cannot be read is not the same as none: bidding below it would be a breach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Floor {
    /// None.
    #[default]
    Absent,
    /// This much, in `bidfloorcur`.
    Price(CpmMicros),
    /// Negative, absurdly large, or no number.
    Unreadable,
}

impl<'de> Member<'de> for Floor {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let price = |text: &str| {
            float(text).and_then(CpmMicros::from_f64_rounded_up).map_or(Self::Unreadable, Self::Price)
        };
        *self = match read_raw(deserializer)? {
            Scalar::Null => Self::Absent,
            Scalar::Text(text) if text.trim().is_empty() => Self::Absent,
            Scalar::Text(text) => price(&text),
            Scalar::Number(digits) => price(digits),
            Scalar::Flag(_) | Scalar::Other => Self::Unreadable,
        };
        Ok(())
    }
}

/// A flag that restricts what may be done with a user's data. Ordered: of two readings the greater stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signal {
    /// Not said.
    #[default]
    Absent,
    /// 0: explicitly not.
    Lowered,
    /// 1.
    Raised,
    /// Said, but unreadable.
    Malformed,
}

impl<'de> Member<'de> for Signal {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let read = match read_raw(deserializer)? {
            Scalar::Null => Self::Absent,
            scalar => match integer(&scalar) {
                Some(0) => Self::Lowered,
                Some(1) => Self::Raised,
                _ => Self::Malformed,
            },
        };
        *self = read.max(*self);
        Ok(())
    }
}

/// Whether anything at all is said: neither `null` nor empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said(pub(super) bool);

impl<'de> Member<'de> for Said {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let empty_list = json.strip_prefix('[').is_some_and(|rest| rest.trim_start() == "]");
        self.0 |= !(empty_list || matches!(json, "null" | "\"\""));
        Ok(())
    }
}

/// A US Privacy String (IAB Tech Lab, version 1). Ordered as [`Signal`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UsPrivacy {
    /// Not said, or empty.
    #[default]
    Absent,
    /// The user has not opted out of the sale of their data, or the law does not apply.
    NotOptedOut,
    /// The user has opted out.
    OptedOut,
    /// Said, but no string of version 1.
    Malformed,
}

impl<'de> Member<'de> for UsPrivacy {
    fn read<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let known = |mark: &u8| matches!(mark.to_ascii_uppercase(), b'Y' | b'N' | b'-');
        let read = match read_raw(deserializer)? {
            Scalar::Null => Self::Absent,
            Scalar::Text(text) => match text.as_bytes() {
                [] => Self::Absent,
                [b'1', marks @ ..] if marks.len() == 3 && marks.iter().all(known) => {
                    if marks[1].eq_ignore_ascii_case(&b'Y') { Self::OptedOut } else { Self::NotOptedOut }
                }
                _ => Self::Malformed,
            },
            _ => Self::Malformed,
        };
        *self = read.max(*self);
        Ok(())
    }
}
