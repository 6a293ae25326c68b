//! What must hold whatever happens, looked at in every run.

use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignMachine, CampaignReport};
use haggle_domain::{Event, Timestamp};

/// A second set of a campaign's books that is told of every event, as a replay of the journal would be.
#[derive(Default)]
pub(super) struct Checker {
    books: Books,
    /// The first event that broke a rule.
    broken: Option<String>,
}

impl Checker {
    pub(super) fn note(&mut self, event: &Event, now: Timestamp) {
        if let Err(violation) = self.books.apply(event, now)
            && self.broken.is_none()
        {
            self.broken = Some(format!("at {now}: {violation}: {event:?}"));
        }
    }

    /// Whether these are the books that all events make: what was forgotten meanwhile because it is long ago aside.
    pub(super) fn agrees(&self, books: &Books) -> bool {
        self.books.ledger == books.ledger
            && self.books.stats == books.stats
            && self.books.paused == books.paused
            && self.books.explored() == books.explored()
    }

    /// What is wrong now.
    pub(super) fn problems(&self, machine: &CampaignMachine, report: &CampaignReport) -> Vec<String> {
        let mut problems: Vec<String> = self.broken.iter().cloned().collect();
        if let Err(violation) = self.books.ledger.check() {
            problems.push(format!("its journal does not add up: {violation}"));
        }
        if self.books.ledger != machine.books().ledger {
            problems.push("its journal gives other books than it keeps".to_owned());
        }
        if report.settled + report.reserved > report.budget {
            let (settled, reserved, budget) = (report.settled, report.reserved, report.budget);
            problems.push(format!(
                "overspent: settled {settled} and reserved {reserved} of a budget of {budget}"
            ));
        }
        if report.violations.iter().any(|count| *count > 0) {
            problems.push(format!("its machine found defects: {:?}", report.violations));
        }
        problems
    }
}
