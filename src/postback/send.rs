//! One delivery: a POST to exactly the address that was looked at, by a name's own addresses, without redirects.
//!
//! The operator names the host, but who answers for the name may point it elsewhere, so every address is looked at each time: one
//! that is not on the internet is refused unless the operator allows it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use haggle_safety::address::is_global;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, pki_types::ServerName};
use url::{Host, Url};

use super::message::{DELIVERY, SIGNATURE, TIMESTAMP};

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 3;
/// Who asks.
const USER_AGENT: &str = concat!("haggle/", env!("CARGO_PKG_VERSION"), " (postback)");

/// What is sent.
pub(super) struct Outgoing {
    pub(super) url: String,
    pub(super) body: String,
    pub(super) delivery: String,
    pub(super) timestamp: i64,
    pub(super) signature: String,
    pub(super) allow_private: bool,
    pub(super) timeout: Duration,
}

/// Sends.
#[derive(Clone)]
pub(super) struct Sender(TlsConnector);

impl Sender {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(tls))))
    }

    /// Delivers, or says why not. The answer's body is not read.
    pub(super) async fn send(&self, outgoing: &Outgoing) -> Result<(), String> {
        let within = tokio::time::timeout(outgoing.timeout, self.attempt(outgoing)).await;
        within.unwrap_or_else(|_| Err(format!("no answer within {} s", outgoing.timeout.as_secs())))
    }

    async fn attempt(&self, outgoing: &Outgoing) -> Result<(), String> {
        let url = Url::parse(&outgoing.url).map_err(|error| error.to_string())?;
        let mut problem = "its name has no address".to_owned();
        for address in addresses(&url, outgoing.allow_private).await?.into_iter().take(MOST_ADDRESSES) {
            let mut connection = match self.connect(&url, address).await {
                Ok(connection) => connection,
                Err(error) => {
                    problem = error;
                    continue;
                }
            };
            // Once it was sent no other address is tried: it may have arrived.
            let answer = connection.send_request(request(&url, outgoing)?).await;
            return judge(&answer.map_err(|error| error.to_string())?);
        }
        Err(problem)
    }

    async fn connect(&self, url: &Url, address: SocketAddr) -> Result<Connection, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        if url.scheme() != "https" {
            return handshake(stream).await;
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        handshake(self.0.connect(name, stream).await.map_err(|error| error.to_string())?).await
    }
}

type Connection = http1::SendRequest<Full<Bytes>>;

/// Speaks HTTP over a connection, which closes when the answer's head was read.
async fn handshake<S>(stream: S) -> Result<Connection, String>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) =
        http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Its errors come out where the answer is read.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

/// The addresses of an URL's host. One that is not on the internet spoils them all: a name that has both is up to something.
async fn addresses(url: &Url, allow_private: bool) -> Result<Vec<SocketAddr>, String> {
    let port = url.port_or_known_default().ok_or("the address has no port")?;
    let addresses = match url.host() {
        None => return Err("the address has no host".to_owned()),
        Some(Host::Ipv4(ip)) => vec![SocketAddr::from((ip, port))],
        Some(Host::Ipv6(ip)) => vec![SocketAddr::from((ip, port))],
        Some(Host::Domain(name)) => {
            let found = tokio::net::lookup_host((name, port)).await;
            found.map_err(|error| format!("its name cannot be looked up: {error}"))?.collect()
        }
    };
    match addresses.iter().find(|address| !allow_private && !is_global(address.ip())) {
        Some(address) => Err(format!(
            "refused: {} is no address on the internet; allow_private = true allows it",
            address.ip()
        )),
        None => Ok(addresses),
    }
}

fn request(url: &Url, outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, String> {
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Request::post(format!("{}{query}", url.path()))
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .header(DELIVERY, &outgoing.delivery)
        .header(TIMESTAMP, outgoing.timestamp)
        .header(SIGNATURE, &outgoing.signature)
        .body(Full::new(Bytes::from(outgoing.body.clone())))
        .map_err(|error| error.to_string())
}

fn judge(answer: &hyper::Response<Incoming>) -> Result<(), String> {
    let status = answer.status();
    if status.is_success() {
        Ok(())
    } else if status.is_redirection() {
        Err(format!("answered {}: redirects are not followed", status.as_u16()))
    } else {
        Err(format!("answered {}", status.as_u16()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_the_internet_is_not_told() {
        actix_rt::System::new().block_on(async {
            for url in [
                "https://127.0.0.1/",
                "https://localhost/",
                "https://10.1.2.3:8443/",
                "https://169.254.169.254/latest",
                "https://[::1]/",
                "https://[::ffff:192.168.0.1]/",
            ] {
                let url = Url::parse(url).unwrap();
                let refused = addresses(&url, false).await.expect_err(url.as_str());
                assert!(refused.contains("no address on the internet"), "{refused}");
                assert!(!addresses(&url, true).await.unwrap().is_empty());
            }
            assert!(addresses(&Url::parse("https://8.8.8.8/").unwrap(), false).await.is_ok());
        });
    }
}
