//! A log of decisions as off-policy evaluation needs it: what was possible where, what was done, how probable that
//! was, and what it brought.

use std::collections::HashMap;
use std::path::Path;

use haggle_learning::data::{BadRows, OpenBandit};
use xxhash_rust::xxh3::xxh3_64;

use crate::exit::{Exit, ExitError};
use crate::model::Progress;

/// Rows of a log that are held in memory, some 100 bytes each and more.
const MOST_ROWS: usize = 8_000_000;
/// Rows after which a signal is looked for.
const LOOK_EVERY: usize = 4_096;

/// Something that can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What people call it.
    pub name: String,
    /// Its hashed features; the first tells it from all others.
    pub features: Vec<u32>,
}

/// What was known when an action was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// Where it was: which of the log's groups, and so what was possible.
    pub group: u32,
    /// Hashed features.
    pub features: Vec<u32>,
}

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Which of the log's contexts.
    pub context: u32,
    /// Which of its group's actions, by its place there.
    pub action: u32,
    /// Whether it was clicked.
    pub clicked: bool,
    /// The probability with which the action was chosen, in (0, 1].
    pub propensity: f64,
}

/// A log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// What the log is called.
    pub file: String,
    /// All actions.
    pub actions: Vec<Action>,
    /// For each group of contexts its name and the actions that were possible there, by their number in `actions`.
    pub groups: Vec<(String, Vec<u32>)>,
    /// All contexts.
    pub contexts: Vec<Context>,
    /// The rows, in the order of the log.
    pub rows: Vec<Row>,
    /// Rows that were left out because something in them is wrong.
    pub bad: BadRows,
    /// What else was left out, and why: for people.
    pub notes: Vec<String>,
}

impl Log {
    /// Which group a row is of.
    pub fn group(&self, row: &Row) -> usize {
        self.contexts.get(row.context as usize).map_or(0, |context| context.group as usize)
    }

    /// What was possible in a group, by the numbers of `actions`.
    pub fn possible(&self, group: usize) -> &[u32] {
        self.groups.get(group).map_or(&[], |(_, actions)| actions)
    }

    /// Clicks by rows.
    pub fn mean(&self) -> f64 {
        self.clicks() as f64 / self.rows.len().max(1) as f64
    }

    /// Rows with a click.
    pub fn clicks(&self) -> usize {
        self.rows.iter().filter(|row| row.clicked).count()
    }

    /// Reads a log in the format of the Open Bandit Dataset. A place is a group; whatever item the log has anywhere was
    /// possible in each.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or holds too many bad rows, or a stop.
    pub(super) fn open_bandit(path: &Path, bad_rows: u64, progress: &Progress) -> Result<Self, ExitError> {
        let mut reader = OpenBandit::open(path, bad_rows)?;
        let mut builder = Builder::new(path.display().to_string());
        let mut items = Vec::new();
        while let Some(row) = reader.read()? {
            if builder.log.rows.len().is_multiple_of(LOOK_EVERY) {
                progress.check()?;
            }
            let item = builder.action(&row.item.to_string(), || vec![feature("item", row.item)]);
            let group = builder.group(&format!("position {}", row.position), |_| Vec::new());
            let mut features = row.user;
            features.push(feature("position", row.position));
            builder.push(Context { group, features }, 0, row.clicked, row.propensity)?;
            items.push(item);
        }
        let mut log = builder.log;
        log.bad = reader.bad().clone();
        let all: Vec<u32> = (0..log.actions.len() as u32).collect();
        log.groups.iter_mut().for_each(|(_, actions)| actions.clone_from(&all));
        // With all items possible everywhere, an item's place in a group is its number.
        log.rows.iter_mut().zip(items).for_each(|(row, item)| row.action = item);
        Ok(log)
    }
}

/// A value of a field as a number.
pub(super) fn feature(field: &str, value: u64) -> u32 {
    xxh3_64(format!("{field}={value}").as_bytes()) as u32
}

/// Gives numbers to what a log names.
pub(super) struct Builder {
    pub(super) log: Log,
    actions: HashMap<String, u32>,
    groups: HashMap<String, u32>,
    contexts: HashMap<Context, u32>,
}

impl Builder {
    pub(super) fn new(file: String) -> Self {
        let log = Log { file, ..Log::default() };
        Self { log, actions: HashMap::new(), groups: HashMap::new(), contexts: HashMap::new() }
    }

    /// The number of an action; one that is new gets these features.
    pub(super) fn action(&mut self, name: &str, features: impl FnOnce() -> Vec<u32>) -> u32 {
        if let Some(known) = self.actions.get(name) {
            return *known;
        }
        let number = self.log.actions.len() as u32;
        self.actions.insert(name.to_owned(), number);
        self.log.actions.push(Action { name: name.to_owned(), features: features() });
        number
    }

    /// The number of a group; in one that is new these actions are possible.
    pub(super) fn group(&mut self, name: &str, possible: impl FnOnce(u32) -> Vec<u32>) -> u32 {
        if let Some(known) = self.groups.get(name) {
            return *known;
        }
        let number = self.log.groups.len() as u32;
        self.groups.insert(name.to_owned(), number);
        self.log.groups.push((name.to_owned(), possible(number)));
        number
    }

    /// Adds a row.
    pub(super) fn push(
        &mut self,
        context: Context,
        action: u32,
        clicked: bool,
        propensity: f64,
    ) -> Result<(), ExitError> {
        let log = &mut self.log;
        if log.rows.len() >= MOST_ROWS {
            let problem = format!(
                "{}: more than {MOST_ROWS} rows; evaluate a part of the log, such as its last days",
                log.file
            );
            return Err(ExitError::new(Exit::InputUnusable, problem));
        }
        let next = log.contexts.len() as u32;
        let context = *self.contexts.entry(context).or_insert_with_key(|context| {
            log.contexts.push(context.clone());
            next
        });
        log.rows.push(Row { context, action, clicked, propensity });
        Ok(())
    }
}
