//! A cursor over one JSON text (RFC 8259).
//!
//! Ours rather than a library's, because a library refuses whole documents for what should cost one member (an unpaired
//! surrogate), accepts what should be refused (a member twice, any depth in members that are skipped), and cannot say
//! in which member a number is out of range. It knows nothing of OpenRTB.

use std::borrow::Cow;

use super::fault::{Fault, Flaw};

/// How deep objects and lists may be nested, those included that nobody reads. What OpenRTB defines takes eleven levels.
pub(super) const MAX_DEPTH: u32 = 64;

/// A place in a text, before a value, a member or the end.
pub(super) struct Json<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// See [`Json::misplaced`].
    misplaced: bool,
}

/// One value, as far as scalars go.
pub(super) enum Scalar<'a> {
    Null,
    Flag(bool),
    /// A whole number that an `i64` holds, and its digits.
    Whole(i64, &'a str),
    /// Any other number that an `f64` holds.
    Decimal(&'a str),
    Text(Cow<'a, str>),
    /// A list, an object, or a text that is no Unicode.
    Other,
}

/// The inside of a text as it is written.
#[derive(Clone, Copy)]
struct Quoted<'a> {
    inner: &'a str,
    escaped: bool,
}

impl<'a> Json<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, misplaced: false }
    }

    /// What is wrong here.
    #[cold]
    pub(super) fn fault(&self, flaw: Flaw) -> Fault {
        Fault::new(flaw, self.at)
    }

    /// Notes that something else than an object or a word stands where one belongs.
    pub(super) const fn misplace(&mut self) {
        // Deeper down it says something of one imp or one list alone.
        self.misplaced |= self.depth <= 2;
    }

    /// Notes that something else than a list of words stands where one belongs.
    pub(super) const fn misplace_list(&mut self) {
        self.misplaced |= self.depth <= 1;
    }

    /// Whether something else than an object stood in place of one of the text's own objects, or of one in those.
    pub(super) const fn misplaced(&self) -> bool {
        self.misplaced
    }

    /// The first byte of what comes next; 0 at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        // Not `self.at += usize::from(found)`, of which Rust 1.95 leaves the addition out at `opt-level = 3`.
        if self.peek() != byte {
            return false;
        }
        self.at += 1;
        true
    }

    /// After the value: that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.peek();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.fault(Flaw::Syntax("something follows the object")))
        }
    }

    /// Enters the object or list that begins here.
    pub(super) fn enter(&mut self) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(self.fault(Flaw::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Within an object, the next member's name, and on to its value. `first` is true once.
    #[inline]
    pub(super) fn next_member(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, Fault> {
        match self.simple_name(*first) {
            Some(name) => {
                *first = false;
                Ok(Some(Cow::Borrowed(name)))
            }
            None => self.next_member_slowly(first),
        }
    }

    /// What nearly all members are: a plain name of fewer than sixteen letters, without spaces around. Else the place stays the
    /// same.
    #[inline(never)]
    fn simple_name(&mut self, first: bool) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        // Of a later member there is a comma before the quote.
        let comma = usize::from(!first);
        let chunk = bytes.get(self.at..)?.first_chunk::<18>()?;
        if chunk[comma] != b'"' || (!first && chunk[0] != b',') {
            return None;
        }
        let start = self.at + comma + 1;
        let name = if first { chunk[1..].first_chunk() } else { chunk[2..].first_chunk() };
        let special = special(name?);
        let end = start + special.trailing_zeros() as usize;
        if special == 0 || bytes.get(end..end + 2)? != b"\":" {
            return None;
        }
        self.at = end + 2;
        self.text.get(start..end)
    }

    /// The same for whatever comes.
    #[inline(never)]
    fn next_member_slowly(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, Fault> {
        if !self.next(b'}', first)? {
            return Ok(None);
        }
        if self.peek() != b'"' {
            return Err(self.fault(Flaw::Syntax("expected a member's name in double quotes")));
        }
        let name = match self.plain_text() {
            Some(name) => Cow::Borrowed(name),
            // Where it is no Unicode, no member of ours has such a name; an empty one is nobody's either.
            None => self.quoted()?.text().unwrap_or_default(),
        };
        if !self.eat(b':') {
            return Err(self.fault(Flaw::Syntax("expected a colon after the member's name")));
        }
        Ok(Some(name))
    }

    /// Within a list, on to the next element, if there is one. `first` is true once.
    #[inline]
    pub(super) fn next_element(&mut self, first: &mut bool) -> Result<bool, Fault> {
        self.next(b']', first)
    }

    #[inline(always)]
    fn next(&mut self, close: u8, first: &mut bool) -> Result<bool, Fault> {
        let next = self.peek();
        if next == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if std::mem::take(first) {
            return Ok(true);
        }
        if next != b',' {
            return Err(self.fault(Flaw::Syntax("expected a comma or the end of the object or list")));
        }
        self.at += 1;
        Ok(true)
    }

    /// The same as [`Json::next_member`] from the name on, where the name does not matter.
    fn skip_member_name(&mut self) -> Result<(), Fault> {
        if self.peek() != b'"' {
            return Err(self.fault(Flaw::Syntax("expected a member's name in double quotes")));
        }
        if self.plain_text().is_none() {
            self.quoted()?;
        }
        if !self.eat(b':') {
            return Err(self.fault(Flaw::Syntax("expected a colon after the member's name")));
        }
        Ok(())
    }

    /// The text that begins here, if it has no escapes, which is nearly every text; else the place stays the same.
    #[inline(always)]
    fn plain_text(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let end = start + plain_length(bytes.get(start..)?);
        if bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// Reads the next value if it is a text without escapes; else the place stays before it. It may come before
    /// [`Json::scalar`], which reads whatever there is, and spares its detours.
    #[inline(never)]
    pub(super) fn simple_text(&mut self) -> Option<&'a str> {
        if self.peek() == b'"' { self.plain_text() } else { None }
    }

    /// The same for a whole number of few digits that is not negative.
    #[inline(never)]
    pub(super) fn simple_number(&mut self) -> Option<i64> {
        self.peek();
        let rest = self.text.as_bytes().get(self.at..)?;
        let mut value = 0;
        // So many that no sum is too large.
        for (length, &byte) in rest.iter().take(17).enumerate() {
            match byte {
                b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
                b',' | b'}' | b']' if length == 1 || (length > 1 && rest.first() != Some(&b'0')) => {
                    self.at += length;
                    return Some(value);
                }
                _ => return None,
            }
        }
        None
    }

    /// Reads a scalar; skips anything else.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'a>, Fault> {
        match self.peek() {
            b'"' => Ok(self.quoted()?.text().map_or(Scalar::Other, Scalar::Text)),
            b'-' | b'0'..=b'9' => self.number(),
            b'n' => self.literal("null", Scalar::Null),
            b't' => self.literal("true", Scalar::Flag(true)),
            b'f' => self.literal("false", Scalar::Flag(false)),
            _ => self.skip().map(|()| Scalar::Other),
        }
    }

    /// Skips one value, and checks that it is one.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        let outside = self.depth;
        // One bit a level: whether it is an object.
        let mut objects = 0_u64;
        loop {
            match self.peek() {
                b'"' => {
                    if self.plain_text().is_none() {
                        self.quoted()?;
                    }
                }
                b'-' | b'0'..=b'9' => self.digits().map(drop)?,
                b'n' => self.literal("null", ())?,
                b't' => self.literal("true", ())?,
                b'f' => self.literal("false", ())?,
                open @ (b'{' | b'[') => {
                    self.enter()?;
                    let level = 1 << (self.depth - 1);
                    if open == b'{' {
                        objects |= level;
                        if self.next(b'}', &mut true)? {
                            self.skip_member_name()?;
                            continue;
                        }
                    } else {
                        objects &= !level;
                        if self.next(b']', &mut true)? {
                            continue;
                        }
                    }
                }
                _ => return Err(self.fault(Flaw::Syntax("expected a value"))),
            }
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let in_object = objects & (1 << (self.depth - 1)) != 0;
                if self.next(if in_object { b'}' } else { b']' }, &mut false)? {
                    if in_object {
                        self.skip_member_name()?;
                    }
                    break;
                }
            }
        }
    }

    fn literal<T>(&mut self, word: &str, meaning: T) -> Result<T, Fault> {
        if self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            Ok(meaning)
        } else {
            Err(self.fault(Flaw::Syntax("expected a value")))
        }
    }

    /// The text that begins here, with its escapes checked.
    fn quoted(&mut self) -> Result<Quoted<'a>, Fault> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.at += plain_length(bytes.get(self.at..).unwrap_or_default());
            match bytes.get(self.at) {
                Some(b'"') => {
                    let inner = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(Quoted { inner, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    let length = match bytes.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if code_unit(bytes, self.at + 2).is_some() => 6,
                        _ => return Err(self.fault(Flaw::Syntax("no such escape"))),
                    };
                    self.at += length;
                }
                Some(_) => return Err(self.fault(Flaw::Syntax("a control character within a text"))),
                None => return Err(self.fault(Flaw::Syntax("a text without an end"))),
            }
        }
    }

    fn number(&mut self) -> Result<Scalar<'a>, Fault> {
        let start = self.at;
        let (digits, whole) = self.digits()?;
        if whole && let Ok(value) = digits.parse() {
            return Ok(Scalar::Whole(value, digits));
        }
        // So few digits without an exponent are no number that an `f64` does not hold.
        let modest = digits.len() < 300 && !digits.bytes().any(|byte| matches!(byte, b'e' | b'E'));
        if modest || digits.parse().is_ok_and(f64::is_finite) {
            Ok(Scalar::Decimal(digits))
        } else {
            Err(Fault::new(Flaw::NumberOutOfRange, start))
        }
    }

    /// The number that begins here, and whether it has neither fraction nor exponent.
    fn digits(&mut self) -> Result<(&'a str, bool), Fault> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
        let run = |at: &mut usize| {
            let from = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > from
        };
        let mut whole = true;
        let mut well_formed = match bytes.get(at) {
            Some(b'0') => {
                at += 1;
                true
            }
            _ => run(&mut at),
        };
        if bytes.get(at) == Some(&b'.') {
            whole = false;
            at += 1;
            well_formed &= run(&mut at);
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            whole = false;
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            well_formed &= run(&mut at);
        }
        if !well_formed {
            return Err(self.fault(Flaw::Syntax("a number without its digits")));
        }
        self.at = at;
        Ok((self.text.get(start..at).unwrap_or_default(), whole))
    }
}

impl<'a> Quoted<'a> {
    /// What it says; `None` where that is no Unicode.
    fn text(self) -> Option<Cow<'a, str>> {
        if self.escaped { unescape(self.inner).map(Cow::Owned) } else { Some(Cow::Borrowed(self.inner)) }
    }
}

/// How many bytes come before the first that is a quote, a backslash or a control character: sixteen at a time.
#[inline(always)]
pub(crate) fn plain_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let special = special(chunk);
        if special != 0 {
            return at + special.trailing_zeros() as usize;
        }
        at += 16;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| byte < 0x20 || matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
}

/// A bit for each byte that is a quote, a backslash or a control character, at least up to and with the first of them.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a fifth of reading a request; see below")]
#[inline(always)]
fn special(chunk: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let word = u128::from_le_bytes(*chunk);
    // SAFETY: the functions ask for SSE2 and nothing else, and that is part of every x86-64. They touch no memory.
    unsafe {
        // Both halves, of which the casts keep one each; it becomes one load.
        let bytes = _mm_set_epi64x((word >> 64) as i64, word as i64);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
        let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control)).cast_unsigned()
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn special(chunk: &[u8; 16]) -> u32 {
    special_anywhere(chunk)
}

/// The same where there are no registers of sixteen bytes that we know of.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn special_anywhere(chunk: &[u8; 16]) -> u32 {
    let special = |byte: u8| byte < 0x20 || matches!(byte, b'"' | b'\\');
    chunk.iter().rev().fold(0, |bits, &byte| bits << 1 | u32::from(special(byte)))
}

/// The four hexadecimal digits at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .iter()
        .try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// Resolves escapes that [`Json::quoted`] has checked; `None` for half a surrogate pair.
fn unescape(inner: &str) -> Option<String> {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    // Of what is special, only backslashes have been let in.
    while let Some((plain, escape)) = rest.split_at_checked(plain_length(rest.as_bytes())) {
        out.push_str(plain);
        let Some(escape) = escape.strip_prefix('\\') else { break };
        let bytes = escape.as_bytes();
        let mut length = 1;
        out.push(match bytes.first()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = code_unit(bytes, 1)?;
                length = 5;
                let is_high = (0xd800..0xdc00).contains(&unit);
                match bytes.get(5..7) {
                    Some(b"\\u") if is_high => {
                        let low = code_unit(bytes, 7).filter(|low| (0xdc00..0xe000).contains(low))?;
                        length = 11;
                        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?
                    }
                    _ => char::from_u32(unit)?,
                }
            }
            &other => char::from(other),
        });
        rest = escape.get(length..)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn skipped(text: &str) -> bool {
        let mut json = Json::new(text);
        json.skip().and_then(|()| json.end()).is_ok()
    }

    fn text_of(json: &str) -> Option<String> {
        match Json::new(json).scalar() {
            Ok(Scalar::Text(text)) => Some(text.into_owned()),
            _ => None,
        }
    }

    #[test]
    fn what_is_json_and_what_is_not() {
        for yes in [
            "0",
            "-0",
            "1.5e+3",
            "-10E-2",
            "\"\"",
            "\"\\u00e9\"",
            "[]",
            "[ ]",
            "{}",
            "{ }",
            "[1,[2,{\"a\":[]}],{}]",
            "{\"a\":{\"b\":[{},{}]},\"c\":null}",
            " true ",
            "false\n",
            "\"\\ud800\"",
            "1e999",
            r#"{"id":"1","x":{"p":1},"imp":[{}]}"#,
        ] {
            assert!(skipped(yes), "{yes}");
        }
        for no in [
            "",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "nul",
            "nulll",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "[",
            "]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "[}",
            "{]",
            "[1}",
            "{\"a\":1]",
            "1 1",
            "NaN",
            "'a'",
            "\"\\",
            "\"\\u00",
            "[[]",
        ] {
            assert!(!skipped(no), "{no}");
        }
    }

    #[test]
    fn the_deepest_level_counts_wherever_it_is() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(skipped(&nested(64)));
        assert!(!skipped(&nested(65)));
        assert!(!skipped(&format!("[{}]", nested(64))));
        assert!(skipped(&format!("[{0},{0}]", nested(63))), "levels that were left do not count");
    }

    #[test]
    fn pairs_of_surrogates_are_one_character_and_halves_are_no_text() {
        assert_eq!(text_of(r#""\ud83d\ude00\/\"""#).as_deref(), Some("😀/\""));
        for half in [r#""\ud83d""#, r#""\ud83dx""#, r#""\ude00""#, r#""\ud83d\ud83d""#, r#""\ud83d\n""#] {
            assert_eq!(text_of(half), None, "{half}");
        }
    }

    #[test]
    fn simple_values_are_read_or_left_in_place() {
        for (text, number) in [
            ("0,", Some(0)),
            (" 42}", Some(42)),
            ("9999999999999999]", Some(9_999_999_999_999_999)),
            ("99999999999999999,", None),
            ("01,", None),
            ("00,", None),
            ("-1,", None),
            ("1.5,", None),
            ("1e2,", None),
            ("1 ,", None),
            ("1", None),
            (",", None),
            ("", None),
            ("\"1\",", None),
        ] {
            let mut json = Json::new(text);
            assert_eq!(json.simple_number(), number, "{text}");
            if number.is_none() {
                assert_eq!(json.at, 0, "{text}");
            } else {
                assert!(matches!(json.peek(), b',' | b'}' | b']'), "{text}");
            }
        }
        assert_eq!(Json::new(" \"a é\"").simple_text(), Some("a é"));
        for text in ["\"a\\n\"", "\"a", "\"a\tb\"", "1", "", "{"] {
            let mut json = Json::new(text);
            assert_eq!((json.simple_text(), json.at), (None, 0), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn a_simple_number_is_what_any_reader_reads(text in "[ 0-9.eE+-]{0,19}[,}\\]]") {
            let mut simple = Json::new(&text);
            let mut whole = Json::new(&text);
            if let Some(number) = simple.simple_number() {
                prop_assert!(matches!(whole.scalar(), Ok(Scalar::Whole(value, _)) if value == number));
                prop_assert_eq!(simple.at, whole.at);
            }
        }

        #[test]
        fn whatever_looks_like_json_is_judged_as_another_reader_does(text in r#"[\[\]{}",:\\ a0-2.eEtrufalsn+-]{0,24}"#) {
            prop_assert_eq!(skipped(&text), serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn members_are_found_where_another_reader_finds_them(text in r#"\{[{}":, \\ab1]{0,12}\}"#) {
            let mut json = Json::new(&text);
            let (mut first, mut names) = (true, Vec::new());
            let mut read = || -> Result<(), Fault> {
                json.enter()?;
                while let Some(name) = json.next_member(&mut first)? {
                    names.push(name.into_owned());
                    json.skip()?;
                }
                json.end()
            };
            let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).ok();
            let ours = read().ok().map(|()| names.into_iter().collect::<std::collections::BTreeSet<_>>());
            prop_assert_eq!(ours, theirs.map(|map| map.keys().cloned().collect()), "{}", text);
        }

        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            prop_assert_eq!(text_of(&serde_json::Value::from(text.clone()).to_string()), Some(text));
        }

        #[test]
        fn special_bytes_are_found_alike_everywhere(chunk in any::<[u8; 16]>(), plain in any::<bool>()) {
            let chunk = if plain { chunk.map(|byte| byte % 4 + 0x1f) } else { chunk };
            prop_assert_eq!(special(&chunk), special_anywhere(&chunk));
        }

        #[test]
        fn a_text_ends_at_its_quote_wherever_it_stands(before in "[a-zé€😀]{0,20}", after in "[a-zé€😀\"]{0,20}") {
            let found = plain_length(format!("{before}\"{after}").as_bytes());
            prop_assert_eq!(found, before.len());
        }
    }
}
