//! What exchanges and users see of a bid. Of one creative it is always the same but for the price, so it is made once.

use std::collections::HashMap;

use haggle_domain::CampaignKey;

use super::bidder::Made;
use crate::ad::{SimAd, SimBid};

/// By campaign and creative.
#[derive(Default)]
pub(super) struct Showcase(HashMap<(CampaignKey, u16), (SimBid, SimAd)>);

impl Showcase {
    /// The bid as it is sent, and the ad that it would show.
    pub(super) fn of(&mut self, imp_id: &str, made: &Made) -> &(SimBid, SimAd) {
        let decision = &made.committed.decision;
        let shown = self.0.entry((decision.bid.campaign, decision.creative)).or_insert_with(|| {
            let ad = ad(made);
            (bid(imp_id, made, &ad), ad)
        });
        if shown.0.imp_id != imp_id {
            imp_id.clone_into(&mut shown.0.imp_id);
        }
        shown.0.price = made.committed.price;
        shown
    }
}

fn bid(imp_id: &str, Made { committed, campaign }: &Made, ad: &SimAd) -> SimBid {
    SimBid {
        imp_id: imp_id.to_owned(),
        price: committed.price,
        creative_id: ad.creative_id.clone(),
        advertiser_domains: vec![campaign.advertiser_domain.clone()],
        categories: campaign.categories.iter().map(|category| category.code.clone()).collect(),
        width: ad.width,
        height: ad.height,
        has_markup: true,
    }
}

fn ad(Made { committed, campaign }: &Made) -> SimAd {
    let creative = campaign.creatives.get(usize::from(committed.decision.creative));
    let size = creative.map(|creative| creative.banner_size()).unwrap_or_default();
    SimAd {
        campaign_id: campaign.id.clone(),
        creative_id: creative.map(|creative| creative.id.clone()).unwrap_or_default(),
        category: campaign.categories.first().map(|category| category.code.clone()).unwrap_or_default(),
        landing: String::new(),
        width: size.width,
        height: size.height,
    }
}
