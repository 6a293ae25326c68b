//! Private deals, and floors by duration.

use std::borrow::Cow;

use super::lenient::{Floor, Words};
use super::object::object;

object! {
    /// The private marketplace (section 3.2.11).
    pub Pmp<'a> {
        b"private_auction" =>
        /// No bid without a deal.
        pub private_auction: bool,
        b"deals" =>
        /// In the request's order; elements that are no objects are left out.
        pub deals: Vec<Deal<'a>>,
    }
}

object! {
    /// A deal (section 3.2.12).
    pub Deal<'a> {
        b"id" =>
        /// What a bid names.
        pub id: Cow<'a, str>,
        b"bidfloor" =>
        /// The least acceptable price, or the price itself.
        pub bidfloor: Floor,
        b"bidfloorcur" =>
        /// Its currency.
        pub bidfloorcur: Cow<'a, str>,
        b"at" =>
        /// How the price is set: 1 and 2 as the request's, 3 it is `bidfloor`.
        pub at: Option<i64>,
        b"wseat" =>
        /// Seats that may use it; empty for all.
        pub wseat: Words<'a>,
        b"wadomain" =>
        /// Advertisers' domains that may use it; empty for all.
        pub wadomain: Words<'a>,
        b"guar" =>
        /// Guaranteed.
        pub guar: bool,
        b"mincpmpersec" =>
        /// The least price for each second.
        pub mincpmpersec: Floor,
        b"durfloors" =>
        /// Floors for ads of some durations.
        pub durfloors: Vec<DurFloor>,
    }
}

object! {
    /// A floor for ads of some durations (section 3.2.35).
    pub DurFloor {
        b"mindur" =>
        /// From so many seconds.
        pub mindur: Option<i64>,
        b"maxdur" =>
        /// To so many.
        pub maxdur: Option<i64>,
        b"bidfloor" =>
        /// In the currency of the imp or deal.
        pub bidfloor: Floor,
    }
}
