//! From texts to slots: feature hashing (Weinberger et al. 2009) by a schema, the same for a file's row and for one record
//! that somebody asks about.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::number::{EXTREME, STRONGEST, number};
use super::schema::{How, Scale, Schema};
use crate::features::mix;
use crate::rows::{Batch, Slot};

/// Where slots go.
pub trait Sink {
    /// Takes a slot; `hash` is what its index is the top bits of, so that values which share an index can be told apart.
    fn put(&mut self, hash: u64, slot: Slot);
}

impl Sink for Batch {
    #[inline]
    fn put(&mut self, _hash: u64, slot: Slot) {
        self.push(slot);
    }
}

/// Why a text is no value of its feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// Not a finite number.
    #[error("is not a finite number")]
    NotANumber,
    /// Beyond ±10¹⁵.
    #[error("is beyond ±1e15, where numbers are taken for mistakes")]
    Extreme,
    /// Beyond ±1000 when the model would see it.
    #[error("is beyond ±1000, too strong for a model; give the feature transform = \"log\" or bins")]
    TooStrong,
    /// Not a time in a form that is known.
    #[error("is not a time; write 2019-11-24 00:01:03, 20191124000103, or seconds since 1970")]
    NotATime,
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotText,
    /// Not a label that the schema knows.
    #[error(
        "is not a label; write 0 or 1, or say in the schema which labels are clicks (positive, at_least)"
    )]
    NotALabel,
    /// Nothing that says whether an order followed.
    #[error("does not say whether an order followed; write 0 or 1, or nothing where it is not known")]
    NotAConversion,
}

/// Turns texts into slots by a schema. Holds no state: what a value becomes depends on nothing else.
#[derive(Clone, Debug)]
pub struct Encoder {
    schema: Schema,
    /// Of each feature, so that equal texts in two of them are two values. Of the name, so that order means nothing.
    seeds: Vec<u64>,
    /// Whether there are crosses to remember hashes for.
    crosses: bool,
}

/// A hash for each feature: what crosses are made of.
type Hashes = SmallVec<[u64; 32]>;

impl Encoder {
    /// An encoder for a schema.
    pub fn new(schema: Schema) -> Self {
        let seeds = schema.features.iter().map(|feature| seed_of(&feature.name)).collect();
        let crosses = schema.features.iter().any(|feature| matches!(feature.how, How::Cross(_)));
        Self { schema, seeds, crosses }
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The slots of one record that is given by name, such as a request that asks for a prediction. Columns for which
    /// `value` has nothing are missing.
    ///
    /// # Errors
    ///
    /// The name of the first feature with a bad value, and why. `sink` may have got some of the slots.
    pub fn record<'t>(
        &self,
        value: impl Fn(&str) -> Option<&'t str>,
        sink: &mut impl Sink,
    ) -> Result<(), (&str, BadValue)> {
        let of = |column: usize| {
            let name = self.schema.columns.get(column)?;
            value(name).map(str::as_bytes)
        };
        self.row(|column| of(column).unwrap_or_default(), sink).map_err(|(feature, bad)| {
            (self.schema.features.get(feature).map_or("", |feature| feature.name.as_str()), bad)
        })
    }

    /// The slots of one row, given the text of each of the schema's columns.
    ///
    /// # Errors
    ///
    /// The number of the first feature with a bad value, and why. `sink` may have got some of the slots.
    #[inline]
    pub fn row<'t>(
        &self,
        text: impl Fn(usize) -> &'t [u8],
        sink: &mut impl Sink,
    ) -> Result<(), (usize, BadValue)> {
        let mut hashes = Hashes::new();
        for (number, (feature, seed)) in self.schema.features.iter().zip(&self.seeds).enumerate() {
            let field = number as u16;
            let hash = match &feature.how {
                How::Category(column) => Ok(self.category(field, *seed, text(*column), sink)),
                How::Cross(_) => Ok(0),
                other => self.rarer(field, *seed, other, &text, sink),
            };
            let hash = hash.map_err(|bad| (number, bad))?;
            if self.crosses {
                hashes.push(hash);
            }
        }
        if self.crosses {
            self.cross(&hashes, sink);
        }
        Ok(())
    }

    /// Combinations come last in a row, because they may combine what follows them in the schema.
    fn cross(&self, hashes: &Hashes, sink: &mut impl Sink) {
        for (number, (feature, seed)) in self.schema.features.iter().zip(&self.seeds).enumerate() {
            if let How::Cross(of) = &feature.how {
                // Mixed one after the other, so that the order counts and equal hashes do not cancel out.
                let hash =
                    of.iter().filter_map(|of| hashes.get(*of)).fold(*seed, |sum, hash| mix(sum ^ *hash));
                self.put(number as u16, hash, 1.0, sink);
            }
        }
    }

    #[inline]
    fn put(&self, field: u16, hash: u64, value: f32, sink: &mut impl Sink) {
        sink.put(hash, Slot { field, index: index_of(hash, self.schema.bits), value });
    }

    #[inline]
    fn is_missing(&self, text: &[u8]) -> bool {
        self.schema.is_missing(text)
    }

    #[inline]
    fn category(&self, field: u16, seed: u64, text: &[u8], sink: &mut impl Sink) -> u64 {
        let hash = if self.is_missing(text) { missing(seed) } else { xxh3_64_with_seed(text, seed) };
        self.put(field, hash, 1.0, sink);
        hash
    }

    /// What is not plainly a category. The hash is 0 for what cannot be crossed.
    fn rarer<'t>(
        &self,
        field: u16,
        seed: u64,
        how: &How,
        text: impl Fn(usize) -> &'t [u8],
        sink: &mut impl Sink,
    ) -> Result<u64, BadValue> {
        let column = match how {
            How::Category(column)
            | How::Number(column, _)
            | How::Bins(column, _)
            | How::Several(column, _)
            | How::Words(column)
            | How::Time(column, _) => *column,
            How::Cross(_) => return Ok(0),
        };
        let text = text(column);
        if self.is_missing(text) {
            self.put(field, missing(seed), 1.0, sink);
            return Ok(missing(seed));
        }
        let mut among = |rank: u64| {
            let hash = mix(seed ^ mix(rank + 1));
            self.put(field, hash, 1.0, sink);
            Ok(hash)
        };
        match how {
            How::Time(_, part) => part.of(text).ok_or(BadValue::NotATime).and_then(among),
            How::Bins(_, edges) => {
                let number = checked(text)?;
                among(edges.partition_point(|edge| *edge <= number) as u64)
            }
            How::Number(_, scale) => {
                let number = scale.of(checked(text)?);
                if number.abs() > STRONGEST {
                    return Err(BadValue::TooStrong);
                }
                self.put(field, number_hash_of(seed), number as f32, sink);
                Ok(0)
            }
            How::Several(_, separator) => {
                let parts = parts(text, separator.as_bytes()).filter(|part| !self.is_missing(part));
                self.each_once(field, seed, parts.map(|part| xxh3_64_with_seed(part, seed)).collect(), sink);
                Ok(0)
            }
            How::Words(_) => {
                let text = std::str::from_utf8(text).map_err(|_| BadValue::NotText)?.to_lowercase();
                let words = text.split(|sign: char| !sign.is_alphanumeric()).filter(|word| !word.is_empty());
                let hashes = words.map(|word| xxh3_64_with_seed(word.as_bytes(), seed));
                self.each_once(field, seed, hashes.collect(), sink);
                Ok(0)
            }
            How::Category(_) | How::Cross(_) => Ok(0),
        }
    }

    /// Puts each value once; together they are as strong as one.
    fn each_once(&self, field: u16, seed: u64, mut hashes: Hashes, sink: &mut impl Sink) {
        hashes.sort_unstable();
        hashes.dedup();
        if hashes.is_empty() {
            hashes.push(missing(seed));
        }
        let strength = 1.0 / (hashes.len() as f32).sqrt();
        for hash in hashes {
            self.put(field, hash, strength, sink);
        }
    }
}

fn seed_of(feature: &str) -> u64 {
    xxh3_64_with_seed(feature.as_bytes(), 0)
}

fn number_hash_of(seed: u64) -> u64 {
    mix(seed)
}

/// What all numbers of a feature with this name are hashed to.
pub(super) fn number_hash(feature: &str) -> u64 {
    number_hash_of(seed_of(feature))
}

/// The index of a hash: its top bits, of which there are at most 30, so the cast loses nothing.
#[inline]
pub(super) fn index_of(hash: u64, bits: u32) -> u32 {
    (hash >> (64 - bits)) as u32
}

/// The value of having none.
fn missing(seed: u64) -> u64 {
    mix(!seed)
}

fn checked(text: &[u8]) -> Result<f64, BadValue> {
    let number = number(text).ok_or(BadValue::NotANumber)?;
    if number.abs() > EXTREME { Err(BadValue::Extreme) } else { Ok(number) }
}

/// The parts between separators. The separator is not empty.
fn parts<'t>(text: &'t [u8], separator: &'t [u8]) -> impl Iterator<Item = &'t [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match text.windows(separator.len().max(1)).position(|window| window == separator) {
            Some(at) => {
                rest = text.get(at + separator.len()..);
                text.get(..at)
            }
            None => rest.take(),
        }
    })
}

impl Scale {
    fn of(self, number: f64) -> f64 {
        match self {
            Self::AsIs => number,
            Self::Log => number.abs().ln_1p().copysign(number),
            Self::Sqrt => number.abs().sqrt().copysign(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(features: &str) -> Encoder {
        Encoder::new(Schema::read("s", &format!("label = 'click'\nmissing = ['null']\n{features}")).unwrap())
    }

    fn slots(encoder: &Encoder, record: &[(&str, &'static str)]) -> Result<Vec<Slot>, String> {
        let mut batch = Batch::default();
        let value = |name: &str| record.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        encoder.record(value, &mut batch).map_err(|(feature, bad)| format!("{feature} {bad}"))?;
        batch.end(0.0);
        Ok(batch.rows().next().unwrap().1.to_vec())
    }

    #[test]
    fn equal_texts_are_equal_values_and_missing_ones_have_a_value_of_their_own() {
        let encoder = encoder(
            "bits = 30\nfeature = [{name = 'a', kind = 'categorical'}, {name = 'b', kind = 'categorical'}]",
        );
        let of = |a, b| slots(&encoder, &[("a", a), ("b", b)]).unwrap();
        let both = of("x", "x");
        assert_eq!((both[0].field, both[1].field), (0, 1));
        assert_ne!(both[0].index, both[1].index, "equal texts of two features are two values");
        assert_eq!(of("x", "y")[0], both[0]);
        assert_eq!(of("", "null")[0], slots(&encoder, &[]).unwrap()[0]);
        assert_eq!(of("", "null")[1], of("", "")[1]);
        assert_ne!(of("", "")[0].index, of(" ", "")[0].index);
        assert!(both.iter().all(|slot| slot.index < 1 << 30));
    }

    #[test]
    fn indices_are_those_of_saved_models() {
        let encoder = encoder(
            "bits = 24\nfeature = [{name = 'site', kind = 'categorical'}, {name = 'at', kind = 'time'}, \
             {name = 'both', cross = ['site', 'at']}]",
        );
        let slots = slots(&encoder, &[("site", "news.example"), ("at", "1574553663")]).unwrap();
        let indices: Vec<_> = slots.iter().map(|slot| slot.index).collect();
        assert_eq!(indices, GOLDEN);
    }
    const GOLDEN: [u32; 3] = [16_075_376, 3_137_934, 1_782_021];

    #[test]
    fn crosses_tell_every_combination_apart() {
        let encoder = encoder(
            "bits = 30\nfeature = [{name = 'ab', cross = ['a', 'b']}, {name = 'a', kind = 'categorical'}, \
             {name = 'b', kind = 'categorical'}]",
        );
        let cross = |a, b| slots(&encoder, &[("a", a), ("b", b)]).unwrap()[2];
        assert_eq!(cross("1", "2").field, 0);
        let all = [cross("1", "2"), cross("2", "1"), cross("1", "1"), cross("2", "2"), cross("12", "")];
        for (at, one) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| other.index != one.index), "{all:?}");
        }
        assert_eq!(cross("1", "2"), all[0]);
    }

    #[test]
    fn numbers_are_scaled_binned_or_refused() {
        let encoder = encoder(
            "feature = [{name = 'raw', kind = 'numeric'}, {name = 'log', kind = 'numeric', transform = 'log'}, \
             {name = 'root', kind = 'numeric', transform = 'sqrt'}, \
             {name = 'bin', kind = 'numeric', bins = [0, 10]}]",
        );
        let of = |name, text| slots(&encoder, &[(name, text)]);
        let value = |name, text, at: usize| of(name, text).unwrap()[at].value;
        assert!((value("raw", "2.5", 0) - 2.5).abs() < 1e-6);
        assert!((value("log", "-1.718281828", 1) + 1.0).abs() < 1e-6);
        assert!((value("root", "16", 2) - 4.0).abs() < 1e-6);
        let bin = |text| of("bin", text).unwrap()[3].index;
        assert_eq!(bin("-5"), bin("-0.1"));
        assert_eq!(bin("0"), bin("9.99"));
        assert_eq!(bin("10"), bin("1e9"));
        let all = [bin("-5"), bin("0"), bin("10"), bin("")];
        assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)), "{all:?}");
        assert_ne!(of("raw", "").unwrap()[0].index, of("raw", "0").unwrap()[0].index);
        for (name, text, problem) in [
            ("raw", "nan", "is not a finite number"),
            ("log", "inf", "is not a finite number"),
            ("bin", "ten", "is not a finite number"),
            ("log", "1e16", "is beyond ±1e15"),
            ("raw", "-2e3", "is beyond ±1000"),
        ] {
            let error = of(name, text).unwrap_err();
            assert!(error.starts_with(&format!("{name} {problem}")), "{error}");
        }
    }

    #[test]
    fn several_values_and_words_count_once_each_and_are_together_as_strong_as_one() {
        let encoder = encoder(
            "feature = [{name = 'tags', kind = 'multi', separator = ', '}, {name = 'title', kind = 'text'}]",
        );
        let of = |tags, title| {
            let slots = slots(&encoder, &[("tags", tags), ("title", title)]).unwrap();
            let power: f32 = slots.iter().map(|slot| slot.value * slot.value).sum();
            assert!((power - 2.0).abs() < 1e-5, "{slots:?}");
            slots
        };
        let all = of("a, b, a, , c", "The Café, the CAFÉ!");
        assert_eq!(all.iter().filter(|slot| slot.field == 0).count(), 3);
        assert_eq!(all.iter().filter(|slot| slot.field == 1).count(), 2);
        let single = of("b", "café")[0].index;
        assert!(all.iter().any(|slot| slot.index == single));
        assert_eq!(of("null", "—")[0], of("", "")[0]);
        assert_eq!(of("null", "—")[1], of("", "")[1]);
    }
}
