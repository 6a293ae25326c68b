//! The exchanges that may ask, from the `[[exchange]]` tables.

use std::path::Path;
use std::time::Duration;

use haggle_domain::{ExchangeKey, Rates};
use haggle_openrtb::UserId;

use super::address::domain;
use super::document::{Node, Table};
use super::duration;
use super::files;
use super::settings::currency_code;
use super::words::{identifier, word};
use crate::price::{PriceKey, PriceKeys};

/// An exchange that may ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Its name, the last part of its bid address.
    pub name: String,
    /// The stable hash of its name.
    pub key: ExchangeKey,
    /// Which notice costs money.
    pub bill_on: BillOn,
    /// With what it encrypts the prices in its notices; none where it writes them plainly.
    pub price_encryption: Option<PriceKeys>,
    /// How it is told that there is no bid.
    pub no_bid: NoBid,
    /// Where a request's user id is looked for, in this order: the first that is there counts. Empty: nowhere.
    pub user_ids: Vec<UserId>,
    /// How many requests a second it may send; none for as many as it likes.
    pub max_qps: Option<u32>,
    /// How much of `tmax` the network takes, there and back.
    pub network_margin: Duration,
    /// Its domain as an advertising system, as publishers' ads.txt files and `schain` name it.
    pub domain: Option<String>,
    /// The share of first-price bids that try another price than the best, in 0..=1, while it tells only who won.
    pub explore_prices: f64,
}

/// Which of an exchange's notices is its bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillOn {
    /// The billing notice (OpenRTB 2.5, section 4.2.2: `burl`), sent when the ad was shown.
    Burl,
    /// The win notice, for exchanges that send no billing notice.
    Nurl,
}

/// How an exchange is told that there is no bid (OpenRTB 2.6, section 4.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoBid {
    /// HTTP 204 without a body.
    #[default]
    Empty,
    /// HTTP 200 with a response that says why in `nbr`.
    Reason,
}

/// What the network takes where nothing is said.
const NETWORK_MARGIN: Duration = Duration::from_millis(10);
/// Tried prices lie within a factor of two and lose at most the surplus of their share of the bids, of which this is 2 %; the
/// curve's memory then holds some 400 of them.
const EXPLORE_PRICES: f64 = 0.02;

impl Exchange {
    /// One that says no more of itself than what it has to.
    pub fn new(name: String, bill_on: BillOn) -> Self {
        let key = ExchangeKey::of(&name);
        let user_ids = vec![UserId::Buyeruid, UserId::Id];
        Self {
            name,
            key,
            bill_on,
            no_bid: NoBid::default(),
            user_ids,
            max_qps: None,
            network_margin: NETWORK_MARGIN,
            domain: None,
            price_encryption: None,
            explore_prices: EXPLORE_PRICES,
        }
    }
}

impl BillOn {
    /// As the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Burl => "burl",
            Self::Nurl => "nurl",
        }
    }
}

impl NoBid {
    /// As the configuration writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Reason => "reason",
        }
    }
}

/// As the configuration writes it.
pub(super) fn user_id_word(id: &UserId) -> String {
    match id {
        UserId::Buyeruid => "buyeruid".to_owned(),
        UserId::Id => "id".to_owned(),
        UserId::Extended(source) => format!("eid:{source}"),
    }
}

/// `rates` are none where the account's currency or the file of rates could not be read. `folder` is what the paths of keys
/// are relative to; none for the built-in file.
pub(super) fn read_all(root: &mut Table<'_>, rates: Option<&Rates>, folder: Option<&Path>) -> Vec<Exchange> {
    let example = "[{ name = \"exchange\", bill_on = \"burl\" }]; without one there is nobody to bid with";
    let mut exchanges: Vec<Exchange> = Vec::new();
    let Some(list) = root.need("exchange", example).and_then(|node| node.list()) else {
        return exchanges;
    };
    for node in list {
        let Some(mut table) = node.table() else { continue };
        let name_node = table.need("name", "\"exchange\"");
        let name = name_node.as_ref().and_then(|node| node.read(identifier));
        let bill_on = table
            .need("bill_on", "\"burl\"")
            .and_then(|node| node.choice(&[("burl", BillOn::Burl), ("nurl", BillOn::Nurl)]));
        let no_bid = table
            .get("no_bid")
            .and_then(|node| node.choice(&[("empty", NoBid::Empty), ("reason", NoBid::Reason)]));
        let user_ids = table.get("user_ids").and_then(|node| user_ids(&node));
        let max_qps = table.get("max_qps").and_then(|node| node.integer(1..=10_000_000));
        let network_margin = table.get("network_margin").and_then(|node| node.read(margin));
        let domain = table.get("domain").and_then(|node| node.read(domain));
        let explore_prices = table.get("explore_prices").and_then(|node| share(&node));
        if let Some(node) = table.get("currency") {
            node.read(|text| convertible(text, rates));
        }
        // Keys that cannot be read are a mistake, never a reason to take plain prices.
        let price_encryption = table.get("price_encryption").and_then(|node| price_keys(&node, folder));
        table.finish();
        // What is wrong with the rest was reported, and stops the start.
        let (Some(name), Some(bill_on)) = (name, bill_on) else { continue };
        let plain = Exchange::new(name, bill_on);
        if exchanges.iter().any(|known| known.key == plain.key) {
            if let Some(node) = name_node {
                node.fail(format!(
                    "{:?} is another exchange's name too (letters' case is ignored)",
                    plain.name
                ));
            }
            continue;
        }
        exchanges.push(Exchange {
            no_bid: no_bid.unwrap_or_default(),
            user_ids: user_ids.unwrap_or_else(|| plain.user_ids.clone()),
            max_qps: max_qps.and_then(|most| u32::try_from(most).ok()),
            network_margin: network_margin.unwrap_or(plain.network_margin),
            domain,
            price_encryption,
            explore_prices: explore_prices.unwrap_or(plain.explore_prices),
            ..plain
        });
    }
    exchanges
}

fn price_keys(node: &Node<'_>, folder: Option<&Path>) -> Option<PriceKeys> {
    let mut table = node.table()?;
    let mut key = |name| {
        let node = table.need(name, "\"price.key\"")?;
        node.read(|path| {
            let path = folder.unwrap_or(Path::new("")).join(path);
            PriceKey::parse(files::secret(&path)?.expose()).ok_or_else(|| {
                format!(
                    "{} holds no key of 32 bytes in web-safe base64 or hexadecimal digits; \
                     write there what the exchange handed out",
                    path.display()
                )
            })
        })
    };
    let (encryption, integrity) = (key("encryption_key_file"), key("integrity_key_file"));
    table.finish();
    Some(PriceKeys { encryption: encryption?, integrity: integrity? })
}

/// Half of the bids may be no experiment.
fn share(node: &Node<'_>) -> Option<f64> {
    let share = node.number().filter(|share| (0.0..=0.5).contains(share));
    if share.is_none() {
        node.fail("must be a share from 0 (no bids) to 0.5; write it like 0.02");
    }
    share
}

fn margin(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        span if span <= Duration::from_secs(1) => Ok(span),
        _ => Err("is more than a second, longer than any exchange waits; write it like \"20ms\"".to_owned()),
    }
}

fn user_ids(node: &Node<'_>) -> Option<Vec<UserId>> {
    let read: Vec<_> = node.list()?.iter().map(|node| node.read(user_id)).collect();
    read.into_iter().collect()
}

fn user_id(text: &str) -> Result<UserId, String> {
    match (text, text.strip_prefix("eid:")) {
        ("buyeruid", _) => Ok(UserId::Buyeruid),
        ("id", _) => Ok(UserId::Id),
        (_, Some(source)) => word(source).map(UserId::Extended),
        _ => Err(format!(
            "{text:?} is none of \"buyeruid\", \"id\" and \"eid:\" with a source, like \"eid:ids.example\""
        )),
    }
}

/// An exchange whose prices mean nothing to the account would never get a bid.
fn convertible(text: &str, rates: Option<&Rates>) -> Result<(), String> {
    currency_code(text)?;
    match rates {
        Some(rates) if rates.find(text).is_none() => Err(format!(
            "{text} is not the account's currency {} and has no rate; give it one in the file that rates_file names",
            rates.account
        )),
        _ => Ok(()),
    }
}
