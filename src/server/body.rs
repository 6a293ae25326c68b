//! Reading a request's body: bounded in size and in time.

use std::time::Duration;

use actix_web::web::{Bytes, Payload};

/// A body that takes longer to come than this is given up.
const PATIENCE: Duration = Duration::from_secs(2);

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
    Broken(actix_web::Error),
}

impl BodyError {
    /// The answer's status.
    pub(super) fn status(&self) -> actix_web::http::StatusCode {
        use actix_web::http::StatusCode;
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads at most `limit` bytes.
pub(super) async fn read(payload: Payload, limit: usize) -> Result<Bytes, BodyError> {
    match tokio::time::timeout(PATIENCE, payload.to_bytes_limited(limit)).await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Err(_)) => Err(BodyError::TooLarge(limit)),
        Ok(Ok(Err(error))) => Err(BodyError::Broken(error)),
        Ok(Ok(Ok(bytes))) => Ok(bytes),
    }
}
