//! `haggle supply refresh`: fetches files into the store, many at once, each replaced in one step.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use haggle_domain::{Clock, Timestamp};
use haggle_safety::supply::{AdsTxt, FileKind, Index, IndexEntry};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

use super::RefreshArgs;
use super::fetch::{FetchError, Fetcher};
use super::names::{Queue, Wanted};
use super::rows;
use crate::cli::{print, signals};
use crate::clock::WallClock;
use crate::exit::{Exit, ExitError};

/// After so many files the index is written, so that a crash forgets few ages.
const INDEX_EVERY: usize = 500;

/// What came of one file.
enum Outcome {
    /// It is in the store: from where, how many records it holds, and how many bad lines.
    Stored { from: String, records: usize, bad: usize },
    /// The server says that there is none; a copy of before is gone.
    Absent,
    /// It could not be had; a copy of before is kept.
    Failed(FetchError),
}

/// Counts and complaints of a run.
#[derive(Default)]
struct Report {
    stored: usize,
    absent: usize,
    failed: usize,
    lines: String,
}

/// Runs the command.
pub(super) fn run(args: &RefreshArgs) -> Result<(), ExitError> {
    let mut queue = Queue::default();
    if let Some(path) = &args.domains {
        queue.add_list(path)?;
    }
    if let Some(path) = &args.from_requests {
        queue.add_requests(&rows::read(path)?);
    }
    for kind in FileKind::ALL {
        let folder = args.store.join(kind.as_str());
        fs::create_dir_all(&folder).map_err(|error| {
            ExitError::new(Exit::CannotCreate, format!("{} cannot be made: {error}", folder.display()))
        })?;
    }
    let (report, interrupted) = actix_rt::System::new().block_on(fetch_all(args, queue))?;
    let Report { stored, absent, failed, lines } = &report;
    print(format!("{lines}{stored} fetched, {absent} have none, {failed} failed\n"))?;
    if interrupted {
        return Err(ExitError::new(Exit::CheckFailed, "interrupted; run it again for the rest"));
    }
    if *failed > 0 && stored + absent == 0 {
        return Err(ExitError::new(Exit::CheckFailed, "nothing could be fetched; check the connection"));
    }
    Ok(())
}

/// Fetches what is queued, and what the fetched files name; whether it was interrupted.
async fn fetch_all(args: &RefreshArgs, mut queue: Queue) -> Result<(Report, bool), ExitError> {
    let stand_ins = args.stand_in.iter().map(|it| (it.name.clone(), it.address)).collect();
    let fetcher = Fetcher::new(Duration::from_secs(args.patience), stand_ins)
        .map_err(|error| ExitError::new(Exit::Internal, format!("TLS cannot be set up: {error}")))?;
    let fetcher = Rc::new(fetcher);
    let clock = WallClock::new();
    let mut index = Index::load(&args.store);
    let mut report = Report::default();
    let most = usize::try_from(args.max).unwrap_or(usize::MAX);
    let bar = progress_bar(queue.wanted.len().min(most));
    let mut interrupt = std::pin::pin!(signals()?);
    let mut running = JoinSet::new();
    let (mut next, mut done) = (0, 0);
    let mut interrupted = false;
    loop {
        while running.len() < usize::from(args.parallel) && next < most {
            let Some(wanted) = queue.wanted.get(next).cloned() else { break };
            next += 1;
            running.spawn_local(one(Rc::clone(&fetcher), args.store.clone(), wanted));
        }
        let finished = tokio::select! {
            finished = running.join_next() => finished,
            () = &mut interrupt => {
                interrupted = true;
                running.shutdown().await;
                remove_halves(&args.store);
                None
            }
        };
        let Some(finished) = finished else { break };
        let (wanted, outcome) = finished
            .map_err(|error| ExitError::new(Exit::Internal, format!("a fetch ended early: {error}")))?;
        if matches!(outcome, Outcome::Stored { .. }) {
            queue_named(&mut queue, &args.store, &wanted);
        }
        note(&mut report, &mut index, &wanted, outcome, clock.now());
        done += 1;
        bar.set_length(u64::try_from(queue.wanted.len().min(most)).unwrap_or(u64::MAX));
        bar.inc(1);
        if done % INDEX_EVERY == 0 {
            save(&index, &args.store)?;
        }
    }
    bar.finish_and_clear();
    if !interrupted && queue.wanted.len() > most {
        let _ =
            writeln!(report.lines, "{} files more are named than --max allows", queue.wanted.len() - most);
    }
    save(&index, &args.store)?;
    Ok((report, interrupted))
}

/// Fetches one file: beside its place first, and into it when it is whole and what it should be.
async fn one(fetcher: Rc<Fetcher>, store: PathBuf, wanted: Wanted) -> (Wanted, Outcome) {
    let (domain, kind) = (&wanted.0, wanted.1);
    let half = half(&store, kind, domain);
    let place = kind.path(&store, domain);
    let stored = async {
        let from = fetcher.fetch(domain, kind, &half).await?;
        let (records, bad) = kind.examine(&half).map_err(FetchError::Unusable)?;
        fs::rename(&half, &place)?;
        Ok(Outcome::Stored { from, records, bad })
    };
    let outcome = stored.await.unwrap_or_else(|error| {
        // Half a file is worth nothing; that it may not be there is no matter.
        let _ = fs::remove_file(&half);
        match error {
            FetchError::Absent(_) => match fs::remove_file(&place) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Outcome::Failed(error.into()),
                _ => Outcome::Absent,
            },
            error => Outcome::Failed(error),
        }
    });
    (wanted, outcome)
}

fn half(store: &Path, kind: FileKind, domain: &str) -> PathBuf {
    store.join(kind.as_str()).join(format!(".{domain}.half"))
}

/// Removes what interrupted fetches left; loading would pass it over.
fn remove_halves(store: &Path) {
    for kind in FileKind::ALL {
        let entries = fs::read_dir(store.join(kind.as_str())).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".half")) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Queues what a fetched `ads.txt` names: subdomains with files of their own, and partners of shared inventory.
fn queue_named(queue: &mut Queue, store: &Path, (domain, kind): &Wanted) {
    if *kind == FileKind::SellersJson {
        return;
    }
    let Ok(bytes) = fs::read(kind.path(store, domain)) else { return };
    let read = AdsTxt::parse(&bytes);
    for subdomain in read.subdomains.iter().filter(|it| it.ends_with(&format!(".{domain}"))) {
        queue.add(subdomain, *kind);
    }
    for partner in &read.partners {
        queue.add(partner, *kind);
    }
}

fn note(report: &mut Report, index: &mut Index, (domain, kind): &Wanted, outcome: Outcome, now: Timestamp) {
    let name = kind.as_str();
    // Writing to a string cannot fail.
    let _ = match outcome {
        Outcome::Stored { from, records, bad } => {
            report.stored += 1;
            index.set(*kind, domain, Some(IndexEntry { fetched_at: now.to_string(), from }));
            match bad {
                0 => Ok(()),
                bad => writeln!(report.lines, "{domain}/{name}: {records} records, {bad} bad lines"),
            }
        }
        Outcome::Absent => {
            report.absent += 1;
            index.set(*kind, domain, None);
            Ok(())
        }
        Outcome::Failed(error) => {
            report.failed += 1;
            let kept = index.get(*kind, domain).and_then(IndexEntry::fetched_at).map(|at| {
                let hours = now.since(at).as_secs() / 3600;
                format!("; the copy of {at} is kept ({} d {} h old)", hours / 24, hours % 24)
            });
            writeln!(report.lines, "{domain}/{name}: {error}{}", kept.unwrap_or_default())
        }
    };
}

fn save(index: &Index, store: &Path) -> Result<(), ExitError> {
    index.save(store).map_err(|error| {
        ExitError::new(Exit::IoFailed, format!("{}/index.json cannot be written: {error}", store.display()))
    })
}

/// A bar on standard error; none where that is no terminal.
fn progress_bar(length: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} files, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
