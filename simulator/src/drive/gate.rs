//! The gate against programs, as a node holds it: its built-in lists, and the simulated data centre's network as its list of those.

use haggle_domain::NoBidReason;
use haggle_openrtb::BidRequest;
use haggle_safety::traffic::Networks;
use haggle_safety::{Facts, SafetyReason, TrafficGate};

use crate::bots::DATA_CENTRE;

pub(super) struct Gate(Option<TrafficGate>);

impl Default for Gate {
    fn default() -> Self {
        // Both lists are the program's own, and a test holds that they can be read.
        let networks = Networks::parse(DATA_CENTRE.as_bytes()).ok();
        Self(TrafficGate::new(None, None, networks).ok())
    }
}

impl Gate {
    /// Why a request is not bid on. The special addresses of documentation are the simulated users', so they are let pass.
    pub(super) fn refusal(&self, request: &BidRequest<'_>) -> Option<NoBidReason> {
        let origin = request.device.for_invalid_traffic_gate();
        let facts = Facts {
            user_agent: origin.ua,
            ip: origin.ip,
            ipv6: origin.ipv6,
            os: &request.device.os,
            ..Facts::default()
        };
        self.0.as_ref()?.check(&facts).iter().find_map(|found| match found {
            SafetyReason::KnownSpider => Some(NoBidReason::KnownSpider),
            SafetyReason::AutomatedBrowser => Some(NoBidReason::SuspectedBot),
            SafetyReason::DataCentre => Some(NoBidReason::DataCentre),
            _ => None,
        })
    }
}
