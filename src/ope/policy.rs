//! The policies that can be evaluated: what each would do where.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::log::{Log, Row};
use super::rewards::FOLDS;
use crate::exit::{Exit, ExitError};

/// Which policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The one that made the log. Every estimator but the direct method has to say what the log earned.
    Logged,
    /// Each action that is possible is as probable as any other.
    Uniform,
    /// The action with the best click rate on two other folds.
    Greedy,
    /// Always this creative, or this item.
    Always(String),
    /// The one that made another log, as far as that shows it: how often it took each action in each group.
    Log(PathBuf),
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" => {
                return Err("name a policy: uniform, greedy, logged, creative=ID or a log's file".to_owned());
            }
            "logged" => Self::Logged,
            "uniform" => Self::Uniform,
            "greedy" => Self::Greedy,
            _ => match text.split_once('=') {
                Some(("creative" | "item", id)) if !id.is_empty() => Self::Always(id.to_owned()),
                _ => Self::Log(text.into()),
            },
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logged => out.write_str("logged"),
            Self::Uniform => out.write_str("uniform"),
            Self::Greedy => out.write_str("greedy"),
            Self::Always(id) => write!(out, "always {id}"),
            Self::Log(path) => write!(out, "that of {}", path.display()),
        }
    }
}

/// A policy's probabilities.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Those of the log, which are known only of what was done.
    Logged,
    /// By group and place within the group.
    Table(Vec<Vec<f64>>),
    /// By fold, group and place: what the two folds that follow teach.
    Learned(Vec<Vec<Vec<f64>>>),
}

impl Target {
    /// The probabilities of a group's actions, as the rows of a fold may know them; nothing for the logged policy.
    pub fn of(&self, fold: usize, group: usize) -> &[f64] {
        match self {
            Self::Logged => &[],
            Self::Table(groups) => groups.get(group).map_or(&[], Vec::as_slice),
            Self::Learned(folds) => folds.get(fold).and_then(|it| it.get(group)).map_or(&[], Vec::as_slice),
        }
    }

    /// Whether a model that judges a fold may learn the rows of another. Those that taught the policy are none of
    /// them: what was lucky there is what the policy does, and a model of the same rows would believe in it too.
    pub fn leaves(&self, fold: u8, other: u8) -> bool {
        other != fold && !(matches!(self, Self::Learned(_)) && teaches(fold, other))
    }

    /// A row's weight: the policy's probability of what was done by the log's.
    pub fn weight(&self, log: &Log, row: &Row, fold: usize) -> f64 {
        match self {
            Self::Logged => 1.0,
            Self::Table(_) | Self::Learned(_) => {
                let of = self.of(fold, log.group(row));
                of.get(row.action as usize).copied().unwrap_or_default() / row.propensity
            }
        }
    }

    /// Of what the policy does, the share that the log never did in the same group.
    pub fn never_logged(&self, log: &Log, folds: &[u8]) -> f64 {
        let mut logged: Vec<Vec<bool>> =
            log.groups.iter().map(|(_, actions)| vec![false; actions.len()]).collect();
        for row in &log.rows {
            let own = logged.get_mut(log.group(row)).and_then(|group| group.get_mut(row.action as usize));
            own.into_iter().for_each(|own| *own = true);
        }
        let unknown = |row: &Row, fold: u8| -> f64 {
            let group = log.group(row);
            let of = self.of(usize::from(fold), group).iter().zip(logged.get(group).into_iter().flatten());
            of.map(|(probability, logged)| if *logged { 0.0 } else { *probability }).sum()
        };
        let sum: f64 = log.rows.iter().zip(folds).map(|(row, fold)| unknown(row, *fold)).sum();
        sum.abs() / log.rows.len().max(1) as f64
    }
}

/// Keeps the rows that a policy speaks of: a creative that was not possible somewhere
/// cannot be judged there.
///
/// # Errors
///
/// No such creative, several of that name, or none of it in the log.
pub fn keep_rows(policy: &Policy, log: &mut Log) -> Result<(), ExitError> {
    let Policy::Always(id) = policy else { return Ok(()) };
    let wanted = action_of(id, log)?;
    let (groups, contexts) = (&log.groups, &log.contexts);
    let before = log.rows.len();
    log.rows.retain(|row| {
        let group = contexts.get(row.context as usize).map_or(0, |context| context.group as usize);
        groups.get(group).is_some_and(|(_, actions)| actions.contains(&wanted))
    });
    let gone = before - log.rows.len();
    if gone > 0 {
        log.notes.push(format!("left {gone} rows out where {id} was not possible"));
    }
    Ok(())
}

fn action_of(id: &str, log: &Log) -> Result<u32, ExitError> {
    let names = |name: &str| name == id || name.strip_suffix(id).is_some_and(|before| before.ends_with('/'));
    let found: Vec<usize> =
        log.actions.iter().enumerate().filter(|(_, action)| names(&action.name)).map(|(at, _)| at).collect();
    match found[..] {
        [one] => Ok(one as u32),
        [] => {
            let some: Vec<&str> = log.actions.iter().take(10).map(|action| action.name.as_str()).collect();
            let problem = format!(
                "{}: no row shows {id}; there are {}",
                log.file,
                if some.is_empty() { "none".to_owned() } else { some.join(", ") }
            );
            Err(ExitError::new(Exit::InputUnusable, problem))
        }
        _ => {
            let several: Vec<&str> = found
                .iter()
                .filter_map(|at| log.actions.get(*at))
                .map(|action| action.name.as_str())
                .collect();
            let problem =
                format!("{}: several are called {id}; say which of {}", log.file, several.join(", "));
            Err(ExitError::new(Exit::InputUnusable, problem))
        }
    }
}

/// The policy's probabilities in the log's groups. `other` is the log of the policy, for [`Policy::Log`]; what only
/// it has done becomes an action of `log` too.
///
/// # Errors
///
/// Groups that the other log does not have.
pub fn target(
    policy: &Policy,
    log: &mut Log,
    folds: &[u8],
    other: Option<&Log>,
) -> Result<Target, ExitError> {
    let each = |of: &dyn Fn(&[u32]) -> Vec<f64>, log: &Log| {
        Target::Table(log.groups.iter().map(|(_, actions)| of(actions)).collect())
    };
    Ok(match (policy, other) {
        (Policy::Logged, _) => Target::Logged,
        (Policy::Uniform, _) => each(&|actions| vec![1.0 / actions.len().max(1) as f64; actions.len()], log),
        (Policy::Always(id), _) => {
            let wanted = action_of(id, log)?;
            each(&|actions| actions.iter().map(|it| f64::from(u8::from(*it == wanted))).collect(), log)
        }
        (Policy::Greedy, _) => greedy(log, folds),
        (Policy::Log(_), Some(other)) => frequencies(log, other)?,
        (Policy::Log(path), None) => {
            return Err(ExitError::new(Exit::Internal, format!("{} was not read", path.display())));
        }
    })
}

/// Whether a fold teaches the policy that is judged on another: the two that follow it do.
fn teaches(judged: u8, fold: u8) -> bool {
    [1, 2].iter().any(|after| (judged + after) % FOLDS == fold)
}

/// For each fold the actions that earned best on two others. With few clicks the luckiest of the rarely shown would
/// win, so each action starts with one click at the rate of all.
fn greedy(log: &Log, folds: &[u8]) -> Target {
    let table = (0..FOLDS).map(|fold| {
        let mut shown = vec![(0.0, 0.0); log.actions.len()];
        let (mut rows, mut clicks) = (0.0, 1.0);
        for (row, of) in log.rows.iter().zip(folds) {
            if !teaches(fold, *of) {
                continue;
            }
            let clicked = f64::from(u8::from(row.clicked));
            rows += 1.0;
            clicks += clicked;
            let action = log.possible(log.group(row)).get(row.action as usize);
            if let Some((clicks, rows)) = action.and_then(|action| shown.get_mut(*action as usize)) {
                *clicks += clicked;
                *rows += 1.0;
            }
        }
        let prior = (rows + 1.0) / clicks;
        let rate = |action: &u32| {
            let (clicks, rows) = shown.get(*action as usize).copied().unwrap_or_default();
            (clicks + 1.0) / (rows + prior)
        };
        let best = |actions: &Vec<u32>| {
            let rates: Vec<f64> = actions.iter().map(rate).collect();
            // Of several that are best, the first.
            let best = (0..rates.len()).rev().max_by(|a, b| rates[*a].total_cmp(&rates[*b]));
            (0..rates.len()).map(|at| f64::from(u8::from(Some(at) == best))).collect::<Vec<f64>>()
        };
        log.groups.iter().map(|(_, actions)| best(actions)).collect::<Vec<_>>()
    });
    Target::Learned(table.collect())
}

/// How often another log has each action in each group.
fn frequencies(log: &mut Log, other: &Log) -> Result<Target, ExitError> {
    let mut known: HashMap<String, u32> =
        log.actions.iter().enumerate().map(|(at, action)| (action.name.clone(), at as u32)).collect();
    let mut counts: HashMap<&str, HashMap<u32, f64>> = HashMap::new();
    for row in &other.rows {
        let group = other.group(row);
        let (Some((name, actions)), next) = (other.groups.get(group), log.actions.len() as u32) else {
            continue;
        };
        let Some(action) = actions.get(row.action as usize).and_then(|at| other.actions.get(*at as usize))
        else {
            continue;
        };
        let number = *known.entry(action.name.clone()).or_insert_with(|| {
            log.actions.push(action.clone());
            log.groups.iter_mut().for_each(|(_, actions)| actions.push(next));
            next
        });
        *counts.entry(name).or_default().entry(number).or_default() += 1.0;
    }
    let mut table = Vec::new();
    for (name, actions) in &log.groups {
        let Some(counts) = counts.get(name.as_str()) else {
            let problem = format!("{}: no row of {name}, of which {} has some", other.file, log.file);
            return Err(ExitError::new(Exit::InputUnusable, problem));
        };
        let total: f64 = actions.iter().filter_map(|action| counts.get(action)).sum();
        table.push(actions.iter().map(|it| counts.get(it).copied().unwrap_or_default() / total).collect());
    }
    Ok(Target::Table(table))
}
