//! A TOML file, read key by key, so that every mistake in it is reported at once and with its line.
//!
//! Deriving a deserialiser would stop at a file's first mistake and loses lines inside alternatives. Here each
//! reader asks a [`Table`] for the keys it knows; what nobody asked for is unknown.

use std::cell::{OnceCell, RefCell};
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Source};

/// A file's name and text, and what was found wrong with it so far.
pub(super) struct Document<'a> {
    name: &'a str,
    text: &'a str,
    /// Where each line ends; found when it is first asked for, because most documents are right.
    line_ends: OnceCell<Vec<usize>>,
    problems: RefCell<Vec<ConfigError>>,
}

/// A value somewhere in a document.
pub(super) struct Node<'a> {
    document: &'a Document<'a>,
    path: String,
    span: Range<usize>,
    value: &'a DeValue<'a>,
}

/// A table somewhere in a document, and which of its keys were asked for.
pub(super) struct Table<'a> {
    document: &'a Document<'a>,
    path: String,
    /// None for a whole file.
    span: Option<Range<usize>>,
    entries: &'a DeTable<'a>,
    known: Vec<&'static str>,
    /// Keys that were already said to be in the wrong place.
    misplaced: Vec<&'static str>,
}

/// The text as a tree, or its syntax errors.
pub(super) fn parse<'a>(name: &str, text: &'a str) -> Result<DeTable<'a>, Vec<ConfigError>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(root.into_inner());
    }
    Err(errors
        .iter()
        .map(|error| ConfigError {
            source: Source::File {
                name: name.to_owned(),
                line: error.span().map(|span| line_of(text, span.start)),
            },
            key: String::new(),
            problem: format!("not valid TOML: {}", error.message()),
        })
        .collect())
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

impl<'a> Document<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, line_ends: OnceCell::new(), problems: RefCell::default() }
    }

    pub(super) fn root(&'a self, entries: &'a DeTable<'a>) -> Table<'a> {
        Table {
            document: self,
            path: String::new(),
            span: None,
            entries,
            known: Vec::new(),
            misplaced: Vec::new(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<ConfigError> {
        self.problems.into_inner()
    }

    fn source(&self, span: Option<&Range<usize>>) -> Source {
        let ends =
            || self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let line = |offset| self.line_ends.get_or_init(ends).partition_point(|end| *end < offset) + 1;
        Source::File { name: self.name.to_owned(), line: span.map(|span| line(span.start)) }
    }

    fn fail(&self, span: Option<&Range<usize>>, key: &str, problem: String) {
        let error = ConfigError { source: self.source(span), key: key.to_owned(), problem };
        self.problems.borrow_mut().push(error);
    }
}

impl<'a> Node<'a> {
    /// Reports what is wrong with this value.
    pub(super) fn fail(&self, problem: impl Into<String>) {
        self.document.fail(Some(&self.span), &self.path, problem.into());
    }

    pub(super) fn source(&self) -> Source {
        self.document.source(Some(&self.span))
    }

    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.fail(format!("is {}, must be a text in quotes", kind(self.value)));
        }
        text
    }

    /// A text that `read` understands; what `read` says otherwise is reported.
    pub(super) fn read<T>(&self, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        read(self.text()?).map_err(|problem| self.fail(problem)).ok()
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        self.read(|text| {
            choices.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
                let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
                format!("{text:?} is none of {}", words.join(", "))
            })
        })
    }

    /// Yes or no.
    pub(super) fn truth(&self) -> Option<bool> {
        let found = self.value.as_bool();
        if found.is_none() {
            self.fail(format!("is {}, must be true or false", kind(self.value)));
        }
        found
    }

    /// A whole number within a range.
    pub(super) fn integer(&self, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let number = self.value.as_integer().and_then(whole);
        let found = number.filter(|number| range.contains(number));
        if found.is_none() {
            let shown = number.map_or_else(|| kind(self.value).to_owned(), |number| number.to_string());
            self.fail(format!(
                "is {shown}, must be a whole number from {} to {}",
                range.start(),
                range.end()
            ));
        }
        found
    }

    /// A plain number, with or without a fraction; nothing is said of anything else.
    pub(super) fn number(&self) -> Option<f64> {
        match self.value {
            DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
            DeValue::Integer(number) => whole(number).map(|number| number as f64),
            _ => None,
        }
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        let Some(entries) = self.value.as_table() else {
            self.fail(format!("is {}, must be a table like {{ key = \"value\" }}", kind(self.value)));
            return None;
        };
        Some(Table {
            document: self.document,
            path: self.path.clone(),
            span: Some(self.span.clone()),
            entries,
            known: Vec::new(),
            misplaced: Vec::new(),
        })
    }

    pub(super) fn list(&self) -> Option<Vec<Self>> {
        let Some(items) = self.value.as_array() else {
            self.fail(format!("is {}, must be a list like [ … ]", kind(self.value)));
            return None;
        };
        let item = |(index, item): (usize, &'a toml::Spanned<DeValue<'a>>)| Self {
            document: self.document,
            path: format!("{}[{index}]", self.path),
            span: item.span(),
            value: item.get_ref(),
        };
        Some(items.iter().enumerate().map(item).collect())
    }
}

impl<'a> Table<'a> {
    /// The value of a key, where it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.known.push(key);
        self.find(key)
    }

    /// The value of a key that has no business here, where it is there: known, so that it is not called unknown, but
    /// proposed to nobody.
    pub(super) fn get_unlisted(&mut self, key: &'static str) -> Option<Node<'a>> {
        let node = self.find(key)?;
        self.misplaced.push(key);
        Some(node)
    }

    fn find(&self, key: &str) -> Option<Node<'a>> {
        let (_, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Node {
            document: self.document,
            path: self.join(key),
            span: value.span(),
            value: value.get_ref(),
        })
    }

    /// The value of a key that must be there.
    pub(super) fn need(&mut self, key: &'static str, example: &str) -> Option<Node<'a>> {
        let node = self.get(key);
        if node.is_none() {
            self.document.fail(
                self.span.as_ref(),
                &self.join(key),
                format!("is missing; add {key} = {example}"),
            );
        }
        node
    }

    /// Reports what is wrong with the table as a whole.
    pub(super) fn fail(&self, problem: impl Into<String>) {
        self.document.fail(self.span.as_ref(), &self.path, problem.into());
    }

    /// All values with their keys, for a table whose keys are anything.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        self.entries.iter().map(|(name, value)| {
            let key: &str = name.get_ref();
            let node = Node {
                document: self.document,
                path: self.join(key),
                span: value.span(),
                value: value.get_ref(),
            };
            (key, node)
        })
    }

    /// How many keys it has.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        for (name, value) in self.entries.iter() {
            let key: &str = name.get_ref();
            if self.known.contains(&key) || self.misplaced.contains(&key) {
                continue;
            }
            let span = if name.span().is_empty() { value.span() } else { name.span() };
            let hint = match nearest(key, &self.known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the keys here are {}", self.known.join(", ")),
            };
            self.document.fail(Some(&span), &self.join(key), format!("unknown key; {hint}"));
        }
    }

    fn join(&self, key: &str) -> String {
        // A key from a file may hold anything, a line break too; names of ours need no quotes.
        let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        let key = if plain && !key.is_empty() { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }
}

/// A TOML integer's value; none beyond 64 bits.
pub(super) fn whole(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A value's kind, for messages.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The known word that differs in few letters, if any.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    let (edits, near) = known.iter().map(|candidate| (edits(word, candidate), *candidate)).min()?;
    (edits <= (near.len() / 2).min(2)).then_some(near)
}

/// Levenshtein's distance, a row at a time.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let cost = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(nearest("lisen", &["listen", "log"]), Some("listen"));
        assert_eq!(nearest("zzz", &["listen", "log"]), None);
    }

    #[test]
    fn every_mistake_is_reported_with_its_line() {
        let text = "a = 1\nb = \"x\"\n\n[c]\nd = 2.5\n";
        let tree = parse("f.toml", text).unwrap();
        let document = Document::new("f.toml", text);
        let mut root = document.root(&tree);
        assert_eq!(root.get("a").unwrap().text(), None);
        assert_eq!(root.get("b").unwrap().integer(0..=5), None);
        let mut table = root.get("c").unwrap().table().unwrap();
        table.need("e", "1");
        table.finish();
        root.finish();
        let lines: Vec<_> = document.into_problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "f.toml:1: a: is a whole number, must be a text in quotes",
                "f.toml:2: b: is a text, must be a whole number from 0 to 5",
                "f.toml:4: c.e: is missing; add e = 1",
                "f.toml:5: c.d: unknown key; the keys here are e",
            ]
        );
    }
}
