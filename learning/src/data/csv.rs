//! Records of a CSV file (RFC 4180): fields may stand in quotes and then hold commas and line ends.

use std::io::{self, Read};

use csv_core::ReadRecordResult;

use super::lines::LONGEST;

const BUFFER: usize = 1 << 18;

/// Reads record by record.
pub struct Records<R> {
    reader: R,
    core: csv_core::Reader,
    buffer: Vec<u8>,
    /// Where the unread bytes begin and end.
    start: usize,
    end: usize,
    done: bool,
    /// The record that was read last: its fields, one after the other, and their ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// The line on which it began.
    line: u64,
}

impl<R: Read> Records<R> {
    /// Begins at the first record, titles included.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            core: csv_core::Reader::new(),
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            done: false,
            text: vec![0; 1 << 12],
            ends: vec![0; 64],
            line: 0,
        }
    }

    /// What is read from.
    pub fn source(&self) -> &R {
        &self.reader
    }

    /// The line, from 1, on which the record that was read last begins.
    pub fn number(&self) -> u64 {
        self.line
    }

    /// The next record: its text without quotes and commas, and the fields' ends in it. `None` at the end. Empty lines
    /// are passed over.
    ///
    /// # Errors
    ///
    /// What reading says, or a record beyond all bounds.
    #[expect(clippy::should_implement_trait, reason = "the record is lent")]
    pub fn next(&mut self) -> io::Result<Option<(&[u8], &[usize])>> {
        let (mut text, mut ends) = (0, 0);
        loop {
            if self.start == self.end && !self.done {
                self.end = self.reader.read(&mut self.buffer)?;
                self.start = 0;
                self.done = self.end == 0;
            }
            let input = self.buffer.get(self.start..self.end).unwrap_or_default();
            if text == 0 && ends == 0 {
                // Line ends that are passed over before a record belong to none.
                let empty = input.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
                self.line = self.core.line() + empty.filter(|byte| **byte == b'\n').count() as u64;
            }
            let (result, read, wrote, found) = self.core.read_record(
                input,
                self.text.get_mut(text..).unwrap_or_default(),
                self.ends.get_mut(ends..).unwrap_or_default(),
            );
            self.start += read;
            text += wrote;
            ends += found;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if text >= LONGEST => {
                    let problem = format!(
                        "a record from line {} on is longer than {LONGEST} bytes; is a quote missing?",
                        self.line
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    let text = self.text.get(..text).unwrap_or_default();
                    return Ok(Some((text, self.ends.get(..ends).unwrap_or_default())));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Record = (u64, Vec<String>);

    fn records(text: &str) -> Vec<Record> {
        let mut records = Records::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some((text, ends)) = records.next().unwrap() {
            let (text, ends) = (text.to_vec(), ends.to_vec());
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let fields =
                starts.zip(&ends).map(|(from, to)| String::from_utf8(text[from..*to].to_vec()).unwrap());
            found.push((records.number(), fields.collect()));
        }
        found
    }

    #[test]
    fn quotes_hold_commas_quotes_and_line_ends() {
        let found = records("a,b\r\n\"1,\"\"x\"\"\n2\",3\n\n4,\n5,6");
        let expected = [(1, ["a", "b"]), (2, ["1,\"x\"\n2", "3"]), (5, ["4", ""]), (6, ["5", "6"])];
        let expected = expected.map(|(line, fields)| (line, fields.map(str::to_owned).to_vec()));
        assert_eq!(found, expected);
    }

    #[test]
    fn long_records_grow_the_buffers_and_a_missing_quote_is_found() {
        let wide = vec!["xy"; 5_000].join(",");
        assert_eq!(records(&wide)[0].1.len(), 5_000);
        let long = "z".repeat(BUFFER * 2);
        assert_eq!(records(&format!("{long},1\n2,3"))[0].1[0].len(), long.len());
        let open = format!("a\n\"{}", "b,c\n".repeat(LONGEST / 3));
        let mut found = Records::new(open.as_bytes());
        found.next().unwrap();
        let error = found.next().unwrap_err().to_string();
        assert!(error.contains("from line 2 on") && error.contains("is a quote missing?"), "{error}");
    }
}
