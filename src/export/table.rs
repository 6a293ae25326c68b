//! Every event as a row: the tables that are exported and that `docs/events.md` describes.
//!
//! The columns stand in [`KINDS`], their values come from [`cells`], which takes every event apart field by field: whoever
//! adds a field is told by the compiler to say here what becomes of it.

use haggle_domain::{
    Attribution, BehaviourKind, BidId, Credit, Decision, Event, Footing, Group, Micros, Notice, Order,
    OrderLine, Quote, Timestamp,
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits; money in millionths of the account's currency is one.
    Long,
    /// A number of single or double precision.
    Float,
    Double,
    Bool,
    /// UTF-8; ids are 16 hexadecimal digits.
    Text,
    /// Microseconds since 1970, UTC.
    Time,
    /// A calendar day.
    Date,
    /// Lists of whole numbers or of ids.
    Longs,
    Texts,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Bool(bool),
    Text(String),
    Longs(Vec<i64>),
    Texts(Vec<String>),
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// The number of the field in the event's record, with those of the fields within it.
    pub(crate) number: &'static str,
    pub(crate) of: Type,
    pub(crate) optional: bool,
    pub(crate) says: &'static str,
}

/// A kind of event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The variant in [`Event`], and what its table is called.
    pub(crate) variant: &'static str,
    pub(crate) name: &'static str,
    /// Its number in records.
    pub(crate) number: u32,
    pub(crate) says: &'static str,
    /// The field that is a decision, whose columns come before its own.
    pub(crate) decision: Option<&'static str>,
    pub(crate) own: &'static [Column],
}

const fn column(name: &'static str, number: &'static str, of: Type, says: &'static str) -> Column {
    Column { name, number, of, optional: false, says }
}

const fn optional(name: &'static str, number: &'static str, of: Type, says: &'static str) -> Column {
    Column { name, number, of, optional: true, says }
}

/// What every table begins with.
pub(crate) const COMMON: [Column; 4] = [
    column("offset", "", Type::Long, "the record's place in the journal"),
    column(
        "at",
        "0",
        Type::Time,
        "when it was written; of what is told of a bid, where several nodes share a log, when its campaign's owner was told",
    ),
    column("campaign", "1", Type::Text, "the campaign's key; zeros for events of no campaign"),
    optional("campaign_id", "", Type::Text, "its configured id, where the journal tells it"),
];

/// Those of a [`Decision`].
pub(crate) const DECISION: &[Column] = &[
    column("bid_lease", "0.1", Type::Long, "the lease that paid for the bid"),
    column("bid_number", "0.2", Type::Long, "the bid's number within the lease"),
    column("decided_at", "1", Type::Time, "when the decision to bid was made"),
    column("expires_at", "2", Type::Time, "until when a billing or loss notice counts"),
    column("ceiling_cpm_micros", "3", Type::Long, "what a thousand such bids can cost at most"),
    column("exchange", "4", Type::Text, "the key of the exchange that asked"),
    column("creative", "5", Type::Int, "position of the creative in the campaign's list"),
    column("propensity", "6", Type::Float, "the probability with which that creative was drawn"),
    column("model_version", "7", Type::Long, "the model that scored it"),
    column("click_probability", "8", Type::Float, "by that model"),
    column(
        "value_cpm_micros",
        "9",
        Type::Long,
        "what a thousand such impressions were worth to the campaign",
    ),
    optional("user", "10", Type::Text, "the user's key, where there was a basis to know them"),
    column(
        "features",
        "11",
        Type::Longs,
        "the request's features, hashed, one a field, in the model's order",
    ),
    column(
        "rate_billionths",
        "12.0",
        Type::Long,
        "billionths of the account's currency for one unit of the bid's",
    ),
    column(
        "quantity_millionths",
        "12.1",
        Type::Long,
        "for how many impressions is paid at once, in millionths",
    ),
    column("quote_segment", "13.0", Type::Long, "format, size and site, hashed, where it was sold"),
    column("quote_footing", "13.1", Type::Text, "unknown, first, second (price) or deal"),
    optional(
        "quote_propensity",
        "13.2",
        Type::Float,
        "the probability of this price, where prices were drawn",
    ),
    optional("raised_probability", "14", Type::Float, "of a bid above the prediction: how probable that was"),
    column(
        "order_probability",
        "15",
        Type::Float,
        "how probable an order was, by that model; 0 in old records",
    ),
];

const BID: [Column; 2] = [
    column("bid_lease", "0.1", Type::Long, "the lease that paid for the bid"),
    column("bid_number", "0.2", Type::Long, "the bid's number within the lease"),
];

/// Every kind of event, by rising numbers.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        variant: "Defined",
        name: "defined",
        number: 0,
        says: "The campaign exists under this id.",
        decision: None,
        own: &[column("id", "0", Type::Text, "the configured id")],
    },
    Kind {
        variant: "BudgetOpened",
        name: "budget_opened",
        number: 1,
        says: "Money became available: a day began, or the budget was raised.",
        decision: None,
        own: &[
            column("day", "0", Type::Date, "the advertiser's calendar day"),
            column("amount_micros", "1", Type::Long, "how much"),
        ],
    },
    Kind {
        variant: "BudgetLapsed",
        name: "budget_lapsed",
        number: 2,
        says: "Unspent money was taken away: a day ended, or the budget was lowered.",
        decision: None,
        own: &[column("amount_micros", "0", Type::Long, "how much")],
    },
    Kind {
        variant: "LeaseGranted",
        name: "lease_granted",
        number: 3,
        says: "Money was put where bids may reserve it. Repeated for one lease when it is topped up.",
        decision: None,
        own: &[
            column("lease", "0", Type::Long, "the lease; numbers rise by one and never come back"),
            column("amount_micros", "1", Type::Long, "how much was added"),
            column("expires_at", "2", Type::Time, "when reservations from it are released at the latest"),
            column("shared", "3", Type::Bool, "bids take from it by tranches alone"),
        ],
    },
    Kind {
        variant: "LeaseReturned",
        name: "lease_returned",
        number: 4,
        says: "The lease takes no more bids; what none had reserved came back.",
        decision: None,
        own: &[
            column("lease", "0", Type::Long, "the lease"),
            column("amount_micros", "1", Type::Long, "how much came back"),
            column("bids", "2", Type::Long, "how many bids it paid for; 0 where a crash cut it off"),
        ],
    },
    Kind {
        variant: "LeaseExpired",
        name: "lease_expired",
        number: 5,
        says: "The lease's time is over; what was still reserved came back.",
        decision: None,
        own: &[
            column("lease", "0", Type::Long, "the lease"),
            column("amount_micros", "1", Type::Long, "how much came back"),
        ],
    },
    Kind {
        variant: "Billed",
        name: "billed",
        number: 6,
        says: "A bid was billed: its reservation ended, and this was charged.",
        decision: None,
        own: &[
            BID[0],
            BID[1],
            column("reserved_micros", "1", Type::Long, "what it had reserved"),
            column("charged_micros", "2", Type::Long, "what it was charged; at most what it had reserved"),
            column("capped", "3", Type::Bool, "the notice asked for more than the signed ceiling"),
            column("explored", "4", Type::Bool, "the bid was raised above the prediction, to find out"),
        ],
    },
    Kind {
        variant: "Lost",
        name: "lost",
        number: 7,
        says: "A bid lost: its reservation ended.",
        decision: None,
        own: &[
            BID[0],
            BID[1],
            column("reserved_micros", "1", Type::Long, "what it had reserved"),
            optional(
                "min_to_win_cpm_micros",
                "2",
                Type::Long,
                "what it would have taken to win, if it was told",
            ),
            column("ceiling_cpm_micros", "3", Type::Long, "what a thousand such bids can cost at most"),
            column("exchange", "4", Type::Text, "the key of the exchange that said so"),
            column("quote_segment", "5.0", Type::Long, "as of its decision"),
            column("quote_footing", "5.1", Type::Text, "as of its decision"),
            optional("quote_propensity", "5.2", Type::Float, "as of its decision"),
        ],
    },
    Kind {
        variant: "Won",
        name: "won",
        number: 16,
        says: "A win notice came; no money moves.",
        decision: None,
        own: &[
            BID[0],
            BID[1],
            column(
                "price_cpm_micros",
                "1",
                Type::Long,
                "what a thousand such bids cost at the clearing price",
            ),
            column("ceiling_cpm_micros", "2", Type::Long, "what a thousand such bids can cost at most"),
            column("exchange", "3", Type::Text, "the key of the exchange that said so"),
            optional(
                "min_to_win_cpm_micros",
                "4",
                Type::Long,
                "what it would have taken to win, if it was told",
            ),
            column("quote_segment", "5.0", Type::Long, "as of its decision"),
            column("quote_footing", "5.1", Type::Text, "as of its decision"),
            optional("quote_propensity", "5.2", Type::Float, "as of its decision"),
        ],
    },
    Kind {
        variant: "Impression",
        name: "impression",
        number: 17,
        says: "The ad was shown.",
        decision: Some("0"),
        own: &[],
    },
    Kind {
        variant: "Click",
        name: "click",
        number: 18,
        says: "The ad was clicked.",
        decision: Some("0"),
        own: &[],
    },
    Kind {
        variant: "Conversion",
        name: "conversion",
        number: 19,
        says: "The shop got an order that follows from the click.",
        decision: Some("0"),
        own: &[
            column("revenue_micros", "1", Type::Long, "what the order brought"),
            column("order", "2", Type::Text, "the tag of the shop's order id: an order counts once"),
        ],
    },
    Kind {
        variant: "Behaviour",
        name: "behaviour",
        number: 20,
        says: "A user did something in the shop.",
        decision: None,
        own: &[
            column("user", "0", Type::Text, "the user's key"),
            column("did", "1", Type::Text, "viewed, carted, bought or searched"),
            column("what", "2", Type::Text, "the tag of the product or category"),
        ],
    },
    Kind {
        variant: "Bid",
        name: "bid",
        number: 21,
        says: "A bid was made. A sample: `bid_log_sample` is the share that is written.",
        decision: Some("0"),
        own: &[],
    },
    Kind {
        variant: "UserOptedOut",
        name: "user_opted_out",
        number: 22,
        says: "From here on nothing of this user is read, stored or learned.",
        decision: None,
        own: &[column("user", "0", Type::Text, "a hash of the user's key")],
    },
    Kind {
        variant: "UserErased",
        name: "user_erased",
        number: 23,
        says: "All that was written of this user before is to be removed.",
        decision: None,
        own: &[column("user", "0", Type::Text, "a hash of the user's key")],
    },
    Kind {
        variant: "Redacted",
        name: "redacted",
        number: 24,
        says: "Holds the place of a record that was erased.",
        decision: None,
        own: &[],
    },
    Kind {
        variant: "Paused",
        name: "paused",
        number: 32,
        says: "Somebody said that the campaign shall not bid, or that it shall again.",
        decision: None,
        own: &[
            column("paused", "0", Type::Bool, "it shall not"),
            optional("told_at", "1", Type::Time, "when a node was told, by its clock; where several are"),
        ],
    },
    Kind {
        variant: "Creatives",
        name: "creatives",
        number: 33,
        says: "The campaign's creatives are these now, in this order.",
        decision: None,
        own: &[column("tags", "0", Type::Texts, "the tags of their ids")],
    },
    Kind {
        variant: "Steered",
        name: "steered",
        number: 34,
        says: "What the campaign's bids are multiplied by from here on, so that its averages hold.",
        decision: None,
        own: &[
            column("goal", "0", Type::Double, "what holds the averages"),
            column("total", "1", Type::Double, "that, and what pacing makes of it"),
            column("aim", "2", Type::Text, "a hash of the averages that are held"),
        ],
    },
    Kind {
        variant: "Traffic",
        name: "traffic",
        number: 35,
        says: "An hour is over of a campaign that spends as requests come.",
        decision: None,
        own: &[
            column("hour", "0", Type::Int, "of the advertiser's week; 0 is Monday's first"),
            column("imps", "1", Type::Long, "how many imps it could have bid on"),
        ],
    },
    Kind {
        variant: "Eligible",
        name: "eligible",
        number: 36,
        says: "The campaign could have bid for a user of one of the groups that are compared.",
        decision: None,
        own: &[
            column("user", "0", Type::Text, "the user's key"),
            column("group", "1", Type::Text, "held (not bid for) or control"),
        ],
    },
    Kind {
        variant: "TrancheGranted",
        name: "tranche_granted",
        number: 37,
        says: "A part of a shared lease, and a block of its bids' numbers, was given to one process.",
        decision: None,
        own: &[
            column("lease", "0", Type::Long, "the lease"),
            column("holder", "1", Type::Text, "the process whose bids may take it"),
            column("amount_micros", "2", Type::Long, "how much"),
            column(
                "first",
                "3",
                Type::Long,
                "the number of the first bid from it; what the tranche is called by",
            ),
            column("count", "4", Type::Long, "how many bids it can pay for at most"),
            column(
                "explore_micros",
                "5",
                Type::Long,
                "how much of it may pay for bids above what predictions say",
            ),
            column("closes_at", "6", Type::Time, "when it takes no more bids"),
            column("expires_at", "7", Type::Time, "when reservations from it are released at the latest"),
        ],
    },
    Kind {
        variant: "TrancheReturned",
        name: "tranche_returned",
        number: 38,
        says: "A tranche takes no more bids; what none had reserved came back.",
        decision: None,
        own: &[
            column("lease", "0", Type::Long, "the lease"),
            column("first", "1", Type::Long, "which of its tranches"),
            column("amount_micros", "2", Type::Long, "how much came back"),
            column("bids", "3", Type::Long, "how many bids it paid for"),
        ],
    },
    Kind {
        variant: "Noticed",
        name: "noticed",
        number: 39,
        says: "A node was told something of a bid. To whoever owns the campaign, who settles it; in no node's books.",
        decision: Some("0.1.0"),
        own: &[
            column("said", "0.0", Type::Text, "bill, lost, won, impression, click or conversion"),
            optional(
                "price_cpm_micros",
                "0.1.1",
                Type::Long,
                "of bill and won: what is asked for, or cleared",
            ),
            optional(
                "min_to_win_cpm_micros",
                "0.1.1",
                Type::Long,
                "of lost, and 0.1.2 of won: what it would have taken to win, if it was told",
            ),
            optional("revenue_micros", "0.1.1", Type::Long, "of conversion: what it brought"),
            optional("order", "0.1.2", Type::Text, "of conversion: the tag of the shop's order id"),
        ],
    },
    Kind {
        variant: "Wanted",
        name: "wanted",
        number: 40,
        says: "A process asks for money to bid with. To the campaign's owner; in no node's books.",
        decision: None,
        own: &[
            column("holder", "0", Type::Text, "which process"),
            column("taken_micros", "1", Type::Long, "what bids took since it last asked"),
            column("left_micros", "2", Type::Long, "what it has left"),
        ],
    },
    Kind {
        variant: "Unspent",
        name: "unspent",
        number: 41,
        says: "A tranche was closed by whoever held it. To the campaign's owner; in no node's books.",
        decision: None,
        own: &[
            column("lease", "0", Type::Long, "the lease"),
            column("first", "1", Type::Long, "which of its tranches"),
            column("amount_micros", "2", Type::Long, "what no bid took"),
            column("bids", "3", Type::Long, "how many bids it paid for"),
        ],
    },
    Kind {
        variant: "Heard",
        name: "heard",
        number: 42,
        says: "A process lives, and everything that it was told before has been passed on. In no node's books.",
        decision: None,
        own: &[column("holder", "0", Type::Text, "which process")],
    },
    Kind {
        variant: "Ordered",
        name: "ordered",
        number: 45,
        says: "The shop's server told of an order.",
        decision: None,
        own: &[
            column("order", "0.0", Type::Text, "the tag of the shop's order id"),
            column("order_id", "0.1", Type::Text, "the shop's order id"),
            optional("user", "0.2", Type::Text, "the user's key, where it was told"),
            column("clicks", "0.3", Type::Texts, "the bids whose click tokens came with it"),
            column(
                "click_bids_at",
                "0.3",
                Type::Longs,
                "when those bids were made, in microseconds since 1970",
            ),
            column("placed_at", "0.4", Type::Time, "when it was placed"),
            column("value_micros", "0.5", Type::Long, "what it brings"),
            column("products", "0.6", Type::Texts, "line by line: which product"),
            column("quantities", "0.6", Type::Longs, "line by line: how many"),
            column("line_value_micros", "0.6", Type::Longs, "line by line: what it brings"),
            optional("order_kind", "0.7", Type::Text, "what kind of order, as the shop says"),
        ],
    },
    Kind {
        variant: "OrderCorrected",
        name: "order_corrected",
        number: 46,
        says: "The shop changed an order after it was placed.",
        decision: None,
        own: &[
            column("order", "0", Type::Text, "the tag of the shop's order id"),
            column("value_micros", "1", Type::Long, "what it brings now; 0 where it was cancelled"),
            column("products", "2", Type::Texts, "line by line, of what remains: which product"),
            column("quantities", "2", Type::Longs, "line by line: how many"),
            column("line_value_micros", "2", Type::Longs, "line by line: what it brings"),
        ],
    },
    Kind {
        variant: "Attributed",
        name: "attributed",
        number: 47,
        says: "Campaigns were credited with an order, or it was found that none is to be. Follows each order and each change of its value once.",
        decision: None,
        own: &[
            column("order", "0.0", Type::Text, "the tag of the shop's order id"),
            optional("order_id", "0.1", Type::Text, "the shop's order id, where it was told"),
            column("placed_at", "0.2", Type::Time, "when it was placed"),
            column("value_micros", "0.3", Type::Long, "what it brings now"),
            column("standing", "0.4", Type::Text, "credited, late, orphan or corrected"),
            column("model", "0.5", Type::Text, "by which model it was credited"),
            column("campaigns", "0.6", Type::Texts, "credit by credit: the campaign's key"),
            column("credit_micros", "0.6", Type::Longs, "credit by credit: how much"),
            column("touches", "0.6", Type::Longs, "credit by credit: for how many views and clicks"),
            column("touched_clicks", "0.6", Type::Longs, "credit by credit: how many of those were clicks"),
            column("share_billionths", "0.6", Type::Longs, "credit by credit: its share; -1 in old records"),
        ],
    },
    Kind {
        variant: "BilledLate",
        name: "billed_late",
        number: 48,
        says: "A billing notice came after the reservation's end: nothing was charged. Not every one is written.",
        decision: None,
        own: &[
            BID[0],
            BID[1],
            column("price_cpm_micros", "1", Type::Long, "what it asked for a thousand such bids"),
            column("exchange", "2", Type::Text, "the key of the exchange that said so"),
        ],
    },
    Kind {
        variant: "PostedBack",
        name: "posted_back",
        number: 49,
        says: "A postback was delivered, or given up: it is not sent again by itself.",
        decision: None,
        own: &[
            column("postback", "0", Type::Text, "its name, as it is configured"),
            column("delivery", "1", Type::Text, "which of its deliveries"),
            column("delivered", "2", Type::Bool, "the other side answered that it has it"),
        ],
    },
];

impl Kind {
    /// Its columns, without those that all have.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static Column> {
        let decision = if self.decision.is_some() { DECISION } else { &[] };
        decision.iter().chain(self.own)
    }
}

/// The number of an event's kind, and its values in the order of the kind's columns.
pub(crate) fn cells(event: &Event) -> (u32, Vec<Cell>) {
    match event {
        Event::Defined { id } => (0, vec![Cell::Text(id.clone())]),
        Event::BudgetOpened { day, amount } => (1, vec![Cell::Int(*day), micros(*amount)]),
        Event::BudgetLapsed { amount } => (2, vec![micros(*amount)]),
        Event::LeaseGranted { lease, amount, expires_at, shared } => {
            (3, vec![number(*lease), micros(*amount), time(*expires_at), Cell::Bool(*shared)])
        }
        Event::LeaseReturned { lease, amount, bids } => {
            (4, vec![number(*lease), micros(*amount), number(*bids)])
        }
        Event::LeaseExpired { lease, amount } => (5, vec![number(*lease), micros(*amount)]),
        Event::Billed { bid, reserved, charged, capped, explored } => {
            let [lease, bid] = bid_cells(*bid);
            let flags = [Cell::Bool(*capped), Cell::Bool(*explored)];
            (6, [lease, bid, micros(*reserved), micros(*charged)].into_iter().chain(flags).collect())
        }
        Event::Lost { bid, reserved, min_to_win, ceiling, exchange, quote } => {
            let mut cells = bid_cells(*bid).to_vec();
            let min_to_win = min_to_win.map_or(Cell::Null, |price| Cell::Long(price.0));
            cells.extend([micros(*reserved), min_to_win, Cell::Long(ceiling.0), hex(exchange.0)]);
            cells.extend(quote_cells(quote));
            (7, cells)
        }
        Event::Won { bid, price, ceiling, exchange, min_to_win, quote } => {
            let mut cells = bid_cells(*bid).to_vec();
            cells.extend([Cell::Long(price.0), Cell::Long(ceiling.0), hex(exchange.0)]);
            cells.push(min_to_win.map_or(Cell::Null, |price| Cell::Long(price.0)));
            cells.extend(quote_cells(quote));
            (16, cells)
        }
        Event::Impression { decision } => (17, decision_cells(decision)),
        Event::Click { decision } => (18, decision_cells(decision)),
        Event::Conversion { decision, revenue, order } => {
            let mut cells = decision_cells(decision);
            cells.extend([micros(*revenue), hex(order.0)]);
            (19, cells)
        }
        Event::Behaviour { user, did, what } => {
            let did = match did {
                BehaviourKind::Viewed => "viewed",
                BehaviourKind::Carted => "carted",
                BehaviourKind::Bought => "bought",
                BehaviourKind::Searched => "searched",
            };
            (20, vec![hex(user.0), Cell::Text(did.to_owned()), hex(what.0)])
        }
        Event::Bid { decision } => (21, decision_cells(decision)),
        Event::UserOptedOut { user } => (22, vec![hex(user.0)]),
        Event::UserErased { user } => (23, vec![hex(user.0)]),
        Event::Redacted => (24, Vec::new()),
        Event::Paused { paused, told_at } => {
            (32, vec![Cell::Bool(*paused), told_at.map_or(Cell::Null, |at| Cell::Long(at.0))])
        }
        Event::Creatives { tags } => {
            (33, vec![Cell::Texts(tags.iter().map(|tag| format!("{:016x}", tag.0)).collect())])
        }
        Event::Steered { goal, total, aim } => {
            (34, vec![Cell::Double(*goal), Cell::Double(*total), hex(aim.0)])
        }
        Event::Traffic { hour, imps } => (35, vec![Cell::Int(i32::from(*hour)), count(*imps)]),
        Event::Eligible { user, group } => {
            let group = match group {
                Group::Held => "held",
                Group::Control => "control",
            };
            (36, vec![hex(user.0), Cell::Text(group.to_owned())])
        }
        Event::TrancheGranted { lease, holder, amount, first, count, explore, closes_at, expires_at } => {
            let mut cells =
                vec![number(*lease), hex(holder.0), micros(*amount), number(*first), number(*count)];
            cells.extend([micros(*explore), time(*closes_at), time(*expires_at)]);
            (37, cells)
        }
        Event::TrancheReturned { lease, first, amount, bids } => {
            (38, vec![number(*lease), number(*first), micros(*amount), number(*bids)])
        }
        Event::Ordered { order } => {
            let Order { tag, id, user, clicks, placed_at, value, lines, kind } = &**order;
            let mut cells =
                vec![hex(tag.0), Cell::Text(id.clone()), user.map_or(Cell::Null, |user| hex(user.0))];
            cells.push(Cell::Texts(clicks.iter().map(|click| click.bid.to_string()).collect()));
            cells.push(Cell::Longs(clicks.iter().map(|click| click.bid_at.0).collect()));
            cells.extend([time(*placed_at), micros(*value)]);
            cells.extend(line_cells(lines));
            cells.push(kind.clone().map_or(Cell::Null, Cell::Text));
            (45, cells)
        }
        Event::OrderCorrected { order, value, lines } => {
            let mut cells = vec![hex(order.0), micros(*value)];
            cells.extend(line_cells(lines));
            (46, cells)
        }
        Event::Attributed { attribution } => {
            let Attribution { order, id, placed_at, value, standing, model, credits } = &**attribution;
            let longs = |of: fn(&Credit) -> i64| Cell::Longs(credits.iter().map(of).collect());
            let mut cells = vec![hex(order.0), id.clone().map_or(Cell::Null, Cell::Text), time(*placed_at)];
            cells.extend([micros(*value), Cell::Text(standing.as_str().to_owned())]);
            cells.push(Cell::Text(model.as_str().to_owned()));
            cells.push(Cell::Texts(credits.iter().map(|credit| credit.campaign.to_string()).collect()));
            cells.push(longs(|credit| credit.amount.0));
            cells.push(longs(|credit| i64::from(credit.touches)));
            cells.push(longs(|credit| i64::from(credit.clicks)));
            cells.push(longs(|credit| credit.share.map_or(-1, |share| (share * 1e9).round() as i64)));
            (47, cells)
        }
        Event::PostedBack { postback, delivery, delivered } => {
            (49, vec![Cell::Text(postback.clone()), hex(*delivery), Cell::Bool(*delivered)])
        }
        Event::BilledLate { bid, price, exchange } => {
            let [lease, bid] = bid_cells(*bid);
            (48, vec![lease, bid, Cell::Long(price.0), hex(exchange.0)])
        }
        Event::Noticed { notice } => (39, notice_cells(notice)),
        Event::Wanted { holder, taken, left } => (40, vec![hex(holder.0), micros(*taken), micros(*left)]),
        Event::Unspent { lease, first, amount, bids } => {
            (41, vec![number(*lease), number(*first), micros(*amount), number(*bids)])
        }
        Event::Heard { holder } => (42, vec![hex(holder.0)]),
    }
}

fn notice_cells(notice: &Notice) -> Vec<Cell> {
    let long = |price: Option<i64>| price.map_or(Cell::Null, Cell::Long);
    // What was said, price, what it would have taken, revenue, order.
    let (decision, said, price, min_to_win, revenue, order) = match notice {
        Notice::Bill { decision, price } => (decision, "bill", Some(price.0), None, None, None),
        Notice::Lost { decision, min_to_win } => (decision, "lost", None, *min_to_win, None, None),
        Notice::Won { decision, price, min_to_win } => {
            (decision, "won", Some(price.0), *min_to_win, None, None)
        }
        Notice::Impression { decision } => (decision, "impression", None, None, None, None),
        Notice::Click { decision } => (decision, "click", None, None, None, None),
        Notice::Conversion { decision, revenue, order } => {
            (decision, "conversion", None, None, Some(revenue.0), Some(order.0))
        }
    };
    let mut cells = decision_cells(decision);
    cells.push(Cell::Text(said.to_owned()));
    cells.extend([
        long(price),
        long(min_to_win.map(|price| price.0)),
        long(revenue),
        order.map_or(Cell::Null, hex),
    ]);
    cells
}

/// Product, quantity and value of each line.
fn line_cells(lines: &[OrderLine]) -> [Cell; 3] {
    [
        Cell::Texts(lines.iter().map(|line| line.product.clone()).collect()),
        Cell::Longs(lines.iter().map(|line| i64::from(line.quantity)).collect()),
        Cell::Longs(lines.iter().map(|line| line.value.0).collect()),
    ]
}

fn decision_cells(decision: &Decision) -> Vec<Cell> {
    let Decision {
        bid,
        at,
        expires_at,
        ceiling,
        exchange,
        creative,
        propensity,
        model_version,
        click_probability,
        value,
        user,
        features,
        terms,
        explored,
        order_probability,
        quote,
    } = decision;
    let [lease, bid] = bid_cells(*bid);
    let mut cells = vec![
        lease,
        bid,
        time(*at),
        time(*expires_at),
        Cell::Long(ceiling.0),
        hex(exchange.0),
        Cell::Int(i32::from(*creative)),
        Cell::Float(*propensity),
        count(*model_version),
        Cell::Float(*click_probability),
        Cell::Long(value.0),
        user.map_or(Cell::Null, |user| hex(user.0)),
        Cell::Longs(features.iter().map(|feature| i64::from(*feature)).collect()),
        count(terms.rate.billionths()),
        count(terms.quantity.0),
    ];
    cells.extend(quote_cells(quote));
    cells.extend([explored.map_or(Cell::Null, Cell::Float), Cell::Float(*order_probability)]);
    cells
}

/// The campaign is the record's.
fn bid_cells(bid: BidId) -> [Cell; 2] {
    let BidId { campaign: _, lease, number: of_lease } = bid;
    [number(lease), number(of_lease)]
}

fn quote_cells(quote: &Quote) -> [Cell; 3] {
    let Quote { segment, footing, propensity } = quote;
    let footing = match footing {
        Footing::Unknown => "unknown",
        Footing::First => "first",
        Footing::Second => "second",
        Footing::Deal => "deal",
    };
    [number(segment.0), Cell::Text(footing.to_owned()), propensity.map_or(Cell::Null, Cell::Float)]
}

fn micros(amount: Micros) -> Cell {
    Cell::Long(amount.0)
}

fn number(number: u32) -> Cell {
    Cell::Long(i64::from(number))
}

/// A count; none comes near the end of what a column can hold.
fn count(count: u64) -> Cell {
    Cell::Long(i64::try_from(count).unwrap_or(i64::MAX))
}

pub(super) fn offset_cell(offset: u64) -> Cell {
    count(offset)
}

pub(super) fn time(at: Timestamp) -> Cell {
    Cell::Long(at.0)
}

pub(super) fn hex(key: u64) -> Cell {
    Cell::Text(format!("{key:016x}"))
}
