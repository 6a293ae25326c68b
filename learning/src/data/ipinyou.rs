//! iPinYou's logs as they lie on a user's disk (Liao et al. 2014, *iPinYou Global RTB Bidding Algorithm Competition Dataset*):
//! columns by tabs, without a header. Either an impression log of 24 columns, whose clicks are in a log of their own, or what
//! is made of both for training, with the click, the weekday and the hour in front.

use super::schema::Schema;
use super::schema_file::SchemaErrors;

/// The columns of a log of impressions.
pub const IPINYOU_COLUMNS: [&str; 24] = [
    "bidid",
    "timestamp",
    "logtype",
    "ipinyouid",
    "useragent",
    "IP",
    "region",
    "city",
    "adexchange",
    "domain",
    "url",
    "urlid",
    "slotid",
    "slotwidth",
    "slotheight",
    "slotvisibility",
    "slotformat",
    "slotprice",
    "creative",
    "bidprice",
    "payprice",
    "keypage",
    "advertiser",
    "usertag",
];

/// Whether the clicks are in the log, and its columns.
pub(super) fn columns(count: usize) -> Option<(bool, Vec<String>)> {
    let raw = || IPINYOU_COLUMNS.iter().map(|name| (*name).to_owned());
    match count {
        24 => Some((false, raw().collect())),
        // Later tools add columns at the end.
        27.. => {
            Some((true, ["click", "weekday", "hour"].into_iter().map(str::to_owned).chain(raw()).collect()))
        }
        _ => None,
    }
}

impl Schema {
    /// The schema that fits both kinds of log, as its text.
    pub const IPINYOU: &str = include_str!("ipinyou.toml");
}

pub(super) fn schema() -> Result<Schema, SchemaErrors> {
    Schema::read("ipinyou.toml", Schema::IPINYOU)
}
