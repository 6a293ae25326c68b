//! Reading a request's body: bounded in size, before and after inflation, and in time.

use std::future::poll_fn;
use std::io::Read;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures_core::Stream;

/// A body that takes longer to come than this is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a body is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Plain,
    /// RFC 1952.
    Gzip,
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// Larger than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// Not all of it came in time.
    #[error("the body did not come within 2 seconds")]
    TooSlow,
    /// The connection or its encoding broke.
    #[error("the body cannot be read: {0}")]
    Broken(PayloadError),
    /// It is said to be compressed, but is not, or not whole.
    #[error("the body is not gzip, or cut short; compress it, or leave content-encoding out")]
    NotGzip,
}

impl BodyError {
    /// The answer's status.
    pub(super) fn status(&self) -> actix_web::http::StatusCode {
        use actix_web::http::StatusCode;
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) | Self::NotGzip => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads at most `limit` bytes, and inflates to at most `limit`.
pub(super) async fn read(payload: Payload, coding: Coding, limit: usize) -> Result<Bytes, BodyError> {
    let mut body = pin!(collect(payload, limit));
    // A body that came with the head, as most do, is there when it is asked for the second time: the connection hands it
    // over in between, and asks again in the same turn. Only one that is still missing then is worth a timer.
    let mut asked = false;
    let soon = poll_fn(|context| match body.as_mut().poll(context) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending if asked => Poll::Ready(None),
        Poll::Pending => {
            asked = true;
            Poll::Pending
        }
    });
    let bytes = match soon.await {
        Some(read) => read?,
        None => tokio::time::timeout(PATIENCE, body).await.map_err(|_| BodyError::TooSlow)??,
    };
    match coding {
        Coding::Plain => Ok(bytes),
        Coding::Gzip => inflate(&bytes, limit).map(Bytes::from),
    }
}

/// The whole body. Of one piece, as most are, nothing is copied.
async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, BodyError> {
    let mut whole = Bytes::new();
    let mut pieces = BytesMut::new();
    while let Some(piece) = poll_fn(|context| Pin::new(&mut payload).poll_next(context)).await {
        let piece = piece.map_err(BodyError::Broken)?;
        if whole.len() + pieces.len() + piece.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        if whole.is_empty() && pieces.is_empty() {
            whole = piece;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&piece);
        }
    }
    Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
}

/// Stops one byte beyond the limit, whatever the sender has packed.
fn inflate(bytes: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut inflated = Vec::with_capacity(bytes.len().saturating_mul(4).min(limit));
    MultiGzDecoder::new(bytes).take(most).read_to_end(&mut inflated).map_err(|_| BodyError::NotGzip)?;
    if inflated.len() > limit { Err(BodyError::TooLarge(limit)) } else { Ok(inflated) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_back_up_to_the_limit() {
        assert_eq!(inflate(&packed(b"hello"), 5).unwrap(), b"hello");
        assert!(matches!(inflate(&packed(b"hello!"), 5), Err(BodyError::TooLarge(5))));
        // A bomb: 16 MB of nothing in 16 KB.
        let bomb = packed(&vec![0; 16 << 20]);
        assert!(bomb.len() < 20_000);
        assert!(matches!(inflate(&bomb, 1 << 18), Err(BodyError::TooLarge(_))));
    }

    #[test]
    fn what_was_not_packed_is_refused() {
        let whole = packed(b"hello");
        for wrong in [&b"hello"[..], &whole[..whole.len() - 1], &[]] {
            assert!(matches!(inflate(wrong, 100), Err(BodyError::NotGzip)), "{wrong:?}");
        }
    }
}
