//! What a goal asks for on average, and how it came out.

use haggle_domain::{Campaign, Goal};

use super::Campaigned;

/// What a campaign's goal asks for on average, in units of currency.
#[derive(Clone, Copy, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
pub enum Asked {
    /// A click costs at most this.
    #[n(0)]
    Cpc(#[n(0)] f64),
    /// An order costs this.
    #[n(1)]
    Cpa(#[n(0)] f64),
    /// Revenue × margin ÷ spend.
    #[n(2)]
    Roas {
        /// That ratio.
        #[n(0)]
        target: f64,
        /// The share of revenue that counts, above 0 and at most 1.
        #[n(1)]
        margin: f64,
        /// What an order is taken to bring before any came.
        #[n(2)]
        order_value: f64,
    },
}

impl Asked {
    /// Of a campaign; none where its goal is no average.
    pub fn of(campaign: &Campaign) -> Option<Self> {
        match campaign.goal {
            Goal::Cpc { max } => Some(Self::Cpc(max.to_f64())),
            Goal::Cpa { target } => Some(Self::Cpa(target.to_f64())),
            Goal::Roas { target, order_value, margin } => {
                Some(Self::Roas { target, margin, order_value: order_value.to_f64() })
            }
            Goal::Cpm { .. } | Goal::Vcpm { .. } | Goal::Reach { .. } => None,
        }
    }

    /// As in campaigns' files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpc(_) => "cpc",
            Self::Cpa(_) => "cpa",
            Self::Roas { .. } => "roas",
        }
    }

    /// What is asked for.
    pub const fn target(self) -> f64 {
        match self {
            Self::Cpc(target) | Self::Cpa(target) | Self::Roas { target, .. } => target,
        }
    }

    /// What a campaign's clicks, or orders, might have cost.
    pub fn worth(self, campaigned: &Campaigned) -> f64 {
        match self {
            Self::Cpc(most) => most * campaigned.clicks as f64,
            Self::Cpa(target) => target * campaigned.orders as f64,
            Self::Roas { target, margin, .. } => campaigned.revenue.to_f64() * margin / target,
        }
    }

    /// What one of them might have cost.
    pub fn worth_of_one(self) -> f64 {
        match self {
            Self::Cpc(worth) | Self::Cpa(worth) => worth,
            Self::Roas { target, margin, order_value } => order_value * margin / target,
        }
    }
}
