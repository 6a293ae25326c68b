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
    /// The namespaces in the order of their fields.
    known: Vec<Namespace>,
    /// Of each namespace its field.
    fields: HashMap<Vec<u8>, usize>,
    /// Where the next namespace is looked for first: rows name theirs in the same order, mostly that of the fields.
    next: usize,
    /// Whether namespaces are known, so that a new one is left out.
    fixed: bool,
    /// Namespaces met that are not known, in how many rows.
    unknown: u64,
}

struct Namespace {
    name: Vec<u8>,
    /// What its features are hashed with.
    seed: u64,
    /// Whether a colon is part of the name, so that what begins with it need not be it.
    colon: bool,
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
        let (field, seed) = (self.known.len(), xxh3_64_with_seed(name, 0));
        self.names.push(String::from_utf8_lossy(name).into_owned());
        self.known.push(Namespace { name: name.to_vec(), seed, colon: name.contains(&b':') });
        self.fields.insert(name.to_vec(), field);
        (field as u16, seed)
    }

    /// The namespace that is likely to come, if it does, without a weight.
    #[inline(always)]
    fn expected(&mut self, words: &mut Words<'_>) -> Option<(u16, u64)> {
        let known = self.known.get(self.next)?;
        let rest = words.rest.strip_prefix(&known.name[..])?;
        if rest.first().is_some_and(|next| kind(*next) < Kind::Blank as u8) || known.colon {
            return None;
        }
        words.rest = rest;
        let field = self.next as u16;
        self.next = if self.next + 1 == self.known.len() { 0 } else { self.next + 1 };
        Some((field, known.seed))
    }

    fn field(&mut self, name: &[u8]) -> Result<Option<(u16, u64)>, Flaw> {
        match self.fields.get(name) {
            Some(field) => {
                self.next = (field + 1) % self.known.len().max(1);
                Ok(self.known.get(*field).map(|known| (*field as u16, known.seed)))
            }
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

    #[inline]
    pub(super) fn row(&mut self, line: &[u8], sink: &mut impl Sink) -> Result<Row, Flaw> {
        let Some(bar) = memchr::memchr(b'|', line) else {
            if line.trim_ascii().is_empty() {
                return Ok(Row::Empty);
            }
            return Err(Flaw::row("has no `|` before its features"));
        };
        let label = self.head(line.get(..bar).unwrap_or_default())?;
        let mut words = Words { rest: line.get(bar + 1..).unwrap_or_default() };
        loop {
            self.namespace(&mut words, sink)?;
            // What ends a namespace is a bar or the line's end.
            match words.rest.split_first() {
                Some((_, after)) => words.rest = after,
                None => return Ok(Row::Label(label, None)),
            }
        }
    }

    /// The label; after it there may be an importance, which has to be 1, and a tag.
    #[inline]
    fn head(&self, head: &[u8]) -> Result<f32, Flaw> {
        let mut words = Words { rest: head };
        let first = words.next().map(|word| word.text);
        let label = match first.map(|text| (text, libsvm::label(text))) {
            Some((_, Some(label))) => label,
            _ if !self.labels => 0.0,
            _ => {
                return Err(Flaw::of("label", first.unwrap_or_default(), "is not a label; write 1, 0 or -1"));
            }
        };
        match words.next() {
            // A tag that is a number begins with a quote.
            Some(Word { text: weight, .. })
                if number(weight).is_some_and(|weight| (weight - 1.0).abs() > 1e-9) =>
            {
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
    #[inline]
    fn namespace(&mut self, words: &mut Words<'_>, sink: &mut impl Sink) -> Result<(), Flaw> {
        let (field, seed, weight) = match self.expected(words) {
            Some((field, seed)) => (field, seed, 1.0),
            None => {
                let named = words.rest.first().is_some_and(|first| kind(*first) < Kind::Blank as u8);
                let name = if named { words.next() } else { None };
                let (name, weight) = name.map_or(Ok((&[][..], 1.0)), Word::weighed)?;
                let Some((field, seed)) = self.field(name)? else {
                    let bar = memchr::memchr(b'|', words.rest).unwrap_or(words.rest.len());
                    words.rest = words.rest.get(bar..).unwrap_or_default();
                    return Ok(());
                };
                (field, seed, weight)
            }
        };
        while let Some(word) = words.next() {
            let (feature, value) = word.weighed()?;
            let value = value * weight;
            if value.abs() > STRONGEST as f32 {
                return Err(Flaw::of("features", word.text, "is beyond ±1000, too strong for a model"));
            }
            let hash = xxh3_64_with_seed(feature, seed);
            sink.put(hash, Slot { field, index: (hash >> (64 - self.bits)) as u32, value });
        }
        Ok(())
    }
}

/// What a byte is to this format, in the order in which more ends.
#[repr(u8)]
enum Kind {
    Plain,
    /// Parts a name from its number.
    Colon,
    /// Ends a word.
    Blank,
    /// Ends a namespace.
    Bar,
}

/// One look at a byte says all.
const KINDS: [u8; 256] = {
    let mut kinds = [Kind::Plain as u8; 256];
    kinds[b':' as usize] = Kind::Colon as u8;
    kinds[b'|' as usize] = Kind::Bar as u8;
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_whitespace() {
            kinds[byte] = Kind::Blank as u8;
        }
        byte += 1;
    }
    kinds
};

#[inline(always)]
fn kind(byte: u8) -> u8 {
    KINDS[usize::from(byte)]
}

/// How many bytes at the front are plain. Eight at a time, because most words are no longer.
#[inline(always)]
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let mut at = 0;
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let eight = u64::from_le_bytes(*eight);
        // The top bit of each byte that is below `limit`; above the first such byte it may be set in vain.
        let below = |bytes: u64, limit: u64| bytes.wrapping_sub(ONES * limit) & !bytes & TOPS;
        let colon = below(eight ^ (ONES * u64::from(b':')), 1);
        let bar = below(eight ^ (ONES * u64::from(b'|')), 1);
        // Blanks, and controls that nobody writes.
        let found = below(eight, u64::from(b' ') + 1) | colon | bar;
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    // The last few, and whatever follows a control.
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| kind(**byte) == Kind::Plain as u8).count()
}

/// What stands between blanks.
#[derive(Clone, Copy)]
struct Word<'t> {
    text: &'t [u8],
    /// Where its last colon is.
    colon: Option<usize>,
}

/// The words up to a bar or the text's end, whichever comes first; `rest` then begins there.
struct Words<'t> {
    rest: &'t [u8],
}

impl<'t> Words<'t> {
    #[inline(always)]
    fn next(&mut self) -> Option<Word<'t>> {
        while let Some((first, rest)) = self.rest.split_first() {
            match kind(*first) {
                it if it == Kind::Blank as u8 => self.rest = rest,
                it if it == Kind::Bar as u8 => return None,
                _ => break,
            }
        }
        let (mut end, mut colon) = (plain(self.rest), None);
        while self.rest.get(end) == Some(&b':') {
            colon = Some(end);
            end += 1 + plain(self.rest.get(end + 1..).unwrap_or_default());
        }
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (end > 0).then_some(Word { text, colon })
    }
}

impl<'t> Word<'t> {
    /// What stands before the last colon, and the number behind it; 1 without one.
    #[inline(always)]
    fn weighed(self) -> Result<(&'t [u8], f32), Flaw> {
        let Some(at) = self.colon else { return Ok((self.text, 1.0)) };
        let (name, text) =
            (self.text.get(..at).unwrap_or_default(), self.text.get(at + 1..).unwrap_or_default());
        match number(text).filter(|value| value.abs() <= STRONGEST) {
            Some(value) => Ok((name, value as f32)),
            None => Err(Flaw::of("features", self.text, "ends in no number of at most 1000")),
        }
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
                    Row::Label(label, None) => batch.end(label),
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

    #[test]
    fn names_are_told_apart_whatever_the_order_they_come_in() {
        let names = ["ab".to_owned(), "a".to_owned(), String::new(), "a:b".to_owned()];
        let fields = |lines: &[&str]| -> Vec<Vec<(u16, u32)>> {
            let mut vw = Vw::new(20, true, &names);
            let rows = rows(&mut vw, lines).into_iter().map(Result::unwrap);
            rows.map(|(_, slots)| slots.iter().map(|slot| (slot.field, slot.value as u32)).collect())
                .collect()
        };
        let found = fields(&[
            "1 |ab x |a x | x |a:b:2 x",
            "1 |a x |ab x",
            "1 |a:2 x\ty\t|ab:3 x:2 y",
            "1 |abc x |a x||| x  y ",
            "1 |a x\x0b |a\tx:2",
        ]);
        let expected = [
            vec![(0, 1), (1, 1), (2, 1), (3, 2)],
            vec![(1, 1), (0, 1)],
            vec![(1, 2), (1, 2), (0, 6), (0, 3)],
            vec![(1, 1), (2, 1), (2, 1)],
            vec![(1, 1), (1, 2)],
        ];
        assert_eq!(found, expected);
    }

    /// The format as it reads, with nothing done for speed.
    fn plainly(line: &str, bits: u32) -> Option<(f32, Vec<Slot>)> {
        let (head, parts) = line.split_once('|')?;
        let mut words = head.split_ascii_whitespace();
        let label = libsvm::label(words.next()?.as_bytes())?;
        let weight = words.next().and_then(|weight| number(weight.as_bytes()));
        if weight.is_some_and(|weight| (weight - 1.0).abs() > 1e-9) {
            return None;
        }
        let weighed = |word: &str| match word.rsplit_once(':') {
            None => Some((word.to_owned(), 1.0)),
            Some((name, value)) => {
                let value = number(value.as_bytes()).filter(|value| value.abs() <= STRONGEST)?;
                Some((name.to_owned(), value as f32))
            }
        };
        let (mut names, mut slots) = (Vec::new(), Vec::new());
        for part in parts.split('|') {
            let unnamed = part.is_empty() || part.starts_with(|sign: char| sign.is_ascii_whitespace());
            let mut words = part.split_ascii_whitespace();
            let name = if unnamed { "" } else { words.next().unwrap_or_default() };
            let (name, weight) = weighed(name)?;
            let field = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            let seed = xxh3_64_with_seed(name.as_bytes(), 0);
            for word in words {
                let (feature, value) = weighed(word)?;
                let value = value * weight;
                if value.abs() > STRONGEST as f32 {
                    return None;
                }
                let index = (xxh3_64_with_seed(feature.as_bytes(), seed) >> (64 - bits)) as u32;
                slots.push(Slot { field: field as u16, index, value });
            }
        }
        Some((label, slots))
    }

    proptest! {
        #[test]
        fn lines_are_read_as_the_format_says(
            line in "(1|0|-1|) ?(\\|(a|ab|a:b)?(:2|:x)?\
                ([ \t\r\x0b\x0c]{1,2}[ab\x0b]{0,10}(:-?[0-9.]{1,6}|:)?){0,3}){0,8}",
        ) {
            let found = rows(&mut Vw::new(20, true, &[]), &[&line]).remove(0);
            prop_assert_eq!(found.ok(), plainly(&line, 20));
        }

        #[test]
        fn any_line_is_read_or_refused(line in "[01ab|: .'-]{0,40}") {
            let mut vw = Vw::new(20, true, &[]);
            if let Ok((_, slots)) = rows(&mut vw, &[&line]).remove(0) {
                prop_assert!(slots.iter().all(|slot| slot.value.is_finite() && slot.index < 1 << 20));
            }
        }
    }
}
