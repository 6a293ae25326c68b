//! What a campaign's actor is told, and what it answers.

use haggle_domain::{CpmMicros, Decision, Micros, Tag};

/// A notice whose token was opened and found genuine.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The exchange bills the impression at this price.
    Bill {
        /// What the token carries.
        decision: Decision,
        /// What the exchange asks for.
        price: CpmMicros,
    },
    /// The bid lost.
    Lost {
        /// What the token carries.
        decision: Decision,
        /// What it would have taken to win, if the exchange says.
        min_to_win: Option<CpmMicros>,
    },
    /// The bid won.
    Won {
        /// What the token carries.
        decision: Decision,
        /// The clearing price.
        price: CpmMicros,
        /// What it would have taken to win, if the exchange says.
        min_to_win: Option<CpmMicros>,
    },
    /// The ad was shown.
    Impression {
        /// What the token carries.
        decision: Decision,
    },
    /// The ad was clicked.
    Click {
        /// What the token carries.
        decision: Decision,
    },
    /// An order followed.
    Conversion {
        /// What the token carries.
        decision: Decision,
        /// What it brought.
        revenue: Micros,
        /// Which order; one without an id counts once a bid.
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
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counted, and is durable.
    Accepted,
    /// It counted at the signed ceiling, because it asked for more.
    Capped,
    /// It had come before; nothing changed.
    Duplicate,
    /// It contradicts what came before (a bill after a loss, a loss after a bill, an impression of a lost bid, more orders
    /// than a click can bring); nothing changed.
    Conflict,
    /// It came too late; nothing changed.
    Expired,
    /// Not now: the actor or the journal has no room, or is starting. Nothing changed; it may come again.
    Busy,
}
