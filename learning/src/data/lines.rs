//! Lines of a file, borrowed from one buffer.

use std::io::{self, Read};

/// What is read at a time: little enough to stay in a core's cache.
const BUFFER: usize = 1 << 18;
/// No row is as long; what goes on without an end is another kind of file.
pub(super) const LONGEST: usize = 1 << 24;

/// Reads line by line. A line's end (`\n` or `\r\n`) is not part of it.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the unread bytes begin and end.
    start: usize,
    end: usize,
    number: u64,
    done: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; BUFFER], start: 0, end: 0, number: 0, done: false }
    }

    pub(super) fn source(&self) -> &R {
        &self.reader
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    ///
    /// What reading says, or a line beyond all bounds.
    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
        let (from, to) = match memchr::memchr(b'\n', unread) {
            Some(at) => (self.start, self.start + at),
            None => match self.more()? {
                Some(end) => (self.start, end),
                None => return Ok(None),
            },
        };
        self.start = (to + 1).min(self.end);
        self.number += 1;
        let mut line = self.buffer.get(from..to).unwrap_or_default();
        if self.number == 1 {
            // A byte order mark, which spreadsheets write.
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Reads until there is a whole line from `start` on, and says where it ends.
    #[cold]
    fn more(&mut self) -> io::Result<Option<usize>> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while !self.done {
            if self.end == self.buffer.len() {
                if self.end >= LONGEST {
                    let problem =
                        format!("a line is longer than {LONGEST} bytes; is the format the right one?");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
                self.buffer.resize(self.end * 2, 0);
            }
            let count = self.reader.read(self.buffer.get_mut(self.end..).unwrap_or_default())?;
            let new = self.end..self.end + count;
            self.end = new.end;
            self.done = count == 0;
            if let Some(at) = memchr::memchr(b'\n', self.buffer.get(new.clone()).unwrap_or_default()) {
                return Ok(Some(new.start + at));
            }
        }
        // The last line need not end.
        Ok((self.end > 0).then_some(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives a few bytes at a time, as pipes do.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn lines(text: &[u8], drops: usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(Drops(text, drops));
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(line.to_vec());
        }
        assert_eq!(lines.number(), found.len() as u64);
        found
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_standard_library(
            text in "([ab]{0,5}\r?\n){0,12}[ab]{0,5}",
            drops in 1_usize..20,
        ) {
            let expected: Vec<_> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(lines(text.as_bytes(), drops), expected);
        }
    }

    #[test]
    fn long_lines_grow_the_buffer_and_endless_ones_are_refused() {
        let mut text = vec![b'x'; 3 * BUFFER];
        text.extend_from_slice(b"\nshort");
        assert_eq!(lines(&text, 10_000).iter().map(Vec::len).collect::<Vec<_>>(), [3 * BUFFER, 5]);
        let endless = vec![b'x'; LONGEST + 1];
        let error = Lines::new(&endless[..]).next().unwrap_err().to_string();
        assert!(error.contains("is the format the right one?"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        assert_eq!(lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", 1), [b"a".to_vec(), b"\xef\xbb\xbfb".to_vec()]);
    }
}
