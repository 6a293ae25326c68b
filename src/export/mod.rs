//! `haggle export`: a journal's records as Parquet files, for whoever asks with SQL or data frames.
//!
//! What is written goes to a folder beside the one that was asked for, which takes its name when everything is whole and
//! synced: whoever finds the folder finds all of it.

mod describe;
mod partition;
mod source;
mod table;
mod writer;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::Ordering;

use clap::{Args, ValueEnum};
use haggle_domain::{CampaignKey, Timestamp};

use self::partition::Partition;
use self::source::Source;
use self::table::{KINDS, Kind};
use crate::exit::{Exit, ExitError};
use crate::model::{Progress, watched};

/// Write the records of a journal as Parquet files, one for each kind of event.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The data folder of a node that is not running, or a backup.
    #[arg(long, value_name = "DIR", required_unless_present = "describe")]
    pub data: Option<PathBuf>,
    /// The folder to make; it must not exist.
    #[arg(long, value_name = "DIR", required_unless_present = "describe")]
    pub parquet: Option<PathBuf>,
    /// From this offset or time on (2026-11-23 or 2026-11-23T08:00:00Z).
    #[arg(long, value_name = "OFFSET|TIME")]
    pub from: Option<Bound>,
    /// What is before this offset or time.
    #[arg(long, value_name = "OFFSET|TIME")]
    pub to: Option<Bound>,
    /// Only these kinds of events, such as billed,conversion.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub events: Vec<String>,
    /// Only this campaign's.
    #[arg(long, value_name = "ID")]
    pub campaign: Option<String>,
    /// Folders by the day (UTC) of the events.
    #[arg(long)]
    pub by: Option<By>,
    /// Print the tables and their columns, and write nothing.
    #[arg(long, exclusive = true)]
    pub describe: bool,
}

/// What the files of a kind are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The day on which it happened.
    Day,
}

/// A place in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// By the number of the record.
    Offset(u64),
    /// By when it happened.
    Time(Timestamp),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(offset) = text.parse() {
            return Ok(Self::Offset(offset));
        }
        let whole =
            if text.len() == "2026-11-23".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
        whole.parse().map(Self::Time).map_err(|_| {
            format!("{text:?} is neither an offset nor a time; write it like 120000, 2026-11-23 or 2026-11-23T08:00:00Z")
        })
    }
}

/// Records of interest.
struct Wanted {
    from: Option<Bound>,
    to: Option<Bound>,
    kinds: Vec<u32>,
    campaign: Option<CampaignKey>,
}

impl Wanted {
    fn of(args: &ExportArgs) -> Result<Self, ExitError> {
        let mut kinds = Vec::new();
        for name in &args.events {
            let kind = KINDS.iter().find(|kind| kind.name == name.trim()).ok_or_else(|| {
                let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
                let problem = format!("there are no events {name:?}; choose from {}", known.join(", "));
                ExitError::new(Exit::Usage, problem)
            })?;
            kinds.push(kind.number);
        }
        let (from, to) = (args.from, args.to);
        let is_empty = match (from, to) {
            (Some(Bound::Offset(from)), Some(Bound::Offset(to))) => from >= to,
            (Some(Bound::Time(from)), Some(Bound::Time(to))) => from >= to,
            _ => false,
        };
        if is_empty {
            return Err(ExitError::new(Exit::Usage, "--from is not before --to"));
        }
        if kinds.is_empty() {
            kinds = KINDS.iter().map(|kind| kind.number).collect();
        }
        Ok(Self { from, to, kinds, campaign: args.campaign.as_deref().map(CampaignKey::of) })
    }

    /// The offsets to read: those that are asked for, as far as they are there.
    fn offsets(&self, start: u64, end: u64) -> (u64, u64) {
        let bound = |bound, without: u64| match bound {
            Some(Bound::Offset(offset)) => offset,
            _ => without,
        };
        (bound(self.from, start).max(start), bound(self.to, end).min(end))
    }

    fn includes(&self, at: Timestamp, campaign: CampaignKey, kind: u32) -> bool {
        let after = !matches!(self.from, Some(Bound::Time(from)) if at < from);
        let before = !matches!(self.to, Some(Bound::Time(to)) if at >= to);
        after && before && self.campaign.is_none_or(|only| only == campaign) && self.kinds.contains(&kind)
    }

    fn kinds(&self) -> impl Iterator<Item = &'static Kind> {
        KINDS.iter().filter(|kind| self.kinds.contains(&kind.number))
    }
}

/// Runs `haggle export`.
///
/// # Errors
///
/// No journal or backup, one that is damaged or in use, a folder that is there, or a stop, which leaves nothing behind.
pub fn run(args: &ExportArgs) -> Result<(), ExitError> {
    if args.describe {
        return crate::cli::print(describe::tables());
    }
    let args = args.clone();
    let table = watched(false, move |progress| export(&args, progress))?;
    crate::cli::print(table)
}

/// Writes the files; gives the table to print.
fn export(args: &ExportArgs, progress: &Progress) -> Result<String, ExitError> {
    // Both are there, or the command line was refused.
    let (data, parquet) =
        (args.data.as_deref().unwrap_or(Path::new("")), args.parquet.as_deref().unwrap_or(Path::new("")));
    let wanted = Wanted::of(args)?;
    if parquet.exists() {
        let problem = format!("{} exists; name a folder that does not", parquet.display());
        return Err(ExitError::new(Exit::CannotCreate, problem));
    }
    let mut source = Source::open(data, progress)?;
    let half = beside(parquet, 0o777)?;
    let written = write(&mut source, &wanted, half.path(), args.by, progress)?;
    if let Some(id) = &args.campaign {
        known(&mut source, id)?;
    }
    drop(source);
    publish(half, parquet)?;
    Ok(written)
}

/// Refuses a campaign of which the journal knows nothing: files without a row would say that nothing happened to it.
fn known(source: &mut Source, id: &str) -> Result<(), ExitError> {
    if source.knows(CampaignKey::of(id)) {
        return Ok(());
    }
    // It may be defined before or after what was asked for.
    let (start, end) = (source.start(), source.end());
    source.each(start, end, &mut |_, _, _| Ok(()))?;
    if source.knows(CampaignKey::of(id)) {
        return Ok(());
    }
    let problem = format!("there is no campaign {id:?} in it; known are: {}", source.names().join(", "));
    Err(ExitError::new(Exit::Usage, problem))
}

fn write(
    source: &mut Source,
    wanted: &Wanted,
    folder: &Path,
    by: Option<By>,
    progress: &Progress,
) -> Result<String, ExitError> {
    let (start, end) = (source.start(), source.end());
    let (from, to) = wanted.offsets(start, end);
    progress.length.store(to.saturating_sub(from), Ordering::Relaxed);
    progress.read.store(0, Ordering::Relaxed);
    let mut partition = Partition::new(folder, by, wanted.kinds())?;
    source.each(from, to, &mut |offset, record, id| {
        let (kind, cells) = table::cells(&record.event);
        if wanted.includes(record.at, record.campaign, kind) {
            partition.push(kind, offset, record, id, cells)?;
        }
        if offset.is_multiple_of(1_024) {
            progress.read.store(offset.saturating_sub(from), Ordering::Relaxed);
            progress.rows.store(offset.saturating_sub(from), Ordering::Relaxed);
            progress.check()?;
        }
        Ok(())
    })?;
    let rows = partition.close()?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    for (name, rows) in &rows {
        let _ = writeln!(text, "{name:<16} {rows:>12}");
    }
    if start > 0 && from == start {
        let _ = writeln!(text, "the journal begins at offset {start}; older records were dropped");
    }
    let sum: u64 = rows.iter().map(|(_, rows)| rows).sum();
    let _ = writeln!(text, "ok: {sum} records of offsets {from} to {to}");
    Ok(text)
}

/// An empty folder beside another, which goes when it is dropped. What `mode` allows is what the umask leaves of it.
pub(crate) fn beside(folder: &Path, mode: u32) -> Result<tempfile::TempDir, ExitError> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mode = fs::Permissions::from_mode(mode);
    let made = fs::create_dir_all(parent).and_then(|()| {
        tempfile::Builder::new().prefix(&format!(".{name}.half-")).permissions(mode).tempdir_in(parent)
    });
    made.map_err(|error| {
        ExitError::new(
            Exit::CannotCreate,
            format!("a folder cannot be made in {}: {error}", parent.display()),
        )
    })
}

/// Gives a folder that is whole its name, durably.
pub(crate) fn publish(half: tempfile::TempDir, folder: &Path) -> Result<(), ExitError> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sync = |folder: &Path| fs::File::open(folder).and_then(|folder| folder.sync_all());
    let moved = sync(half.path()).and_then(|()| fs::rename(half.path(), folder)).and_then(|()| sync(parent));
    // It has another name now; where the move failed, it goes.
    if moved.is_ok() {
        let _ = half.keep();
    }
    moved.map_err(|error| {
        ExitError::new(Exit::CannotCreate, format!("{} cannot be made: {error}", folder.display()))
    })
}

#[cfg(test)]
mod tests;
