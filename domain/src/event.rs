//! What happened after a decision: the records of the journal.
//!
//! Records are CBOR with numbered fields. To evolve: give a new field or variant a new number and make the field
//! optional; never reuse a number. A reader that meets an unknown variant refuses the journal rather than skip
//! what might be money.

use crate::holdout::Group;
use crate::id::{BidId, CampaignKey, ExchangeKey, Holder, PrivacyKey, Tag, UserKey};
use crate::money::{CpmMicros, Micros};
use crate::notice::Notice;
use crate::order::{Attribution, Order, OrderLine};
use crate::profile::BehaviourKind;
use crate::quote::Quote;
use crate::terms::Terms;
use crate::time::Timestamp;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Record {
    /// When it happened.
    #[n(0)]
    pub at: Timestamp,
    /// Whose it is; the key of the stream. Zero for events of no campaign.
    #[n(1)]
    pub campaign: CampaignKey,
    /// What happened.
    #[n(2)]
    pub event: Event,
}

/// A decision to bid, as its notices carry it (sealed) and its feedback events repeat it, so that nothing has
/// to remember an open bid.
#[derive(Clone, Debug, Default, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Decision {
    /// Which bid.
    #[n(0)]
    pub bid: BidId,
    /// When it was made.
    #[n(1)]
    pub at: Timestamp,
    /// Until when a billing or loss notice counts: then the reservation is released.
    #[n(2)]
    pub expires_at: Timestamp,
    /// What a thousand such bids can cost at most, in the account's currency; no notice can charge more.
    #[n(3)]
    pub ceiling: CpmMicros,
    /// Who asked.
    #[n(4)]
    pub exchange: ExchangeKey,
    /// Position of the creative in the campaign's list.
    #[n(5)]
    pub creative: u16,
    /// The probability with which that creative was drawn, in (0, 1].
    #[n(6)]
    pub propensity: f32,
    /// The model that scored it.
    #[n(7)]
    pub model_version: u64,
    /// Its click probability by that model.
    #[n(8)]
    pub click_probability: f32,
    /// What the impression was worth to the campaign, before pacing and shading.
    #[n(9)]
    pub value: CpmMicros,
    /// The user, where there was a basis to know them.
    #[n(10)]
    pub user: Option<UserKey>,
    /// The request's features, hashed, one a field, in the model's order.
    #[n(11)]
    pub features: Vec<u32>,
    /// What the exchange's prices mean for this bid.
    #[n(12)]
    #[cbor(default)]
    pub terms: Terms,
    /// For a bid above what the prediction says, to find out: the probability with which a bid at such an imp is raised.
    /// None for a bid at the prediction, or where the raised price came to the same.
    #[n(14)]
    pub explored: Option<f32>,
    /// How probable it was that an order follows, by that model; 0 in decisions from before that was noted.
    #[n(15)]
    #[cbor(default)]
    pub order_probability: f32,
    /// How it was priced.
    #[n(13)]
    #[cbor(default)]
    pub quote: Quote,
}

/// What happened. The first group moves money: replaying it gives the ledger. The second teaches.
#[derive(Clone, Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
pub enum Event {
    /// The campaign exists under this id.
    #[n(0)]
    Defined {
        /// The configured id.
        #[n(0)]
        id: String,
    },
    /// Money became available: a day began, or the budget was raised.
    #[n(1)]
    BudgetOpened {
        /// The advertiser's calendar day (days since 1970).
        #[n(0)]
        day: i32,
        /// How much.
        #[n(1)]
        amount: Micros,
    },
    /// Unspent money was taken away: a day ended, or the budget was lowered.
    #[n(2)]
    BudgetLapsed {
        /// How much.
        #[n(0)]
        amount: Micros,
    },
    /// Money was put where bids may reserve it. Repeated for one lease when it is topped up.
    #[n(3)]
    LeaseGranted {
        /// The lease; numbers rise by one and never come back.
        #[n(0)]
        lease: u32,
        /// How much was added.
        #[n(1)]
        amount: Micros,
        /// When reservations from it are released at the latest.
        #[n(2)]
        expires_at: Timestamp,
        /// Bids take nothing from it but by tranches, so it is known at every moment what of it nobody has.
        #[n(3)]
        #[cbor(default)]
        shared: bool,
    },
    /// The lease takes no more bids; what none had reserved came back.
    #[n(4)]
    LeaseReturned {
        /// The lease.
        #[n(0)]
        lease: u32,
        /// How much came back.
        #[n(1)]
        amount: Micros,
        /// How many bids it paid for.
        #[n(2)]
        bids: u32,
    },
    /// The lease's time is over; what was still reserved came back.
    #[n(5)]
    LeaseExpired {
        /// The lease.
        #[n(0)]
        lease: u32,
        /// How much came back.
        #[n(1)]
        amount: Micros,
    },
    /// A part of a shared lease, and a block of its bids' numbers, was given to one process.
    #[n(37)]
    TrancheGranted {
        /// The lease.
        #[n(0)]
        lease: u32,
        /// Whose bids may take it.
        #[n(1)]
        holder: Holder,
        /// How much.
        #[n(2)]
        amount: Micros,
        /// The number of the first bid from it; what the tranche is called by.
        #[n(3)]
        first: u32,
        /// How many bids it can pay for at most.
        #[n(4)]
        count: u32,
        /// How much of it may pay for bids above what predictions say.
        #[n(5)]
        explore: Micros,
        /// When it takes no more bids.
        #[n(6)]
        closes_at: Timestamp,
        /// When reservations from it are released at the latest: the lease's.
        #[n(7)]
        expires_at: Timestamp,
    },
    /// A tranche takes no more bids; what none had reserved came back.
    #[n(38)]
    TrancheReturned {
        /// The lease.
        #[n(0)]
        lease: u32,
        /// Which of its tranches.
        #[n(1)]
        first: u32,
        /// How much came back.
        #[n(2)]
        amount: Micros,
        /// How many bids it paid for.
        #[n(3)]
        bids: u32,
    },
    /// A bid was billed: its reservation ended, and this was charged.
    #[n(6)]
    Billed {
        /// Which bid.
        #[n(0)]
        bid: BidId,
        /// What it had reserved.
        #[n(1)]
        reserved: Micros,
        /// What it was charged; at most `reserved`.
        #[n(2)]
        charged: Micros,
        /// The notice asked for more than the signed ceiling.
        #[n(3)]
        capped: bool,
        /// The bid was raised above the prediction, to find out.
        #[n(4)]
        #[cbor(default)]
        explored: bool,
    },
    /// A bid lost: its reservation ended.
    #[n(7)]
    Lost {
        /// Which bid.
        #[n(0)]
        bid: BidId,
        /// What it had reserved.
        #[n(1)]
        reserved: Micros,
        /// What it would have taken to win, where the exchange says.
        #[n(2)]
        min_to_win: Option<CpmMicros>,
        /// What the bid could cost at most, as in its decision.
        #[n(3)]
        ceiling: CpmMicros,
        /// Who said so.
        #[n(4)]
        exchange: ExchangeKey,
        /// How the bid was priced, as in its decision.
        #[n(5)]
        #[cbor(default)]
        quote: Quote,
    },

    /// Somebody said that the campaign shall not bid, or that it shall again.
    #[n(32)]
    Paused {
        /// It shall not.
        #[n(0)]
        paused: bool,
        /// When that was told, of several nodes by the clock of the one that was told: so what comes again is known.
        #[n(1)]
        #[cbor(default)]
        told_at: Option<Timestamp>,
    },
    /// The campaign's creatives are these now, in this order: what was counted for each moves to its new position.
    #[n(33)]
    Creatives {
        /// The tags of their ids.
        #[n(0)]
        tags: Vec<Tag>,
    },
    /// An hour is over of a campaign that spends as requests come.
    #[n(35)]
    Traffic {
        /// Which of the advertiser's week; 0 is Monday's first.
        #[n(0)]
        hour: u8,
        /// How many imps it could have bid on, had it been watched from its beginning to its end.
        #[n(1)]
        imps: u64,
    },

    /// What the campaign's bids are multiplied by from here on, so that its averages hold.
    #[n(34)]
    Steered {
        /// What holds the averages.
        #[n(0)]
        goal: f64,
        /// That, and what pacing makes of it.
        #[n(1)]
        total: f64,
        /// Which averages are held: a hash of what was configured. Where it changes, what is to be made up for begins anew.
        #[n(2)]
        aim: Tag,
    },

    /// A win notice came (no money moves).
    #[n(16)]
    Won {
        /// Which bid.
        #[n(0)]
        bid: BidId,
        /// What the clearing price comes to, in the account's currency for a thousand such bids.
        #[n(1)]
        price: CpmMicros,
        /// What the bid could cost at most, as in its decision.
        #[n(2)]
        ceiling: CpmMicros,
        /// Who said so.
        #[n(3)]
        exchange: ExchangeKey,
        /// What it would have taken to win, where the exchange says.
        #[n(4)]
        min_to_win: Option<CpmMicros>,
        /// How the bid was priced, as in its decision.
        #[n(5)]
        #[cbor(default)]
        quote: Quote,
    },
    /// The ad was shown.
    #[n(17)]
    Impression {
        /// The decision behind it.
        #[n(0)]
        decision: Decision,
    },
    /// The ad was clicked.
    #[n(18)]
    Click {
        /// The decision behind it.
        #[n(0)]
        decision: Decision,
    },
    /// The shop got an order that follows from the click.
    #[n(19)]
    Conversion {
        /// The decision behind it.
        #[n(0)]
        decision: Decision,
        /// What the order brought.
        #[n(1)]
        revenue: Micros,
        /// The shop's order id, by its tag: an order counts once.
        #[n(2)]
        order: Tag,
    },
    /// A bid was made. A sample: not every one is written.
    #[n(21)]
    Bid {
        /// The decision.
        #[n(0)]
        decision: Decision,
    },
    /// A user did something in the shop.
    #[n(20)]
    Behaviour {
        /// Who.
        #[n(0)]
        user: UserKey,
        /// What.
        #[n(1)]
        did: BehaviourKind,
        /// To what.
        #[n(2)]
        what: Tag,
    },
    /// The campaign could have bid for a user of one of the groups that are compared ([`crate::Holdout`]).
    #[n(36)]
    Eligible {
        /// Who.
        #[n(0)]
        user: UserKey,
        /// In which group.
        #[n(1)]
        group: Group,
    },
    /// From here on nothing of this user is read, stored or learned.
    #[n(22)]
    UserOptedOut {
        /// Who.
        #[n(0)]
        user: PrivacyKey,
    },
    /// All that was written of this user before is to be removed.
    #[n(23)]
    UserErased {
        /// Who.
        #[n(0)]
        user: PrivacyKey,
    },
    /// Holds the place of a record that was erased.
    #[n(24)]
    Redacted,
    /// The shop's server told of an order.
    #[n(45)]
    Ordered {
        /// All that it said.
        #[n(0)]
        order: Box<Order>,
    },
    /// The shop changed an order after it was placed.
    #[n(46)]
    OrderCorrected {
        /// Which order.
        #[n(0)]
        order: Tag,
        /// What it brings now; nothing where it was cancelled.
        #[n(1)]
        value: Micros,
        /// What remains of what was ordered; empty where that is not told.
        #[n(2)]
        lines: Vec<OrderLine>,
    },
    /// A billing notice came after the reservation's end: nothing was charged. Not every one is written.
    #[n(48)]
    BilledLate {
        /// Which bid.
        #[n(0)]
        bid: BidId,
        /// What it asked for a thousand such bids, in the account's currency.
        #[n(1)]
        price: CpmMicros,
        /// Who said so.
        #[n(2)]
        exchange: ExchangeKey,
    },
    /// Campaigns were credited with an order, or it was found that none is to be. Follows each order and each change of its value once.
    #[n(47)]
    Attributed {
        /// How.
        #[n(0)]
        attribution: Box<Attribution>,
    },
    /// A postback was delivered, or given up: it is not sent again by itself.
    #[n(49)]
    PostedBack {
        /// Whose, as it is configured.
        #[n(0)]
        postback: String,
        /// Which of its deliveries.
        #[n(1)]
        delivery: u64,
        /// The other side answered that it has it.
        #[n(2)]
        delivered: bool,
    },
    /// A node was told something of a bid. To whoever owns the campaign, who settles it; in no node's books.
    #[n(39)]
    Noticed {
        /// What.
        #[n(0)]
        notice: Notice,
    },
    /// A process asks for money to bid with, for it has little or none. To the campaign's owner; in no node's books.
    #[n(40)]
    Wanted {
        /// Who.
        #[n(0)]
        holder: Holder,
        /// What bids took since it last asked.
        #[n(1)]
        taken: Micros,
        /// What it has left.
        #[n(2)]
        left: Micros,
    },
    /// A tranche was closed by whoever held it. To the campaign's owner, who takes back what is left; in no node's books.
    #[n(41)]
    Unspent {
        /// The lease.
        #[n(0)]
        lease: u32,
        /// Which of its tranches.
        #[n(1)]
        first: u32,
        /// What no bid took.
        #[n(2)]
        amount: Micros,
        /// How many bids it paid for.
        #[n(3)]
        bids: u32,
    },
    /// A process lives, and everything that it was told before has been passed on. To the owners of campaigns; in no node's books.
    #[n(42)]
    Heard {
        /// Who.
        #[n(0)]
        holder: Holder,
    },
}

impl Event {
    /// The user without whom it would say nothing: whoever forgets them forgets the event.
    pub fn subject(&self) -> Option<UserKey> {
        match self {
            Self::Behaviour { user, .. } | Self::Eligible { user, .. } => Some(*user),
            _ => None,
        }
    }

    /// The user of an order, which says something without them, too.
    pub fn customer_mut(&mut self) -> Option<&mut Option<UserKey>> {
        match self {
            Self::Ordered { order } => Some(&mut order.user),
            _ => None,
        }
    }

    /// Whether it is told to a campaign's owner, to act upon, and moves nothing by itself.
    pub fn is_fact(&self) -> bool {
        matches!(self, Self::Noticed { .. } | Self::Wanted { .. } | Self::Unspent { .. } | Self::Heard { .. })
    }

    /// What is told of an order.
    pub fn tells_of_order(&self) -> bool {
        matches!(self, Self::Ordered { .. } | Self::OrderCorrected { .. })
    }

    /// What is decided about orders: of several nodes one alone may say it.
    pub fn decides_on_order(&self) -> bool {
        matches!(self, Self::Attributed { .. } | Self::PostedBack { .. })
    }

    /// The decision that it carries, if any.
    pub fn decision_mut(&mut self) -> Option<&mut Decision> {
        match self {
            Self::Noticed { notice } => Some(notice.decision_mut()),
            Self::Impression { decision }
            | Self::Click { decision }
            | Self::Conversion { decision, .. }
            | Self::Bid { decision } => Some(decision),
            _ => None,
        }
    }
}
