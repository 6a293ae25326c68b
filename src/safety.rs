//! The safety gates as the bidder holds them: loaded once from the settings, asked once for each request.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use haggle_safety::supply::StoreError;
use haggle_safety::traffic::{MAX_NETWORKS_BYTES, MAX_PATTERNS_BYTES, Networks, PatternKind, Patterns};
use haggle_safety::{
    Facts, FileError, LineError, Lists, Mode, Reasons, SafetyReason, Store, TrafficGate, file,
};

use crate::config::Settings;
use crate::exit::{Exit, ExitError};

/// Why the gates cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SafetyError {
    /// A setting's file is missing or wrong.
    #[error("{0}: {1}")]
    File(&'static str, FileError),
    /// The store is missing or damaged.
    #[error("supply_store: {0}")]
    Store(StoreError),
    /// The program's own list is wrong.
    #[error("the built-in list of bots is wrong: {0}; please report it")]
    BuiltIn(LineError),
}

impl From<SafetyError> for ExitError {
    fn from(error: SafetyError) -> Self {
        let exit = match error {
            SafetyError::BuiltIn(_) => Exit::Internal,
            SafetyError::File(..) | SafetyError::Store(_) => Exit::Configuration,
        };
        Self::new(exit, error)
    }
}

/// What the gates say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// All that was found, enforced or not.
    pub found: Reasons,
    /// Why the request must not be bid on: the first that is enforced.
    pub refused: Option<SafetyReason>,
}

/// The gates, and how often each reason was met.
#[derive(Debug)]
pub struct Safety {
    traffic: TrafficGate,
    lists: Lists,
    store: Store,
    watched: Reasons,
    enforced: Reasons,
    found: [AtomicU64; SafetyReason::ALL.len()],
    refused: [AtomicU64; SafetyReason::ALL.len()],
}

impl Safety {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// The first file that is missing or wrong, with its setting.
    pub fn load(settings: &Settings) -> Result<Self, SafetyError> {
        let bots = loaded("bots_file", settings.bots_file.as_deref(), MAX_PATTERNS_BYTES, |bytes| {
            Patterns::parse(bytes, PatternKind::Bots)
        })?;
        let browsers =
            loaded("browsers_file", settings.browsers_file.as_deref(), MAX_PATTERNS_BYTES, |bytes| {
                Patterns::parse(bytes, PatternKind::Browsers)
            })?;
        let data_centres = settings.data_centres_file.as_deref();
        let data_centres = loaded("data_centres_file", data_centres, MAX_NETWORKS_BYTES, Networks::parse)?;
        let lists = match &settings.lists {
            Some(folder) => Lists::load(folder).map_err(|error| SafetyError::File("lists", error))?,
            None => Lists::default(),
        };
        let (store, watched) = match &settings.supply_store {
            Some(folder) => (load_store(folder)?, settings.supply_check.watched()),
            // Without a store the chain alone can be judged.
            None => (Store::default(), settings.supply_check.watched().intersection(CHAIN)),
        };
        let traffic = |is: fn(Mode) -> bool| {
            let gate = if is(settings.invalid_traffic) { TRAFFIC } else { Reasons::NONE };
            let addresses = if is(settings.special_addresses) { ADDRESSES } else { Reasons::NONE };
            gate.union(addresses)
        };
        Ok(Self {
            traffic: TrafficGate::new(bots, browsers, data_centres).map_err(SafetyError::BuiltIn)?,
            lists,
            store,
            watched: traffic(|mode| mode != Mode::Off).union(LISTS).union(watched),
            enforced: traffic(|mode| mode == Mode::Enforce)
                .union(LISTS)
                .union(settings.supply_check.enforced().intersection(watched)),
            found: [const { AtomicU64::new(0) }; SafetyReason::ALL.len()],
            refused: [const { AtomicU64::new(0) }; SafetyReason::ALL.len()],
        })
    }

    /// Holds a request against every gate and counts what is found; where an earlier gate refuses, the later ones are not
    /// asked. Allocates nothing and waits for nobody.
    pub fn check(&self, facts: &Facts<'_>) -> Verdict {
        let mut found = Reasons::NONE;
        let gates: [(Reasons, &dyn Fn() -> Reasons); 3] = [
            (TRAFFIC.union(ADDRESSES), &|| self.traffic.check(facts)),
            (LISTS, &|| self.lists.check(facts)),
            (Reasons::ALL, &|| self.store.check(facts)),
        ];
        for (theirs, gate) in gates {
            if !theirs.intersection(self.watched).is_empty() && found.intersection(self.enforced).is_empty() {
                found = found.union(gate().intersection(self.watched));
            }
        }
        let refused = found.intersection(self.enforced).iter().next();
        for reason in found.iter() {
            self.found[reason.index()].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(reason) = refused {
            self.refused[reason.index()].fetch_add(1, Ordering::Relaxed);
        }
        Verdict { found, refused }
    }

    /// How many requests a reason was found in, refused or not.
    pub fn found(&self, reason: SafetyReason) -> u64 {
        self.found[reason.index()].load(Ordering::Relaxed)
    }

    /// How many requests a reason refused.
    pub fn refused(&self, reason: SafetyReason) -> u64 {
        self.refused[reason.index()].load(Ordering::Relaxed)
    }
}

const fn reasons<const N: usize>(list: [SafetyReason; N]) -> Reasons {
    let (mut set, mut at) = (Reasons::NONE, 0);
    while at < N {
        set = set.with(list[at]);
        at += 1;
    }
    set
}

/// What `invalid_traffic` is about.
const TRAFFIC: Reasons = reasons([
    SafetyReason::KnownSpider,
    SafetyReason::AutomatedBrowser,
    SafetyReason::MalformedUserAgent,
    SafetyReason::ContradictoryDevice,
    SafetyReason::DataCentre,
    SafetyReason::UnlistedBrowser,
]);

/// What `special_addresses` is about.
const ADDRESSES: Reasons = reasons([SafetyReason::UnreadableAddress, SafetyReason::SpecialAddress]);

/// What the operator's lists are about: who writes a list means it.
const LISTS: Reasons =
    reasons([SafetyReason::BlockedInventory, SafetyReason::BlockedPublisher, SafetyReason::BlockedSeller]);

/// What can be said of a supply chain without a store.
const CHAIN: Reasons =
    reasons([SafetyReason::IncompleteChain, SafetyReason::MalformedChain, SafetyReason::ForeignChain]);

fn load_store(folder: &Path) -> Result<Store, SafetyError> {
    let (store, loaded) = Store::load(folder).map_err(SafetyError::Store)?;
    let [ads_txt, app_ads_txt, sellers_json] = loaded.files;
    tracing::info!(
        ads_txt,
        app_ads_txt,
        sellers_json,
        records = loaded.records,
        sellers = loaded.sellers,
        bad_lines = loaded.bad,
        "supply store loaded"
    );
    Ok(store)
}

/// A setting's file, read and understood.
fn loaded<T>(
    setting: &'static str,
    path: Option<&Path>,
    limit: u64,
    parse: impl Fn(&[u8]) -> Result<T, LineError>,
) -> Result<Option<T>, SafetyError> {
    let fail = |error| SafetyError::File(setting, error);
    let Some(path) = path else { return Ok(None) };
    let bytes = file::read(path, limit).map_err(fail)?;
    parse(&bytes).map(Some).map_err(|error| fail(FileError::at(path, error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, SettingsLayer};

    const GOOGLEBOT: Facts<'_> = Facts {
        user_agent: "Mozilla/5.0 (compatible; Googlebot/2.1)",
        brands: &[],
        ip: "192.0.2.1",
        ipv6: "",
        os: "",
        site: "bad.example",
        bundle: "",
        app_domain: "",
        publisher: "",
        exchange: "",
        exchange_domain: "",
        chain: None,
    };

    fn settings(given: &[(&'static str, &str)]) -> Settings {
        let layer =
            given.iter().fold(SettingsLayer::default(), |layer, (key, value)| layer.with(key, *value));
        config::load_built_in(&layer).unwrap().settings
    }

    fn reasons_of(safety: &Safety, facts: &Facts<'_>) -> (Vec<SafetyReason>, Option<SafetyReason>) {
        let verdict = safety.check(facts);
        (verdict.found.iter().collect(), verdict.refused)
    }

    #[test]
    fn by_default_bots_are_refused_and_special_addresses_counted() {
        let safety = Safety::load(&settings(&[])).unwrap();
        let (found, refused) = reasons_of(&safety, &GOOGLEBOT);
        assert_eq!(found, [SafetyReason::KnownSpider, SafetyReason::SpecialAddress]);
        assert_eq!(refused, Some(SafetyReason::KnownSpider));
        let person = Facts { user_agent: "Mozilla/5.0", ..GOOGLEBOT };
        assert_eq!(reasons_of(&safety, &person), (vec![SafetyReason::SpecialAddress], None));
        assert_eq!(
            (safety.found(SafetyReason::SpecialAddress), safety.refused(SafetyReason::SpecialAddress)),
            (2, 0)
        );
        assert_eq!(
            (safety.found(SafetyReason::KnownSpider), safety.refused(SafetyReason::KnownSpider)),
            (1, 1)
        );
    }

    #[test]
    fn modes_decide_what_is_looked_for_and_what_refuses() {
        let off =
            Safety::load(&settings(&[("invalid_traffic", "off"), ("special_addresses", "off")])).unwrap();
        assert_eq!(reasons_of(&off, &GOOGLEBOT), (vec![], None));
        let strict = [("invalid_traffic", "observe"), ("special_addresses", "enforce")];
        let strict = Safety::load(&settings(&strict)).unwrap();
        assert_eq!(strict.check(&GOOGLEBOT).refused, Some(SafetyReason::SpecialAddress));
    }

    #[test]
    fn without_a_store_a_chain_is_judged_by_itself() {
        let safety = Safety::load(&settings(&[("supply_check", "chain=enforce")])).unwrap();
        let chain = Some(haggle_safety::Chain { complete: true, version: "1.0", nodes: &[] });
        let facts = Facts { chain, site: "news.example", ..Facts::default() };
        assert_eq!(
            reasons_of(&safety, &facts),
            (vec![SafetyReason::MalformedChain], Some(SafetyReason::MalformedChain))
        );
        assert_eq!(
            reasons_of(
                &safety,
                &Facts { publisher: "1", exchange_domain: "a.example", chain: None, ..facts }
            ),
            (vec![], None)
        );
    }

    #[test]
    fn files_are_loaded_and_a_wrong_one_stops_with_the_code_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        write(
            "lists/block-domains.txt",
            "bad.example
",
        );
        let lists = folder.path().join("lists").display().to_string();
        let clouds = write(
            "clouds.txt",
            "8.8.8.0/24
",
        );
        let given = [("lists", lists.as_str()), ("data_centres_file", clouds.as_str())];
        let safety = Safety::load(&settings(&given)).unwrap();
        let refused = |facts: &Facts<'_>| safety.check(facts).refused;
        assert_eq!(refused(&Facts { ip: "8.8.8.8", ..Facts::default() }), Some(SafetyReason::DataCentre));
        assert_eq!(
            refused(&Facts { site: "www.bad.example", ..Facts::default() }),
            Some(SafetyReason::BlockedInventory)
        );
        let wrong = write(
            "wrong.txt",
            "8.8.8.0/24
cloud
",
        );
        for (setting, path, says) in [
            ("data_centres_file", wrong.as_str(), "wrong.txt:2: \"cloud\" is no network"),
            ("bots_file", "nowhere.txt", "bots_file: nowhere.txt cannot be read"),
            ("browsers_file", "nowhere.txt", "browsers_file: nowhere.txt cannot be read"),
            ("lists", "nowhere", "lists: nowhere cannot be read"),
            ("supply_store", "nowhere", "supply_store: nowhere cannot be read"),
        ] {
            let error = ExitError::from(Safety::load(&settings(&[(setting, path)])).unwrap_err());
            assert!(error.message.contains(says), "{}", error.message);
            assert_eq!(error.exit, Exit::Configuration);
        }
    }
}
