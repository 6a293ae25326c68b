//! The command line of `haggle simulate calibrate`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::Args;

use crate::replay::log::Format;

/// What a scenario is fitted to, and where it goes.
#[derive(Clone, Debug, Args)]
pub struct CalibrateArgs {
    /// The folder of a node's data, whose journal is measured; the node is stopped.
    #[arg(long, value_name = "DIR", conflicts_with = "log", required_unless_present_any = ["log", "orders"])]
    pub data: Option<PathBuf>,
    /// A log of recorded auctions in place of a journal; a name that ends in .gz is unpacked, one that ends in .json has sums.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// The log's layout: pairs, sam, rlb or ipinyou.
    #[arg(long, value_enum, value_name = "NAME", default_value = "pairs", requires = "log")]
    pub format: Format,
    /// The log of clicks to an iPinYou log of impressions.
    #[arg(long, value_name = "FILE", requires = "log")]
    pub clicks: Option<PathBuf>,
    /// Orders, with titles: a column of values, or Online Retail's InvoiceNo, Quantity and UnitPrice.
    #[arg(long, value_name = "FILE.csv")]
    pub orders: Option<PathBuf>,
    /// The column of the orders' values.
    #[arg(long, value_name = "TITLE", default_value = "value", requires = "orders")]
    pub order_column: String,
    /// The scenario that it begins with; without it the quiet shop.
    #[arg(long, value_name = "BASE.toml")]
    pub scenario: Option<PathBuf>,
    /// Where the fitted scenario goes; nothing is overwritten.
    #[arg(long, value_name = "FILE.toml")]
    pub out: PathBuf,
    /// How many worlds it is fitted in, and as many others it is judged in.
    #[arg(long, value_name = "N", default_value = "4")]
    pub seeds: NonZeroU32,
    /// The first world's seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How often it is simulated and corrected at most.
    #[arg(long, value_name = "N", default_value = "5")]
    pub rounds: NonZeroU32,
    /// Worlds that are simulated side by side; without it one a core.
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// How many bad rows of a file are left out before it is refused.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub bad_rows: u64,
    /// Write the report as JSON.
    #[arg(long)]
    pub json: bool,
}
