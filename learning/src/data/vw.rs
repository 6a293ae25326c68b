//! Vowpal Wabbit's text: `label |namespace feature:value … |namespace …`. A namespace is a field.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::encoder::Sink;
use super::error::Flaw;
use super::libsvm;
use super::number::{STRONGEST, number};
use super::table::Row;
use crate::rows::Slot;

/// More are a mistake: each is a table of its own to field-aware models.
const MOST_FIELDS: usize = 256;

/// Reads lines of this form.
#[derive(Default)]
pub(super) struct Vw {
    bits: u32,
    labels: bool,
    names: Vec<String>,
    /// Of each namespace its field, and what its features are hashed with.
    fields: HashMap<Vec<u8>, (u16, u64)>,
    /// Whether namespaces are known, so that a new one is left out.
    fixed: bool,
    /// Namespaces met that are not known, in how many rows.
    unknown: u64,
}

impl Vw {
    /// `names` are the namespaces in the order of their fields; with none they are numbered as they come.
    pub(super) fn new(bits: u32, labels: bool, names: &[String]) -> Self {
        let mut vw = Self { bits, labels, ..Self::default() };
        for name in names {
            vw.add(name.as_bytes());
        }
        vw.fixed = !names.is_empty();
        vw
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// How many namespaces that the model does not know were left out of rows.
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    fn add(&mut self, name: &[u8]) -> (u16, u64) {
        let field = (self.names.len() as u16, xxh3_64_with_seed(name, 0));
        self.names.push(String::from_utf8_lossy(name).into_owned());
        self.fields.insert(name.to_vec(), field);
        field
    }

    fn field(&mut self, name: &[u8]) -> Result<Option<(u16, u64)>, Flaw> {
        match self.fields.get(name) {
            Some(field) => Ok(Some(*field)),
            None if self.fixed => {
                self.unknown += 1;
                Ok(None)
            }
            None if self.names.len() >= MOST_FIELDS => Err(Flaw::of(
                "namespace",
                name,
                format!("is one namespace more than {MOST_FIELDS}; merge some"),
            )),
            None => Ok(Some(self.add(name))),
        }
    }

    pub(super) fn row(&mut self, line: &[u8], sink: &mut impl Sink) -> Result<Row, Flaw> {
        let mut parts = line.split(|byte| *byte == b'|');
        let head = parts.next().unwrap_or_default();
        if head.len() == line.len() {
            if line.trim_ascii().is_empty() {
                return Ok(Row::Empty);
            }
            return Err(Flaw::row("has no `|` before its features"));
        }
        let label = self.head(head)?;
        for part in parts {
            self.namespace(part, sink)?;
        }
        Ok(Row::Label(label))
    }

    /// The label; after it there may be an importance, which has to be 1, and a tag.
    fn head(&self, head: &[u8]) -> Result<f32, Flaw> {
        let mut words = words(head);
        let label = match words.next() {
            Some(text) if libsvm::label(text).is_some() => libsvm::label(text).unwrap_or_default(),
            _ if !self.labels => 0.0,
            text => {
                return Err(Flaw::of("label", text.unwrap_or_default(), "is not a label; write 1, 0 or -1"));
            }
        };
        match words.next() {
            // A tag that is a number begins with a quote.
            Some(weight) if number(weight).is_some_and(|weight| (weight - 1.0).abs() > 1e-9) => {
                Err(Flaw::of(
                    "importance",
                    weight,
                    "weighs the row; rows all count the same here, so leave it out",
                ))
            }
            _ => Ok(label),
        }
    }

    /// `name:weight feature:value …`; a space in front means that it has no name.
    fn namespace(&mut self, part: &[u8], sink: &mut impl Sink) -> Result<(), Flaw> {
        let mut words = words(part);
        let unnamed = part.first().is_none_or(|first| first.is_ascii_whitespace());
        let name = if unnamed { &[][..] } else { words.next().unwrap_or_default() };
        let (name, weight) = weighed(name)?;
        let Some((field, seed)) = self.field(name)? else { return Ok(()) };
        for word in words {
            let (feature, value) = weighed(word)?;
            let value = value * weight;
            if value.abs() > STRONGEST as f32 {
                return Err(Flaw::of("features", word, "is beyond ±1000, too strong for a model"));
            }
            let hash = xxh3_64_with_seed(feature, seed);
            sink.put(hash, Slot { field, index: (hash >> (64 - self.bits)) as u32, value });
        }
        Ok(())
    }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// What stands before a colon, and the number behind it; 1 without one.
fn weighed(word: &[u8]) -> Result<(&[u8], f32), Flaw> {
    let Some(at) = memchr::memrchr(b':', word) else { return Ok((word, 1.0)) };
    let (name, text) = (word.get(..at).unwrap_or_default(), word.get(at + 1..).unwrap_or_default());
    match number(text).filter(|value| value.abs() <= STRONGEST) {
        Some(value) => Ok((name, value as f32)),
        None => Err(Flaw::of("features", word, "ends in no number of at most 1000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Batch;
    use proptest::prelude::*;

    fn rows(vw: &mut Vw, lines: &[&str]) -> Vec<Result<(f32, Vec<Slot>), String>> {
        lines
            .iter()
            .map(|line| {
                let mut batch = Batch::default();
                match vw.row(line.as_bytes(), &mut batch).map_err(|flaw| flaw.problem)? {
                    Row::Label(label) => batch.end(label),
                    _ => return Err("no row".to_owned()),
                }
                let (label, slots) = batch.rows().next().unwrap();
                Ok((label, slots.to_vec()))
            })
            .collect()
    }

    #[test]
    fn namespaces_are_fields_and_weights_multiply() {
        let mut vw = Vw::new(20, true, &[]);
        let rows = rows(&mut vw, &["1 |user u1 age:0.5 |ad:2 a7", "-1 1.0 'tag |ad a7 |user u1", "0 'x| u1"]);
        let rows: Vec<_> = rows.into_iter().map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|(label, _)| *label).collect::<Vec<_>>(), [1.0, 0.0, 0.0]);
        let (first, second) = (&rows[0].1, &rows[1].1);
        assert_eq!(
            first.iter().map(|slot| (slot.field, slot.value)).collect::<Vec<_>>(),
            [(0, 1.0), (0, 0.5), (1, 2.0)]
        );
        assert_eq!((second[0].field, second[1].field), (1, 0));
        assert_eq!((second[0].index, second[1].index), (first[2].index, first[0].index));
        assert_ne!(rows[2].1[0].index, first[0].index, "the same word in no namespace is another value");
        assert_eq!(vw.names(), ["user", "ad", ""]);
    }

    #[test]
    fn namespaces_that_a_model_does_not_know_are_left_out_and_counted() {
        let mut vw = Vw::new(20, true, &["ad".to_owned()]);
        let rows = rows(&mut vw, &["1 |user u1 |ad a7"]);
        assert_eq!(rows[0].as_ref().unwrap().1.len(), 1);
        assert_eq!(vw.unknown(), 1);
    }

    #[test]
    fn what_is_wrong_is_shown() {
        let mut vw = Vw::new(20, true, &[]);
        for (line, problem) in [
            ("1 a b", "has no `|`"),
            ("3 | a", "\"3\" is not a label"),
            ("| a", "\"\" is not a label"),
            ("1 2.5 | a", "\"2.5\" weighs the row"),
            ("1 | a:nan", "\"a:nan\" ends in no number"),
            ("1 |n:1e2 a:1e2", "\"a:1e2\" is beyond"),
        ] {
            let found = rows(&mut vw, &[line]).remove(0).unwrap_err();
            assert!(found.starts_with(problem), "{found}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "[01ab|: .'-]{0,40}") {
            let mut vw = Vw::new(20, true, &[]);
            if let Ok((_, slots)) = rows(&mut vw, &[&line]).remove(0) {
                prop_assert!(slots.iter().all(|slot| slot.value.is_finite() && slot.index < 1 << 20));
            }
        }
    }
}
