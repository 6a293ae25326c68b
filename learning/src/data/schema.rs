//! What the columns of a table mean: which is the label, and which features are made of which columns, how.

use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64;

use super::number::{EXTREME, number};
use super::time::Part;

/// What the columns of a table mean. Read from TOML by [`Schema::read`].
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Names of the columns that are read at all; everything else here names them by their place in this list.
    pub(super) columns: Vec<String>,
    /// The label's column.
    pub(super) label: usize,
    /// Which labels are clicks.
    pub(super) positive: Positive,
    /// The column that says of a click whether an order followed, where there is one.
    pub(super) conversion: Option<usize>,
    /// The column whose value a row shares with no other; rows that repeat one are left out.
    pub(super) unique: Option<usize>,
    /// Texts that stand for a missing value, beside the empty one.
    pub(super) missing: Vec<String>,
    /// Indices are below two to the power of this: 8 to 30.
    pub(super) bits: u32,
    /// In the order of their numbers.
    pub(super) features: Vec<Feature>,
}

/// Which labels are clicks.
#[derive(Clone, Debug, PartialEq)]
pub enum Positive {
    /// `1` and `true`; `0`, `-1` and `false` are none, and anything else is a mistake.
    One,
    /// One of these texts; any other is none.
    Among(Vec<String>),
    /// Numbers from this up.
    AtLeast(f64),
}

/// A feature: its name, and how it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Unlike any other's.
    pub name: String,
    /// What it is made of.
    pub how: How,
}

/// How a feature is made. Columns and features by their places in the schema.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// Each text is a value of its own.
    Category(usize),
    /// A number, which counts as strongly as it is large.
    Number(usize, Scale),
    /// Which of the intervals between these edges, in rising order, a number lies in; an edge belongs to the one above.
    Bins(usize, Vec<f64>),
    /// Any number of texts, with this between them; together as strong as one (each 1/√n).
    Several(usize, String),
    /// A text's words in lower case, each once; together as strong as one (each 1/√n).
    Words(usize),
    /// A part of a time.
    Time(usize, Part),
    /// Each combination of these features' values is a value of its own.
    Cross(Vec<usize>),
}

/// What is done to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Nothing.
    AsIs,
    /// The logarithm of one more, with the number's sign.
    Log,
    /// The square root, with the number's sign.
    Sqrt,
}

impl Schema {
    /// How many bits indices have.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The features in the order of their numbers.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The names of the columns that are read.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The label's column.
    pub fn label(&self) -> &str {
        self.columns.get(self.label).map_or("", String::as_str)
    }

    /// The column that says of a click whether an order followed.
    pub fn conversion(&self) -> Option<&str> {
        self.conversion.and_then(|column| self.columns.get(column)).map(String::as_str)
    }

    /// The number of a feature with this name.
    pub fn feature(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature.name == name)
    }

    /// A hash of all that bears on what rows turn into, and of nothing else: models are only good with the schema that
    /// they were trained with. The same for the same schema on every machine and in every version.
    pub fn hash(&self) -> u64 {
        let mut text = String::from("haggle schema 1\n");
        // Writing to a string cannot fail; names are quoted with escapes, so no two schemas share a text.
        let _ = writeln!(text, "{:?} {:?} {:?}", self.columns, self.label, self.positive);
        let _ = writeln!(text, "{:?} {:?} {}", self.unique, self.missing, self.bits);
        for feature in &self.features {
            let _ = writeln!(text, "{:?} {:?}", feature.name, feature.how);
        }
        // Last and only where it is said, so that schemas of before keep their hash.
        if let Some(conversion) = self.conversion {
            let _ = writeln!(text, "conversion {conversion:?}");
        }
        xxh3_64(text.as_bytes())
    }

    /// 1 for a click, 0 for none; `None` for a text that is neither.
    pub fn label_of(&self, text: &[u8]) -> Option<f32> {
        let clicked = match &self.positive {
            Positive::One => yes_or_no(text)?,
            Positive::Among(texts) if !text.is_empty() => texts.iter().any(|one| one.as_bytes() == text),
            Positive::Among(_) => return None,
            Positive::AtLeast(least) => number(text).filter(|it| it.abs() <= EXTREME)? >= *least,
        };
        Some(f32::from(u8::from(clicked)))
    }

    /// Whether a text stands for a missing value.
    #[inline]
    pub(super) fn is_missing(&self, text: &[u8]) -> bool {
        text.is_empty() || self.missing.iter().any(|missing| missing.as_bytes() == text)
    }

    /// 1 for an order, 0 for none; nothing within where it is not known, `None` for a text that is neither.
    pub(super) fn conversion_of(&self, text: &[u8]) -> Option<Option<f32>> {
        if self.is_missing(text) {
            return Some(None);
        }
        yes_or_no(text).map(|ordered| Some(f32::from(u8::from(ordered))))
    }
}

fn yes_or_no(text: &[u8]) -> Option<bool> {
    match text {
        b"1" => Some(true),
        b"0" | b"-1" => Some(false),
        _ if text.eq_ignore_ascii_case(b"true") => Some(true),
        _ if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => match number(text)? {
            1.0 => Some(true),
            0.0 | -1.0 => Some(false),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Schema {
        Schema::read("s.toml", text).unwrap()
    }

    #[test]
    fn the_hash_is_of_the_meaning_not_of_the_writing() {
        let one = schema("label = \"click\"\nbits = 20\n[[feature]]\nname = \"a\"\nkind = \"categorical\"\n");
        let same = schema("# a comment\nbits=20\nlabel='click'\nfeature=[{kind='categorical', name='a'}]");
        assert_eq!(one.hash(), same.hash());
        assert_eq!(one.hash(), GOLDEN, "models that were saved before would be refused");
        for other in [
            "label = 'click'\nbits = 21\nfeature = [{name = 'a', kind = 'categorical'}]",
            "label = 'click'\nbits = 20\nfeature = [{name = 'a', kind = 'text'}]",
            "label = 'click'\nbits = 20\nfeature = [{name = 'b', kind = 'categorical', column = 'a'}]",
            "label = 'click'\nbits = 20\nat_least = 1\nfeature = [{name = 'a', kind = 'categorical'}]",
            "label = 'click'\nbits = 20\nmissing = ['null']\nfeature = [{name = 'a', kind = 'categorical'}]",
            "label = 'click'\nconversion = 'order'\nbits = 20\nfeature = [{name = 'a', kind = 'categorical'}]",
        ] {
            assert_ne!(schema(other).hash(), one.hash(), "{other}");
        }
    }
    const GOLDEN: u64 = 4_909_919_548_391_592_754;

    #[test]
    fn labels_are_what_the_schema_says() {
        let feature = "feature = [{name = 'a', kind = 'categorical'}]";
        let plain = schema(&format!("label = 'y'\n{feature}"));
        for (text, label) in [
            ("1", Some(1.0)),
            ("0", Some(0.0)),
            ("-1", Some(0.0)),
            ("1.0", Some(1.0)),
            ("TRUE", Some(1.0)),
            ("False", Some(0.0)),
            ("", None),
            ("2", None),
            ("nan", None),
            ("yes", None),
        ] {
            assert_eq!(plain.label_of(text.as_bytes()), label, "{text}");
        }
        let stars = schema(&format!("label = 'y'\nat_least = 4\n{feature}"));
        for (text, label) in [("4", Some(1.0)), ("3.5", Some(0.0)), ("x", None), ("inf", None), ("", None)] {
            assert_eq!(stars.label_of(text.as_bytes()), label, "{text}");
        }
        let named = schema(&format!("label = 'y'\npositive = ['buy', 'cart']\n{feature}"));
        for (text, label) in [("buy", Some(1.0)), ("view", Some(0.0)), ("", None)] {
            assert_eq!(named.label_of(text.as_bytes()), label, "{text}");
        }
    }
}
