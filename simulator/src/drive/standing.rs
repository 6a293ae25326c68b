//! What must hold of a campaign at every moment: its leases, and where it stands against its plan.

use std::time::Duration;

use haggle_actors::books::Books;
use haggle_actors::campaign::{CampaignReport, CampaignSettings};
use haggle_domain::{Campaign, Micros, Pacing, Timestamp};
use haggle_strategies::CampaignState;

/// By when what time brings has been done: campaigns are looked after every second or so.
pub(super) const PROMPT: Duration = Duration::from_secs(10);
/// Over how long it is looked whether pacing goes the right way.
const WATCHED: Duration = Duration::from_secs(2 * 3_600);

/// A lease that should not be there.
pub(super) fn lost_lease(books: &Books, now: Timestamp) -> Option<String> {
    let late = |until: Timestamp| now >= until + PROMPT;
    let found = books.ledger.leases().find(|(_, book)| late(book.expires_at()));
    if let Some((number, book)) = found {
        let (held, until) = (book.held(), book.expires_at());
        return Some(format!("lease {number} still holds {held}, and was to end at {until}"));
    }
    let open = books.ledger.leases().filter(|(_, book)| !book.is_closed()).count();
    (open > 1).then(|| format!("{open} leases are open"))
}

/// Money that is still out where the campaign's time is over.
pub(super) fn left_over(
    campaign: &Campaign,
    report: &CampaignReport,
    spans: &CampaignSettings,
    now: Timestamp,
) -> Option<String> {
    let end = campaign.flight.end;
    if end == Timestamp::MAX || now < end + PROMPT {
        return None;
    }
    if report.available > Micros::ZERO {
        return Some(format!("{} is there for bids, and it ended at {end}", report.available));
    }
    let released = end + spans.lease_duration + spans.notice_timeout + PROMPT;
    (now >= released && report.reserved > Micros::ZERO)
        .then(|| format!("{} is still reserved at {now}, and it ended at {end}", report.reserved))
}

/// What a campaign that spends evenly has spent too early, by the clock alone: more than an hour ahead, and some for the bills of what
/// was expected to lose.
pub(super) fn too_early(campaign: &Campaign, today: Micros, now: Timestamp) -> Option<String> {
    const SOME: f64 = 0.25;
    let (Pacing::Even, true, Some(budget)) =
        (campaign.pacing, campaign.dayparts.is_empty(), campaign.budget.daily)
    else {
        return None;
    };
    let (start, end) = campaign.zone.day_bounds(now);
    let (start, end) = (start.max(campaign.flight.start), end.min(campaign.flight.end));
    let whole = end.since(start).as_secs_f64();
    let passed = (now.since(start) + Duration::from_secs(3_600)).as_secs_f64();
    let few = campaign.max_bid.per_impression_rounded_up().to_f64() * 4.0;
    let most = budget.to_f64() * ((passed / whole.max(1.0)).min(1.0) + SOME) + few;
    (today.to_f64() > most).then(|| format!("{today} of {budget} is spent, and {most:.6} would be early"))
}

/// Where a campaign stood a while ago.
#[derive(Clone, Copy)]
struct Stand {
    at: Timestamp,
    spent: Micros,
    planned: Micros,
    /// The most that open bids have held since: what is not known to be spent, nor to be free.
    reserved: Micros,
    /// What pacing leaves of bids, or of auctions.
    left: f64,
}

impl Stand {
    fn of(report: &CampaignReport, now: Timestamp) -> Self {
        let left = report.multiplier.min(report.taken);
        Self { at: now, spent: report.settled, planned: report.planned, reserved: report.reserved, left }
    }
}

/// Watches which way pacing goes.
#[derive(Default)]
pub(super) struct Course(Option<Stand>);

impl Course {
    /// What it does now begins anew.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// Whether pacing has gone the wrong way since it was last looked at.
    pub(super) fn is_wrong(
        &mut self,
        campaign: &Campaign,
        report: &CampaignReport,
        now: Timestamp,
    ) -> Option<String> {
        let stand = Stand::of(report, now);
        // Where the plan holds money back, or there is none, bids tell nothing.
        if report.state != CampaignState::Active {
            self.0 = None;
            return None;
        }
        let known = self.0.get_or_insert(stand);
        known.reserved = known.reserved.max(stand.reserved);
        let Stand { at, spent, planned, reserved, left } = *known;
        if now < at {
            self.0 = None;
        }
        if now.since(at) < WATCHED {
            return None;
        }
        self.0 = Some(stand);
        let some = campaign.max_bid.per_impression_rounded_up().0.saturating_mul(5);
        let (spent, planned) = ((stand.spent - spent).0, (stand.planned - planned).0);
        let said = || {
            let (spent, planned) = (Micros(spent), Micros(planned));
            format!(
                "{spent} was spent of {planned} since {at}, and pacing left {left:.4} then and {:.4} now",
                stand.left
            )
        };
        let lowered = planned > some && spent + reserved.0 < planned / 5 && stand.left < left / 2.0;
        let raised = stand.spent > stand.planned && spent > planned * 2 + some && stand.left > left * 2.0;
        (lowered || raised).then(said)
    }
}
