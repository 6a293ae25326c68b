//! What can go wrong with a journal, by what the operator has to do about it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use haggle_domain::NodeId;

use crate::backbone::{LogError, MessageError};

/// Why a journal does not open, does not answer, or has stopped. Cheap to clone: one failure answers every
/// commit that waits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Another process has it open.
    #[error("the journal in {dir} is in use by another process; stop that one or choose another folder")]
    Locked {
        /// The journal's folder.
        dir: PathBuf,
    },
    /// Records that were acknowledged are no longer there.
    #[error(
        "the journal in {dir} has lost acknowledged records: it ends at offset {have}, but everything below \
         {acknowledged} was acknowledged, so {lost} records are missing; restore the folder from a backup, or \
         accept that money they moved is forgotten and delete {mark}",
        lost = .acknowledged.saturating_sub(*.have),
        mark = .dir.join(super::mark::FILE).display()
    )]
    TailDamaged {
        /// Everything below this offset is there.
        have: u64,
        /// Everything below this offset was acknowledged.
        acknowledged: u64,
        /// The journal's folder.
        dir: PathBuf,
    },
    /// Both slots of the mark are garbage: no crash does that.
    #[error(
        "the mark of the journal in {dir} is damaged, so it cannot be told whether acknowledged records are \
         missing; restore the folder from a backup, or accept what is there and delete {mark}",
        mark = .dir.join(super::mark::FILE).display()
    )]
    MarkDamaged {
        /// The journal's folder.
        dir: PathBuf,
    },
    /// What is stored is not what was written.
    #[error(
        "the journal in {dir} is damaged{}: {what}; restore the folder from a backup",
        .offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default()
    )]
    Corrupt {
        /// The journal's folder.
        dir: PathBuf,
        /// The first record concerned, where it is a record.
        offset: Option<u64>,
        /// What was found.
        what: String,
    },
    /// What was asked for is older than what is kept.
    #[error(
        "the journal in {dir} begins at offset {start}: record {offset} was dropped, because it is older than `retention`, \
         or than what this copy of several nodes' log began at"
    )]
    Dropped {
        /// The first record that was asked for.
        offset: u64,
        /// Where the log begins.
        start: u64,
        /// The journal's folder.
        dir: PathBuf,
    },
    /// Written by another version of the program.
    #[error(
        "the journal in {dir} has format {found}, this version reads {known}; use the version that wrote it"
    )]
    WrongFormat {
        /// The journal's folder.
        dir: PathBuf,
        /// What is there.
        found: String,
        /// What this version reads.
        known: u8,
    },
    /// The disk, or the quota on it, is full.
    #[error("the disk that holds the journal in {dir} is full; make room and start again")]
    DiskFull {
        /// The journal's folder.
        dir: PathBuf,
    },
    /// The folder cannot be made or written.
    #[error("the journal in {dir} cannot be written ({why}); check the path and its owner")]
    NotWritable {
        /// The journal's folder.
        dir: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Reading, writing or syncing failed.
    #[error("the journal in {dir} failed ({why}); check the disk, then start again")]
    Io {
        /// The journal's folder.
        dir: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The campaign's partition is another node's. What was committed does not count.
    #[error("another node has taken this campaign over and goes on with it; nothing was committed")]
    Fenced,
    /// Two processes are one node.
    #[error(
        "another process tells the log what it sees under this node's id {node}: its data folder is a copy of this one, or this one of that. \
         What both tell would be lost in part; stop both, delete `node.id` and `spool` in the copy, and start them again"
    )]
    Twin {
        /// Which.
        node: NodeId,
    },
    /// One commit's campaigns lie in several partitions of the log, which no message spans.
    #[error("a commit's campaigns lie in several partitions; commit each campaign's records on their own")]
    Scattered,
    /// The log that the nodes share.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What lies in the log was written by another version or is damaged.
    #[error(
        "the message at offset {offset} of partition {partition} of the nodes' log cannot be read: {why}"
    )]
    Message {
        /// Which partition.
        partition: u32,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        why: MessageError,
    },
    /// The log no longer holds what this node has not read yet.
    #[error(
        "partition {partition} of the nodes' log begins at offset {begin}, but this node has read only what is below \
         {read}: it was away for longer than the log is kept; move `journal` out of its data folder and leave `spool`, which may hold \
         what the others were not told, then start it again: it begins at what the others have published"
    )]
    Truncated {
        /// Which partition.
        partition: u32,
        /// Its first offset.
        begin: u64,
        /// Up to where this node has read it.
        read: u64,
    },
    /// The node has no copy of the log, whose beginning is gone, and nothing says what that came to.
    #[error(
        "partition {partition} of the nodes' log begins at offset {begin}, and {why}, so a node without a copy cannot begin; \
         start it again when its owner has published one, which each does every ten minutes and when it stops, or give it \
         the folder `journal` of a node that is stopped"
    )]
    NoBase {
        /// Which partition.
        partition: u32,
        /// Its first offset.
        begin: u64,
        /// Why there is no base to begin at.
        why: String,
    },
    /// A base says more than the log ever had.
    #[error(
        "a base of partition {partition} of the nodes' log goes to offset {next}, beyond the log's end: it is of another log; \
         when the topics of a prefix are deleted, delete the one that ends in .checkpoints with them"
    )]
    OtherBase {
        /// Which partition.
        partition: u32,
        /// Where the base ends.
        next: u64,
    },
    /// The log holds less than this node has read of it.
    #[error(
        "partition {partition} of the nodes' log ends at offset {end}, but this node has read everything below {read}: \
         it is another log, or it has lost messages; check the brokers' addresses and the prefix"
    )]
    Rewound {
        /// Which partition.
        partition: u32,
        /// Its end.
        end: u64,
        /// Up to where this node has read it.
        read: u64,
    },
    /// It was closed; nothing is wrong with it.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// By the kind of an I/O error.
    pub(crate) fn io(dir: &Path, error: &io::Error) -> Self {
        Self::by_kind(dir, error.kind(), error.to_string())
    }

    /// By the I/O error at the root of a store's error, if there is one; else what is stored is not right.
    pub(crate) fn store(dir: &Path, error: &fjall::Error) -> Self {
        if matches!(error, fjall::Error::Locked) {
            return Self::Locked { dir: dir.to_owned() };
        }
        if let fjall::Error::InvalidVersion(version) = error {
            let found =
                version.map_or_else(|| "unknown to the store".to_owned(), |v| format!("{v} of the store"));
            return Self::WrongFormat { dir: dir.to_owned(), found, known: super::store::FORMAT_WITH_START };
        }
        if matches!(error, fjall::Error::JournalRecovery(_)) {
            let what = "a batch of records in the store's log does not match its checksum".to_owned();
            return Self::Corrupt { dir: dir.to_owned(), offset: None, what };
        }
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(io) = current.downcast_ref::<io::Error>() {
                return Self::by_kind(dir, io.kind(), io.to_string());
            }
            cause = current.source();
        }
        Self::Corrupt { dir: dir.to_owned(), offset: None, what: error.to_string() }
    }

    fn by_kind(dir: &Path, kind: io::ErrorKind, why: String) -> Self {
        use io::ErrorKind as Kind;
        let dir = dir.to_owned();
        match kind {
            Kind::StorageFull | Kind::QuotaExceeded => Self::DiskFull { dir },
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem | Kind::NotADirectory | Kind::IsADirectory => {
                Self::NotWritable { dir, why }
            }
            // A store that names a file that is not there, or has it sought to before its beginning.
            Kind::UnexpectedEof | Kind::InvalidData | Kind::InvalidInput | Kind::NotFound => {
                Self::Corrupt { dir, offset: None, what: why }
            }
            _ => Self::Io { dir, why },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_recognised_through_the_store() {
        let dir = Path::new("/data");
        let quota_exceeded = if cfg!(target_os = "linux") { 122 } else { 69 };
        for code in [28, quota_exceeded] {
            let io = || io::Error::from_raw_os_error(code);
            let full = JournalError::DiskFull { dir: dir.to_owned() };
            assert_eq!(JournalError::io(dir, &io()), full);
            assert_eq!(JournalError::store(dir, &fjall::Error::Io(io())), full);
            assert_eq!(JournalError::store(dir, &fjall::Error::Storage(fjall::LsmError::Io(io()))), full);
        }
    }

    #[test]
    fn lost_records_are_named() {
        let error = JournalError::TailDamaged { have: 90, acknowledged: 100, dir: "/data".into() };
        let text = error.to_string();
        assert!(text.contains("10 records") && text.contains("delete /data/mark"), "{text}");
    }
}
