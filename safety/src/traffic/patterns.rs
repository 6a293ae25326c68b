//! Lists of patterns that user agents are held against.
//!
//! Two forms, which may be mixed: a plain pattern a line, and the pipe-separated lines of the IAB/ABC International
//! Spiders and Bots List, whose fields are
//!
//! | file | fields |
//! | --- | --- |
//! | spiders and bots | pattern, active (1 or 0), exceptions (comma-separated), one-pass flag, impact flag, start flag, date |
//! | valid browsers | pattern, active (1 or 0), start flag |
//!
//! A pattern matches anywhere in the user agent, letters' case ignored, or with the start flag 1 only at its start. An
//! exception in the same user agent voids it. The one-pass flag (the entry is not needed beside a list of valid browsers)
//! and the impact flag (pages or advertisements) change nothing for a bidder, whose every request is an advertisement.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};

use crate::file::{self, LineError};

/// The largest file of patterns that is read, in bytes.
pub const MAX_PATTERNS_BYTES: u64 = 16 << 20;
/// Shorter patterns match by chance.
const SHORTEST: usize = 3;
/// Longer than any user agent's part that tells something.
const LONGEST: usize = 1024;

/// Which of the IAB's two files a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternKind {
    /// Spiders and bots: who is on it is refused.
    Bots,
    /// Valid browsers: who is not on it is refused.
    Browsers,
}

/// What each pattern asks for beyond its text.
#[derive(Debug)]
struct Rule {
    /// The list's place among those that are compiled together.
    list: usize,
    at_start: bool,
    exceptions: Box<[Box<str>]>,
}

/// A compiled list of patterns.
#[derive(Debug)]
pub struct Patterns {
    automaton: AhoCorasick,
    rules: Vec<Rule>,
}

impl Patterns {
    /// Reads a list.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(bytes: &[u8], kind: PatternKind) -> Result<Self, LineError> {
        Self::together(&[(bytes, kind)])
    }

    /// Reads several lists that are held against a text at once; see [`Patterns::matching`].
    ///
    /// # Errors
    /// The first line that is wrong.
    pub(super) fn together(lists: &[(&[u8], PatternKind)]) -> Result<Self, LineError> {
        let (mut texts, mut rules) = (Vec::new(), Vec::new());
        for (list, (bytes, kind)) in lists.iter().enumerate() {
            for entry in file::lines(bytes) {
                let (line, text) = entry?;
                let fail = |problem: String| LineError { line, problem };
                let Some((pattern, rule)) = parse_line(text, *kind).map_err(fail)? else { continue };
                texts.push(pattern);
                rules.push(Rule { list, ..rule });
            }
        }
        let automaton =
            AhoCorasickBuilder::new().ascii_case_insensitive(true).build(&texts).map_err(|error| {
                LineError {
                    line: 0,
                    problem: format!("the patterns are too many: {error}; shorten the list"),
                }
            })?;
        Ok(Self { automaton, rules })
    }

    /// How many patterns are active.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a pattern that no exception voids is in the text.
    pub fn matches(&self, text: &str) -> bool {
        self.matching(text).next().is_some()
    }

    /// Of each such pattern, the place of its list among those that were read together.
    pub(super) fn matching(&self, text: &str) -> impl Iterator<Item = usize> {
        self.automaton.find_overlapping_iter(text).filter_map(move |found| {
            let rule = self.rules.get(found.pattern().as_usize())?;
            let holds = (!rule.at_start || found.start() == 0)
                && !rule.exceptions.iter().any(|exception| contains_ignoring_case(text, exception));
            holds.then_some(rule.list)
        })
    }
}

/// A line's pattern; none where it is inactive.
fn parse_line(text: &str, kind: PatternKind) -> Result<Option<(&str, Rule)>, String> {
    let mut fields = text.split('|').map(str::trim);
    let pattern = fields.next().unwrap_or("");
    if !(SHORTEST..=LONGEST).contains(&pattern.len()) {
        return Err(format!("{pattern:?} is no pattern; write {SHORTEST} to {LONGEST} characters"));
    }
    let mut next = || fields.next().unwrap_or("");
    let active = flag(next(), true)?;
    let (exceptions, at_start) = match kind {
        PatternKind::Browsers => ("", flag(next(), false)?),
        PatternKind::Bots => {
            let exceptions = next();
            // Flags that change nothing are checked all the same: a line whose fields have slipped shows there.
            flag(next(), false)?;
            let impact = next();
            if !["", "0", "1", "2"].contains(&impact) {
                return Err(format!("{impact:?} is no impact flag; write 0, 1 or 2"));
            }
            (exceptions, flag(next(), false)?)
        }
    };
    let exceptions: Box<[Box<str>]> =
        exceptions.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Box::from).collect();
    Ok(active.then_some((pattern, Rule { list: 0, at_start, exceptions })))
}

fn flag(text: &str, absent: bool) -> Result<bool, String> {
    match text {
        "" => Ok(absent),
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(format!("{text:?} is no flag; write 0 or 1")),
    }
}

/// Whether a text holds a word, ASCII letters' case ignored.
pub(super) fn contains_ignoring_case(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let Some(first) = word.first() else { return false };
    // Few places have the first letter, and those are found many bytes at a time.
    memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text)
        .any(|at| text.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bots(text: &str) -> Patterns {
        Patterns::parse(text.as_bytes(), PatternKind::Bots).unwrap()
    }

    #[test]
    fn plain_and_piped_lines_match_as_they_say() {
        let list = bots(
            "# ours\r\nexamplebot\nlib/|1||0|2|1\nbot|1|cubot,robotics phone|1|0|0|\nsleeper|0||1|2|0|01/01/2020\n",
        );
        assert_eq!(list.len(), 3);
        for bot in ["Mozilla ExampleBot/1", "Lib/1.0", "a bot", "Cubot and examplebot"] {
            assert!(list.matches(bot), "{bot}");
        }
        for person in ["CUBOT_X18", "Robotics Phone 2", "a lib/1", "sleeper", ""] {
            assert!(!list.matches(person), "{person}");
        }
        let browsers = Patterns::parse(b"mozilla|1|1\nold|0|0\nbrowser|1|0", PatternKind::Browsers).unwrap();
        assert!(browsers.matches("Mozilla/5.0") && browsers.matches("my Browser"));
        assert!(!browsers.matches("not mozilla") && !browsers.matches("old"));
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        for (text, problem) in [
            ("good one\nab\n", "line 2: \"ab\" is no pattern"),
            ("bot|yes", "line 1: \"yes\" is no flag"),
            ("bot|1||0|7|0", "line 1: \"7\" is no impact flag"),
            ("|1|", "line 1: \"\" is no pattern"),
        ] {
            let error = Patterns::parse(text.as_bytes(), PatternKind::Bots).unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".*") {
            for kind in [PatternKind::Bots, PatternKind::Browsers] {
                if let Ok(list) = Patterns::parse(&bytes, kind) {
                    list.matches(&text);
                }
            }
        }

        #[test]
        fn finds_what_a_plain_search_finds(
            patterns in prop::collection::vec("[abc]{3,5}", 1..8),
            text in "[abcABC]{0,40}",
        ) {
            let expected = patterns.iter().any(|pattern| text.to_ascii_lowercase().contains(pattern.as_str()));
            prop_assert_eq!(bots(&patterns.join("\n")).matches(&text), expected);
        }
    }
}
