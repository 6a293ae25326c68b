//! The gate against programs, as a node holds it: its built-in lists, and the simulated data centre's network as its list of those.

use std::borrow::Cow;

use haggle_domain::NoBidReason;
use haggle_openrtb::BidRequest;
use haggle_safety::traffic::Networks;
use haggle_safety::{Facts, SafetyReason, TrafficGate};

use crate::bots::DATA_CENTRE;
use crate::request::SimRequest;

pub(super) struct Gate(Option<TrafficGate>);

/// Where a request comes from, as it says itself.
pub(super) struct Origin<'r> {
    user_agent: &'r str,
    ip: Cow<'r, str>,
    os: &'r str,
}

impl<'r> Origin<'r> {
    pub(super) fn of(request: &'r BidRequest<'_>) -> Self {
        let origin = request.device.for_invalid_traffic_gate();
        Self { user_agent: origin.ua, ip: Cow::Borrowed(origin.ip), os: &request.device.os }
    }

    /// The same of one that is not read.
    pub(super) fn unread(request: &'r SimRequest) -> Self {
        let person = &request.who;
        Self { user_agent: person.user_agent(), ip: Cow::Owned(request.ip()), os: person.device.os }
    }
}

impl Default for Gate {
    fn default() -> Self {
        // Both lists are the program's own, and a test holds that they can be read.
        let networks = Networks::parse(DATA_CENTRE.as_bytes()).ok();
        Self(TrafficGate::new(None, None, networks).ok())
    }
}

impl Gate {
    /// Why a request is not bid on. The special addresses of documentation are the simulated users', so they are let pass.
    pub(super) fn refusal(&self, origin: &Origin<'_>) -> Option<NoBidReason> {
        let facts =
            Facts { user_agent: origin.user_agent, ip: &origin.ip, os: origin.os, ..Facts::default() };
        self.0.as_ref()?.check(&facts).iter().find_map(|found| match found {
            SafetyReason::KnownSpider => Some(NoBidReason::KnownSpider),
            SafetyReason::AutomatedBrowser => Some(NoBidReason::SuspectedBot),
            SafetyReason::DataCentre => Some(NoBidReason::DataCentre),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bots::{Bot, HEADLESS};
    use crate::people::Person;

    #[test]
    fn programs_are_turned_away_by_what_they_show_and_people_are_not() {
        let refused = |user_agent, ip: &'static str, os| {
            Gate::default().refusal(&Origin { user_agent, ip: Cow::Borrowed(ip), os })
        };
        for person in (0..300).map(|index| Person::new(7, index, 1.0)) {
            let (agent, os) = (person.user_agent(), person.device.os);
            assert_eq!(refused(agent, "203.0.113.7", os), None, "{agent}");
            assert_eq!(refused(agent, "198.51.100.7", os), Some(NoBidReason::DataCentre));
            let bot = person.made_bot(Some(Bot::Headless));
            assert_eq!(bot.user_agent(), HEADLESS);
            assert_eq!(refused(bot.user_agent(), "203.0.113.7", os), Some(NoBidReason::SuspectedBot));
        }
    }
}
