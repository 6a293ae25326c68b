//! Why a saved model or joiner is refused.

/// Why saved bytes are refused. Nothing of them is used then; the journal can teach everything again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The first bytes are not those of the thing asked for.
    #[error("this is no saved {0}; name the right file, or remove it and learn again from the journal")]
    NotOurs(&'static str),
    /// Written by another version of the program, in another layout.
    #[error(
        "saved in format {found}, this program reads {readable}; remove it and learn again from the journal"
    )]
    Format {
        /// What the bytes say.
        found: u32,
        /// What can be read.
        readable: u32,
    },
    /// Shorter or longer than the header says.
    #[error(
        "{found} bytes where the header says {expected}; restore a copy, or learn again from the journal"
    )]
    Length {
        /// How many there are after the header.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// The checksum is another one.
    #[error(
        "the checksum does not match, so the bytes were altered; restore a copy, or learn again from the journal"
    )]
    Checksum,
    /// The checksum holds, but what it covers makes no sense.
    #[error("{0}; remove the saved state and learn again from the journal")]
    Invalid(&'static str),
}
