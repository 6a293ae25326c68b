//! What no bid of a campaign may be, looked at again by simpler means than it was decided with.

use haggle_domain::time::Local;
use haggle_domain::{Campaign, CpmMicros, ExchangeKey, Goal, Group, Predicate, Tag, Targeting, Timestamp};
use haggle_strategies::CampaignLive;
use haggle_strategies::explore::Fitting;

use super::bidder::Made;
use crate::auction::LossReason;
use crate::exchange::DealOffer;
use crate::request::SimRequest;

/// A bid, and what the world knows of whom it is for.
pub(super) struct Placed<'b> {
    pub(super) request: &'b SimRequest,
    pub(super) made: &'b Made,
    pub(super) live: &'b CampaignLive,
    /// The country that the request names.
    pub(super) country: &'b str,
    /// Whether the law and the user let the bidder know who they are.
    pub(super) may_be_known: bool,
    /// By the bidder's clock.
    pub(super) now: Timestamp,
}

/// The account's currency.
const CURRENCY: &str = "USD";
/// Numbers that a creative's probability is counted with.
const DRAWS: u32 = 64;

impl Placed<'_> {
    /// What it breaks: the rule, and how.
    pub(super) fn broken(&self) -> Vec<(&'static str, String)> {
        let (campaign, decision) = (&*self.made.campaign, &self.made.committed.decision);
        let mut broken = Vec::new();
        let mut must = |holds: bool, rule: &'static str, how: &dyn Fn() -> String| {
            if !holds {
                broken.push((rule, how()));
            }
        };
        let (start, end) = (campaign.flight.start, campaign.flight.end);
        must(start <= self.now && self.now < end, "no bid outside the flight", &|| {
            format!("{start} to {end}")
        });
        let local = campaign.zone.local(self.now);
        must(in_hours(campaign, local), "no bid outside the hours", &|| format!("{local:?}"));
        let about = (&*self.request.exchange, self.country);
        must(may_match(&campaign.targeting, about), "no bid that is not targeted", &|| format!("{about:?}"));
        let currency = self.request.currency;
        must(currency == CURRENCY, "no bid in a currency without a rate", &|| currency.to_owned());
        let floor = self.deal().map_or(self.request.floor, |deal| deal.floor);
        let price = self.made.committed.price;
        must(price >= floor, "no bid below the floor", &|| format!("{price} is below {floor}"));
        let (most, ceiling) = (self.most(), decision.ceiling);
        must(ceiling <= most, "no bid above what the campaign allows", &|| {
            format!("{ceiling} is above {most}")
        });
        must(price <= ceiling, "no bid above what it reserved", &|| format!("{price} is above {ceiling}"));
        let held =
            decision.user.filter(|user| campaign.holdout.group(campaign.key, *user) == Some(Group::Held));
        must(held.is_none(), "no ad for who is held out", &|| format!("{held:?}"));
        let kept = decision.user;
        must(kept.is_none() || self.may_be_known, "no user is kept who may not be known", &|| {
            format!("{kept:?}")
        });
        let chance = decision.propensity;
        must(chance > 0.0 && chance <= 1.0, "creatives' probabilities are some", &|| chance.to_string());
        let click = decision.click_probability;
        must((0.0..=1.0).contains(&click), "a click is as probable as can be", &|| click.to_string());
        broken
    }

    /// What it was made under, if under a deal.
    fn deal(&self) -> Option<&DealOffer> {
        self.made.committed.deal.and_then(|place| self.request.hidden.deals.get(usize::from(place)))
    }

    /// The highest price that the campaign's goal and limits allow. What a deal costs is agreed on, whatever the goal.
    fn most(&self) -> CpmMicros {
        let (campaign, decision) = (&*self.made.campaign, &self.made.committed.decision);
        let by_goal = match campaign.goal {
            Goal::Cpm { price } | Goal::Vcpm { price } | Goal::Reach { price, .. }
                if decision.explored.is_none() && self.deal().is_none() =>
            {
                price
            }
            _ => CpmMicros(i64::MAX),
        };
        let by_clicks = campaign.limits.max_cpc.map_or(CpmMicros(i64::MAX), |most| {
            // A micro more for what rounding may do.
            let clicks = f64::from(decision.click_probability) * 1000.0;
            CpmMicros((clicks * most.to_f64() * 1e6) as i64 + 1)
        });
        campaign.max_bid.min(by_goal).min(by_clicks)
    }

    /// Whether the creative was as probable as is said: of many numbers that could have been drawn, as many draw it. None where caps of
    /// creatives decide too.
    pub(super) fn probability_is_off(&self) -> Option<String> {
        let (campaign, decision) = (&*self.made.campaign, &self.made.committed.decision);
        let fitting = Fitting::of(campaign.creatives.len(), |at| {
            campaign.creatives.get(at).is_some_and(|creative| {
                let size = creative.banner_size();
                self.request.hidden.sizes.contains(&(size.width, size.height))
            })
        });
        let draws = (0..DRAWS).map(|at| (f64::from(at) + 0.5) / f64::from(DRAWS));
        let same = |uniform| {
            self.live.draw_creative(fitting, uniform).map(|it| it.creative) == Some(decision.creative)
        };
        let share = draws.filter(|uniform| same(*uniform)).count() as f64 / f64::from(DRAWS);
        let said = f64::from(decision.propensity);
        ((share - said).abs() > 2.0 / f64::from(DRAWS)).then(|| {
            let creative = campaign.creatives.get(usize::from(decision.creative)).map(|it| it.id.as_str());
            format!(
                "{} was drawn with a probability of {said}, and is in {share}",
                creative.unwrap_or("none")
            )
        })
    }
}

/// Whether the exchange refused a bid for another reason than its price.
pub(super) fn refusal(loss: Option<LossReason>) -> Option<String> {
    loss.filter(|loss| *loss != LossReason::HigherBid).map(|loss| format!("the exchange says {loss:?}"))
}

fn in_hours(campaign: &Campaign, local: Local) -> bool {
    campaign.dayparts.is_empty()
        || campaign.dayparts.iter().any(|it| {
            it.weekdays & (1 << local.weekday) != 0
                && it.from_minute <= local.minute_of_day
                && local.minute_of_day < it.to_minute
        })
}

/// Whether the targeting could match, by what is known here of exchange and country.
fn may_match(targeting: &Targeting, (exchange, country): (&str, &str)) -> bool {
    let (exchange, country) = (ExchangeKey::of(exchange), Tag::of(country));
    let known = |predicate: &Predicate| match predicate {
        Predicate::Exchange(wanted) => Some(wanted.contains(&exchange)),
        Predicate::Country(wanted) => Some(wanted.contains(&country)),
        _ => None,
    };
    targeting.all.iter().all(|it| known(it) != Some(false))
        && (targeting.any.is_empty() || targeting.any.iter().any(|it| known(it) != Some(false)))
        && targeting.none.iter().all(|it| known(it) != Some(true))
}
