//! What the world told of a campaign's bids, and what must have come of it. It knows the bids and the notices, and nothing of how the
//! bidder keeps its books.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use haggle_actors::campaign::{CampaignReport, CampaignSettings, Outcome};
use haggle_domain::{BidId, Decision, Micros, Notice, Tag, Timestamp};
use haggle_learning::{JoinerSettings, Progress};

/// A bid that a notice has come of.
#[derive(Clone, Copy, Default)]
struct Fate {
    bid_at: Timestamp,
    resolved: bool,
    won: bool,
    shown: Option<Timestamp>,
    clicked: Option<Timestamp>,
    /// The click came when its impression was not known, or had been labelled.
    clicked_late: bool,
    ordered: Option<bool>,
}

/// Examples that were labelled, and the positive ones of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    examples: u64,
    positives: u64,
}

/// A campaign's bids and what was told of them.
#[derive(Default)]
pub(super) struct Told {
    /// Bids that nothing has settled or released: what they hold, and until when.
    open: HashMap<BidId, (Micros, Timestamp)>,
    /// What those that won cost when they are billed, and on which day they were made.
    owed: HashMap<BidId, (Micros, i32)>,
    fates: HashMap<BidId, Fate>,
    /// When so many are known, those that are over are let go.
    fold_at: usize,
    /// What those have taught.
    folded: [Labels; 2],
    orders: HashSet<Tag>,
    day: i32,
    /// What bids of each day cost, the last days.
    charged: BTreeMap<i32, Micros>,
    pub(super) settled: Micros,
    bids: u64,
    wins: u64,
    impressions: u64,
    clicks: u64,
    conversions: u64,
    revenue: Micros,
}

/// Days whose charges are kept; no notice comes later.
const DAYS: usize = 4;
/// So few bids are kept in any case.
const FEW: usize = 10_000;

impl Told {
    /// A bid was made on this day of the advertiser's.
    pub(super) fn bid(&mut self, decision: &Decision, day: i32) {
        self.bids += 1;
        // The day of a clock that was set back is over.
        self.day = self.day.max(day);
        self.open.insert(decision.bid, (decision.ceiling.per_impression_rounded_up(), decision.expires_at));
    }

    /// It won, and costs so much once it is billed.
    pub(super) fn won(&mut self, bid: BidId, cost: Micros) {
        self.owed.insert(bid, (cost, self.day));
    }

    /// Whether this is what has to come of a notice that is told now; else what has. `latest` is the latest that the bidder's clock
    /// ever said.
    pub(super) fn is_due(
        &self,
        outcome: Outcome,
        notice: &Notice,
        spans: &CampaignSettings,
        (now, latest): (Timestamp, Timestamp),
    ) -> Result<(), Outcome> {
        let Decision { bid, at, expires_at, .. } = *notice.decision();
        let (ends, settles) = match notice {
            Notice::Click { .. } => (at + spans.click_expiry, false),
            Notice::Conversion { .. } => (at + spans.conversion_window, false),
            _ => (expires_at, true),
        };
        let fate = self.fates.get(&bid).copied().unwrap_or_default();
        let again = match notice {
            Notice::Bill { .. } | Notice::Lost { .. } => fate.resolved,
            Notice::Won { .. } => fate.won,
            Notice::Impression { .. } => fate.shown.is_some(),
            Notice::Click { .. } => fate.clicked.is_some(),
            Notice::Conversion { order, .. } => self.orders.contains(order),
        };
        let due = match again {
            _ if now >= ends => Outcome::Expired,
            true => Outcome::Duplicate,
            false => Outcome::Accepted,
        };
        // A clock that was set back may have seen its lease end before.
        let ended = settles && latest >= ends && outcome == Outcome::Expired;
        if outcome == due || ended { Ok(()) } else { Err(due) }
    }

    /// A notice was told that has to count.
    pub(super) fn counts(
        &mut self,
        notice: &Notice,
        spans: (&CampaignSettings, &JoinerSettings),
        now: Timestamp,
    ) {
        self.fold(spans, now);
        let (_, joiner) = spans;
        let Decision { bid, at: bid_at, .. } = *notice.decision();
        let fate = self.fates.entry(bid).or_insert(Fate { bid_at, ..Fate::default() });
        match notice {
            Notice::Lost { .. } => {
                fate.resolved = true;
                self.open.remove(&bid);
            }
            Notice::Bill { .. } => {
                fate.resolved = true;
                self.open.remove(&bid);
                let (cost, day) = self.owed.remove(&bid).unwrap_or_default();
                self.settled += cost;
                *self.charged.entry(day).or_default() += cost;
                while self.charged.len() > DAYS {
                    self.charged.pop_first();
                }
            }
            Notice::Won { .. } => {
                fate.won = true;
                self.wins += 1;
            }
            Notice::Impression { .. } => {
                fate.shown = Some(now);
                self.impressions += 1;
            }
            Notice::Click { .. } => {
                fate.clicked = Some(now);
                fate.clicked_late = fate.shown.is_none_or(|shown| now >= shown + joiner.click_window);
                self.clicks += 1;
            }
            Notice::Conversion { revenue, order, .. } => {
                fate.ordered = Some(fate.clicked.is_none_or(|clicked| now >= clicked + joiner.order_window));
                self.conversions += 1;
                self.revenue = self.revenue.saturating_add(*revenue);
                self.orders.insert(*order);
            }
        }
    }

    /// What a day's bids have cost.
    pub(super) fn charged_on(&self, day: i32) -> Micros {
        self.charged.get(&day).copied().unwrap_or_default()
    }

    /// The most that a day's bids have cost.
    pub(super) fn dearest_day(&self) -> Micros {
        self.charged.values().copied().max().unwrap_or_default()
    }

    /// What open bids hold, and whether one of them is released about now.
    pub(super) fn held(&mut self, now: Timestamp, about: Duration) -> (Micros, bool) {
        self.open.retain(|_, (_, until)| *until + about > now);
        let ends = self.open.values().any(|(_, until)| *until <= now + about);
        (self.open.values().map(|(held, _)| *held).sum(), ends)
    }

    /// What a campaign shows that was told otherwise. After a crash bids are known by their notices alone.
    pub(super) fn differs(&self, report: &CampaignReport, crashed: bool) -> Option<String> {
        let shown = [report.wins, report.impressions, report.clicks, report.conversions];
        let told = [self.wins, self.impressions, self.clicks, self.conversions];
        let names = ["wins", "impressions", "clicks", "orders"];
        if let Some(((name, shown), told)) = names.iter().zip(shown).zip(told).find(|((_, a), b)| a != b) {
            return Some(format!("it shows {shown} {name}, and {told} were told"));
        }
        if report.revenue != self.revenue {
            return Some(format!("it shows a revenue of {}, and {} was told", report.revenue, self.revenue));
        }
        let bids_differ = if crashed { report.bids > self.bids } else { report.bids != self.bids };
        bids_differ.then(|| format!("it shows {} bids, and made {}", report.bids, self.bids))
    }

    /// What the learner must have been taught by the time of the last record: of clicks, and of orders.
    pub(super) fn labels(&self, joiner: &JoinerSettings, last: Timestamp) -> [Labels; 2] {
        let mut labels = self.folded;
        for fate in self.fates.values() {
            fate.label(&mut labels, joiner, last);
        }
        labels
    }

    /// Lets go of bids that nothing can come of any more, now and then.
    fn fold(&mut self, (spans, joiner): (&CampaignSettings, &JoinerSettings), now: Timestamp) {
        if self.fates.len() < self.fold_at {
            return;
        }
        let longest = spans.click_expiry.max(spans.conversion_window);
        let windows = joiner.click_window.max(joiner.order_window);
        let (folded, day) = (&mut self.folded, self.day);
        self.fates.retain(|_, fate| {
            let is_over = fate.bid_at + longest + windows < now;
            if is_over {
                fate.label(folded, joiner, now);
            }
            !is_over
        });
        self.owed.retain(|_, (_, of)| *of + DAYS as i32 >= day);
        self.fold_at = (self.fates.len() * 2).max(FEW);
    }
}

impl Fate {
    /// Adds what it must have taught by the time of the last record: of clicks, and of orders.
    fn label(&self, labels: &mut [Labels; 2], joiner: &JoinerSettings, last: Timestamp) {
        let over = |since: Option<Timestamp>, window| since.is_some_and(|since| since + window <= last);
        let joined = [
            (over(self.shown, joiner.click_window), self.clicked.map(|_| self.clicked_late)),
            (over(self.clicked, joiner.order_window), self.ordered),
        ];
        for (labels, (over, came_late)) in labels.iter_mut().zip(joined) {
            let late = came_late == Some(true);
            labels.examples += u64::from(over) + u64::from(late);
            labels.positives += u64::from(late || over && came_late == Some(false));
        }
    }
}

/// What a notice tells.
pub(super) const fn name(notice: &Notice) -> &'static str {
    match notice {
        Notice::Bill { .. } => "the bill",
        Notice::Lost { .. } => "the loss",
        Notice::Won { .. } => "the win",
        Notice::Impression { .. } => "the impression",
        Notice::Click { .. } => "a click",
        Notice::Conversion { .. } => "an order",
    }
}

impl Labels {
    pub(super) fn add(&mut self, other: Self) {
        self.examples += other.examples;
        self.positives += other.positives;
    }

    pub(super) fn of(progress: &Progress) -> Self {
        Self { examples: progress.examples, positives: progress.positives }
    }
}
