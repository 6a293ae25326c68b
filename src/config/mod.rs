//! Configuration: settings, exchanges and campaigns, from a file, the environment and the command line.
//!
//! Everything is checked before anything starts, and everything that is wrong is reported at once.

mod address;
mod brokers;
mod built_in;
mod campaign;
pub(crate) mod countries;
mod creative;
mod dayparts;
mod document;
mod duration;
mod error;
mod exchange;
pub mod explain;
mod explore;
mod files;
mod flags;
mod frequency;
mod goal;
mod knowledge;
mod pacing;
mod postback;
mod predicates;
mod rates;
mod redis;
mod settings;
mod stream;
mod value;
mod words;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use haggle_domain::{Campaign, CampaignKey, Rates};

use document::Document;
pub(crate) use duration::parse as span;
use predicates::Names;
use settings::Resolved;

pub use brokers::Brokers;
pub(crate) use duration::parse as parse_span;
pub use error::{ConfigError, ConfigErrors, Source};
pub use exchange::{BillOn, Exchange, NoBid};
pub use files::Secret;
pub use flags::SettingsLayer;
pub use knowledge::{List, ListKind, Taxonomy};
pub use postback::Postback;
pub use redis::RedisAddress;
pub use settings::{Effective, SETTINGS, Setting, Settings};
pub use value::{Keep, LogFormat, Workers};

/// Where the file is looked for when none is named.
const USUAL_FILE: &str = "config/haggle.toml";
/// What the embedded files are called in messages.
const BUILT_IN: &str = "built-in haggle.toml";

/// A configuration, checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The server's settings; paths are as they are to be opened.
    pub settings: Settings,
    /// The content of `event_key_file`, where one is set.
    pub event_key: Option<Secret>,
    /// What other currencies are worth, from `rates_file` where one is set.
    pub rates: Rates,
    /// The day that the rates are of, where their file says so.
    pub rates_as_of: Option<String>,
    /// Who may ask.
    pub exchanges: Vec<Exchange>,
    /// Who is told of credited orders.
    pub postbacks: Vec<Postback>,
    /// Lists of sites, apps and users that targeting can name.
    pub lists: Vec<List>,
    /// Taxonomies whose files say what a category belongs to.
    pub taxonomies: Vec<Taxonomy>,
    /// What to advertise, in order of the files' names.
    pub campaigns: Vec<Campaign>,
    /// The directory that they come from; none where they are built in.
    pub campaigns_folder: Option<PathBuf>,
    /// Each campaign's targeting as a person would say it, in the order of `campaigns`.
    pub targeting: Vec<String>,
    /// Each setting's value and where it comes from.
    pub sources: Vec<Effective>,
    /// The file that was read, or that it was the built-in one.
    pub file: String,
}

/// Reads `config_path`; without one `config/haggle.toml`, or where that is not there either, the built-in
/// configuration. `given` wins over the file.
pub fn load(config_path: Option<&Path>, given: &SettingsLayer) -> Result<Loaded, ConfigErrors> {
    let usual = Path::new(USUAL_FILE);
    match config_path.or_else(|| usual.exists().then_some(usual)) {
        Some(path) => {
            let text = files::text(path)?;
            let folder = path.parent().unwrap_or(Path::new(""));
            check(&path.display().to_string(), &text, Some(folder), given)
        }
        None => load_built_in(given),
    }
}

/// Reads the configuration that is inside the program.
pub fn load_built_in(given: &SettingsLayer) -> Result<Loaded, ConfigErrors> {
    check(BUILT_IN, built_in::SETTINGS, None, given)
}

/// The built-in campaigns' files: names and texts.
pub fn built_in_campaigns() -> &'static [(&'static str, &'static str)] {
    built_in::CAMPAIGNS
}

/// `folder` is what paths in the file are relative to; none for the built-in file.
fn check(
    name: &str,
    text: &str,
    folder: Option<&Path>,
    given: &SettingsLayer,
) -> Result<Loaded, ConfigErrors> {
    let entries = document::parse(name, text).map_err(ConfigErrors)?;
    let document = Document::new(name, text);
    let mut root = document.root(&entries);
    let Resolved { settings, mut effective, mut problems } = Settings::resolve(given, &mut root);
    let said = |key: &str| effective.iter().find(|effective| effective.setting.key == key);
    // A path that the file or the default says is relative to the file; another to where it was typed.
    let beside = |effective: &Effective| {
        folder.filter(|_| matches!(effective.source, Source::File { .. } | Source::Default))
    };
    let resolved = |effective: &Effective, path: &Path| match beside(effective) {
        Some(folder) => folder.join(path),
        None => path.to_owned(),
    };
    let rates_file = settings.as_ref().and_then(|settings| settings.rates_file.as_deref());
    let rates_path = said("rates_file").zip(rates_file).map(|(effective, path)| resolved(effective, path));
    let mut rates_problems = Vec::new();
    let rates = said("currency").map(|currency| match &rates_path {
        Some(path) => rates::read(path, &currency.value, &mut rates_problems),
        None => rates::Read::without_file(&currency.value),
    });
    let usable = rates.as_ref().filter(|_| rates_problems.is_empty()).map(|read| &read.rates);
    let exchanges = exchange::read_all(&mut root, usable, folder);
    let postbacks = postback::read_all(&mut root, folder);
    let lists = knowledge::lists(&mut root, folder);
    let taxonomies = knowledge::taxonomies(&mut root, folder);
    root.finish();
    problems.extend(document.into_problems());
    problems.extend(rates_problems);
    if let Some(settings) = &settings {
        problems.extend(settings::check_together(settings, &effective));
    }

    let mut event_key = None;
    let key_file = settings.as_ref().and_then(|settings| settings.event_key_file.as_deref());
    let key_path = said("event_key_file").zip(key_file).map(|(effective, path)| resolved(effective, path));
    if let Some((effective, path)) = said("event_key_file").zip(key_path.as_ref()) {
        match files::secret(path) {
            Ok(secret) => event_key = Some(secret),
            Err(problem) => problems.push(about(effective, problem)),
        }
    }
    // Campaigns are checked even where some setting is wrong, so that one run shows everything.
    let mut campaigns_path = None;
    let mut texts = Vec::new();
    if let Some(effective) = said("campaigns") {
        if folder.is_none() && matches!(effective.source, Source::Default | Source::File { .. }) {
            texts = built_in_campaigns()
                .iter()
                .map(|(name, text)| (format!("built-in {name}"), (*text).to_owned()))
                .collect();
        } else {
            let path = resolved(effective, Path::new(&effective.value));
            texts = files::campaigns(&path, effective.setting.key, &effective.source, &mut problems);
            campaigns_path = Some(path);
        }
    }
    let names = Names { exchanges: &exchanges, lists: &lists };
    let (campaigns, targeting) = read_campaigns(&texts, &names, &mut problems);
    let (Some(mut settings), Some(rates)) = (settings.filter(|_| problems.is_empty()), rates) else {
        return Err(ConfigErrors(problems));
    };
    let rates::Read { rates, as_of: rates_as_of } = rates;

    for effective in &mut effective {
        let path = match effective.setting.key {
            "campaigns" => &campaigns_path,
            "event_key_file" => &key_path,
            "rates_file" => &rates_path,
            _ => continue,
        };
        match path {
            Some(path) => effective.value = path.display().to_string(),
            None if effective.setting.key == "campaigns" => "built in".clone_into(&mut effective.value),
            None => {}
        }
    }
    settings.campaigns = campaigns_path.clone().unwrap_or(settings.campaigns);
    settings.event_key_file = key_path;
    settings.rates_file = rates_path;
    for (key, path) in settings.optional_paths() {
        let said = effective.iter_mut().find(|effective| effective.setting.key == key);
        if let Some((effective, path)) = said.zip(path.as_mut()) {
            *path = resolved(effective, path);
            effective.value = path.display().to_string();
        }
    }
    let file = name.to_owned();
    Ok(Loaded {
        settings,
        event_key,
        rates,
        rates_as_of,
        exchanges,
        postbacks,
        lists,
        taxonomies,
        campaigns,
        campaigns_folder: campaigns_path,
        targeting,
        sources: effective,
        file,
    })
}

/// What campaigns may name that stands elsewhere in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Nameable {
    /// The exchanges.
    pub exchanges: Vec<Exchange>,
    /// The lists.
    pub lists: Vec<List>,
}

impl Nameable {
    fn names(&self) -> Names<'_> {
        Names { exchanges: &self.exchanges, lists: &self.lists }
    }
}

/// Reads one document as a file of the campaigns' directory; `name` is what it is called in errors.
pub fn campaigns_of(name: &str, text: &str, nameable: &Nameable) -> Result<Vec<Campaign>, ConfigErrors> {
    let mut problems = Vec::new();
    let files = [(name.to_owned(), text.to_owned())];
    let (campaigns, _) = read_campaigns(&files, &nameable.names(), &mut problems);
    if problems.is_empty() { Ok(campaigns) } else { Err(ConfigErrors(problems)) }
}

/// Reads the campaigns' directory again.
pub fn campaigns_in(folder: &Path, nameable: &Nameable) -> Result<Vec<Campaign>, ConfigErrors> {
    let mut problems = Vec::new();
    let source = Source::File { name: folder.display().to_string(), line: None };
    let texts = files::campaigns(folder, "campaigns", &source, &mut problems);
    let (campaigns, _) = read_campaigns(&texts, &nameable.names(), &mut problems);
    if problems.is_empty() { Ok(campaigns) } else { Err(ConfigErrors(problems)) }
}

fn about(effective: &Effective, problem: String) -> ConfigError {
    ConfigError { source: effective.source.clone(), key: effective.setting.key.to_owned(), problem }
}

fn read_campaigns(
    files: &[(String, String)],
    names: &Names<'_>,
    problems: &mut Vec<ConfigError>,
) -> (Vec<Campaign>, Vec<String>) {
    let mut campaigns: Vec<Campaign> = Vec::new();
    let mut targeting = Vec::new();
    let mut keys: HashMap<CampaignKey, &str> = HashMap::new();
    for (name, text) in files {
        let entries = match document::parse(name, text) {
            Ok(entries) => entries,
            Err(errors) => {
                problems.extend(errors);
                continue;
            }
        };
        let document = Document::new(name, text);
        let read = campaign::read_all(&document, &entries, names);
        problems.extend(document.into_problems());
        for (read, source) in read {
            if let Some(first) = keys.insert(read.campaign.key, name) {
                problems.push(ConfigError {
                    source,
                    key: "id".to_owned(),
                    problem: format!(
                        "{:?} is the id of {} too (letters' case is ignored); choose another",
                        read.campaign.id,
                        if first == name { "another campaign of this file" } else { first },
                    ),
                });
            }
            campaigns.push(read.campaign);
            targeting.push(read.targeting);
        }
    }
    (campaigns, targeting)
}
