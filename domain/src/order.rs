//! Orders as the shop tells of them, and which campaigns are credited with them.

use crate::id::{BidId, CampaignKey, Tag, UserKey};
use crate::money::Micros;
use crate::time::Timestamp;

/// An order that the shop's server told of.
#[derive(Clone, Debug, Default, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Order {
    /// The tag of the shop's id of it: an order counts once.
    #[n(0)]
    pub tag: Tag,
    /// The shop's id of it, as it was written.
    #[n(1)]
    pub id: String,
    /// Who ordered, where the shop says so.
    #[n(2)]
    pub user: Option<UserKey>,
    /// Clicks that the order is proven to follow from, by their tokens.
    #[n(3)]
    pub clicks: Vec<ProvenClick>,
    /// When it was placed.
    #[n(4)]
    pub placed_at: Timestamp,
    /// What it brought, in the account's currency.
    #[n(5)]
    pub value: Micros,
    /// What was ordered.
    #[n(6)]
    pub lines: Vec<OrderLine>,
    /// What kind of order it is, as the shop calls it.
    #[n(7)]
    pub kind: Option<String>,
}

/// A click whose token the landing page passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct ProvenClick {
    /// Of which bid's ad.
    #[n(0)]
    pub bid: BidId,
    /// When the bid was made; the click came later.
    #[n(1)]
    pub bid_at: Timestamp,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct OrderLine {
    /// The shop's name of the product.
    #[n(0)]
    pub product: String,
    /// How many.
    #[n(1)]
    pub quantity: u32,
    /// What all of them brought together, in the account's currency.
    #[n(2)]
    pub value: Micros,
}

/// By which rule an order is credited to what was seen and clicked before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum AttributionModel {
    /// All to the last click; without a click to the last view.
    #[n(0)]
    #[default]
    Last,
    /// All to the first click; without a click to the first view.
    #[n(1)]
    First,
    /// To all alike.
    #[n(2)]
    Linear,
    /// The more, the later: half as much for each half-life earlier.
    #[n(3)]
    Decay,
    /// 40 % to the first, 40 % to the last, the rest to those between.
    #[n(4)]
    Position,
    /// By what each campaign adds to the share of users who order (Shapley).
    #[n(5)]
    Shapley,
    /// By how many orders would be missing without each campaign (Markov chain).
    #[n(6)]
    Markov,
}

impl AttributionModel {
    /// Every model.
    pub const ALL: [Self; 7] =
        [Self::Last, Self::First, Self::Linear, Self::Decay, Self::Position, Self::Shapley, Self::Markov];

    /// As settings and reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::First => "first",
            Self::Linear => "linear",
            Self::Decay => "decay",
            Self::Position => "position",
            Self::Shapley => "shapley",
            Self::Markov => "markov",
        }
    }

    /// Whether it has to be fitted to what users did before it can credit anything.
    pub const fn is_fitted(self) -> bool {
        matches!(self, Self::Shapley | Self::Markov)
    }
}

impl std::str::FromStr for AttributionModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|model| model.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(|model| format!("{:?}", model.as_str())).join(", ");
            format!("{text:?} is none of {names}")
        })
    }
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// Campaigns were credited with it.
    #[n(0)]
    Credited,
    /// The user met the campaigns' ads, but longer ago than any window reaches.
    #[n(1)]
    Late,
    /// Nothing is known of the user before it.
    #[n(2)]
    Orphan,
    /// The shop has changed or cancelled it since it was credited.
    #[n(3)]
    Corrected,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Self; 4] = [Self::Credited, Self::Late, Self::Orphan, Self::Corrected];

    /// As metrics and reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credited => "credited",
            Self::Late => "late",
            Self::Orphan => "orphan",
            Self::Corrected => "corrected",
        }
    }
}

/// A campaign's part in an order.
#[derive(Clone, Copy, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Credit {
    /// Whose.
    #[n(0)]
    pub campaign: CampaignKey,
    /// How much of the order's value.
    #[n(1)]
    pub amount: Micros,
    /// How many of the user's touches were the campaign's.
    #[n(2)]
    pub touches: u32,
    /// How many of those were clicks.
    #[n(3)]
    pub clicks: u32,
    /// Its share in the order, 0 to 1, also where that brings nothing: corrections go by it. Not told in old records.
    #[n(4)]
    pub share: Option<f64>,
}

/// How an order was credited. The credits sum to the order's value, or there are none.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Attribution {
    /// Which order.
    #[n(0)]
    pub order: Tag,
    /// The shop's id of it, where it was told.
    #[n(1)]
    pub id: Option<String>,
    /// When it was placed.
    #[n(2)]
    pub placed_at: Timestamp,
    /// What it brings now.
    #[n(3)]
    pub value: Micros,
    /// What became of it.
    #[n(4)]
    pub standing: Standing,
    /// By which model it was credited: another than configured where that is not fitted yet.
    #[n(5)]
    pub model: AttributionModel,
    /// To whom, by the campaigns' rising keys.
    #[n(6)]
    pub credits: Vec<Credit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_read_as_they_are_written() {
        for model in AttributionModel::ALL {
            assert_eq!(model.as_str().parse(), Ok(model));
        }
        let error = "lats".parse::<AttributionModel>().unwrap_err();
        assert!(error.starts_with("\"lats\" is none of \"last\", \"first\""), "{error}");
    }
}
