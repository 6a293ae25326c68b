//! `haggle ledger reconcile`: what exactly differs between checkpoints, the journal and the sum of what was billed, and new
//! checkpoints for those that are damaged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use haggle_actors::books::Books;
use haggle_actors::campaign::{bases, checkpoint_name, checkpoint_of};
use haggle_actors::journal::{Checkpoint, EmbeddedJournal, Journal, replay};
use haggle_actors::ledger::Ledger;
use haggle_domain::{BidId, CampaignKey, Event, Micros, Record, Timestamp};

use super::{begins, open_journal};
use crate::exit::{Exit, ExitError};
use crate::server::StartError;
use crate::several::is_copy;

/// Where checkpoints that were replaced are put, in the data folder.
const ASIDE: &str = "aside";

const ACCOUNTS: [&str; 4] = ["budget", "settled", "reserved", "unspent"];

fn accounts(ledger: &Ledger) -> [Micros; 4] {
    [ledger.budget(), ledger.settled(), ledger.leased(), ledger.unleased()]
}

/// What is kept of a campaign beside its records.
enum Kept {
    Nothing,
    /// As it may be where another node owns the campaign.
    NothingNeeded,
    Unreadable(Option<Checkpoint>),
    Books {
        checkpoint: Checkpoint,
        accounts: [Micros; 4],
        ledger: Box<Ledger>,
    },
}

/// What is known of a campaign.
struct Account {
    kept: Kept,
    books: Books,
    /// What was billed, by the events alone and by what the dropped ones came to.
    billed: Micros,
    /// The ledger by the journal as of the checkpoint, once that was passed.
    then: Option<Box<Ledger>>,
    /// The last record after which each account was what the checkpoint says.
    equal: [Option<u64>; 4],
    /// Wins and impressions of bids whose lease had expired.
    late: (u64, u64),
    /// The record that breaks a rule, and which.
    broken: Option<(u64, String)>,
}

impl Account {
    fn new(base: Books) -> Self {
        Self {
            kept: Kept::Nothing,
            billed: base.ledger.settled(),
            books: base,
            then: None,
            equal: [None; 4],
            late: (0, 0),
            broken: None,
        }
    }

    fn keep(&mut self, checkpoint: Option<Checkpoint>) {
        let Some(checkpoint) = checkpoint else {
            self.kept = Kept::Unreadable(None);
            return;
        };
        self.kept = match minicbor::decode::<Books>(&checkpoint.bytes) {
            Ok(books) => {
                Kept::Books { checkpoint, accounts: accounts(&books.ledger), ledger: Box::new(books.ledger) }
            }
            Err(_) => Kept::Unreadable(Some(checkpoint)),
        };
    }

    fn apply(&mut self, offset: u64, record: &Record) {
        if self.broken.is_some() {
            return;
        }
        self.pass(offset);
        let late = |bid: BidId| u64::from(self.books.ledger.resolution(bid).is_none());
        match &record.event {
            Event::Billed { charged, .. } => self.billed = self.billed.saturating_add(*charged),
            Event::Won { bid, .. } => self.late.0 += late(*bid),
            Event::Impression { decision } => self.late.1 += late(decision.bid),
            _ => {}
        }
        let applied = self.books.apply(&record.event, record.at).and_then(|()| self.books.ledger.check());
        if let Err(violation) = applied {
            self.broken = Some((offset, violation.to_string()));
            return;
        }
        self.note_equal(offset);
    }

    fn note_equal(&mut self, offset: u64) {
        if let Kept::Books { accounts: kept, .. } = &self.kept {
            let now = accounts(&self.books.ledger);
            for ((equal, kept), now) in self.equal.iter_mut().zip(kept).zip(now) {
                if *kept == now {
                    *equal = Some(offset);
                }
            }
        }
    }

    /// Remembers the ledger when the checkpoint's offset is reached.
    fn pass(&mut self, offset: u64) {
        if let Kept::Books { checkpoint, .. } = &self.kept
            && self.then.is_none()
            && offset >= checkpoint.offset
        {
            self.then = Some(Box::new(self.books.ledger.clone()));
        }
    }

    /// Whether the ledger that is kept is not what the journal says. What else books hold (counts, averages) is not compared.
    fn differs(&self) -> bool {
        match (&self.kept, &self.then) {
            (Kept::Books { ledger, .. }, Some(then)) => ledger != then,
            (Kept::NothingNeeded, _) => false,
            _ => true,
        }
    }

    /// What is wrong, a line each.
    fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some((offset, violation)) = &self.broken {
            found.push(format!(
                "record {offset} breaks a rule: {violation}; nothing after it is counted here"
            ));
        }
        if self.broken.is_none() && self.billed != self.books.ledger.settled() {
            let settled = self.books.ledger.settled();
            found.push(format!("settled is {settled}, but what was billed comes to {}", self.billed));
        }
        match (&self.kept, &self.then) {
            (Kept::NothingNeeded, _) => {}
            (Kept::Nothing, _) => found.push("it has records and no checkpoint".to_owned()),
            (Kept::Unreadable(_), _) => found.push("its checkpoint is unreadable".to_owned()),
            (Kept::Books { checkpoint, accounts: kept, ledger }, Some(then)) if ledger != then => {
                let offset = checkpoint.offset;
                let before = found.len();
                for (((name, kept), now), equal) in
                    ACCOUNTS.iter().zip(kept).zip(accounts(then)).zip(self.equal)
                {
                    if *kept != now {
                        let since = equal.map_or_else(
                            || "which it never was".to_owned(),
                            |equal| format!("as it was last after record {equal}"),
                        );
                        found.push(format!(
                            "{name} at offset {offset}: {now} by the journal, {kept} by the checkpoint, {since}"
                        ));
                    }
                }
                if found.len() == before {
                    found.push(format!(
                        "its leases at offset {offset} are not those of the journal, though the sums are"
                    ));
                }
            }
            (Kept::Books { .. }, Some(_)) => {}
            (Kept::Books { checkpoint, .. }, None) => {
                let offset = checkpoint.offset;
                found.push(format!("its checkpoint is of offset {offset}, which the journal does not reach"));
            }
        }
        found
    }

    /// Its open leases by age, and notices that came too late.
    fn notes(&self, now: Timestamp) -> Vec<String> {
        let mut notes = Vec::new();
        let ages = [
            ("not expired", 0),
            ("expired", 1),
            ("expired for more than an hour", 3_600),
            ("expired for more than a day", 86_400),
        ];
        let mut leases = [(0u64, Micros::ZERO); 4];
        for (_, book) in self.books.ledger.leases() {
            let over = now.since(book.expires_at()).as_secs_f64();
            let at =
                ages.iter().rposition(|(_, seconds)| over >= f64::from(*seconds) && over > 0.0).unwrap_or(0);
            if let Some((count, held)) = leases.get_mut(at) {
                *count += 1;
                *held += book.held();
            }
        }
        for ((age, _), (count, held)) in ages.iter().zip(leases) {
            if count > 0 {
                notes.push(format!("open leases, {age}: {count}, which hold {held}"));
            }
        }
        if self.late != (0, 0) {
            notes.push(format!(
                "after their lease had expired came {} wins and {} impressions; they cost nothing",
                self.late.0, self.late.1
            ));
        }
        notes
    }
}

/// Compares everything under a data folder and, if `repair` says so, replaces checkpoints that are not what the journal says;
/// gives what to print. Money comes from the journal alone: a campaign of which a record breaks a rule is not repaired.
///
/// # Errors
///
/// A journal that cannot be read, and what was found and not repaired.
pub fn reconcile(
    data: &Path,
    repair: bool,
    now: Timestamp,
    mut progress: impl FnMut(u64, u64),
) -> Result<String, ExitError> {
    let journal = open_journal(data)?;
    let outcome = compare(&journal, &mut progress).and_then(|mut campaigns| {
        if is_copy(data) {
            let unkept = campaigns.values_mut().filter(|account| matches!(account.kept, Kept::Nothing));
            unkept.for_each(|account| account.kept = Kept::NothingNeeded);
        }
        let repaired = if repair { replace(&journal, data, &campaigns)? } else { 0 };
        Ok((report(&journal, &campaigns, now)?, repaired))
    });
    let closed = journal.close();
    let ((mut text, differing, broken), repaired) = outcome?;
    closed.map_err(StartError::from)?;
    // Writing to a string cannot fail.
    if repaired > 0 {
        let aside = data.join(ASIDE);
        let _ = writeln!(text, "replaced {repaired} checkpoints; what they were is in {}", aside.display());
    }
    if broken > 0 || differing > repaired {
        let hint = match broken {
            0 => "run it again with --repair, which makes checkpoints of the journal",
            _ => "the journal itself does not hold: restore the data folder from a backup",
        };
        return Err(ExitError::new(Exit::CheckFailed, format!("{text}{hint}")));
    }
    let _ = writeln!(text, "ok: the money of every checkpoint is what the journal says");
    Ok(text)
}

fn compare(
    journal: &EmbeddedJournal,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<BTreeMap<CampaignKey, Account>, ExitError> {
    let (start, end) = (journal.durable_start(), journal.durable_end());
    let mut campaigns: BTreeMap<CampaignKey, Account> = bases(journal)
        .map_err(StartError::from)?
        .into_iter()
        .map(|(key, base)| (key, Account::new(base)))
        .collect();
    for (key, checkpoint) in haggle_actors::campaign::checkpoints(journal).map_err(StartError::from)? {
        let account = campaigns.entry(key).or_insert_with(|| Account::new(Books::default()));
        account.keep(checkpoint);
        // One from before the start includes what the base does, or nothing was dropped.
        account.note_equal(start);
    }
    for entry in replay(journal, start) {
        let (offset, record) = entry.map_err(StartError::from)?;
        progress(offset, end);
        if record.campaign != CampaignKey::default() {
            let account = campaigns.entry(record.campaign).or_insert_with(|| Account::new(Books::default()));
            account.apply(offset, &record);
        }
    }
    campaigns.values_mut().for_each(|account| account.pass(end));
    Ok(campaigns)
}

/// Puts what the journal says in the place of checkpoints that say something else; gives how many.
fn replace(
    journal: &EmbeddedJournal,
    data: &Path,
    campaigns: &BTreeMap<CampaignKey, Account>,
) -> Result<usize, ExitError> {
    let end = journal.durable_end();
    let mut replaced = 0;
    for (key, account) in
        campaigns.iter().filter(|(_, account)| account.broken.is_none() && account.differs())
    {
        if let Kept::Unreadable(Some(old)) | Kept::Books { checkpoint: old, .. } = &account.kept {
            let folder = data.join(ASIDE);
            let path = folder.join(format!("campaign-{key}-{}.cbor", old.offset));
            fs::create_dir_all(&folder).and_then(|()| fs::write(&path, &old.bytes)).map_err(|error| {
                ExitError::new(Exit::IoFailed, format!("{} cannot be written: {error}", path.display()))
            })?;
        }
        let checkpoint = checkpoint_of(*key, &account.books, end);
        journal
            .put_checkpoint(&checkpoint_name(*key), end, checkpoint.bytes)
            .map_err(|error| ExitError::new(Exit::IoFailed, error))?;
        replaced += 1;
        // No more wait than there is room for.
        super::settle(journal)?;
    }
    Ok(replaced)
}

/// The text, how many campaigns differ, and how many have records that break rules.
fn report(
    journal: &EmbeddedJournal,
    campaigns: &BTreeMap<CampaignKey, Account>,
    now: Timestamp,
) -> Result<(String, usize, usize), ExitError> {
    let (mut text, mut differing, mut broken) = (String::new(), 0, 0);
    for (key, account) in campaigns {
        let [budget, settled, reserved, unspent] = accounts(&account.books.ledger);
        let id = account.books.id.as_deref().map_or_else(|| key.to_string(), str::to_owned);
        let _ =
            writeln!(text, "{id}: settled {settled} + reserved {reserved} + unspent {unspent} of {budget}");
        for finding in account.findings() {
            let _ = writeln!(text, "  differs: {finding}");
        }
        for note in account.notes(now) {
            let _ = writeln!(text, "  {note}");
        }
        let unbilled = account.billed != account.books.ledger.settled();
        broken += usize::from(account.broken.is_some() || unbilled);
        differing += usize::from(account.broken.is_none() && account.differs());
    }
    if let Some(begins) = begins(journal).map_err(StartError::from)? {
        let _ = writeln!(text, "{begins}");
    }
    Ok((text, differing, broken))
}

#[cfg(test)]
mod tests {
    use haggle_actors::journal::JournalOptions;

    use super::*;

    const KEY: CampaignKey = CampaignKey(7);

    fn at(second: i64) -> Timestamp {
        Timestamp(1_790_000_000_000_000 + second * 1_000_000)
    }

    fn billed(number: u32) -> Event {
        let bid = BidId { campaign: KEY, lease: 1, number };
        Event::Billed { bid, reserved: Micros(200), charged: Micros(100), capped: false, explored: false }
    }

    /// A campaign that was billed ten times; its books after each record.
    fn events() -> Vec<Event> {
        let mut events = vec![
            Event::Defined { id: "boots".to_owned() },
            Event::BudgetOpened { day: 1, amount: Micros(10_000_000) },
            Event::LeaseGranted { lease: 1, amount: Micros(5_000_000), expires_at: at(100), shared: false },
        ];
        events.extend((0..10).map(billed));
        events
    }

    fn books(records: usize) -> Books {
        let mut books = Books::default();
        events().iter().take(records).for_each(|event| books.apply(event, at(0)).unwrap());
        books
    }

    /// A folder with those records, and this checkpoint at the end of so many of them.
    fn data(checkpoint: &[u8], offset: u64) -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        let journal =
            EmbeddedJournal::open(&data.path().join("journal"), &JournalOptions::default()).unwrap();
        let records = events().into_iter().map(|event| Record { at: at(1), campaign: KEY, event }).collect();
        journal.try_reserve().unwrap().commit(records, None);
        journal.put_checkpoint(&checkpoint_name(KEY), offset, checkpoint.to_vec()).unwrap();
        journal.close().unwrap();
        data
    }

    fn run(data: &Path, repair: bool) -> Result<String, String> {
        reconcile(data, repair, at(10_000), |_, _| ()).map_err(|error| {
            assert_eq!(error.exit, Exit::CheckFailed, "{}", error.message);
            error.message
        })
    }

    #[test]
    fn what_agrees_is_said_to() {
        let data = data(&minicbor::to_vec(books(8)).unwrap(), 8);
        let text = run(data.path(), false).unwrap();
        assert!(text.contains("boots: settled 0.001 + reserved 4.998 + unspent 5.001 of 10"), "{text}");
        assert!(text.contains("open leases, expired for more than an hour: 1, which hold 4.998"), "{text}");
        assert!(text.ends_with("ok: the money of every checkpoint is what the journal says\n"), "{text}");
    }

    #[test]
    fn what_differs_is_named_and_repaired_from_the_journal() {
        // It says that it includes ten records, and is of eight.
        let data = data(&minicbor::to_vec(books(8)).unwrap(), 10);
        let text = run(data.path(), false).unwrap_err();
        assert!(
            text.contains("differs: settled at offset 10: 0.0007 by the journal, 0.0005 by the checkpoint, as it was last after record 7"),
            "{text}"
        );
        assert!(text.contains("--repair"), "{text}");
        let repaired = run(data.path(), true).unwrap();
        assert!(repaired.contains("replaced 1 checkpoints"), "{repaired}");
        let aside = data.path().join(ASIDE).join(format!("campaign-{KEY}-10.cbor"));
        assert_eq!(fs::read(aside).unwrap(), minicbor::to_vec(books(8)).unwrap());
        run(data.path(), false).unwrap();
        crate::ledger::verify(data.path(), |_, _| ()).unwrap();
    }

    #[test]
    fn an_unreadable_checkpoint_is_made_again() {
        let data = data(&[0xff; 30], 10);
        assert!(run(data.path(), false).unwrap_err().contains("its checkpoint is unreadable"));
        run(data.path(), true).unwrap();
        assert!(run(data.path(), false).unwrap().contains("settled 0.001 "));
    }

    #[test]
    fn money_is_never_made_of_records_that_break_a_rule() {
        let data = data(&minicbor::to_vec(books(8)).unwrap(), 8);
        let journal =
            EmbeddedJournal::open(&data.path().join("journal"), &JournalOptions::default()).unwrap();
        let record = Record { at: at(2), campaign: KEY, event: billed(3) };
        journal.try_reserve().unwrap().commit(vec![record], None);
        journal.close().unwrap();
        let text = run(data.path(), true).unwrap_err();
        assert!(text.contains("record 13 breaks a rule: a bid was settled or released twice"), "{text}");
        assert!(text.contains("restore the data folder from a backup"), "{text}");
    }
}
