//! What judging a campaign needs of it, in one place.
//!
//! A campaign is large and lies scattered over the heap; among a hundred thousand, what one imp looks at of it is in no cache.
//! So what nearly every judgement asks for is copied out, and lies beside its neighbours'.

use std::sync::Arc;

use haggle_domain::fit::{Fit, attributes, banner_has_room, fits};
use haggle_domain::{
    Ad, CampaignKey, CandidatePolicy, Codes, CpmMicros, Flight, Format, Goal, Holdout, Micros, Opportunity,
    Size,
};
use smallvec::SmallVec;

use crate::catalog::Entry;
use crate::explore::Fitting;
use crate::live::CampaignLive;

/// A campaign's card.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    /// The campaign itself.
    pub(crate) entry: Arc<Entry>,
    /// What changes every tick.
    pub(crate) live: Arc<CampaignLive>,
    pub(crate) key: CampaignKey,
    pub(crate) flight: Flight,
    pub(crate) goal: Goal,
    pub(crate) max_bid: CpmMicros,
    /// See [`haggle_domain::Limits`].
    pub(crate) max_cpc: Option<Micros>,
    /// Whether it has hours in which it bids.
    pub(crate) has_hours: bool,
    /// Whether it may be seen only so often.
    pub(crate) has_caps: bool,
    /// Whether it does not bid where what is known of users cannot be read.
    pub(crate) closed_when_away: bool,
    /// Whether it bids above what the prediction says at some imps.
    pub(crate) explores: bool,
    /// Whom it leaves alone.
    pub(crate) holdout: Holdout,
    creatives: SmallVec<[Outline; 4]>,
}

/// What mostly decides whether a creative fits.
#[derive(Clone, Copy, Debug)]
struct Outline {
    attributes: Codes,
    /// Of a banner; `None` for what has to be looked at itself.
    size: Option<Size>,
}

impl Card {
    pub(crate) fn new(entry: Entry) -> Self {
        let campaign = &entry.campaign;
        let outlines = campaign.creatives.iter().map(|creative| Outline {
            attributes: attributes(creative),
            size: match creative.ad {
                Ad::Banner { size, .. } => Some(size),
                Ad::Video(_) | Ad::Audio(_) | Ad::Native(_) => None,
            },
        });
        Self {
            live: Arc::clone(&entry.live),
            key: campaign.key,
            flight: campaign.flight,
            goal: campaign.goal,
            max_bid: campaign.max_bid,
            max_cpc: campaign.limits.max_cpc,
            has_hours: !campaign.dayparts.is_empty(),
            has_caps: !entry.caps.is_empty(),
            closed_when_away: campaign.asks_of_users() && !campaign.bids_without_user_state,
            explores: campaign.explore.candidates != CandidatePolicy::None,
            holdout: campaign.holdout,
            creatives: outlines.collect(),
            entry: Arc::new(entry),
        }
    }

    /// Has the card brought near.
    pub(crate) fn warm(&self) -> u64 {
        self.key.0 ^ self.max_bid.0 as u64 ^ self.creatives.len() as u64 ^ u64::from(self.has_hours)
    }

    /// How one creative fits an imp: [`fits`], without looking at banners where their outline says it.
    pub(crate) fn fit(&self, creative: usize, opportunity: &Opportunity) -> Option<Fit> {
        let outline = self.creatives.get(creative)?;
        match (outline.size, &opportunity.banner) {
            (Some(_), None) => None,
            (Some(size), Some(slot)) if slot.mimes.is_empty() => {
                let fits =
                    !slot.blocked_attributes.intersects(outline.attributes) && banner_has_room(slot, size);
                fits.then_some(Fit { format: Format::Banner, duration: 0 })
            }
            _ => fits(self.entry.campaign.creatives.get(creative)?, opportunity),
        }
    }

    /// Which creatives fit an imp.
    pub(crate) fn fitting(&self, opportunity: &Opportunity) -> Fitting {
        Fitting::of(self.creatives.len(), |creative| self.fit(creative, opportunity).is_some())
    }
}

#[cfg(test)]
mod tests {
    use haggle_domain::{BannerSlot, Creative, Media, Stream, StreamSlot, Tag};
    use proptest::prelude::*;

    use super::*;
    use crate::test_support::campaign;

    proptest! {
        #[test]
        fn an_outline_says_what_the_creative_does(
            width in 1u16..4,
            room in 1u16..4,
            attribute in 0i64..3,
            (blocked, blocked_type) in (0i64..3, 0u8..4),
            (at_most, lists, has_banner, film) in any::<(bool, bool, bool, bool)>(),
        ) {
            let size = |width| Size { width, height: 2 };
            let mut campaign = campaign("boots");
            let mut creative = Creative::banner("a", size(width), "https://cdn.example/a.gif", "https://a.example", "A");
            creative.attributes.insert(attribute);
            if film {
                creative.ad = Ad::Video(Stream { duration: 5, skip_after: None, media: Media::Files(Vec::new()) });
            }
            campaign.creatives = vec![creative];
            let slot = BannerSlot {
                at_most,
                blocked_attributes: [blocked].into_iter().collect(),
                blocked_types: Codes::of(blocked_type),
                mimes: if lists { [Tag::of("image/png")].into_iter().collect() } else { Default::default() },
                ..BannerSlot::of([size(room)])
            };
            let opportunity = Opportunity {
                banner: has_banner.then_some(slot),
                video: Some(StreamSlot::default()),
                ..Opportunity::default()
            };
            let expected = fits(&campaign.creatives[0], &opportunity);
            let card = Card::new(Entry::new(Arc::new(campaign)));
            prop_assert_eq!(card.fit(0, &opportunity), expected);
            prop_assert_eq!(card.fitting(&opportunity).is_empty(), expected.is_none());
        }
    }
}
