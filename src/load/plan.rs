//! What a run is to do.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use url::Url;

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The address is none that can be sent to.
    #[error("{0}")]
    Endpoint(String),
    /// Nobody answers there.
    #[error("cannot reach {address}: {error}; start the bidder, or correct the endpoint")]
    Unreachable {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// There is nothing to send.
    #[error("there is no request to send; write one JSON object a line")]
    NoRequests,
    /// The system refuses what the generator needs.
    #[error("the generator cannot work: {0}")]
    System(#[from] std::io::Error),
    /// Something that should not happen.
    #[error("{0}")]
    Internal(String),
}

impl From<hdrhistogram::CreationError> for LoadError {
    fn from(error: hdrhistogram::CreationError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// Where to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub url: String,
    /// The first address of the host.
    pub address: SocketAddr,
    host: String,
    path: String,
}

impl Target {
    /// Reads an endpoint, which has to be http.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, or that its host has no address.
    pub fn parse(endpoint: &str) -> Result<Self, LoadError> {
        let wrong = |problem: String| LoadError::Endpoint(format!("--endpoint {endpoint}: {problem}"));
        let url = Url::parse(endpoint)
            .map_err(|error| wrong(format!("is no URL ({error}); write http://HOST:PORT/PATH")))?;
        if url.scheme() == "https" {
            return Err(wrong("https is not spoken; name the bidder behind its TLS proxy".to_owned()));
        }
        let Some(host) = url.host_str().filter(|_| url.scheme() == "http") else {
            return Err(wrong("is no http URL; write http://HOST:PORT/PATH".to_owned()));
        };
        let port = url.port_or_known_default().unwrap_or(80);
        // An IPv6 address stands in brackets in a URL, and without them elsewhere.
        let address = (host.trim_matches(['[', ']']), port)
            .to_socket_addrs()
            .map_err(|error| wrong(format!("its host has no address ({error}); correct the name")))?
            .next()
            .ok_or_else(|| wrong("its host has no address; correct the name".to_owned()))?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", url.path());
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self { url: endpoint.to_owned(), address, host, path })
    }

    /// A whole request with this body, as bytes.
    pub fn request(&self, body: &[u8]) -> Box<[u8]> {
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nx-openrtb-version: 2.6\r\n\
             content-length: {}\r\n\r\n",
            self.path,
            self.host,
            body.len()
        );
        [head.as_bytes(), body].concat().into_boxed_slice()
    }
}

/// How fast requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Open loop: so many a second, evenly, whatever is answered.
    Rate(f64),
    /// Closed loop: each connection sends its next request once it has its answer.
    Max,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to.
    pub target: Target,
    /// Whole requests, made by [`Target::request`]; sent in turn, over and over.
    pub requests: Vec<Box<[u8]>>,
    /// How fast.
    pub pace: Pace,
    /// Over how many connections, at least one for each worker.
    pub connections: usize,
    /// For how long requests are sent.
    pub duration: Duration,
    /// After this an answer is late.
    pub timeout: Duration,
    /// Threads, at least 1.
    pub workers: usize,
    /// The core of the first worker; those of the others follow. None leaves it to the system.
    pub cpu: Option<usize>,
}

impl Plan {
    /// One worker over `connections`, a second's patience.
    pub fn new(
        target: Target,
        requests: Vec<Box<[u8]>>,
        pace: Pace,
        connections: usize,
        duration: Duration,
    ) -> Self {
        let timeout = Duration::from_secs(1);
        Self { target, requests, pace, connections, duration, timeout, workers: 1, cpu: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_with_a_host_are_taken() {
        let target = Target::parse("http://127.0.0.1:8080/openrtb2/bid/demo?x=1").unwrap();
        assert_eq!(target.address, SocketAddr::from(([127, 0, 0, 1], 8080)));
        let request = String::from_utf8(target.request(b"{}").into_vec()).unwrap();
        assert!(request.starts_with("POST /openrtb2/bid/demo?x=1 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"));
        assert!(request.ends_with("content-length: 2\r\n\r\n{}"));
        assert_eq!(Target::parse("http://[::1]/").unwrap().address, "[::1]:80".parse().unwrap());
        for (wrong, said) in [
            ("https://127.0.0.1/", "https is not spoken"),
            ("127.0.0.1:8080", "http://HOST:PORT/PATH"),
            ("ftp://127.0.0.1/", "http://HOST:PORT/PATH"),
            ("http://nowhere.invalid/", "no address"),
        ] {
            let error = Target::parse(wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
