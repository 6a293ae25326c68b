//! What the bidder under test answered, as the world sees it.

use haggle_domain::{Campaign, CpmMicros};

/// A bid as it stands in a bid response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimBid {
    /// `bid.impid`.
    pub imp_id: String,
    /// `bid.price`.
    pub price: CpmMicros,
    /// `bid.crid`.
    pub creative_id: String,
    /// `bid.adomain`.
    pub advertiser_domains: Vec<String>,
    /// `bid.cat`.
    pub categories: Vec<String>,
    /// `bid.w`.
    pub width: u16,
    /// `bid.h`.
    pub height: u16,
    /// Whether `bid.adm` is there.
    pub has_markup: bool,
    /// `bid.dealid`; empty in the open auction.
    pub deal_id: String,
}

/// An ad that was shown: what it advertises decides who clicks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimAd {
    /// The campaign's id.
    pub campaign_id: String,
    /// The creative's id; how appealing it is follows from it.
    pub creative_id: String,
    /// The campaign's first IAB content category, or a word for what it sells.
    pub category: String,
    /// Where a click leads: a product word in its path says what exactly is sold.
    pub landing: String,
    /// Width of the creative.
    pub width: u16,
    /// Height of the creative.
    pub height: u16,
}

impl SimAd {
    /// What users see of a campaign's creative, which is given by its place; of one that is not there only the campaign.
    pub fn of(campaign: &Campaign, creative: u16) -> Self {
        let creative = campaign.creatives.get(usize::from(creative));
        let size = creative.map(|creative| creative.banner_size()).unwrap_or_default();
        Self {
            campaign_id: campaign.id.clone(),
            creative_id: creative.map(|creative| creative.id.clone()).unwrap_or_default(),
            category: campaign.categories.first().map(|category| category.code.clone()).unwrap_or_default(),
            landing: String::new(),
            width: size.width,
            height: size.height,
        }
    }
}
