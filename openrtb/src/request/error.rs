//! Why a call cannot be answered at all.

/// Why a body is no bid request. The line and column, where there are any, count from 1.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not UTF-8, which RFC 8259 section 8.1 asks for.
    #[error("the body is not utf-8 at byte {offset}; send json in utf-8")]
    InvalidUtf8 {
        /// How many bytes came before the first that is wrong.
        offset: usize,
    },
    /// Not JSON.
    #[error("the body is not json: {0}; send one openrtb bid request as a json object")]
    InvalidJson(#[from] serde_json::Error),
    /// JSON, but a list, a text or a number.
    #[error("the body is json but not an object; send one openrtb bid request as a json object")]
    NotAnObject,
    /// No request id to answer to.
    #[error("the request has no `id`; send a text that is not empty")]
    MissingId,
    /// Nothing for sale.
    #[error("the request has no `imp`; send a list with at least one imp")]
    MissingImp,
}

impl RequestError {
    /// The name in metrics and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InvalidUtf8 { .. } => "invalid_utf8",
            Self::InvalidJson(_) => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingId => "missing_id",
            Self::MissingImp => "missing_imp",
        }
    }
}
