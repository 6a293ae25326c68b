//! The exchanges that may ask, from the `[[exchange]]` tables.

use std::path::Path;

use haggle_domain::ExchangeKey;

use super::document::{Node, Table};
use super::files;
use super::settings::currency_code;
use super::words::identifier;
use crate::price::{PriceKey, PriceKeys};

/// An exchange that may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its name, the last part of its bid address.
    pub name: String,
    /// The stable hash of its name.
    pub key: ExchangeKey,
    /// Which notice costs money.
    pub bill_on: BillOn,
    /// With what it encrypts the prices in its notices; none where it writes them plainly.
    pub price_encryption: Option<PriceKeys>,
}

/// Which of an exchange's notices is its bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillOn {
    /// The billing notice (OpenRTB 2.5, section 4.2.2: `burl`), sent when the ad was shown.
    Burl,
    /// The win notice, for exchanges that send no billing notice.
    Nurl,
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

/// `folder` is what the paths of keys are relative to; none for the built-in file.
pub(super) fn read_all(root: &mut Table<'_>, currency: Option<&str>, folder: Option<&Path>) -> Vec<Exchange> {
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
        if let Some(node) = table.get("currency") {
            node.read(|text| own_currency(text, currency));
        }
        // Keys that cannot be read are a mistake, never a reason to take plain prices.
        let price_encryption = table.get("price_encryption").and_then(|node| price_keys(&node, folder));
        table.finish();
        let (Some(name), Some(bill_on)) = (name, bill_on) else { continue };
        let key = ExchangeKey::of(&name);
        if exchanges.iter().any(|known| known.key == key) {
            if let Some(node) = name_node {
                node.fail(format!("{name:?} is another exchange's name too (letters' case is ignored)"));
            }
            continue;
        }
        exchanges.push(Exchange { name, key, bill_on, price_encryption });
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

/// Amounts are never converted, so another currency's prices would be taken for the account's.
fn own_currency(text: &str, account: Option<&str>) -> Result<(), String> {
    currency_code(text)?;
    match account {
        Some(account) if account != text => Err(format!(
            "{text} is not the account's currency {account}, and amounts are not converted; \
             run another account for this exchange or have it trade in {account}"
        )),
        _ => Ok(()),
    }
}
