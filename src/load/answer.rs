//! Reads answers (RFC 9112) as they come, in pieces of any size, and keeps nothing of their bodies.

use std::mem::MaybeUninit;

use httparse::ParserConfig;

/// A head longer than this is no bidder's.
const LONGEST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// What a bidder that sheds a request writes into the head of its 204.
const SHED_HEADER: &str = "x-haggle-shed";

/// A whole answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// It had a body.
    pub(super) has_body: bool,
    /// It says that the request was shed.
    pub(super) shed: bool,
    /// The connection ends with it.
    pub(super) closes: bool,
}

/// Why a connection cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where in an answer the reader stands.
#[derive(Debug)]
enum At {
    Head,
    /// So many bytes of the body, or of a chunk, are still to come.
    Body(u64),
    /// In the line with a chunk's size, of which so much is known; extensions are passed over.
    ChunkSize {
        size: u64,
        digits: u8,
        in_extension: bool,
    },
    /// In a chunk: so many bytes, and then the line's end.
    Chunk(u64),
    /// Behind the last chunk: whether the line so far is empty.
    Trailer {
        empty: bool,
    },
    /// The body ends with the connection.
    UntilClosed,
}

/// Reads one connection's answers.
#[derive(Debug)]
pub(super) struct Reader {
    at: At,
    /// A head that came in pieces; empty where it came in one, as nearly always.
    head: Vec<u8>,
    answer: Answer,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { at: At::Head, head: Vec::new(), answer: Answer::default() }
    }

    /// Takes what came; an answer once it is whole. Bytes behind it, which nobody asked for, are malformed.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
        while !bytes.is_empty() {
            let whole = match &mut self.at {
                At::Head => {
                    let taken = self.feed_head(bytes)?;
                    bytes = bytes.get(taken.0..).unwrap_or_default();
                    taken.1
                }
                At::Body(left) => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    *left == 0
                }
                At::Chunk(left) => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    bytes = bytes.get(taken..).unwrap_or_default();
                    if *left == 0 {
                        self.at = At::ChunkSize { size: 0, digits: 0, in_extension: false };
                    }
                    false
                }
                At::ChunkSize { .. } | At::Trailer { .. } => {
                    let Some((first, rest)) = bytes.split_first() else { break };
                    bytes = rest;
                    self.feed_line(*first)?
                }
                At::UntilClosed => {
                    self.answer.has_body = true;
                    return Ok(None);
                }
            };
            if whole {
                self.at = At::Head;
                return if bytes.is_empty() { Ok(Some(self.answer)) } else { Err(Malformed) };
            }
        }
        Ok(None)
    }

    /// The connection has ended; an answer if that was its end.
    pub(super) fn closed(&mut self) -> Option<Answer> {
        matches!(self.at, At::UntilClosed).then_some(Answer { closes: true, ..self.answer })
    }

    /// How many bytes belonged to the head, and whether the answer ends with it.
    fn feed_head(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let before = self.head.len();
        if before > 0 {
            let room = LONGEST_HEAD.saturating_sub(before);
            self.head.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
        let text = if before > 0 { &self.head[..] } else { bytes };
        match parse_head(text)? {
            Some((length, answer, at)) => {
                self.head.clear();
                self.answer = answer;
                if answer.status / 100 == 1 {
                    // Provisional: the answer is still to come.
                    self.at = At::Head;
                    return Ok((length.saturating_sub(before), false));
                }
                let ends = matches!(at, At::Body(0));
                self.at = at;
                Ok((length.saturating_sub(before), ends))
            }
            None if text.len() >= LONGEST_HEAD => Err(Malformed),
            None => {
                if before == 0 {
                    self.head.extend_from_slice(bytes);
                }
                Ok((bytes.len(), false))
            }
        }
    }

    /// One byte of a line between chunks; whether the answer ends with it.
    fn feed_line(&mut self, byte: u8) -> Result<bool, Malformed> {
        match &mut self.at {
            At::ChunkSize { size, digits, in_extension } => match byte {
                b'\n' if *digits == 0 && !*in_extension => {} // The end of the chunk before.
                b'\n' => {
                    self.answer.has_body |= *size > 0;
                    self.at = match *size {
                        0 => At::Trailer { empty: true },
                        size => At::Chunk(size),
                    };
                }
                b'\r' => {}
                b';' | b' ' | b'\t' if *digits > 0 => *in_extension = true,
                _ if *in_extension => {}
                _ => {
                    let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                    if *digits == 15 {
                        return Err(Malformed);
                    }
                    *size = *size * 16 + u64::from(digit);
                    *digits += 1;
                }
            },
            At::Trailer { empty } => match byte {
                b'\n' if *empty => return Ok(true),
                b'\n' => *empty = true,
                b'\r' => {}
                _ => *empty = false,
            },
            _ => {}
        }
        Ok(false)
    }
}

/// A head: its length, what it says, and where the reader stands behind it. `None` if it is not whole.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Answer, At)>, Malformed> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Malformed),
    };
    let status = response.code.ok_or(Malformed)?;
    let mut answer = Answer { status, closes: response.version == Some(0), ..Answer::default() };
    let (mut size, mut chunked) = (None, false);
    for header in response.headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let says = |word: &[u8]| header.value.trim_ascii().eq_ignore_ascii_case(word);
        if is("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| Malformed)?;
            size = Some(text.trim().parse::<u64>().map_err(|_| Malformed)?);
        } else if is("transfer-encoding") {
            chunked = says(b"chunked");
        } else if is("connection") {
            answer.closes = says(b"close") || answer.closes && !says(b"keep-alive");
        } else if is(SHED_HEADER) {
            answer.shed = true;
        }
    }
    let bodiless = status / 100 == 1 || status == 204 || status == 304;
    let at = match size {
        _ if bodiless => At::Body(0),
        _ if chunked => At::ChunkSize { size: 0, digits: 0, in_extension: false },
        Some(size) => {
            answer.has_body = size > 0;
            At::Body(size)
        }
        None => At::UntilClosed,
    };
    Ok(Some((length, answer, at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANSWERS: [(&str, u16, bool, bool); 7] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, true, false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, false, false),
        ("HTTP/1.1 204 No Content\r\nx-haggle-shed: queue\r\n\r\n", 204, false, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, true, false),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n",
            200,
            true,
            false,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno", 503, true, false),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n", 304, false, false),
    ];

    #[test]
    fn an_answer_is_whole_whatever_pieces_it_comes_in() {
        for (text, status, has_body, shed) in ANSWERS {
            for size in 1..=text.len() {
                let mut reader = Reader::new();
                let mut found = None;
                for piece in text.as_bytes().chunks(size) {
                    assert_eq!(found, None, "{text:?} in pieces of {size}");
                    found = reader.feed(piece).unwrap();
                }
                let wanted = Answer { status, has_body, shed, closes: false };
                assert_eq!(found, Some(wanted), "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let mut reader = Reader::new();
        assert_eq!(reader.feed(b"HTTP/1.0 200 OK\r\n\r\nsome"), Ok(None));
        assert_eq!(reader.feed(b" more"), Ok(None));
        let answer = reader.closed().unwrap();
        assert!(answer.status == 200 && answer.has_body && answer.closes);
        assert_eq!(Reader::new().closed(), None);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n12",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert_eq!(Reader::new().feed(text.as_bytes()), Err(Malformed), "{text:?}");
        }
        let mut reader = Reader::new();
        assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nx: "), Ok(None));
        let endless = [b'y'; 4096];
        assert!((0..8).any(|_| reader.feed(&endless).is_err()), "an endless head ends");
    }

    proptest! {
        #[test]
        fn nothing_panics(pieces in proptest::collection::vec("[ -~\r\n]{0,40}", 0..8)) {
            let mut reader = Reader::new();
            let _ = reader.feed(b"HTTP/1.1 200 OK\r\n");
            for piece in pieces {
                let _ = reader.feed(piece.as_bytes());
            }
        }
    }
}
