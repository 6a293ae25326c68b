//! A scenario: a world, how long and how busy, and the campaigns in it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haggle_actors::campaign::CampaignSettings;
use haggle_domain::{Campaign, Timestamp};
use haggle_learning::JoinerSettings;
use haggle_simulator::WorldSettings;
use haggle_simulator::drive::{BidderSettings, DriveSettings};
use serde::Deserialize;
use toml::{Table, Value};

use super::change::{Change, conditions};
use super::faults::FaultKeys;
use super::vary::{Choice, Target};
use crate::config::{self, BillOn, Exchange, Loaded, Nameable, Settings};
use crate::demo::may_be_asked;
use crate::exit::{Exit, ExitError};

/// The scenario's own keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct World {
    /// For people.
    name: String,
    /// What the scenario shows.
    #[serde(rename = "teaches")]
    _teaches: String,
    /// Days that it takes.
    days: f64,
    /// Bid requests a day, on average.
    requests_a_day: f64,
    /// Users.
    #[serde(default = "users")]
    users: usize,
    /// Chooses the bidder's own draws, such as of creatives. Two that differ in it alone should show no difference.
    #[serde(default)]
    salt: u64,
    /// Days after the start from which on it is counted what comes of it.
    #[serde(default)]
    measured_from: f64,
    /// What changes meanwhile.
    #[serde(default, rename = "change")]
    changes: Vec<Change>,
    /// What goes wrong.
    #[serde(default)]
    faults: FaultKeys,
    /// When it begins.
    #[serde(default = "start")]
    start: String,
    /// The folder of the campaigns, beside the scenario; without it those that are built in. Read before variants are made.
    #[serde(rename = "campaigns")]
    _campaigns: Option<String>,
}

fn users() -> usize {
    WorldSettings::default().users
}

fn start() -> String {
    "2026-11-23T00:00:00Z".to_owned()
}

/// A scenario's text and its campaigns', so that variants can change both.
#[derive(Clone, Debug)]
pub struct Scenario {
    file: String,
    world: Table,
    /// The files of the campaigns, and one table a campaign.
    campaigns: Vec<(String, Table)>,
    /// The ids of those that the simulated exchanges never ask.
    left_out: Vec<String>,
    /// What a node's settings are where nothing is said.
    built_in: Arc<Loaded>,
}

/// What one variant is simulated with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The scenario's name.
    pub name: String,
    /// All but the seed.
    pub settings: DriveSettings,
    /// The campaigns.
    pub campaigns: Vec<Campaign>,
    /// Those that the simulated exchanges never ask.
    pub left_out: Vec<String>,
}

/// Keys that variants share.
const FIXED: [&str; 3] = ["campaigns", "name", "teaches"];

fn wrong(problem: impl std::fmt::Display) -> ExitError {
    ExitError::new(Exit::Configuration, problem)
}

impl Scenario {
    /// Reads a scenario and its campaigns.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self, ExitError> {
        let file = path.display().to_string();
        let text = read(path)?;
        let world: Table = toml::from_str(&text).map_err(|error| wrong(format!("{file}: {error}")))?;
        let folder = match world.get("campaigns") {
            Some(Value::String(folder)) => Some(path.parent().unwrap_or(Path::new("")).join(folder)),
            _ => None,
        };
        let texts: Vec<(String, String)> = match folder {
            None => config::built_in_campaigns()
                .iter()
                .map(|(name, text)| (format!("built-in {name}"), (*text).to_owned()))
                .collect(),
            Some(folder) => {
                let failed = |error: std::io::Error| {
                    ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", folder.display()))
                };
                let entries = std::fs::read_dir(&folder).map_err(failed)?;
                let mut paths = entries
                    .map(|entry| entry.map(|entry| entry.path()).map_err(failed))
                    .collect::<Result<Vec<_>, _>>()?;
                paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
                paths.sort();
                paths
                    .iter()
                    .map(|path| Ok((path.display().to_string(), read(path)?)))
                    .collect::<Result<_, ExitError>>()?
            }
        };
        let built_in = Arc::new(config::load_built_in(&Default::default()).map_err(wrong)?);
        let nameable = nameable(&built_in);
        let mut campaigns = Vec::new();
        for (name, text) in texts {
            // As a node reads it, so that errors have their lines.
            config::campaigns_of(&name, &text, &nameable).map_err(wrong)?;
            let table: Table = toml::from_str(&text).map_err(|error| wrong(format!("{name}: {error}")))?;
            match table.get("campaign") {
                Some(Value::Array(several)) => campaigns.extend(
                    several.iter().filter_map(Value::as_table).map(|table| (name.clone(), table.clone())),
                ),
                _ => campaigns.push((name, table)),
            }
        }
        let mut scenario = Self { file, world, campaigns, left_out: Vec::new(), built_in };
        scenario.left_out = scenario.setup(&[])?.left_out;
        Ok(scenario)
    }

    /// What a variant is simulated with.
    ///
    /// # Errors
    ///
    /// A key or value that the scenario or a campaign does not take, or a campaign that is not there.
    pub fn setup(&self, choices: &[Choice]) -> Result<Setup, ExitError> {
        let (mut world, mut campaigns) = (self.world.clone(), self.campaigns.clone());
        for choice in choices {
            match &choice.target {
                // The files are read once, before there are variants.
                Target::Scenario(path) if path.first().is_some_and(|key| FIXED.contains(&key.as_str())) => {
                    return Err(wrong(format!(
                        "--vary {choice}: cannot be varied; make a scenario of its own of it"
                    )));
                }
                Target::Scenario(path) => set(&mut world, path, choice)?,
                Target::Campaign(id, path) => {
                    let mut found = false;
                    if path.first().is_some_and(|key| key == "id") {
                        return Err(wrong(format!("--vary {choice}: campaigns are told apart by it")));
                    }
                    for (_, table) in &mut campaigns {
                        let own = table.get("id").and_then(Value::as_str).unwrap_or_default();
                        let takes_part = !self.left_out.iter().any(|left_out| left_out == own);
                        if takes_part && (id == "*" || id == own) {
                            set(table, path, choice)?;
                            found = true;
                        }
                    }
                    if !found {
                        let ids = self.campaigns.iter().filter_map(|(_, it)| it.get("id")?.as_str());
                        let takes_part = |own: &&str| !self.left_out.iter().any(|left_out| left_out == own);
                        let ids: Vec<&str> = ids.filter(takes_part).collect();
                        let problem = format!(
                            "--vary {choice}: no campaign {id:?} takes part; there are {}",
                            ids.join(", ")
                        );
                        return Err(wrong(problem));
                    }
                }
            }
        }
        let varied = |name: &str| match choices {
            [] => name.to_owned(),
            _ => format!("{name} with {}", Choice::name(choices)),
        };
        let world =
            World::deserialize(world).map_err(|error| wrong(format!("{}: {error}", varied(&self.file))))?;
        let (nameable, simulated) = (nameable(&self.built_in), simulated());
        let mut read = Vec::new();
        for (name, table) in &campaigns {
            let text = toml::to_string(table).map_err(|error| wrong(format!("{name}: {error}")))?;
            read.extend(config::campaigns_of(&varied(name), &text, &nameable).map_err(wrong)?);
        }
        let mut ids = BTreeSet::new();
        if let Some(twice) = read.iter().find(|campaign| !ids.insert(&campaign.id)) {
            return Err(wrong(format!("{}: two campaigns are called {:?}; rename one", self.file, twice.id)));
        }
        // What is for other exchanges alone would stand in the tables and do nothing.
        let (kept, left_out): (Vec<_>, Vec<_>) =
            read.into_iter().partition(|campaign| may_be_asked(campaign, &simulated));
        let left_out = left_out.into_iter().map(|campaign| campaign.id).collect();
        self.checked(&world, kept, left_out)
    }

    fn checked(
        &self,
        world: &World,
        campaigns: Vec<Campaign>,
        left_out: Vec<String>,
    ) -> Result<Setup, ExitError> {
        let refuse = |key: &str, problem: &str| Err(wrong(format!("{}: {key}: {problem}", self.file)));
        if !(world.days > 0.0 && world.days <= 366.0) {
            return refuse("days", "must be above 0 and at most 366");
        }
        if !(world.measured_from >= 0.0 && world.measured_from < world.days) {
            return refuse("measured_from", "must be from 0 to less than days");
        }
        let changes = match conditions(&world.changes) {
            Ok(changes) => changes,
            Err(problem) => return Err(wrong(format!("{}: {problem}", self.file))),
        };
        let faults = match world.faults.checked() {
            Ok(faults) => faults,
            Err(problem) => return Err(wrong(format!("{}: faults: {problem}", self.file))),
        };
        if !(world.requests_a_day >= 1.0 && world.requests_a_day <= 1e9) {
            return refuse("requests_a_day", "must be from 1 to 1,000,000,000");
        }
        if !(1..=1_000_000).contains(&world.users) {
            return refuse("users", "must be from 1 to 1,000,000");
        }
        let Ok(start) = world.start.parse::<Timestamp>() else {
            return refuse("start", "is no time; write it like 2026-11-23T00:00:00Z");
        };
        if campaigns.is_empty() {
            return refuse("campaigns", "has none");
        }
        Ok(Setup {
            name: world.name.clone(),
            settings: DriveSettings {
                seed: 0,
                start,
                span: Duration::from_secs_f64(world.days * 86_400.0),
                measured_from: Duration::from_secs_f64(world.measured_from * 86_400.0),
                changes,
                requests_a_day: world.requests_a_day,
                notice_delay: Duration::from_millis(200),
                faults,
                world: WorldSettings { users: world.users, ..WorldSettings::default() },
                bidder: BidderSettings { salt: world.salt, ..node_settings(&self.built_in.settings) },
            },
            campaigns,
            left_out,
        })
    }
}

/// The same for the simulated bidder.
fn node_settings(settings: &Settings) -> BidderSettings {
    BidderSettings {
        campaign: CampaignSettings {
            notice_timeout: settings.notice_timeout,
            lease_duration: settings.lease_duration,
            click_expiry: settings.click_expiry,
            conversion_window: settings.conversion_window,
        },
        joiner: JoinerSettings {
            click_window: settings.click_window,
            order_window: settings.order_window,
            capacity: 1_000_000,
        },
        tick: Duration::from_secs(1),
        publish: Duration::from_secs(60),
        bid_log_sample: settings.bid_log_sample,
        explore_prices: simulated()[0].explore_prices,
        salt: 0,
    }
}

/// What targeting may name: the simulated exchanges, and what the built-in configuration has.
fn nameable(loaded: &Loaded) -> Nameable {
    let exchanges = simulated().into_iter().chain(loaded.exchanges.iter().cloned());
    Nameable { exchanges: exchanges.collect(), lists: loaded.lists.clone() }
}

pub(super) fn simulated() -> [Exchange; 2] {
    [("alder", BillOn::Burl), ("birch", BillOn::Nurl)]
        .map(|(name, bill_on)| Exchange::new(name.to_owned(), bill_on))
}

fn read(path: &Path) -> Result<String, ExitError> {
    let failed =
        |error| ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", path.display()));
    std::fs::read_to_string(path).map_err(failed)
}

/// Puts a value where a path leads, making the tables on the way.
fn set(table: &mut Table, path: &[String], choice: &Choice) -> Result<(), ExitError> {
    let Some((last, way)) = path.split_last() else { return Ok(()) };
    let mut at = table;
    for key in way {
        let next = at.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
        at = next.as_table_mut().ok_or_else(|| {
            wrong(format!("--vary {choice}: {key:?} is no table, so nothing can be set in it"))
        })?;
    }
    at.insert(last.clone(), choice.value.clone());
    Ok(())
}
