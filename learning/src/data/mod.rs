//! From files of rows to [`Batch`](crate::Batch)es: what offline training reads.
//!
//! A [`Schema`] says what a table's columns mean, an [`Encoder`] turns one row's texts into slots by it, and a
//! [`Reader`] fills batches from a file larger than memory. The encoder knows nothing of files, so what is learned
//! from a file can be asked of one record.

mod cells;
mod clicks;
mod collisions;
mod csv;
mod encoder;
mod error;
mod ipinyou;
mod libsvm;
mod lines;
mod number;
mod open_bandit;
mod parquet;
mod reader;
mod schema;
mod schema_file;
mod seen;
mod source;
mod table;
mod time;
mod vw;

pub use cells::Cells;
pub use collisions::CollisionReport;
pub use csv::Records;
pub use encoder::{BadValue, Encoder, Sink};
pub use error::{BadRow, BadRows, DataError, Flaw};
pub use ipinyou::IPINYOU_COLUMNS;
pub use libsvm::FeatureIndex;
pub use open_bandit::{BanditRow, LEAST_PROPENSITY, OpenBandit};
pub use reader::{Format, ReadOptions, ReadReport, Reader};
pub use schema::{Feature, How, Positive, Scale, Schema};
pub use schema_file::{SchemaError, SchemaErrors};
pub use time::Part;
