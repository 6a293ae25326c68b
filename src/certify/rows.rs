//! The file of requests: one JSON value a line, checked as a whole before the first is sent.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Longest line, in bytes; no exchange sends a request of this size.
const LONGEST_LINE: u64 = 16 << 20;
/// Bytes of all rows of a file together.
const LARGEST_FILE: u64 = 256 << 20;
/// Mistakes that are listed before the rest is only counted.
const MOST_MISTAKES: usize = 20;

/// One request to send.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its line, from 1.
    pub line: usize,
    /// The bytes to send, as they stand in the file.
    pub body: String,
    /// Where the file says that it comes from.
    pub source: Option<String>,
    /// What the file says is wrong with it.
    pub violation: Option<String>,
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    request: &'a RawValue,
    source: Option<Value>,
    violation: Option<Value>,
}

/// Reads a file of rows.
///
/// A row is a bid request, or an object with `request` and optionally `source` and `violation`. A `request` that is a
/// string is sent as that text, so that a file can hold bodies that are no JSON. Empty lines are skipped.
///
/// # Errors
///
/// Every line that is no row, with what to do about it; nothing of such a file is sent.
pub fn read(path: &Path) -> Result<Vec<Row>, String> {
    let name = path.display();
    let file =
        File::open(path).map_err(|error| format!("cannot read {name}: {error}; name a file of requests"))?;
    let (rows, mistakes) =
        parse(BufReader::new(file)).map_err(|error| format!("cannot read {name}: {error}"))?;
    if mistakes.is_empty() && rows.is_empty() {
        return Err(format!("{name} holds no requests; write one JSON object a line"));
    }
    if mistakes.is_empty() {
        return Ok(rows);
    }
    let mut text: Vec<String> =
        mistakes.iter().take(MOST_MISTAKES).map(|(line, what)| format!("{name}:{line}: {what}")).collect();
    if mistakes.len() > MOST_MISTAKES {
        text.push(format!("and {} more lines", mistakes.len() - MOST_MISTAKES));
    }
    Err(text.join("\n"))
}

type Parsed = (Vec<Row>, Vec<(usize, String)>);

fn parse(mut input: impl BufRead) -> std::io::Result<Parsed> {
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    let mut taken = 0;
    for line in 1.. {
        let mut bytes = Vec::new();
        let read = (&mut input).take(LONGEST_LINE + 1).read_until(b'\n', &mut bytes)? as u64;
        taken += read;
        if read == 0 {
            break;
        }
        if read > LONGEST_LINE || taken > LARGEST_FILE {
            mistakes.push((
                line,
                format!("is longer than {LONGEST_LINE} bytes, or the file than {LARGEST_FILE}; split it"),
            ));
            break;
        }
        match std::str::from_utf8(&bytes).map(str::trim) {
            Ok("") => {}
            Ok(text) => match row(line, text) {
                Ok(row) => rows.push(row),
                Err(mistake) => mistakes.push((line, mistake)),
            },
            Err(_) => mistakes.push((line, "is not UTF-8; save the file as UTF-8".to_owned())),
        }
    }
    Ok((rows, mistakes))
}

fn row(line: usize, text: &str) -> Result<Row, String> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| format!("is not JSON ({error}); write one JSON object a line"))?;
    let Some(object) = value.as_object() else {
        return Err("is no object; write a bid request or {\"request\": …}".to_owned());
    };
    match object.get("request") {
        None if object.contains_key("source") && !object.contains_key("imp") => {
            Err("has no \"request\"; put the bid request there".to_owned())
        }
        None => Ok(Row { line, body: text.to_owned(), source: None, violation: None }),
        Some(Value::Object(_) | Value::String(_)) => {
            let wrapped: Wrapped<'_> =
                serde_json::from_str(text).map_err(|error| format!("cannot be read: {error}"))?;
            let word = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
            let body = match object.get("request") {
                Some(Value::String(body)) => body.clone(),
                _ => wrapped.request.get().to_owned(),
            };
            Ok(Row { line, body, source: word(wrapped.source), violation: word(wrapped.violation) })
        }
        Some(_) => {
            Err("has a \"request\" that is neither an object nor text; put the bid request there".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bare_or_wrapped_and_keep_their_bytes() {
        let file = "{\"id\": \"1\", \"imp\":[]}\n\n{\"source\":\"s\",\"violation\":\"v\",\"request\":{\"id\":1.50}}\n{\"request\":\"{oops\"}";
        let (rows, mistakes) = parse(file.as_bytes()).unwrap();
        assert!(mistakes.is_empty());
        let bodies: Vec<_> = rows.iter().map(|row| (row.line, row.body.as_str())).collect();
        assert_eq!(bodies, [(1, "{\"id\": \"1\", \"imp\":[]}"), (3, "{\"id\":1.50}"), (4, "{oops")]);
        assert_eq!((rows[1].source.as_deref(), rows[1].violation.as_deref()), (Some("s"), Some("v")));
    }

    #[test]
    fn every_bad_line_is_named() {
        let file = b"[1]\n{\n{\"request\":1}\n\xff\n{\"source\":\"a\",\"request_\":{}}\n{\"id\":\"ok\"}";
        let (rows, mistakes) = parse(&file[..]).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(mistakes.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_line_without_end_is_refused_in_bounded_memory() {
        let endless = std::io::repeat(b'x').take(LONGEST_LINE * 4);
        let (rows, mistakes) = parse(BufReader::new(endless)).unwrap();
        assert!(rows.is_empty());
        assert_eq!(mistakes.len(), 1);
    }
}
