//! What a campaign's owner tells every node of how to bid for it: all that bids read and its actor writes.

use std::sync::Arc;

use haggle_domain::{Campaign, Micros, Tag};
use haggle_strategies::explore::{ArmCounts, Shape};
use haggle_strategies::{Arms, CampaignLive, CampaignState};
use minicbor::{Decode, Encode};

/// The owner's latest word. Later ones replace it.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Posted {
    /// [`CampaignState`], as a number.
    #[n(0)]
    state: u8,
    /// What bids are multiplied by.
    #[n(1)]
    multiplier: f64,
    /// The share of the auctions that are taken.
    #[n(2)]
    taken: f64,
    /// Whether there is money for bids above what predictions say.
    #[n(3)]
    explores: bool,
    /// What an order brings.
    #[n(4)]
    order_value: Micros,
    /// By creative: how often it was shown and clicked.
    #[n(5)]
    arms: Vec<ArmCounts>,
    /// Whose counts those are.
    #[n(6)]
    creatives: Vec<Tag>,
}

impl Posted {
    /// What is to be told of a campaign, as its machine has published it.
    pub(super) fn of(campaign: &Campaign, live: &CampaignLive, arms: &[ArmCounts]) -> Self {
        Self {
            state: live.state() as u8,
            multiplier: live.multiplier(),
            taken: live.taken(),
            explores: live.explores(),
            order_value: live.order_value(),
            arms: arms.to_vec(),
            creatives: campaign.creatives.iter().map(|creative| creative.tag).collect(),
        }
    }

    /// Shows it to the bids of this node. `before` is what was shown last.
    pub fn show(&self, before: Option<&Self>, campaign: &Arc<Campaign>, live: &CampaignLive) {
        live.set_multiplier(self.multiplier);
        live.set_taken(self.taken);
        live.set_explores(self.explores);
        live.set_order_value(self.order_value);
        let tags = campaign.creatives.iter().map(|creative| creative.tag);
        // A node that knows other creatives than the owner goes on with what it had until both know the same.
        if self.creatives.iter().copied().eq(tags) && before.is_none_or(|before| before.arms != self.arms) {
            let shapes: Vec<Shape> = campaign.creatives.iter().map(Shape::of).collect();
            live.set_arms(Arms::of(&campaign.explore, &shapes, &self.arms));
        }
        live.set_state(self.state(live.lease.load().available()));
    }

    /// Whether bids may be made, by a process that has `left`: what it was given it may spend, though the owner has no more.
    pub fn state(&self, left: Micros) -> CampaignState {
        match self.state {
            1 => CampaignState::Active,
            2 | 3 if left > Micros::ZERO => CampaignState::Active,
            2 => CampaignState::Paced,
            3 => CampaignState::Exhausted,
            4 => CampaignState::Paused,
            _ => CampaignState::Down,
        }
    }
}
