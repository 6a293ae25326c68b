//! A plain HTTP client for what is beside the measurement: notices, the shop's events, the metrics.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// No answer that is asked for here is longer.
const LONGEST: usize = 512 << 20;

/// One connection, kept open.
pub(super) struct Client {
    stream: TcpStream,
    address: SocketAddr,
    bytes: Vec<u8>,
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: String,
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, address, bytes: Vec::new() })
    }

    pub(super) fn get(&mut self, path: &str) -> std::io::Result<Reply> {
        self.send("GET", path, "", "")
    }

    /// `headers` are whole lines.
    pub(super) fn post(&mut self, path: &str, headers: &str, body: &str) -> std::io::Result<Reply> {
        self.send("POST", path, headers, body)
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<Reply> {
        let (host, length) = (self.address, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             {headers}\r\n{body}"
        );
        self.stream.write_all(request.as_bytes())?;
        self.bytes.clear();
        let mut buffer = [0; 16 << 10];
        loop {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 || self.bytes.len() > LONGEST {
                return Err(broken("the connection ended within an answer"));
            }
            self.bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if let Some(reply) = whole(&self.bytes)? {
                return Ok(reply);
            }
        }
    }
}

/// An answer with a length, once all of it is there.
fn whole(bytes: &[u8]) -> std::io::Result<Option<Reply>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(broken("not an HTTP answer")),
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0usize);
    let Some(body) = bytes.get(head..head.saturating_add(length)) else { return Ok(None) };
    let body = String::from_utf8_lossy(body).into_owned();
    Ok(Some(Reply { status: response.code.unwrap_or(0), location: header("location"), body }))
}
