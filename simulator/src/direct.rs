//! A request as the bidder has it once it has parsed its body, without the body: to make JSON and read it again takes as long as to
//! decide. That both ways lead to the same is tested over many requests.

use std::sync::LazyLock;

use haggle_domain::{
    BannerSlot, Codes, Connection, Context, CpmMicros, Deal, NoBidReason, Opportunity, Rate, Size,
    StreamSlot, Tag,
};
use smallvec::SmallVec;

use crate::body::{
    BANNER_APIS, BANNER_MIMES, BLOCKED_ATTRIBUTES, BLOCKED_TYPES, EXPIRES_WITHIN, LINEAR, PLAYER, VIDEO_MIME,
    VIDEO_PROTOCOLS, VIDEO_SECONDS,
};
use crate::request::{CURRENCY, OUR_SEAT, SimRequest};
use crate::surroundings::CONTENT_1;

/// Words that requests share.
struct Words {
    banner_mimes: [Tag; BANNER_MIMES.len()],
    video_mime: Tag,
}

static WORDS: LazyLock<Words> =
    LazyLock::new(|| Words { banner_mimes: BANNER_MIMES.map(Tag::of), video_mime: Tag::of(VIDEO_MIME) });

/// In rising order, as lists that are searched have to be.
fn sorted(words: &[&str]) -> SmallVec<[Tag; 8]> {
    let mut tags: SmallVec<[Tag; 8]> = words.iter().map(|word| Tag::of(word)).collect();
    tags.sort_unstable();
    tags
}

impl SimRequest {
    /// What all imps of the request share, for a bidder in the account's currency that takes the shop's ids.
    pub fn context(&self) -> Context {
        let (seen, around) = (&self.who.seen, self.surroundings);
        Context {
            exchange: self.exchange_key,
            auction: self.auction,
            user: seen.user,
            basis: seen.basis,
            rate: Rate::ONE,
            country: seen.country,
            region: seen.region,
            city: seen.city,
            place: seen.place,
            inventory: around.inventory,
            publisher: around.publisher,
            device: seen.device,
            os: seen.os,
            browser: seen.browser,
            connection: if self.connection == 2 { Connection::Wifi } else { Connection::Cellular },
            language: seen.language,
            interests: SmallVec::from_slice(&around.interests),
            categories: SmallVec::from_slice(&around.categories),
            keywords: SmallVec::from_slice(&around.keywords),
            segments: SmallVec::from_slice(&seen.segments),
            blocked_categories: sorted(self.hidden.bcat),
            category_taxonomy: CONTENT_1,
            blocked_advertisers: sorted(self.hidden.badv),
            seat_blocked: self.other_seats_only,
            ..Context::default()
        }
    }

    /// What is for sale.
    ///
    /// # Errors
    ///
    /// Why it cannot be bid on.
    pub fn opportunity(&self) -> Result<Opportunity, NoBidReason> {
        if self.currency != CURRENCY {
            return Err(NoBidReason::UnsupportedCurrency);
        }
        if self.other_seats_only {
            return Err(NoBidReason::SeatBlocked);
        }
        let (banner, video) =
            if self.video_only { (None, Some(video())) } else { (Some(self.banner()), None) };
        Ok(Opportunity {
            position: if self.video_only { 0 } else { self.placement.position },
            banner,
            video,
            floor: self.floor,
            deals: self.deals(),
            deals_only: self.hidden.deals.iter().any(|deal| deal.private),
            placement: self.surroundings.placements[self.placed],
            interstitial: self.placement.interstitial,
            secure: true,
            expires_within: EXPIRES_WITHIN,
            ..Opportunity::default()
        })
    }

    /// Those that our seat may take part in.
    fn deals(&self) -> SmallVec<[Deal; 1]> {
        let ours = |seats: &[String]| seats.is_empty() || seats.iter().any(|seat| seat == OUR_SEAT);
        let offered = self.hidden.deals.iter().zip(0..).filter(|(offer, _)| ours(&offer.seats));
        offered
            .map(|(offer, index)| Deal {
                key: Tag::exactly(&offer.id),
                index,
                floor: offer.floor,
                asked: Some(offer.floor),
                price: offer.price,
                floor_per_second: CpmMicros::ZERO,
                ..Deal::default()
            })
            .collect()
    }

    fn banner(&self) -> BannerSlot {
        BannerSlot {
            sizes: self.placement.sizes.iter().map(|&(width, height)| Size { width, height }).collect(),
            blocked_attributes: codes(&BLOCKED_ATTRIBUTES),
            blocked_types: codes(&BLOCKED_TYPES),
            mimes: SmallVec::from_slice(&WORDS.banner_mimes),
            apis: codes(&BANNER_APIS),
            ..BannerSlot::default()
        }
    }
}

fn video() -> StreamSlot {
    StreamSlot {
        mimes: SmallVec::from_slice(&[WORDS.video_mime]),
        shortest: VIDEO_SECONDS.0,
        longest: VIDEO_SECONDS.1,
        protocols: codes(&VIDEO_PROTOCOLS),
        size: Size { width: PLAYER.0, height: PLAYER.1 },
        linearity: LINEAR,
        most_bitrate: u32::MAX,
        ..StreamSlot::default()
    }
}

fn codes(list: &[i64]) -> Codes {
    list.iter().copied().collect()
}
