//! Which campaigns an order is credited to: a fold over the journal.
//!
//! [`Touches`] keeps which ads each user saw and clicked, [`Orders`] which orders are known, and [`Attributor`] brings them
//! together, by the models of [`haggle_learning::attribution`]. What it finds becomes an event of the journal, so that whoever
//! is told of it (reports, the shop) is told the same for ever, whatever is configured later.

mod machine;
mod orders;
mod touches;

pub use machine::{Attributor, AttributorSettings, Before, CHECKPOINT, Counts, Found, without_users};
pub use orders::{MOST_EARLY, MOST_ORDERS, ORDER_MEMORY};
pub use touches::{Kept, MOST_OF_USER};
