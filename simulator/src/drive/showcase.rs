//! What exchanges and users see of a bid. Of one creative it is mostly the same, so it is made once.

use std::collections::HashMap;

use haggle_domain::CampaignKey;

use super::bidder::Made;
use crate::ad::{SimAd, SimBid};
use crate::request::SimRequest;

/// By campaign and creative.
#[derive(Default)]
pub(super) struct Showcase(HashMap<(CampaignKey, u16), (SimBid, SimAd)>);

impl Showcase {
    /// The bid as it is sent, and the ad that it would show.
    pub(super) fn of(&mut self, request: &SimRequest, made: &Made) -> &(SimBid, SimAd) {
        let decision = &made.committed.decision;
        let shown = self.0.entry((decision.bid.campaign, decision.creative)).or_insert_with(|| {
            let ad = SimAd::of(&made.campaign, decision.creative);
            (bid(made, &ad), ad)
        });
        let bid = &mut shown.0;
        if bid.imp_id != request.imp_id {
            request.imp_id.clone_into(&mut bid.imp_id);
        }
        bid.price = made.committed.price;
        bid.deal_id.clear();
        let deal = made.committed.deal.and_then(|place| request.hidden.deals.get(usize::from(place)));
        deal.into_iter().for_each(|deal| bid.deal_id.push_str(&deal.id));
        shown
    }
}

/// What depends on the request is left out.
fn bid(Made { campaign, .. }: &Made, ad: &SimAd) -> SimBid {
    SimBid {
        creative_id: ad.creative_id.clone(),
        advertiser_domains: vec![campaign.advertiser_domain.clone()],
        categories: campaign.categories.iter().map(|category| category.code.clone()).collect(),
        width: ad.width,
        height: ad.height,
        has_markup: true,
        ..SimBid::default()
    }
}
