//! A scenario: a world, how long and how busy, and the campaigns in it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haggle_actors::campaign::CampaignSettings;
use haggle_domain::{AuctionType, Campaign, Timestamp};
use haggle_learning::{JoinerSettings, Role};
use haggle_simulator::drive::{BidderSettings, DriveSettings, Models};
use haggle_simulator::{Bills, Exchange as Seller, Rival, WorldSettings};
use serde::Deserialize;
use toml::{Table, Value};

use super::change::{Change, conditions};
use super::faults::FaultKeys;
use super::market::{ExchangeKeys, RivalKeys, exchanges, rivals};
use super::vary::{Choice, Target};
use super::world::{
    AisleKeys, BotsKeys, ChurnKeys, SeasonKeys, bots, churn, goods, one, seasons, share, week,
};
use crate::config::{self, BillOn, Exchange, Loaded, Nameable, Settings};
use crate::demo::may_be_asked;
use crate::exit::{Exit, ExitError};
use crate::model::asked_by_bids;

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
    /// How much of them no request shows, as a share of what that usually is.
    #[serde(default = "one")]
    hidden: f64,
    /// Chooses the bidder's own draws, such as of creatives. Two that differ in it alone should show no difference.
    #[serde(default)]
    salt: u64,
    /// Days after the start from which on it is counted what comes of it.
    #[serde(default)]
    measured_from: f64,
    /// What changes meanwhile.
    #[serde(default, rename = "change")]
    changes: Vec<Change>,
    /// A model that serves, beside the scenario.
    model: Option<String>,
    /// The exchanges; without any, the two usual ones.
    #[serde(default, rename = "exchange")]
    exchanges: Vec<ExchangeKeys>,
    /// The other bidders; without it, the usual one.
    #[serde(rename = "rival")]
    rivals: Option<Vec<RivalKeys>>,
    /// Programs among the users.
    bots: Option<BotsKeys>,
    /// How users come and go.
    churn: Option<ChurnKeys>,
    /// How busy the days of the week are, from Monday on.
    week: Option<Vec<f64>>,
    /// How interest comes and goes.
    #[serde(default, rename = "season")]
    seasons: Vec<SeasonKeys>,
    /// What the shop's goods bring.
    #[serde(default, rename = "aisle")]
    aisles: Vec<AisleKeys>,
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

impl Setup {
    /// The simulated exchanges' names.
    pub fn exchanges(&self) -> impl Iterator<Item = &str> {
        self.settings.world.exchanges.iter().map(|exchange| &*exchange.name)
    }
}

/// Keys that variants share.
const FIXED: [&str; 3] = ["campaigns", "name", "teaches"];

pub(super) fn wrong(problem: impl std::fmt::Display) -> ExitError {
    ExitError::new(Exit::Configuration, problem)
}

impl Scenario {
    /// Reads a scenario and its campaigns.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self, ExitError> {
        Self::of(&path.display().to_string(), &read(path)?, path.parent().unwrap_or(Path::new("")))
    }

    /// The same of a scenario's text, whose campaigns' folder is in `beside`. `file` is what errors call it.
    ///
    /// # Errors
    ///
    /// What cannot be read or understood.
    pub(super) fn of(file: &str, text: &str, beside: &Path) -> Result<Self, ExitError> {
        let file = file.to_owned();
        let world: Table = toml::from_str(text).map_err(|error| wrong(format!("{file}: {error}")))?;
        let folder = match world.get("campaigns") {
            Some(Value::String(folder)) => Some(beside.join(folder)),
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
        let nameable = nameable(&built_in, &sellers(&file, &world)?);
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

    /// Its own keys, without the campaigns'.
    pub(super) const fn world(&self) -> &Table {
        &self.world
    }

    /// The same with other keys of its own.
    pub(super) fn with_world(&self, world: Table) -> Self {
        Self { world, ..self.clone() }
    }

    /// The files of its campaigns; those that are built in have none.
    pub fn campaign_files(&self) -> impl Iterator<Item = &Path> {
        self.campaigns.iter().map(|(file, _)| Path::new(file))
    }

    /// What a variant is simulated with.
    ///
    /// # Errors
    ///
    /// A key or value that the scenario or a campaign does not take, or a campaign that is not there.
    pub fn setup(&self, choices: &[Choice]) -> Result<Setup, ExitError> {
        let (mut world, mut campaigns) = (self.world.clone(), self.campaigns.clone());
        for choice in choices {
            if let Target::Scenario(path) = &choice.target {
                say_usual(&mut world, path);
            }
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
        let sellers = exchanges(&world.exchanges)
            .map_err(|problem| wrong(format!("{}: {problem}", varied(&self.file))))?;
        let nameable = nameable(&self.built_in, &sellers);
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
            read.into_iter().partition(|campaign| may_be_asked(campaign, &simulated(&sellers)));
        let left_out = left_out.into_iter().map(|campaign| campaign.id).collect();
        self.checked(&varied(&self.file), &world, sellers, kept, left_out)
    }

    /// The model that serves, if one does.
    fn models(&self, world: &World) -> Result<Models, ExitError> {
        let Some(model) = &world.model else { return Ok(Models::default()) };
        let folder = Path::new(&self.file).parent().unwrap_or(Path::new("")).join(model);
        let guest = asked_by_bids(&folder)?;
        Ok(Models(vec![(Arc::new(guest), Role::Serving)]))
    }

    /// `file` is what errors say that they are in.
    fn checked(
        &self,
        file: &str,
        world: &World,
        exchanges: Vec<Seller>,
        campaigns: Vec<Campaign>,
        left_out: Vec<String>,
    ) -> Result<Setup, ExitError> {
        let in_file = |problem: String| wrong(format!("{file}: {problem}"));
        let refuse = |key: &str, problem: &str| Err(wrong(format!("{file}: {key}: {problem}")));
        if !(world.days > 0.0 && world.days <= 366.0) {
            return refuse("days", "must be above 0 and at most 366");
        }
        if !(world.measured_from >= 0.0 && world.measured_from < world.days) {
            return refuse("measured_from", "must be from 0 to less than days");
        }
        let changes = conditions(&world.changes).map_err(in_file)?;
        let faults =
            world.faults.checked(&exchanges).map_err(|problem| in_file(format!("faults: {problem}")))?;
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
        let population = WorldSettings {
            users: world.users,
            hidden: share(world.hidden, "hidden").map_err(in_file)?,
            week: week(world.week.as_deref()).map_err(in_file)?,
            churn: world.churn.as_ref().map(churn).transpose().map_err(in_file)?,
            bots: world.bots.as_ref().map(bots).transpose().map_err(in_file)?,
            seasons: seasons(&world.seasons).map_err(in_file)?,
            goods: goods(&world.aisles).map_err(in_file)?,
            rivals: rivals(world.rivals.as_deref(), &exchanges).map_err(in_file)?,
            exchanges,
            ..WorldSettings::default()
        };
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
                models: self.models(world)?,
                bidder: BidderSettings {
                    salt: world.salt,
                    turns_bots_away: world.bots.as_ref().is_some_and(|bots| bots.turned_away),
                    ..node_settings(&self.built_in.settings)
                },
                world: population,
            },
            campaigns,
            left_out,
        })
    }
}

/// What a simulated bidder goes by that is to be as a node of these settings.
pub fn node_settings(settings: &Settings) -> BidderSettings {
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
        explore_prices: Exchange::new(String::new(), BillOn::Burl).explore_prices,
        salt: 0,
        turns_bots_away: false,
        reads_requests: false,
    }
}

/// A scenario's exchanges, before anything else of it is looked at.
fn sellers(file: &str, world: &Table) -> Result<Vec<Seller>, ExitError> {
    let keys: Vec<ExchangeKeys> = match world.get("exchange") {
        None => Vec::new(),
        Some(said) => said.clone().try_into().map_err(|error| wrong(format!("{file}: exchange: {error}")))?,
    };
    exchanges(&keys).map_err(|problem| wrong(format!("{file}: {problem}")))
}

/// What targeting may name: the simulated exchanges, and what the built-in configuration has.
fn nameable(loaded: &Loaded, sellers: &[Seller]) -> Nameable {
    let mut exchanges = simulated(sellers);
    let named = |known: &[Exchange], name: &str| known.iter().any(|it| it.name == name);
    for other in &loaded.exchanges {
        if !named(&exchanges, &other.name) {
            exchanges.push(other.clone());
        }
    }
    Nameable { exchanges, lists: loaded.lists.clone() }
}

fn simulated(sellers: &[Seller]) -> Vec<Exchange> {
    let bill_on = |bills| if bills == Bills::Win { BillOn::Nurl } else { BillOn::Burl };
    sellers.iter().map(|it| Exchange::new(it.name.to_string(), bill_on(it.bills))).collect()
}

fn read(path: &Path) -> Result<String, ExitError> {
    let failed =
        |error| ExitError::new(Exit::IoFailed, format!("{} cannot be read: {error}", path.display()));
    std::fs::read_to_string(path).map_err(failed)
}

/// Says what a scenario leaves unsaid, where one of it is to be varied: the usual exchanges and the usual rival, by their names.
fn say_usual(world: &mut Table, path: &[String]) {
    let [key, _, ..] = path else { return };
    let text = |value: &str| Value::String(value.to_owned());
    let usual: Vec<Table> = match key.as_str() {
        "exchange" => {
            let of = |it: Seller| {
                let price = if it.auction == AuctionType::First { "first" } else { "second" };
                let bill = if it.bills == Bills::Win { "win" } else { "impression" };
                [("name", text(&it.name)), ("price", text(price)), ("bill", text(bill))]
            };
            let keys = Seller::usual().into_iter().map(of);
            keys.map(|keys| keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()).collect()
        }
        "rival" => {
            let name = Rival::usual().name;
            vec![
                [("name".to_owned(), text(&name)), ("kind".to_owned(), text("static"))].into_iter().collect(),
            ]
        }
        _ => return,
    };
    let usual = usual.into_iter().map(Value::Table).collect();
    world.entry(key.clone()).or_insert_with(|| Value::Array(usual));
}

/// Puts a value where a path leads, making the tables on the way. Of several tables of one key a part of the path chooses one by its
/// name, or all by `*`.
fn set(table: &mut Table, path: &[String], choice: &Choice) -> Result<(), ExitError> {
    let (key, rest) = match path {
        [] => return Ok(()),
        [last] => {
            table.insert(last.clone(), choice.value.clone());
            return Ok(());
        }
        [key, rest @ ..] => (key, rest),
    };
    match table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(next) => set(next, rest, choice),
        Value::Array(all) if all.iter().all(Value::is_table) => {
            let (Some((chosen, rest)), false) = (rest.split_first(), rest.len() < 2) else {
                return Err(wrong(format!(
                    "--vary {choice}: there are several of {key:?}; say which, and its key"
                )));
            };
            let name = |one: &Table| {
                ["name", "id", "aisle"].iter().find_map(|key| one.get(*key)?.as_str().map(str::to_owned))
            };
            let mut names = Vec::new();
            let mut found = false;
            for one in all.iter_mut().filter_map(Value::as_table_mut) {
                let own = name(one).unwrap_or_default();
                if chosen == "*" || *chosen == own {
                    set(one, rest, choice)?;
                    found = true;
                }
                names.push(own);
            }
            let missing = || format!("--vary {choice}: no {key} {chosen:?}; there are {}", names.join(", "));
            if found { Ok(()) } else { Err(wrong(missing())) }
        }
        _ => Err(wrong(format!("--vary {choice}: {key:?} is no table, so nothing can be set in it"))),
    }
}
