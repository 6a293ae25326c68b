//! What an exchange, a browser or a shop says of a bid, once its token was opened and found genuine.

use crate::event::Decision;
use crate::id::Tag;
use crate::money::{CpmMicros, Micros};

/// A notice whose token was opened and found genuine.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
pub enum Notice {
    /// The exchange bills the impression at this price.
    #[n(0)]
    Bill {
        /// What the token carries.
        #[n(0)]
        decision: Decision,
        /// What the exchange asks for.
        #[n(1)]
        price: CpmMicros,
    },
    /// The bid lost.
    #[n(1)]
    Lost {
        /// What the token carries.
        #[n(0)]
        decision: Decision,
        /// What it would have taken to win, if the exchange says.
        #[n(1)]
        min_to_win: Option<CpmMicros>,
    },
    /// The bid won.
    #[n(2)]
    Won {
        /// What the token carries.
        #[n(0)]
        decision: Decision,
        /// The clearing price.
        #[n(1)]
        price: CpmMicros,
        /// What it would have taken to win, if the exchange says.
        #[n(2)]
        min_to_win: Option<CpmMicros>,
    },
    /// The ad was shown.
    #[n(3)]
    Impression {
        /// What the token carries.
        #[n(0)]
        decision: Decision,
    },
    /// The ad was clicked.
    #[n(4)]
    Click {
        /// What the token carries.
        #[n(0)]
        decision: Decision,
    },
    /// An order followed.
    #[n(5)]
    Conversion {
        /// What the token carries.
        #[n(0)]
        decision: Decision,
        /// What it brought.
        #[n(1)]
        revenue: Micros,
        /// Which order; one without an id counts once a bid.
        #[n(2)]
        order: Tag,
    },
}

impl Notice {
    /// What the token carries.
    pub fn decision(&self) -> &Decision {
        match self {
            Self::Bill { decision, .. }
            | Self::Lost { decision, .. }
            | Self::Won { decision, .. }
            | Self::Impression { decision }
            | Self::Click { decision }
            | Self::Conversion { decision, .. } => decision,
        }
    }

    /// The same, to be changed.
    pub fn decision_mut(&mut self) -> &mut Decision {
        match self {
            Self::Bill { decision, .. }
            | Self::Lost { decision, .. }
            | Self::Won { decision, .. }
            | Self::Impression { decision }
            | Self::Click { decision }
            | Self::Conversion { decision, .. } => decision,
        }
    }
}
