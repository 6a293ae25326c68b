//! Sends requests as an exchange does: HTTP POST over connections that are kept open.

use std::io::Write;
use std::time::Duration;

use awc::error::SendRequestError;
use awc::http::{Uri, header};
use awc::{Client, Connector};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::args::CertifyArgs;
use super::judge::Answer;
use crate::clock::monotonic;

/// Largest answer that is read; a bid response has some kilobytes.
const LARGEST_ANSWER: usize = 8 << 20;

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// No connection.
    Unreachable(String),
    /// Anything else.
    Failed(String),
}

/// Sends to one endpoint.
pub(super) struct Sender {
    client: Client,
    endpoint: Uri,
    gzip: bool,
    patience: Duration,
}

impl Sender {
    /// For an endpoint, which has to be http.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL.
    pub(super) fn new(args: &CertifyArgs) -> Result<Self, String> {
        let endpoint = &args.endpoint;
        let url = url::Url::parse(endpoint).map_err(|error| {
            format!("--endpoint {endpoint} is no URL: {error}; write http://HOST:PORT/PATH")
        })?;
        if url.scheme() == "https" {
            return Err(format!(
                "--endpoint {endpoint}: https is not spoken; name the bidder behind its TLS proxy"
            ));
        }
        if url.scheme() != "http" || !url.has_host() {
            return Err(format!("--endpoint {endpoint} is no http URL; write http://HOST:PORT/PATH"));
        }
        let uri = url.as_str().parse().map_err(|error| format!("--endpoint {endpoint}: {error}"))?;
        let patience = args.patience();
        let connector = Connector::new()
            .limit(usize::from(args.concurrency))
            .timeout(patience)
            .conn_keep_alive(Duration::from_secs(15));
        let client = Client::builder().connector(connector).timeout(patience).disable_redirects().finish();
        Ok(Self { client, endpoint: uri, gzip: args.gzip, patience })
    }

    /// Sends a body; a connection that the server closed in the meantime is opened anew, once.
    pub(super) async fn send(&self, body: &str) -> Result<Answer, Unanswered> {
        match self.send_in_time(body).await {
            Err(Try::Stale(_)) => self.send_in_time(body).await,
            other => other,
        }
        .map_err(|error| match error {
            Try::Unreachable(error) => Unanswered::Unreachable(error),
            Try::Stale(error) | Try::Failed(error) => Unanswered::Failed(error),
        })
    }

    /// The whole answer has to be there in time, not its head alone.
    async fn send_in_time(&self, body: &str) -> Result<Answer, Try> {
        let answer = tokio::time::timeout(self.patience, self.try_send(body)).await;
        answer.unwrap_or_else(|_| Err(Try::Failed("no whole answer within the timeout".to_owned())))
    }

    async fn try_send(&self, body: &str) -> Result<Answer, Try> {
        let mut request = self
            .client
            .post(self.endpoint.clone())
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .insert_header((header::ACCEPT, "application/json"))
            .insert_header(("x-openrtb-version", "2.6"));
        let bytes = if self.gzip {
            request = request.insert_header((header::CONTENT_ENCODING, "gzip"));
            compress(body).map_err(|error| Try::Failed(error.to_string()))?
        } else {
            body.as_bytes().to_vec()
        };
        let started = monotonic();
        let mut response = request.send_body(bytes).await.map_err(Try::from)?;
        let body = response
            .body()
            .limit(LARGEST_ANSWER)
            .await
            .map_err(|error| Try::Failed(format!("the answer cannot be read: {error}")))?;
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: response
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|kind| kind.to_str().ok())
                .map(str::to_owned),
            body: body.to_vec(),
            took: started.elapsed(),
        })
    }
}

enum Try {
    Unreachable(String),
    /// The connection broke while the request was sent or before an answer began.
    Stale(String),
    Failed(String),
}

impl From<SendRequestError> for Try {
    fn from(error: SendRequestError) -> Self {
        match error {
            SendRequestError::Connect(error) => Self::Unreachable(error.to_string()),
            SendRequestError::Send(error) => Self::Stale(format!("the connection broke: {error}")),
            SendRequestError::Timeout => Self::Failed("no answer within the timeout".to_owned()),
            other => Self::Failed(other.to_string()),
        }
    }
}

fn compress(body: &str) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.as_bytes())?;
    encoder.finish()
}
