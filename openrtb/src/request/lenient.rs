//! Tolerant scalars: what exchanges send, rather than what the specification says they send. The table of what is
//! tolerated is in `docs/exchanges.md`.
//!
//! `null` and values of a wrong type leave a member "not said".

use std::borrow::Cow;

use haggle_domain::{CpmMicros, Tag};
use smallvec::SmallVec;

use super::fault::Fault;
use super::json::{Json, Scalar};
use super::object::{Member, read_list};
use crate::privacy::Signal;

/// A list of texts; one text where a list belongs is a list of one.
pub type Words<'a> = SmallVec<[Cow<'a, str>; MOST_INLINE]>;

/// Words of a list that take no memory of their own, and how many find place in the first that does.
const MOST_INLINE: usize = 2;
/// See [`MOST_INLINE`].
const AND_MORE: usize = 14;

/// A list of codes; one number where a list belongs is a list of one, and a text is a list separated by commas.
pub type Ints = SmallVec<[i64; 4]>;

/// A list of texts that are kept as hashes alone.
pub(super) type Tags = SmallVec<[Tag; 4]>;

/// A text, or the digits of a number; empty for anything else.
fn text(scalar: Scalar<'_>) -> Cow<'_, str> {
    match scalar {
        Scalar::Text(text) => text,
        Scalar::Whole(_, digits) | Scalar::Decimal(digits) => Cow::Borrowed(digits),
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
    match scalar {
        Scalar::Whole(value, _) => Some(*value),
        Scalar::Decimal(digits) => written_integer(digits),
        Scalar::Text(text) => written_integer(text),
        Scalar::Flag(flag) => Some(i64::from(*flag)),
        Scalar::Null | Scalar::Other => None,
    }
}

fn written_integer(text: &str) -> Option<i64> {
    if let Ok(value) = text.trim().parse() {
        return Some(value);
    }
    let value = float(text)?;
    // `as` saturates. An infinity has no fraction to speak of, but its `fract` is not a number.
    (value.is_infinite() || value.trunc().total_cmp(&value).is_eq()).then_some(value as i64)
}

impl<'a> Member<'a> for Cow<'a, str> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        *self = match json.simple_text() {
            Some(text) => Cow::Borrowed(text),
            None => text(json.scalar()?),
        };
        Ok(())
    }
}

/// What a request or an imp is called by. Only a text will do: the answer has to say the very same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id<'a>(pub(super) Cow<'a, str>);

impl std::ops::Deref for Id<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl<'a> Member<'a> for Id<'a> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        self.0 = match json.simple_text() {
            Some(text) => Cow::Borrowed(text),
            None => match json.scalar()? {
                Scalar::Text(text) => text,
                _ => Cow::Borrowed(""),
            },
        };
        Ok(())
    }
}

/// For what outlives the body.
impl<'a> Member<'a> for String {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        *self = text(json.scalar()?).into_owned();
        Ok(())
    }
}

impl<'a> Member<'a> for Option<i64> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        *self = match json.simple_number() {
            Some(number) => Some(number),
            None => integer(&json.scalar()?),
        };
        Ok(())
    }
}

/// For numbers that are no money.
impl<'a> Member<'a> for Option<f64> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        *self = match json.scalar()? {
            Scalar::Whole(_, digits) | Scalar::Decimal(digits) => float(digits),
            Scalar::Text(text) => float(&text).filter(|number| number.is_finite()),
            Scalar::Null | Scalar::Flag(_) | Scalar::Other => None,
        };
        Ok(())
    }
}

/// Whether a flag is raised: 1 or true.
impl<'a> Member<'a> for bool {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        if let Some(number) = json.simple_number() {
            *self = number == 1;
            return Ok(());
        }
        *self = match json.scalar()? {
            Scalar::Text(text) if text.eq_ignore_ascii_case("true") => true,
            scalar => integer(&scalar) == Some(1),
        };
        Ok(())
    }
}

impl<'a> Member<'a> for Words<'a> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        if json.peek() != b'[' {
            // One number is no list: what it would block or admit is a guess.
            match json.scalar()? {
                Scalar::Text(word) => self.push(word),
                Scalar::Null => {}
                _ => json.misplace_list(),
            }
            return Ok(());
        }
        read_list(json, |json| {
            if self.len() == MOST_INLINE {
                // More than two are mostly many: what is blocked.
                self.reserve(AND_MORE);
            }
            if let Some(word) = json.simple_text() {
                if !word.is_empty() {
                    self.push(Cow::Borrowed(word));
                }
                return Ok(());
            }
            let scalar = json.scalar()?;
            if matches!(scalar, Scalar::Other) {
                json.misplace();
            }
            let word = text(scalar);
            if !word.is_empty() {
                self.push(word);
            }
            Ok(())
        })
    }
}

impl<'a> Member<'a> for Tags {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        let mut words = Words::new();
        words.read(json)?;
        self.extend(words.iter().map(|word| Tag::of(word.trim())).filter(|tag| tag.is_some()));
        Ok(())
    }
}

impl<'a> Member<'a> for Ints {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        read_ints(self, json).map(drop)
    }
}

/// Whether all that stood there could be read.
fn read_ints(list: &mut Ints, json: &mut Json<'_>) -> Result<bool, Fault> {
    let mut readable = true;
    if json.peek() == b'[' {
        read_list(json, |json| {
            let number = match json.simple_number() {
                Some(number) => Some(number),
                None => integer(&json.scalar()?),
            };
            match number {
                Some(number) => list.push(number),
                None => readable = false,
            }
            Ok(())
        })?;
        return Ok(readable);
    }
    match json.scalar()? {
        Scalar::Null => {}
        Scalar::Text(text) => {
            for part in text.split(',').filter(|part| !part.trim().is_empty()) {
                match written_integer(part) {
                    Some(number) => list.push(number),
                    None => readable = false,
                }
            }
        }
        Scalar::Flag(_) | Scalar::Other => readable = false,
        number => match integer(&number) {
            Some(number) => list.push(number),
            None => readable = false,
        },
    }
    Ok(readable)
}

/// Whether an object stands there, where that is all we need to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence(
    /// It does.
    pub bool,
);

impl<'a> Member<'a> for Presence {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        self.0 = json.peek() == b'{';
        json.skip()
    }
}

/// A least price. A floor that cannot be read is not the same as none: bidding below it would be a breach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Floor {
    /// None.
    #[default]
    Absent,
    /// This much, in the currency that is named beside it.
    Price(CpmMicros),
    /// Negative, absurdly large, or no number.
    Unreadable,
}

impl<'a> Member<'a> for Floor {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        let price = |text: &str| {
            float(text).and_then(CpmMicros::from_f64_rounded_up).map_or(Self::Unreadable, Self::Price)
        };
        *self = match json.scalar()? {
            Scalar::Null => Self::Absent,
            Scalar::Text(text) if text.trim().is_empty() => Self::Absent,
            Scalar::Text(text) => price(&text),
            Scalar::Whole(_, digits) | Scalar::Decimal(digits) => price(digits),
            Scalar::Flag(_) | Scalar::Other => Self::Unreadable,
        };
        Ok(())
    }
}

impl<'a> Member<'a> for Signal {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        *self = match json.simple_number() {
            Some(0) => Self::Lowered,
            Some(1) => Self::Raised,
            Some(_) => Self::Malformed,
            None => Self::of(json.scalar()?),
        };
        Ok(())
    }
}

impl Signal {
    fn of(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Null => Self::Absent,
            scalar => match integer(&scalar) {
                Some(0) => Self::Lowered,
                Some(1) => Self::Raised,
                _ => Self::Malformed,
            },
        }
    }
}

/// A text that speaks of consent. What cannot be read is not the same as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// As it was sent; empty where nothing or no text was.
    pub(super) text: Cow<'a, str>,
    /// Something that is neither a text nor `null` stood there.
    pub(super) malformed: bool,
}

impl<'a> Member<'a> for Statement<'a> {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        *self = match json.scalar()? {
            Scalar::Null => Self::default(),
            Scalar::Text(text) => Self { text, malformed: false },
            _ => Self { text: Cow::Borrowed(""), malformed: true },
        };
        Ok(())
    }
}

/// A list of the laws' codes. What cannot be read is not the same as nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sections {
    /// What could be read.
    pub(super) list: Ints,
    /// Something that is neither a number nor `null` stood there, or among them.
    pub(super) malformed: bool,
}

impl<'a> Member<'a> for Sections {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        self.malformed = !read_ints(&mut self.list, json)?;
        Ok(())
    }
}
