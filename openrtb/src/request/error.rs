//! Why a call cannot be answered at all.

use super::json::MAX_DEPTH;

/// Why a body is no bid request. Lines and columns (in bytes) count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not UTF-8, which RFC 8259 section 8.1 asks for.
    #[error("the body is not utf-8 at byte {offset}; send json in utf-8")]
    InvalidUtf8 {
        /// How many bytes came before the first that is wrong.
        offset: usize,
    },
    /// Not JSON.
    #[error(
        "the body is not json: {problem}, at line {line} column {column}; send one openrtb bid request as a json object"
    )]
    InvalidJson {
        /// What was found, or looked for in vain.
        problem: &'static str,
        /// Where.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// Objects and lists within each other without end, be it in members that are not read.
    #[error(
        "the body is nested deeper than {MAX_DEPTH} levels at line {line} column {column}; send a flatter one"
    )]
    TooDeep {
        /// Where.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// A member that is read comes twice in one object, which RFC 8259 section 4 leaves without a meaning.
    #[error(
        "`{member}` comes twice in one object, the second time before line {line} column {column}; send it once"
    )]
    Duplicate {
        /// Its path.
        member: String,
        /// Where its second value begins.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// A member that is read is a number that a double cannot hold (RFC 8259 section 6).
    #[error(
        "the number in `{member}` is out of range at line {line} column {column}; send one that a double can hold"
    )]
    NumberOutOfRange {
        /// Its path.
        member: String,
        /// Where it begins.
        line: usize,
        /// Where in that line.
        column: usize,
    },
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
            Self::InvalidJson { .. } => "invalid_json",
            Self::TooDeep { .. } => "too_deep",
            Self::Duplicate { .. } => "duplicate",
            Self::NumberOutOfRange { .. } => "number_out_of_range",
            Self::NotAnObject => "not_an_object",
            Self::MissingId => "missing_id",
            Self::MissingImp => "missing_imp",
        }
    }
}
