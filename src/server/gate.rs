//! The gates that a whole request has to pass before any campaign is asked.

use std::net::IpAddr;

use haggle_domain::{Basis, NoBidReason};
use haggle_openrtb::BidRequest;
use haggle_openrtb::privacy::truncated;
use haggle_safety::{Chain, Facts, Node, SafetyReason};
use smallvec::SmallVec;

use super::state::State;
use crate::config::Exchange;

/// Why nothing of a request is bid on, whatever it asks for. Without a basis addresses are looked at with their last part
/// cut off.
pub(super) fn refusal(
    state: &State,
    exchange: &Exchange,
    request: &BidRequest<'_>,
    basis: Basis,
) -> Option<NoBidReason> {
    let origin = request.device.for_invalid_traffic_gate();
    let cut = |address: &str| {
        let address = if basis.allows(Basis::READ) { None } else { address.parse::<IpAddr>().ok() };
        address.map(|address| truncated(address).to_string())
    };
    let (ip, ipv6) = (cut(origin.ip), cut(origin.ipv6));
    let sua = request.device.sua.as_deref();
    let brands: SmallVec<[&str; 4]> =
        sua.map_or(&[][..], |sua| &sua.browsers).iter().map(|browser| &*browser.brand).collect();
    let chain = request.supply_chain();
    let nodes: SmallVec<[Node<'_>; 4]> = chain
        .map_or(&[][..], |chain| &chain.nodes)
        .iter()
        .map(|node| Node { system: &node.asi, seller: &node.sid, domain: &node.domain })
        .collect();
    let site = request.site.as_deref();
    let app = request.app.as_deref();
    let publisher = request.channels().map(|channel| &*channel.publisher.id).find(|id| !id.is_empty());
    let facts = Facts {
        user_agent: origin.ua,
        brands: &brands,
        ip: ip.as_deref().unwrap_or(origin.ip),
        ipv6: ipv6.as_deref().unwrap_or(origin.ipv6),
        os: &request.device.os,
        site: site.map_or("", |site| if site.domain.is_empty() { &site.page } else { &site.domain }),
        bundle: app.map_or("", |app| &app.bundle),
        app_domain: app.map_or("", |app| &app.domain),
        publisher: publisher.unwrap_or(""),
        exchange: &exchange.name,
        exchange_domain: exchange.domain.as_deref().unwrap_or(""),
        chain: chain.map(|chain| Chain {
            complete: chain.complete == Some(1),
            version: &chain.ver,
            nodes: &nodes,
        }),
    };
    state.safety.check(&facts).refused.map(reason)
}

/// The reason for the imps, which is coarser: what an exchange is told.
const fn reason(found: SafetyReason) -> NoBidReason {
    match found {
        SafetyReason::KnownSpider => NoBidReason::KnownSpider,
        SafetyReason::AutomatedBrowser
        | SafetyReason::MalformedUserAgent
        | SafetyReason::ContradictoryDevice
        | SafetyReason::UnreadableAddress
        | SafetyReason::SpecialAddress => NoBidReason::SuspectedBot,
        SafetyReason::DataCentre => NoBidReason::DataCentre,
        SafetyReason::UnlistedBrowser => NoBidReason::UnsupportedDevice,
        SafetyReason::BlockedInventory | SafetyReason::BlockedPublisher => NoBidReason::BlockedPublisher,
        SafetyReason::AdsTxtUnavailable => NoBidReason::SellerUnknown,
        SafetyReason::UnauthorisedSeller | SafetyReason::SellerTypeMismatch => {
            NoBidReason::SellerUnauthorised
        }
        SafetyReason::IncompleteChain | SafetyReason::MalformedChain | SafetyReason::ForeignChain => {
            NoBidReason::IncompleteChain
        }
        SafetyReason::BlockedSeller | SafetyReason::UnlistedSeller => NoBidReason::BlockedChain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_one_that_the_gate_says() {
        for found in SafetyReason::ALL {
            assert_eq!(reason(found).code(), u16::from(found.no_bid_code()), "{found:?}");
        }
    }
}
