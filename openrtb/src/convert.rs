//! From OpenRTB's words to the domain's.

use haggle_domain::{
    AuctionType, Context, CpmMicros, DeviceKind, ExchangeKey, NoBidReason, Opportunity, Size, Tag, UserKey,
};
use smallvec::SmallVec;

use crate::domains::{blocked_domain, host_of};
use crate::request::{Banner, BidRequest, Channel, Floor, Imp, User, Words};

/// How many interests are kept: enough for what pages and users are described by, and a bound on the work that a
/// hostile request can cause.
const MAX_INTERESTS: usize = 64;

/// What `bidfloorcur` means where it is absent (section 3.2.4).
const DEFAULT_FLOOR_CURRENCY: &str = "USD";

impl BidRequest<'_> {
    /// What all imps of the request share. `seat` is our seat at this exchange.
    pub fn context(&self, exchange: ExchangeKey, seat: &str) -> Context {
        let user_data = self.user_data();
        let geo = user_data.map_or(&self.device.geo, |data| data.geo);
        let mut interests = Interests::default();
        interests.add_channel(&self.site);
        interests.add_channel(&self.app);
        if let Some(data) = &user_data {
            interests.add_user(data.user);
        }
        Context {
            exchange,
            auction: if self.at == Some(1) { AuctionType::First } else { AuctionType::SecondPlus },
            user: user_data.and_then(|data| user_key(data.user)),
            country: tag(&geo.country),
            region: tag(&geo.region),
            city: user_data.map_or(Tag::NONE, |data| tag(data.city)),
            inventory: self.inventory(),
            publisher: tag(first_said(&self.site.publisher.id, &self.app.publisher.id)),
            device: device_kind(self.device.devicetype),
            os: tag(&self.device.os),
            language: tag(&self.device.language),
            interests: interests.0,
            blocked_categories: tags(&self.bcat, tag),
            blocked_advertisers: tags(&self.badv, blocked_domain),
            seat_blocked: (!self.wseat.is_empty() && !self.wseat.iter().any(|wanted| wanted == seat))
                || self.bseat.iter().any(|blocked| blocked == seat),
            test: self.test,
            ..Context::default()
        }
    }

    /// Every imp of the request in its order, exactly once: its id (empty where it has none) and what is for sale, or
    /// why we do not want it. `context` is this request's.
    pub fn imps<'r>(
        &'r self,
        context: &Context,
        account_currency: &'r str,
    ) -> impl ExactSizeIterator<Item = (&'r str, Result<Opportunity, NoBidReason>)> {
        let seat_blocked = context.seat_blocked;
        self.imps.iter().map(move |imp| {
            let outcome = self.opportunity(imp, account_currency).and_then(|opportunity| {
                if seat_blocked { Err(NoBidReason::SeatBlocked) } else { Ok(opportunity) }
            });
            (&*imp.id, outcome)
        })
    }

    /// One imp of this request, or why it cannot be bid on in `account_currency`.
    ///
    /// # Errors
    ///
    /// The reason: the imp is flawed, offers no banner, or is priced in another currency.
    pub fn opportunity(&self, imp: &Imp<'_>, account_currency: &str) -> Result<Opportunity, NoBidReason> {
        if imp.id.is_empty() || imp.repeats_id {
            return Err(NoBidReason::InvalidImp);
        }
        let floor = match imp.bidfloor {
            Floor::Absent => CpmMicros::ZERO,
            Floor::Price(price) => price,
            Floor::Unreadable => return Err(NoBidReason::InvalidImp),
        };
        let Some(banner) = &imp.banner else {
            let other_format = imp.video.0 || imp.audio.0 || imp.native.0;
            return Err(if other_format { NoBidReason::UnsupportedFormat } else { NoBidReason::InvalidImp });
        };
        let sizes = banner_sizes(banner)?;
        let ours = |currency: &str| currency.trim().eq_ignore_ascii_case(account_currency);
        let floor_currency = first_said(&imp.bidfloorcur, DEFAULT_FLOOR_CURRENCY);
        if (floor > CpmMicros::ZERO && !ours(floor_currency))
            || (!self.cur.is_empty() && !self.cur.iter().any(|currency| ours(currency)))
        {
            return Err(NoBidReason::UnsupportedCurrency);
        }
        Ok(Opportunity {
            banner: Some(haggle_domain::BannerSlot { sizes, ..Default::default() }),
            floor,
            placement: tag(&imp.tagid),
            position: banner.pos.and_then(|position| u8::try_from(position).ok()).unwrap_or(0),
            interstitial: imp.instl,
            secure: imp.secure,
            ..Opportunity::default()
        })
    }

    fn inventory(&self) -> Tag {
        if !self.site.domain.is_empty() {
            return tag(&self.site.domain);
        }
        host_of(&self.site.page).map_or_else(|| tag(&self.app.bundle), Tag::of)
    }
}

fn tag(word: &str) -> Tag {
    Tag::of(word.trim())
}

fn tags<const N: usize>(words: &Words<'_>, tag: impl Fn(&str) -> Tag) -> SmallVec<[Tag; N]>
where
    [Tag; N]: smallvec::Array<Item = Tag>,
{
    words.iter().map(|word| tag(word)).filter(|tag| tag.is_some()).collect()
}

fn first_said<'r>(first: &'r str, second: &'r str) -> &'r str {
    if first.is_empty() { second } else { first }
}

/// `buyeruid`, else `id`. Zeros are what is sent in place of an id that was taken away: nobody's.
fn user_key(user: &User<'_>) -> Option<UserKey> {
    let is_id = |id: &&str| id.bytes().any(|byte| !matches!(byte, b'0' | b'-' | b' '));
    [&*user.buyeruid, &*user.id].into_iter().find(is_id).map(UserKey::of)
}

/// AdCOM 1.0, list of device types.
fn device_kind(devicetype: Option<i64>) -> DeviceKind {
    match devicetype {
        Some(1 | 4) => DeviceKind::Phone,
        Some(2) => DeviceKind::Computer,
        Some(5) => DeviceKind::Tablet,
        Some(3 | 6 | 7) => DeviceKind::Tv,
        Some(8) => DeviceKind::OutOfHome,
        _ => DeviceKind::Unknown,
    }
}

/// The sizes in `format`, else `w` and `h`; empty where the banner says nothing of its size.
fn banner_sizes(banner: &Banner) -> Result<SmallVec<[Size; 8]>, NoBidReason> {
    let mut sizes = SmallVec::new();
    let mut flexible = false;
    for format in &banner.format {
        sizes.extend(size(format.w, format.h)?);
        flexible |= format.wratio.is_some() || format.hratio.is_some();
    }
    if sizes.is_empty() {
        sizes.extend(size(banner.w, banner.h)?);
    }
    // Only proportions: a size of ours would be a guess.
    if sizes.is_empty() && flexible { Err(NoBidReason::UnsupportedFormat) } else { Ok(sizes) }
}

/// A size takes two numbers; zeros are what software sends that cannot leave a number out.
fn size(width: Option<i64>, height: Option<i64>) -> Result<Option<Size>, NoBidReason> {
    let said = |length: Option<i64>| length.filter(|&length| length != 0);
    match (said(width), said(height)) {
        (None, None) => Ok(None),
        (Some(width), Some(height)) => match (u16::try_from(width), u16::try_from(height)) {
            (Ok(width), Ok(height)) => Ok(Some(Size { width, height })),
            _ => Err(NoBidReason::InvalidImp),
        },
        _ => Err(NoBidReason::InvalidImp),
    }
}

/// Interests as they are gathered: no doubles, at most [`MAX_INTERESTS`].
#[derive(Default)]
struct Interests(SmallVec<[Tag; 16]>);

impl Interests {
    fn add_channel(&mut self, channel: &Channel<'_>) {
        for words in [&channel.cat, &channel.sectioncat, &channel.pagecat, &channel.content.cat] {
            self.add_all(words.iter().map(|word| &**word));
        }
        self.add_keywords(&channel.keywords, &channel.kwarray);
    }

    fn add_user(&mut self, user: &User<'_>) {
        self.add_keywords(&user.keywords, &user.kwarray);
        self.add_all(user.data.iter().flat_map(|data| &data.segment).map(|segment| &*segment.id));
    }

    fn add_keywords(&mut self, keywords: &Words<'_>, kwarray: &Words<'_>) {
        self.add_all(keywords.iter().flat_map(|keywords| keywords.split(',')));
        self.add_all(kwarray.iter().map(|word| &**word));
    }

    fn add_all<'w>(&mut self, words: impl Iterator<Item = &'w str>) {
        for word in words {
            if self.0.len() == MAX_INTERESTS {
                return;
            }
            let tag = tag(word);
            if tag.is_some() && !self.0.contains(&tag) {
                self.0.push(tag);
            }
        }
    }
}
