//! Lines of `label index:value …` (LIBSVM, Chang and Lin 2011), also with fields, `label field:index:value …` (libffm, Juan et
//! al. 2016). Each index is a value as it is; nothing is hashed.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::encoder::Sink;
use super::error::{DataError, Flaw};
use super::lines::Lines;
use super::number::{STRONGEST, number, whole};
use super::source::Source;
use super::table::Row;
use crate::rows::Slot;

/// Which field each index is of: a file of lines `field:value<tab>index`, as deep-ctr and make-ipinyou-data write it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureIndex {
    /// Names of the fields, in the order of their numbers.
    names: Vec<String>,
    /// Of each index its field and one more; 0 for indices that are not in the file.
    fields: Vec<u16>,
}

/// No feature index is larger.
const MOST: usize = 1 << 28;

impl FeatureIndex {
    /// Reads the file. What is before the first colon is the field; fields are numbered in the order in which they come.
    ///
    /// # Errors
    ///
    /// The first line that is none, or what the system says.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let file = || path.display().to_string();
        let failed = |error| DataError::Io { file: file(), error };
        let mut lines = Lines::new(Source::open(path).map_err(failed)?);
        let mut index = Self::default();
        while let Some(line) = lines.next().map_err(failed)? {
            let added = index.add(line);
            if !added && !line.is_empty() {
                let problem = format!("line {}: must be field:value, a tab, and an index", lines.number());
                return Err(DataError::Unusable { file: file(), problem });
            }
        }
        Ok(index)
    }

    /// The names of the fields.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A hash of all that it says.
    pub fn hash(&self) -> u64 {
        let fields: Vec<u8> = self.fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        xxh3_64_with_seed(&fields, xxh3_64_with_seed(format!("{:?}", self.names).as_bytes(), 0))
    }

    fn add(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        let Some(at) = line.iter().rposition(|byte| *byte == b'\t' || *byte == b' ') else { return false };
        let (Some(name), Some(number)) = (line.get(..at), line.get(at + 1..).and_then(whole)) else {
            return false;
        };
        let (name, number) = (name.split(|byte| *byte == b':').next().unwrap_or_default(), number as usize);
        if number >= MOST {
            return false;
        }
        let name = String::from_utf8_lossy(name);
        let field = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name.into_owned());
            self.names.len() - 1
        });
        let Ok(field) = u16::try_from(field + 1) else { return false };
        if self.fields.len() <= number {
            self.fields.resize(number + 1, 0);
        }
        if let Some(slot) = self.fields.get_mut(number) {
            *slot = field;
        }
        true
    }

    fn field(&self, index: u32) -> Option<u16> {
        self.fields.get(index as usize).copied()?.checked_sub(1)
    }
}

/// Reads lines of this form.
pub(super) struct LibSvm {
    /// Without one, and where lines have no fields, all is of field 0.
    pub(super) index: Option<FeatureIndex>,
    /// Whether lines begin with a label; they may where this is false.
    pub(super) labels: bool,
}

impl LibSvm {
    pub(super) fn row(&self, line: &[u8], sink: &mut impl Sink) -> Result<Row, Flaw> {
        // What follows a `#` is a comment.
        let line = memchr::memchr(b'#', line).and_then(|at| line.get(..at)).unwrap_or(line);
        let mut parts =
            line.split(|byte| *byte == b' ' || *byte == b'\t').filter(|part| !part.is_empty()).peekable();
        let Some(first) = parts.peek().copied() else { return Ok(Row::Empty) };
        let mut label = 0.0;
        if self.labels || !first.contains(&b':') {
            label = self::label(first)
                .ok_or_else(|| Flaw::of("label", first, "is not a label; write 0 or 1, -1 or 1"))?;
            parts.next();
        }
        for part in parts {
            let slot = self.slot(part)?;
            // Its top bits are the index.
            sink.put(u64::from(slot.index) << 32, slot);
        }
        Ok(Row::Label(label, None))
    }

    fn slot(&self, part: &[u8]) -> Result<Slot, Flaw> {
        let flaw = |problem| Err(Flaw::of("features", part, problem));
        let mut numbers = part.splitn(4, |byte| *byte == b':');
        let (Some(first), Some(second)) = (numbers.next(), numbers.next()) else {
            return flaw("is not index:value");
        };
        let (field, index, value) = match (numbers.next(), numbers.next()) {
            (None, _) => (None, first, second),
            (Some(third), None) => (Some(first), second, third),
            _ => return flaw("has too many colons; write index:value or field:index:value"),
        };
        let Some(index) = whole(index).and_then(|index| u32::try_from(index).ok()) else {
            return flaw("has an index that is no whole number below 2^32");
        };
        let field = match (field, &self.index) {
            (Some(field), _) => match whole(field).and_then(|field| u16::try_from(field).ok()) {
                Some(field) => field,
                None => return flaw("has a field that is no whole number below 65536"),
            },
            (None, Some(known)) => match known.field(index) {
                Some(field) => field,
                None => return flaw("has an index that is not in the file of features"),
            },
            (None, None) => 0,
        };
        let value = match value {
            b"1" => 1.0,
            _ => match number(value) {
                Some(value) if value.abs() <= STRONGEST => value as f32,
                Some(_) => return flaw("has a value beyond ±1000, too strong for a model"),
                None => return flaw("has a value that is not a finite number"),
            },
        };
        Ok(Slot { field, index, value })
    }
}

/// 1 for a click; 0 and -1 for none.
pub(super) fn label(text: &[u8]) -> Option<f32> {
    match text {
        b"1" | b"+1" => Some(1.0),
        b"0" | b"-1" => Some(0.0),
        _ => match number(text)? {
            1.0 => Some(1.0),
            0.0 | -1.0 => Some(0.0),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Batch;
    use proptest::prelude::*;

    fn row(reader: &LibSvm, line: &str) -> Result<(f32, Vec<Slot>), String> {
        let mut batch = Batch::default();
        match reader.row(line.as_bytes(), &mut batch).map_err(|flaw| flaw.problem)? {
            Row::Label(label, None) => batch.end(label),
            _ => return Err("no row".to_owned()),
        }
        let (label, slots) = batch.rows().next().unwrap();
        Ok((label, slots.to_vec()))
    }

    #[test]
    fn indices_values_fields_and_comments_are_read() {
        let plain = LibSvm { index: None, labels: true };
        let slot = |field, index, value| Slot { field, index, value };
        assert_eq!(row(&plain, "+1 4:1 13:-0.5 # so"), Ok((1.0, vec![slot(0, 4, 1.0), slot(0, 13, -0.5)])));
        assert_eq!(row(&plain, "-1\t2:4294967295:1e3"), Ok((0.0, vec![slot(2, u32::MAX, 1000.0)])));
        assert_eq!(row(&plain, "0"), Ok((0.0, vec![])));
        let mut index = FeatureIndex::default();
        assert!(index.add(b"weekday:2\t1") && index.add(b"hour:0:7\t0") && index.add(b"weekday:3\t3"));
        assert_eq!(index.names(), ["weekday", "hour"]);
        let named = LibSvm { index: Some(index), labels: false };
        let expected = vec![slot(0, 3, 1.0), slot(1, 0, 2.0)];
        assert_eq!(row(&named, "3:1 0:2"), Ok((0.0, expected.clone())));
        assert_eq!(row(&named, "1 3:1 0:2"), Ok((1.0, expected)));
        assert!(row(&named, "1 2:1").unwrap_err().contains("not in the file of features"));
    }

    #[test]
    fn what_is_wrong_is_shown() {
        let plain = LibSvm { index: None, labels: true };
        for (line, problem) in [
            ("2 1:1", "\"2\" is not a label"),
            ("1 1:nan", "\"1:nan\" has a value that is not a finite number"),
            ("1 1:1e300", "\"1:1e300\" has a value beyond ±1000"),
            ("1 5", "\"5\" is not index:value"),
            ("1 4294967296:1", "\"4294967296:1\" has an index that is no whole number below 2^32"),
            ("1 -1:1", "\"-1:1\" has an index"),
            ("1 1:2:3:4", "\"1:2:3:4\" has too many colons"),
            ("1 70000:2:3", "\"70000:2:3\" has a field"),
        ] {
            let found = row(&plain, line).unwrap_err();
            assert!(found.starts_with(problem), "{found}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "[0-9:.# e+-]{0,40}") {
            let plain = LibSvm { index: None, labels: true };
            if let Ok((label, slots)) = row(&plain, &line) {
                prop_assert!([0.0, 1.0].contains(&label));
                prop_assert!(slots.iter().all(|slot| slot.value.is_finite()));
            }
        }
    }
}
