//! The server's settings. Each is declared once, in the list below, and is thereby a key of the file, a flag and
//! an environment variable; whoever is nearest to the running program wins: flag, variable, file, default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use haggle_domain::AttributionModel;
use haggle_safety::{Mode, SafetyReason, SupplyPolicy};

use super::address::base_url;
use super::brokers::Brokers;
use super::document::{Node, Table, kind, whole};
use super::error::{ConfigError, Source};
use super::flags::SettingsLayer;
use super::redis::RedisAddress;
use super::value::{Keep, LogFormat, Value, Workers, within};

/// One setting, as its list entry declares it.
#[derive(Debug)]
pub struct Setting {
    /// The key in the file.
    pub key: &'static str,
    /// The flag, without the dashes.
    pub flag: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// What holds where nobody says anything.
    pub default: &'static str,
    pub(super) help_with_default: &'static str,
    pub(super) placeholder: &'static str,
    pub(super) bare: bool,
}

/// A setting's value as it came out, and why.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Which setting.
    pub setting: &'static Setting,
    /// The value, as text.
    pub value: String,
    /// Who said so.
    pub source: Source,
}

/// What a value must hold beyond its form.
type Check<T> = dyn Fn(&T) -> Result<(), String>;

/// `max_body_bytes` → `max-body-bytes`, or → `HAGGLE_MAX_BODY_BYTES`; at compile time, because clap wants
/// names that live for ever.
const fn renamed<const N: usize>(prefix: &str, key: &str, from: u8, to: u8, upper: bool) -> [u8; N] {
    let mut out = [0; N];
    let mut at = 0;
    while at < N {
        let byte = if at < prefix.len() { prefix.as_bytes()[at] } else { key.as_bytes()[at - prefix.len()] };
        out[at] = if byte == from {
            to
        } else if upper {
            byte.to_ascii_uppercase()
        } else {
            byte
        };
        at += 1;
    }
    out
}

const fn text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}

macro_rules! settings {
    ($( $(#[doc = $help:literal])+ $key:ident: $kind:ty = $default:literal $(, $check:expr)?; )+) => {
        /// The server's settings, checked.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $( $(#[doc = $help])+ pub $key: $kind, )+
        }

        /// Every setting, in the order of the list.
        pub const SETTINGS: &[Setting] = &[$(
            Setting {
                key: stringify!($key),
                flag: {
                    const NAME: [u8; stringify!($key).len()] =
                        renamed("", stringify!($key), b'_', b'-', false);
                    text(&NAME)
                },
                variable: {
                    const NAME: [u8; "HAGGLE_".len() + stringify!($key).len()] =
                        renamed("HAGGLE_", stringify!($key), b'_', b'_', true);
                    text(&NAME)
                },
                help: concat!($($help),+).trim_ascii(),
                default: $default,
                help_with_default: concat!($($help,)+ " [default: ", $default, "]").trim_ascii(),
                placeholder: <$kind as Value>::PLACEHOLDER,
                bare: <$kind as Value>::BARE,
            },
        )+];

        impl Settings {
            pub(super) fn resolve(given: &SettingsLayer, file: &mut Table<'_>) -> Resolved {
                let mut layers = Layers { given, file, effective: Vec::new(), problems: Vec::new() };
                let mut settings = SETTINGS.iter();
                $( let $key = settings.next().and_then(|setting| {
                    let checks: &[&Check<$kind>] = &[$(&$check)?];
                    layers.resolve::<$kind>(setting, checks)
                }); )+
                let Layers { effective, problems, .. } = layers;
                let settings = (|| Some(Self { $($key: $key?),+ }))();
                Resolved { settings, effective, problems }
            }
        }
    };
}

settings! {
    /// Where exchanges' requests and notices are served.
    listen: SocketAddr = "127.0.0.1:8080";
    /// Where metrics and health are served.
    admin_listen: SocketAddr = "127.0.0.1:9090";
    /// Allow admin_listen to be reachable from other machines.
    admin_allow_remote: bool = "false";
    /// The address under which exchanges and browsers reach `listen`; notice URLs begin with it.
    public_url: String = "http://127.0.0.1:8080", |url: &String| base_url(url);
    /// The directory of the journal and the model.
    data: PathBuf = "data";
    /// The directory of the campaigns; in a file, relative to that file.
    campaigns: PathBuf = "campaigns";
    /// Threads that serve requests; auto is one a core.
    workers: Workers = "auto";
    /// What becomes of requests that cannot be answered in time: off, observe (count what would be let go) or enforce (let it go).
    load_shedding: Mode = "enforce";
    /// How long requests may wait for their turn before some are let go.
    queue_target: Duration = "2ms", within(Duration::from_millis(1), Duration::from_secs(1));
    /// A model of archives that serves is rolled back when it is shown that more than 1 of 100 answers take longer.
    model_latency: Duration = "20ms", within(Duration::from_millis(1), Duration::from_secs(1));
    /// Whether models of archives are rolled back by the node itself, or it only warns.
    model_rollback: bool = "true";
    /// The largest request that is read, in bytes.
    max_body_bytes: usize = "262144", within(4096, 8 << 20);
    /// The account's currency: budgets, prices and bids are in it.
    currency: String = "USD", |code: &String| currency_code(code);
    /// A file with what other currencies are worth in the account's; in a file, relative to that file.
    rates_file: Option<PathBuf> = "";
    /// The seat that bids are made for.
    seat: String = "haggle", |seat: &String| short(seat);
    /// Our id in IAB Europe's Global Vendor List, under which consent is looked for; 0 is none, so nobody consents.
    tcf_vendor_id: u16 = "0", within(0, 4095);
    /// Kafka's brokers, as host:port,host:port: several nodes then bid with one budget; without them this one stands alone.
    kafka: Option<Brokers> = "";
    /// What the names of Haggle's topics and of its group begin with.
    kafka_prefix: String = "haggle", |prefix: &String| topic_prefix(prefix);
    /// How many partitions the topic of events is made with; campaigns are spread over them.
    kafka_partitions: u16 = "12", within(1, 1024);
    /// A file with more properties of the broker's clients, a key=value a line; in a file, relative to that file.
    kafka_properties_file: Option<PathBuf> = "";
    /// Bytes that wait on this node's disk while no broker is reachable: at half of it no bids are made, at all of it notices get 503.
    spool_bytes: usize = "1073741824", within(1 << 20, 1 << 40);
    /// How long a node of which nothing is heard is waited for before reservations that it may know of are released.
    node_grace: Duration = "10m", within(Duration::from_secs(10), days(1));
    /// How often each campaign's actor plans its spend.
    tick: Duration = "100ms", within(Duration::from_millis(10), Duration::from_secs(10));
    /// How long a bid's money waits for its notice.
    notice_timeout: Duration = "1h", within(Duration::from_millis(100), days(7));
    /// How long bids are made from one lease before the next is opened.
    lease_duration: Duration = "10m", within(Duration::from_millis(100), days(1));
    /// An impression without a click after this teaches that there was none.
    click_window: Duration = "30m", within(Duration::from_millis(100), days(7));
    /// A click without an order after this teaches that there was none.
    order_window: Duration = "6h", within(Duration::from_millis(100), days(60));
    /// A click later than this after the bid does not count.
    click_expiry: Duration = "1d", within(Duration::from_millis(100), days(30));
    /// An order later than this after the bid does not count.
    conversion_window: Duration = "30d", within(Duration::from_millis(100), days(365));
    /// By which model orders are credited to campaigns: last, first, linear, decay, position, shapley or markov; see docs/attribution.md.
    attribution: AttributionModel = "last";
    /// How long before an order a click counts for it.
    attribution_click_window: Duration = "30d", within(Duration::from_secs(60), days(90));
    /// How long before an order a view counts for it.
    attribution_view_window: Duration = "1d", within(Duration::ZERO, days(90));
    /// With the model decay: a touch so long before another one counts half as much.
    attribution_half_life: Duration = "7d", within(Duration::from_secs(60), days(90));
    /// Views and clicks of users that are kept for orders, at up to 270 bytes each; once full, the oldest make room.
    attribution_touches: usize = "500000", within(1, 100_000_000);
    /// How often campaigns and the model are checkpointed.
    checkpoint_interval: Duration = "10s", within(Duration::from_millis(100), Duration::from_secs(3600));
    /// How many campaigns have metrics of their own, those that started first; totals are of all.
    metrics_campaigns: usize = "1000", within(0, 100_000);
    /// Messages that wait for one campaign's actor before notices are answered 503.
    mailbox: usize = "1024", within(16, 1 << 20);
    /// Records that wait for the journal's writer.
    journal_queue: usize = "8192", within(64, 1 << 20);
    /// Records of the journal are dropped when they are older and nothing needs them; 0 or forever keeps all.
    retention: Keep = "35d", |keep: &Keep| long_enough(keep);
    /// Where the node writes backups of itself (`POST /backup` on the admin port); in a file, relative to that file.
    backups: Option<PathBuf> = "";
    /// The share of bids that is logged.
    bid_log_sample: f64 = "0.01", within(0.0, 1.0);
    /// Of how many users something is known, at 200 bytes each; once full, those not met for long make room.
    max_profiles: usize = "1000000", within(1, 100_000_000);
    /// Where several nodes share what they know of users, like redis://:password@host:6379/0; empty where each knows for itself.
    redis: Option<RedisAddress> = "";
    /// The longest that a bid waits for what is known of its user.
    redis_timeout: Duration = "5ms", within(Duration::from_millis(1), Duration::from_millis(200));
    /// Copies that a node keeps of users that it shares.
    user_cache: usize = "100000", within(1, 10_000_000);
    /// For how long such a copy is good for bids.
    user_cache_ttl: Duration = "1s", within(Duration::ZERO, Duration::from_secs(10));
    /// What is logged: error, warn, info, debug, trace, or directives such as info,haggle_actors=debug.
    log: String = "info,actix_server=warn,actix_http=off", |directives: &String| log_directives(directives);
    /// How log lines are written.
    log_format: LogFormat = "text";
    /// How long a stop waits for requests in progress.
    drain: Duration = "5s", within(Duration::ZERO, Duration::from_secs(300));
    /// A file with the key that the shop's events must carry; in a file, relative to that file.
    event_key_file: Option<PathBuf> = "";
    /// The file of the keys that tokens are sealed with, which nodes may share; in a file, relative to that file.
    token_key_file: Option<PathBuf> = "";
    /// What becomes of requests from bots, data centres and devices that contradict themselves: off, observe (count) or enforce (refuse).
    invalid_traffic: Mode = "enforce";
    /// What becomes of requests whose IP address no device on the internet has: private, for documentation, unreadable.
    special_addresses: Mode = "observe";
    /// A list of bots beside the built-in one, plain or in the IAB's form; in a file, relative to that file.
    bots_file: Option<PathBuf> = "";
    /// A list of valid browsers, plain or in the IAB's form; in a file, relative to that file.
    browsers_file: Option<PathBuf> = "";
    /// A list of data centres' and proxies' networks; in a file, relative to that file.
    data_centres_file: Option<PathBuf> = "";
    /// The directory of allow and block lists, such as block-domains.txt; in a file, relative to that file.
    lists: Option<PathBuf> = "";
    /// A database of where IP addresses are, in MaxMind's format (.mmdb); in a file, relative to that file.
    geoip_file: Option<PathBuf> = "";
    /// The directory that `haggle supply refresh` keeps; in a file, relative to that file.
    supply_store: Option<PathBuf> = "";
    /// What becomes of unauthorised supply: off, observe, enforce, or one mode for each of ads_txt, sellers, chain, unavailable.
    supply_check: SupplyPolicy = "observe";
}

impl Settings {
    /// The paths of files that need not be there by their keys, to be made relative to the file that says them.
    pub(super) fn optional_paths(&mut self) -> [(&'static str, &mut Option<PathBuf>); 9] {
        [
            ("token_key_file", &mut self.token_key_file),
            ("kafka_properties_file", &mut self.kafka_properties_file),
            ("backups", &mut self.backups),
            ("bots_file", &mut self.bots_file),
            ("browsers_file", &mut self.browsers_file),
            ("data_centres_file", &mut self.data_centres_file),
            ("lists", &mut self.lists),
            ("geoip_file", &mut self.geoip_file),
            ("supply_store", &mut self.supply_store),
        ]
    }
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

pub(super) fn currency_code(code: &str) -> Result<(), String> {
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err(format!("{code:?} is not a currency; write its three capital letters, like \"USD\""))
    }
}

fn long_enough(keep: &Keep) -> Result<(), String> {
    match keep.0 {
        Some(keep) if keep < Duration::from_secs(1) => Err("is shorter than a second".to_owned()),
        _ => Ok(()),
    }
}

fn topic_prefix(prefix: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=100).contains(&prefix.len()) && prefix.bytes().all(fits) && !prefix.starts_with('.') {
        Ok(())
    } else {
        Err(format!(
            "{prefix:?} cannot begin a topic's name; use 1 to 100 letters, digits, dots, hyphens and underscores"
        ))
    }
}

fn short(seat: &str) -> Result<(), String> {
    if seat.len() <= 64 { Ok(()) } else { Err("is longer than 64 characters".to_owned()) }
}

fn log_directives(directives: &str) -> Result<(), String> {
    tracing_subscriber::EnvFilter::try_new(directives).map(|_| ()).map_err(|error| {
        format!("{directives:?}: {error}; write it like \"info\" or \"info,haggle_actors=debug\"")
    })
}

/// What came out of the layers.
pub(super) struct Resolved {
    pub(super) settings: Option<Settings>,
    pub(super) effective: Vec<Effective>,
    pub(super) problems: Vec<ConfigError>,
}

struct Layers<'l, 'd> {
    given: &'l SettingsLayer,
    file: &'l mut Table<'d>,
    effective: Vec<Effective>,
    problems: Vec<ConfigError>,
}

impl Layers<'_, '_> {
    fn resolve<T: Value>(&mut self, setting: &'static Setting, checks: &[&Check<T>]) -> Option<T> {
        // The file's value is checked even where a flag covers it: without the flag it would stop a start.
        let read = |text: &str, source: &Source, problems: &mut Vec<ConfigError>| {
            let checked = T::parse(text).and_then(|value| {
                checks.iter().try_for_each(|check| check(&value))?;
                Ok(value)
            });
            let complain = |problem| {
                let key = setting.key.to_owned();
                problems.push(ConfigError { source: source.clone(), key, problem });
            };
            checked.map_err(complain).ok()
        };
        let from_file = self.file.get(setting.key).map(|node| {
            let source = node.source();
            let value = scalar(&node).and_then(|text| read(&text, &source, &mut self.problems));
            (value, source)
        });
        let given = self
            .given
            .get(setting.key)
            .map(|(text, source)| (read(text, source, &mut self.problems), source.clone()));
        let (value, source) = given.or(from_file).unwrap_or_else(|| {
            (read(setting.default, &Source::Default, &mut self.problems), Source::Default)
        });
        let value = value?;
        self.effective.push(Effective { setting, value: value.show(), source });
        Some(value)
    }
}

/// A single value of a file as the text that a flag would carry.
fn scalar(node: &Node<'_>) -> Option<String> {
    use toml::de::DeValue;
    match node.value() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            let number = whole(number);
            if number.is_none() {
                node.fail("is too large a number");
            }
            number.map(|number| number.to_string())
        }
        other => {
            node.fail(format!("is {}, must be a single value", kind(other)));
            None
        }
    }
}

/// What must hold between settings.
pub(super) fn check_together(settings: &Settings, effective: &[Effective]) -> Vec<ConfigError> {
    let mut problems = Vec::new();
    let mut fail = |key: &str, problem: String| {
        let source = effective.iter().find(|effective| effective.setting.key == key);
        let source = source.map_or(Source::Default, |effective| effective.source.clone());
        problems.push(ConfigError { source, key: key.to_owned(), problem });
    };
    if !settings.admin_listen.ip().is_loopback() && !settings.admin_allow_remote {
        fail(
            "admin_listen",
            format!(
                "{} can be reached from other machines, and budgets and spend stand there for all to read; \
                 use a loopback address such as 127.0.0.1:9090, or set admin_allow_remote = true",
                settings.admin_listen
            ),
        );
    }
    if settings.listen == settings.admin_listen && settings.listen.port() != 0 {
        fail("admin_listen", format!("{} is listen's address too; choose another port", settings.listen));
    }
    let without_store =
        [SafetyReason::UnauthorisedSeller, SafetyReason::UnlistedSeller, SafetyReason::AdsTxtUnavailable];
    let enforced = settings.supply_check.enforced();
    if settings.supply_store.is_none() && without_store.into_iter().any(|reason| enforced.contains(reason)) {
        let problem = "enforces what only a store can tell, and there is none; set supply_store to the directory that \
                       `haggle supply refresh` keeps, or write \"chain=enforce\"";
        fail("supply_check", problem.to_owned());
    }
    let mut ordered = |shorter: (&str, Duration), longer: (&str, Duration)| {
        if shorter.1 > longer.1 {
            let problem = format!(
                "{} is longer than {} = {}; shorten the one or lengthen the other",
                shorter.1.show(),
                longer.0,
                longer.1.show()
            );
            fail(shorter.0, problem);
        }
    };
    ordered(("tick", settings.tick), ("lease_duration", settings.lease_duration));
    ordered(("click_window", settings.click_window), ("click_expiry", settings.click_expiry));
    ordered(("order_window", settings.order_window), ("conversion_window", settings.conversion_window));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_its_three_names() {
        let body = SETTINGS.iter().find(|setting| setting.key == "max_body_bytes").unwrap();
        assert_eq!(body.flag, "max-body-bytes");
        assert_eq!(body.variable, "HAGGLE_MAX_BODY_BYTES");
        assert_eq!(body.help, "The largest request that is read, in bytes.");
        assert_eq!(body.default, "262144");
    }
}
