//! How the program ends: one list of exit codes, so that scripts and service managers can tell causes apart.
//! Numbers from 64 up are those of BSD's `sysexits.h`.

use std::fmt::Display;
use std::process::ExitCode;

use crate::config::ConfigErrors;

/// Why the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// A check that was asked for found something, such as `ledger verify`, `certify` or `reconcile`.
    CheckFailed = 1,
    /// The command line is not understood.
    Usage = 2,
    /// The journal is damaged: money that was acknowledged cannot be read back.
    JournalDamaged = 65,
    /// A file of requests, exchange rates or rows to learn from, an exchange's report, or a trained model, cannot be used; what
    /// is wrong has been printed.
    InputUnusable = 66,
    /// The endpoint to certify or to load, or the brokers of Kafka, cannot be reached.
    EndpointUnreachable = 68,
    /// An address to listen on is in use or not this machine's.
    AddressUnavailable = 69,
    /// Something that should not happen; the message says what.
    Internal = 70,
    /// The data directory cannot be created or written.
    CannotCreate = 73,
    /// The disk is full, or reading or writing failed.
    IoFailed = 74,
    /// Another process uses the data directory.
    DataLocked = 75,
    /// The configuration is wrong; every error has been printed.
    Configuration = 78,
}

impl Exit {
    /// Every code, in order.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::CheckFailed,
        Self::Usage,
        Self::JournalDamaged,
        Self::InputUnusable,
        Self::EndpointUnreachable,
        Self::AddressUnavailable,
        Self::Internal,
        Self::CannotCreate,
        Self::IoFailed,
        Self::DataLocked,
        Self::Configuration,
    ];

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error that ends the program: what to print, and the code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExitError {
    /// Why.
    pub exit: Exit,
    /// For the person at the terminal.
    pub message: String,
}

impl ExitError {
    /// An error with a message.
    pub fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl From<ConfigErrors> for ExitError {
    fn from(errors: ConfigErrors) -> Self {
        Self::new(Exit::Configuration, errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_ordered() {
        assert!(Exit::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
        let error = ExitError::from(ConfigErrors::default());
        assert_eq!(error.exit.code(), 78);
    }
}
