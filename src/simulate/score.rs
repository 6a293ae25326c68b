//! `haggle simulate score`: what came of forecasts, by what a node's journal says was spent.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use haggle_domain::{CampaignKey, Event, Micros};
use serde::{Deserialize, Serialize};

use super::calibrate::journal::each;
use super::forecast::DELIVERS;
use crate::cli::print;
use crate::exit::{Exit, ExitError};
use crate::model::{Progress, to_json, watched};

/// Which forecasts, and what came.
#[derive(Clone, Debug, Args)]
pub struct ScoreArgs {
    /// What haggle simulate SCENARIO.toml --json wrote before.
    #[arg(value_name = "FORECAST.json")]
    pub forecast: PathBuf,
    /// The folder of the node's data, which is stopped; its journal is of the days that were forecast.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The variant whose forecasts are taken.
    #[arg(long, value_name = "NAME", default_value = super::AS_IT_IS)]
    pub variant: String,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is read of a report; its other members say nothing that is asked here.
#[derive(Deserialize)]
struct Told {
    forecasts: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    variant: String,
    campaign: String,
    delivers: f64,
    low: f64,
    high: f64,
}

/// A campaign's forecast and what came.
#[derive(Clone, Debug, Serialize)]
struct Line {
    campaign: String,
    delivers: f64,
    low: f64,
    high: f64,
    /// The share of the budget that was spent.
    came: f64,
    within: bool,
    /// The square distance of `delivers` from what came, 1 or 0.
    brier: f64,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
struct Scores {
    variant: String,
    campaigns: Vec<Line>,
    /// The share whose interval, of 80 %, holds what came.
    within: f64,
    /// The mean (Brier 1950).
    brier: f64,
    notes: Vec<String>,
}

/// Scores, and prints it.
///
/// # Errors
///
/// Files that cannot be read or used, a variant or campaign that is not there, or it was stopped.
pub(super) fn run(args: &ScoreArgs) -> Result<(), ExitError> {
    let asked = args.clone();
    let scores = watched(args.json, move |progress| score(&asked, progress))?;
    print(if args.json { to_json(&scores)? } else { scores.text() })
}

fn score(args: &ScoreArgs, progress: &Progress) -> Result<Scores, ExitError> {
    let said = forecasts(&args.forecast, &args.variant)?;
    let money = money(&args.data, progress)?;
    let name = args.forecast.display();
    let (mut lines, mut notes) = (Vec::new(), Vec::new());
    for it in said {
        let Some((_, opened, spent)) = money.get(&CampaignKey::of(&it.campaign)) else {
            let known: Vec<&str> = money.values().map(|(id, ..)| id.as_str()).collect();
            let problem = format!(
                "{name}: campaign {:?} is not in the journal of {}; there are {}",
                it.campaign,
                args.data.display(),
                known.join(", ")
            );
            return Err(ExitError::new(Exit::InputUnusable, problem));
        };
        if *opened <= Micros::ZERO {
            notes.push(format!("left out: {}, which had no money", it.campaign));
            continue;
        }
        let came = spent.to_f64() / opened.to_f64();
        let delivered = if came >= DELIVERS { 1.0 } else { 0.0 };
        lines.push(Line {
            within: (it.low - 1e-9..=it.high + 1e-9).contains(&came),
            brier: (it.delivers - delivered).powi(2),
            campaign: it.campaign,
            delivers: it.delivers,
            low: it.low,
            high: it.high,
            came,
        });
    }
    if lines.is_empty() {
        let problem = format!("{name}: no campaign that was forecast had money in the journal");
        return Err(ExitError::new(Exit::InputUnusable, problem));
    }
    let count = lines.len() as f64;
    Ok(Scores {
        variant: args.variant.clone(),
        within: lines.iter().filter(|line| line.within).count() as f64 / count,
        brier: lines.iter().map(|line| line.brier).sum::<f64>() / count,
        campaigns: lines,
        notes,
    })
}

fn forecasts(path: &Path, variant: &str) -> Result<Vec<Said>, ExitError> {
    let name = path.display();
    let text = std::fs::read(path)
        .map_err(|error| ExitError::new(Exit::IoFailed, format!("{name} cannot be read: {error}")))?;
    let unusable = |problem: String| ExitError::new(Exit::InputUnusable, format!("{name}: {problem}"));
    let told: Told = serde_json::from_slice(&text).map_err(|error| {
        unusable(format!("{error}; name what haggle simulate SCENARIO.toml --json wrote"))
    })?;
    if told.forecasts.is_empty() {
        return Err(unusable("has no forecasts; they need at least ten worlds (--seeds)".to_owned()));
    }
    let names: std::collections::BTreeSet<String> =
        told.forecasts.iter().map(|it| it.variant.clone()).collect();
    let said: Vec<Said> = told.forecasts.into_iter().filter(|it| it.variant == variant).collect();
    if said.is_empty() {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(unusable(format!("no variant is called {variant:?}; there are {}", names.join(", "))));
    }
    match said
        .iter()
        .find(|it| ![it.delivers, it.low, it.high].iter().all(|share| (0.0..=1.0).contains(share)))
    {
        Some(wrong) => {
            Err(unusable(format!("the forecast of {:?} is no shares from 0 to 1", wrong.campaign)))
        }
        None => Ok(said),
    }
}

/// By campaign: its id, the money that was opened for its days, and what was spent of it.
type Money = BTreeMap<CampaignKey, (String, Micros, Micros)>;

fn money(data: &Path, progress: &Progress) -> Result<Money, ExitError> {
    let mut money = Money::new();
    each(data, progress, &mut |record| {
        let known =
            matches!(record.event, Event::Defined { .. } | Event::BudgetOpened { .. } | Event::Billed { .. });
        if !known {
            return;
        }
        let (own, opened, spent) = money.entry(record.campaign).or_default();
        match &record.event {
            Event::Defined { id } => own.clone_from(id),
            Event::BudgetOpened { amount, .. } => *opened += *amount,
            Event::Billed { charged, .. } => *spent += *charged,
            _ => {}
        }
    })?;
    Ok(money)
}

impl Scores {
    fn text(&self) -> String {
        let width = self.campaigns.iter().map(|line| line.campaign.len()).max().unwrap_or(0).max(8);
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        // Writing to a text cannot fail.
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:<width$} {:>9} {:>19} {:>9}  {:<6} {:>7}",
            "campaign", "delivers", "eight of ten", "came", "within", "Brier"
        );
        for line in &self.campaigns {
            let _ = writeln!(
                text,
                "{:<width$} {:>9} {:>19} {:>9}  {:<6} {:>7.3}",
                line.campaign,
                percent(line.delivers),
                format!("{} … {}", percent(line.low), percent(line.high)),
                percent(line.came),
                if line.within { "yes" } else { "no" },
                line.brier
            );
        }
        let _ =
            write!(text, "\nwithin: {}, of 80 % to be; Brier score {:.3}", percent(self.within), self.brier);
        for note in &self.notes {
            let _ = write!(text, "\nnote: {note}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use haggle_actors::journal::{EmbeddedJournal, Journal, JournalOptions};
    use haggle_domain::{BidId, Record, Timestamp};

    use super::*;

    fn args(folder: &Path, forecasts: &str, events: &[(&str, Event)]) -> ScoreArgs {
        let forecast = folder.join("forecast.json");
        std::fs::write(&forecast, format!("{{\"forecasts\": {forecasts}, \"more\": 1}}")).unwrap();
        let journal = EmbeddedJournal::open(&folder.join("journal"), &JournalOptions::default()).unwrap();
        let record = |(id, event): &(&str, Event)| Record {
            at: Timestamp(1),
            campaign: CampaignKey::of(id),
            event: event.clone(),
        };
        let (sender, done) = std::sync::mpsc::channel();
        let records = events.iter().map(record).collect();
        let permit = journal.try_reserve().unwrap();
        permit.commit(records, Some(Box::new(move |result| sender.send(result).unwrap())));
        done.recv_timeout(std::time::Duration::from_secs(60)).unwrap().unwrap();
        journal.close().unwrap();
        ScoreArgs { forecast, data: folder.to_owned(), variant: "as it is".to_owned(), json: false }
    }

    fn delivered(id: &'static str, opened: i64, spent: i64) -> [(&'static str, Event); 3] {
        let bid = BidId { campaign: CampaignKey::of(id), lease: 1, number: 0 };
        let charged = Micros(spent);
        [
            (id, Event::Defined { id: id.to_owned() }),
            (id, Event::BudgetOpened { day: 1, amount: Micros(opened) }),
            (id, Event::Billed { bid, reserved: charged, charged, capped: false, explored: false }),
        ]
    }

    const BOOTS: &str = r#"{"variant": "as it is", "campaign": "boots", "delivers": 0.9, "median": 0.97, "low": 0.9, "high": 1.0}"#;
    const TENTS: &str = r#"{"variant": "as it is", "campaign": "tents", "delivers": 0.5, "median": 0.9, "low": 0.8, "high": 1.0}"#;

    #[test]
    fn forecasts_are_set_against_what_was_spent() {
        let folder = tempfile::tempdir().unwrap();
        let events = [delivered("boots", 100, 96), delivered("tents", 200, 100)].concat();
        let args = args(folder.path(), &format!("[{BOOTS}, {TENTS}]"), &events);
        let scores = score(&args, &Progress::default()).unwrap();
        let came: Vec<(f64, bool)> = scores.campaigns.iter().map(|it| (it.came, it.within)).collect();
        assert_eq!(came, [(0.96, true), (0.5, false)]);
        // (0.9 − 1)² and 0.5².
        assert!((scores.brier - (0.01 + 0.25) / 2.0).abs() < 1e-12 && (scores.within - 0.5).abs() < 1e-12);
        assert!(
            scores.text().contains("within: 50.0 %, of 80 % to be; Brier score 0.130"),
            "{}",
            scores.text()
        );
    }

    #[test]
    fn what_cannot_be_scored_is_refused_with_the_reason() {
        let wrong = |forecasts: &str, variant: &str| {
            let folder = tempfile::tempdir().unwrap();
            let mut args = args(folder.path(), forecasts, &delivered("boots", 100, 96));
            variant.clone_into(&mut args.variant);
            score(&args, &Progress::default()).unwrap_err().message
        };
        for (forecasts, variant, problem) in [
            (format!("[{TENTS}]"), "as it is", "campaign \"tents\" is not in the journal"),
            (format!("[{TENTS}]"), "as it is", "there are boots"),
            (format!("[{BOOTS}]"), "dearer", "no variant is called \"dearer\"; there are as it is"),
            ("[]".to_owned(), "as it is", "has no forecasts"),
            ("3".to_owned(), "as it is", "name what haggle simulate"),
            (format!("[{}]", BOOTS.replace("0.9,", "9,")), "as it is", "is no shares from 0 to 1"),
        ] {
            let said = wrong(&forecasts, variant);
            assert!(said.contains(problem), "{said}");
        }
    }
}
