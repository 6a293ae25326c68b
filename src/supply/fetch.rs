//! One file from a stranger's web server, into a local file.
//!
//! The names come from lists, requests and other strangers' files, and redirects from whoever answers, so none is trusted:
//! each name is resolved here, every address has to be one on the internet, and the connection goes to exactly the address
//! that was looked at. Only `http` and `https` on their own ports are spoken, and neither credentials, cookies nor a proxy
//! of the environment play a part.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haggle_safety::address::is_global;
use haggle_safety::supply::FileKind;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, pki_types::ServerName};
use url::{Host, Url};

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 3;
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 3;
/// How long a connection may take to come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Who asks.
const USER_AGENT: &str = concat!("haggle/", env!("CARGO_PKG_VERSION"), " (supply refresh)");

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The server says that there is none.
    #[error("there is none ({0})")]
    Absent(u16),
    /// Nobody answered, or not in a way that is understood; another scheme or address may do better.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It must not be asked.
    #[error("refused: {0}")]
    Refused(String),
    /// What came is not the file.
    #[error("{0}")]
    Unusable(String),
    /// It took too long.
    #[error("did not come within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// The local file cannot be written.
    #[error("cannot be written here: {0}")]
    Local(#[from] std::io::Error),
}

/// Fetches files.
pub(super) struct Fetcher {
    tls: TlsConnector,
    patience: Duration,
    stand_ins: HashMap<String, SocketAddr>,
}

impl Fetcher {
    /// A fetcher that gives each file so much time. `stand_ins` answer for names in tests, at whatever address.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub(super) fn new(
        patience: Duration,
        stand_ins: HashMap<String, SocketAddr>,
    ) -> Result<Self, rustls::Error> {
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(tls)), patience, stand_ins })
    }

    /// Fetches a domain's file into `into`; gives the address that it came from. Where `https` cannot be reached at all,
    /// `http` is tried (ads.txt 1.1, section 3.1).
    pub(super) async fn fetch(
        &self,
        domain: &str,
        kind: FileKind,
        into: &Path,
    ) -> Result<String, FetchError> {
        let mut first = None;
        for scheme in ["https", "http"] {
            let url = Url::parse(&format!("{scheme}://{domain}/{}", kind.as_str()))
                .map_err(|error| FetchError::Refused(format!("{domain} is no domain: {error}")))?;
            let fetched = tokio::time::timeout(self.patience, self.follow(url, kind, into)).await;
            match fetched.unwrap_or(Err(FetchError::TooSlow(self.patience))) {
                Err(FetchError::Unreachable(problem)) => first = first.or(Some(problem)),
                other => return other,
            }
        }
        Err(FetchError::Unreachable(first.unwrap_or_default()))
    }

    /// Follows redirects by hand: within the domain up to three, and at most one to another, which must not redirect
    /// again (ads.txt 1.1, section 3.1).
    async fn follow(&self, start: Url, kind: FileKind, into: &Path) -> Result<String, FetchError> {
        let mut url = start.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.ask(&url).await?;
            let status = response.status();
            if !status.is_redirection() {
                return match status.as_u16() {
                    200 => receive(response, kind, into).await.map(|()| url.into()),
                    status @ (404 | 410) => Err(FetchError::Absent(status)),
                    status => Err(FetchError::Unusable(format!("was answered {status}"))),
                };
            }
            if root(&url) != root(&start) {
                return Err(FetchError::Refused("redirected again after it left the domain".to_owned()));
            }
            let target = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let target = target.ok_or_else(|| FetchError::Unusable("redirected to nowhere".to_owned()))?;
            url = url.join(target).map_err(|error| {
                FetchError::Unusable(format!("redirected to what is no address: {error}"))
            })?;
            url.set_fragment(None);
        }
        Err(FetchError::Refused(format!("redirected more than {MOST_REDIRECTS} times")))
    }

    /// Asks for one address; what was looked at is what is connected to.
    async fn ask(&self, url: &Url) -> Result<Response, FetchError> {
        let mut problem = "it has no address".to_owned();
        for address in self.vetted(url).await?.into_iter().take(MOST_ADDRESSES) {
            let asked = tokio::time::timeout(CONNECT_PATIENCE, self.connect(url, address)).await;
            match asked.unwrap_or_else(|_| Err("no connection came about".to_owned())) {
                Ok(mut sender) => match sender.send_request(request(url)?).await {
                    Ok(response) => return Ok(response),
                    Err(error) => problem = error.to_string(),
                },
                Err(error) => problem = error,
            }
        }
        Err(FetchError::Unreachable(problem))
    }

    /// Connects to exactly this address, with TLS for `https`.
    async fn connect(&self, url: &Url, address: SocketAddr) -> Result<Sender, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        if url.scheme() != "https" {
            return handshake(stream).await;
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        handshake(self.tls.connect(name, stream).await.map_err(|error| error.to_string())?).await
    }

    /// The addresses of an URL's host, where it may be asked. One address that is not on the internet spoils them all: a
    /// name that has both is up to something.
    async fn vetted(&self, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
        let refuse = |problem: String| Err(FetchError::Refused(problem));
        let port = match url.scheme() {
            "https" => 443,
            "http" => 80,
            other => return refuse(format!("{other} is neither http nor https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("the address carries credentials".to_owned());
        }
        if let Some(port) = url.port() {
            return refuse(format!("port {port} is not that of {}", url.scheme()));
        }
        let addresses = match url.host() {
            None => return refuse("the address has no host".to_owned()),
            Some(Host::Ipv4(ip)) => vec![SocketAddr::from((ip, port))],
            Some(Host::Ipv6(ip)) => vec![SocketAddr::from((ip, port))],
            Some(Host::Domain(name)) => {
                if let Some(address) = self.stand_ins.get(name) {
                    return Ok(vec![*address]);
                }
                let found = tokio::net::lookup_host((name, port)).await;
                found.map_err(|error| FetchError::Unreachable(error.to_string()))?.collect()
            }
        };
        match addresses.iter().find(|address| !is_global(address.ip())) {
            Some(address) => refuse(format!(
                "{} is {}, which is no address on the internet",
                url.host_str().unwrap_or_default(),
                address.ip()
            )),
            None => Ok(addresses),
        }
    }
}

type Response = hyper::Response<Incoming>;
type Sender = http1::SendRequest<Empty<Bytes>>;

/// Speaks HTTP over a connection, which closes when the answer is read or given up.
async fn handshake<S>(stream: S) -> Result<Sender, String>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) =
        http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Its errors come out where the answer is read.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

/// The request for an address.
fn request(url: &Url) -> Result<hyper::Request<Empty<Bytes>>, FetchError> {
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    hyper::Request::get(format!("{}{query}", url.path()))
        .header(header::HOST, url.host_str().unwrap_or_default())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "text/plain, application/json;q=0.9, */*;q=0.1")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| FetchError::Refused(error.to_string()))
}

/// The registrable domain of an URL's host, or the host itself where it has none.
fn root(url: &Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    psl::domain_str(host).unwrap_or(host)
}

/// Writes a body to a file, as long as it is of the right kind and size.
async fn receive(mut response: Response, kind: FileKind, into: &Path) -> Result<(), FetchError> {
    let too_large = || FetchError::Unusable(format!("is larger than {} bytes", kind.max_bytes()));
    let headers = response.headers();
    if let Some(value) = headers.get(header::CONTENT_TYPE) {
        let value = value.to_str().unwrap_or("?");
        if !is_expected(value, kind) {
            return Err(FetchError::Unusable(format!("is {value:?}, not {}", kind.as_str())));
        }
    }
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > kind.max_bytes()) {
        return Err(too_large());
    }
    let mut file = File::create(into)?;
    let mut left = kind.max_bytes();
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(|error| FetchError::Unusable(format!("broke off: {error}")))?;
        // What is no data are trailers.
        let Some(part) = frame.data_ref() else { continue };
        left = left.checked_sub(u64::try_from(part.len()).unwrap_or(u64::MAX)).ok_or_else(too_large)?;
        file.write_all(part)?;
    }
    file.sync_all()?;
    Ok(())
}

/// Whether a content type may hold the file. Both specifications want one type; servers that send text for JSON do no
/// harm, while a page is always somebody's "not found".
fn is_expected(content_type: &str, kind: FileKind) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match kind {
        FileKind::AdsTxt | FileKind::AppAdsTxt => essence == "text/plain",
        FileKind::SellersJson => essence == "text/plain" || essence.ends_with("json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> Option<String> {
        let fetcher = Fetcher::new(Duration::from_secs(1), HashMap::new()).unwrap();
        let url = Url::parse(url).unwrap();
        match actix_rt::System::new().block_on(fetcher.vetted(&url)) {
            Err(FetchError::Refused(problem)) => Some(problem),
            _ => None,
        }
    }

    #[test]
    fn what_is_not_on_the_internet_is_not_asked() {
        for url in [
            "http://127.0.0.1/ads.txt",
            "http://localhost/ads.txt",
            "https://localhost/ads.txt",
            "http://0x7f.1/ads.txt",
            "http://2130706433/ads.txt",
            "http://169.254.169.254/latest/meta-data/",
            "http://100.100.100.200/",
            "http://10.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://[64:ff9b::169.254.169.254]/",
            "http://[2002:7f00:1::]/",
            "http://[fd00:ec2::254]/",
        ] {
            assert!(
                refused(url).is_some_and(|problem| problem.contains("no address on the internet")),
                "{url}"
            );
        }
        for (url, says) in [
            ("ftp://8.8.8.8/ads.txt", "neither http nor https"),
            ("file:///etc/passwd", "neither http nor https"),
            ("http://8.8.8.8:22/", "port 22 is not that of http"),
            ("https://8.8.8.8:80/", "port 80 is not that of https"),
            ("http://me:secret@8.8.8.8/", "carries credentials"),
        ] {
            assert!(refused(url).is_some_and(|problem| problem.contains(says)), "{url}");
        }
        assert_eq!(refused("https://8.8.8.8/ads.txt"), None);
    }

    #[test]
    fn domains_are_told_apart_by_their_registrable_part() {
        let of = |url: &str| root(&Url::parse(url).unwrap()).to_owned();
        assert_eq!(of("https://www.news.co.uk/ads.txt"), "news.co.uk");
        assert_ne!(of("https://a.co.uk"), of("https://b.co.uk"));
    }

    #[test]
    fn pages_are_no_files() {
        assert!(is_expected("text/plain; charset=utf-8", FileKind::AdsTxt));
        assert!(!is_expected("text/html", FileKind::AdsTxt));
        assert!(is_expected("application/json", FileKind::SellersJson));
        assert!(!is_expected("text/html", FileKind::SellersJson));
    }
}
