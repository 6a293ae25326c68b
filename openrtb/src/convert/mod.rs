//! From OpenRTB's words to the domain's.

mod browser;
mod deals;
mod interests;
mod native;
mod price;
mod slots;

use haggle_domain::{
    AuctionType, Basis, Connection, Context, CpmMicros, DeviceKind, ExchangeKey, NoBidReason, Opportunity,
    Postcode, Quantity, Rate, Rates, Tag, UserKey,
};
use smallvec::SmallVec;

use crate::domains::{bare_domain, host_of, trimmed};
use crate::privacy::Signal;
use crate::request::{BidRequest, Channel, Device, Imp, Metric, User, Words};
use interests::{Page, segments};
use price::Prices;

pub use browser::browser_name;

/// How many imps of a request are looked at: far more than anybody sells at once, and a bound on the work that one body can
/// cause.
const MOST_IMPS: usize = 128;

/// Who is asked, by whom, and on which terms: what a request is read with.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The exchange.
    pub exchange: ExchangeKey,
    /// Our seat at it.
    pub seat: &'a str,
    /// Which of the user's ids is taken, in the order of preference.
    pub user_ids: &'a [UserId],
    /// What currencies are worth.
    pub rates: &'a Rates,
}

/// One of the ids that a request may give a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserId {
    /// `user.buyeruid`: ours, after a user match.
    Buyeruid,
    /// `user.id`: the exchange's.
    Id,
    /// An extended id (`user.eids`) of this source.
    Extended(String),
}

impl<'a> BidRequest<'a> {
    /// The currency to bid in and its rate: the account's where the request takes it, else the first that the request
    /// takes and for which a rate is known.
    pub fn currency<'r>(&self, rates: &'r Rates) -> Option<(&'r str, Rate)> {
        if self.cur.is_empty() || self.cur.iter().any(|currency| **currency == *rates.account) {
            return Some((&*rates.account, Rate::ONE));
        }
        let known = self.cur.iter().filter_map(|currency| rates.find(currency));
        known.clone().find(|(code, _)| *code == rates.account).or_else(|| known.clone().next())
    }

    /// All ids of the user that are configured to be taken, where `basis` lets them be read: to look for one who opted
    /// out, under whichever of them.
    pub fn user_keys(&self, asker: &Asker<'_>, basis: Basis) -> impl Iterator<Item = UserKey> {
        let data = self.user_data(basis);
        asker.user_ids.iter().filter_map(move |kind| user_key(data?.user, std::slice::from_ref(kind)))
    }

    /// What all imps of the request share, with no more of the user than `basis` allows.
    pub fn context(&self, asker: &Asker<'_>, basis: Basis) -> Context {
        let data = self.user_data(basis);
        let geo = data.map_or(&self.device.geo, |data| data.geo);
        let user = data.filter(|_| basis.allows(Basis::TARGET)).map(|data| data.user);
        let mut page = Page::default();
        self.channels().for_each(|channel| page.add_channel(channel));
        Context {
            exchange: asker.exchange,
            auction: if self.at == Some(1) { AuctionType::First } else { AuctionType::SecondPlus },
            user: user.and_then(|user| user_key(user, asker.user_ids)),
            basis,
            rate: self.currency(asker.rates).map_or(Rate::ONE, |(_, rate)| rate),
            country: tag(&geo.country),
            region: tag(&geo.region),
            city: data.map_or(Tag::NONE, |data| tag(data.city)),
            postcodes: data
                .and_then(|data| Postcode::of(data.postcode))
                .map(|postcode| postcode.beginnings().collect())
                .unwrap_or_default(),
            place: data.and_then(|data| data.place),
            utc_offset: geo.utcoffset.and_then(utc_offset),
            inventory: self.inventory().tag(),
            publisher: self
                .channels()
                .map(|channel| tag(&channel.publisher.id))
                .find(|id| id.is_some())
                .unwrap_or_default(),
            device: device_kind(&self.device),
            os: operating_system(&self.device),
            browser: browser::browser(&self.device),
            connection: connection(&self.device),
            language: tag(primary_language(first_said(&self.device.language, &self.device.langb))),
            interests: page.interests.0,
            categories: page.categories.0,
            keywords: page.keywords.0,
            segments: user.map(segments).unwrap_or_default(),
            blocked_categories: sorted(&self.bcat, tag),
            wanted_categories: sorted(&self.acat, tag),
            // One that no list has is nobody's, and what it blocks cannot be judged.
            category_taxonomy: self.cattax.map_or(1, |taxonomy| u8::try_from(taxonomy).unwrap_or(u8::MAX)),
            blocked_advertisers: sorted(&self.badv, bare_domain),
            blocked_apps: sorted(&self.bapp, tag),
            ad_languages: self
                .wlang
                .iter()
                .chain(&self.wlangb)
                .map(|word| tag(primary_language(word)))
                .collect(),
            seat_blocked: (!self.wseat.is_empty() && !self.wseat.iter().any(|wanted| wanted == asker.seat))
                || self.bseat.iter().any(|blocked| blocked == asker.seat),
            // Only what says clearly that it is none may cost money.
            test: matches!(self.test, Signal::Raised | Signal::Malformed),
            ..Context::default()
        }
    }

    /// Every imp of the request in its order, exactly once: the imp and what is for sale, or why we do not want it.
    /// `context` is this request's.
    pub fn imps_for<'r>(
        &'r self,
        context: &Context,
        asker: &'r Asker<'_>,
    ) -> impl ExactSizeIterator<Item = (&'r Imp<'a>, Result<Opportunity, NoBidReason>)> {
        let seat_blocked = context.seat_blocked;
        let rate = self.currency(asker.rates).map(|(_, rate)| rate);
        self.imps.iter().enumerate().map(move |(position, imp)| {
            if position >= MOST_IMPS {
                return (imp, Err(NoBidReason::TooManyImps));
            }
            let outcome = self.opportunity(imp, asker).and_then(|opportunity| match rate {
                _ if seat_blocked => Err(NoBidReason::SeatBlocked),
                None => Err(NoBidReason::UnsupportedCurrency),
                Some(_) => Ok(opportunity),
            });
            (imp, outcome)
        })
    }

    /// One imp of this request, or why it cannot be bid on.
    ///
    /// # Errors
    ///
    /// The reason: the imp is flawed, offers no format that could be answered, or its floor is in a currency of which no
    /// rate is known. A format that is flawed is as if it were not offered while another is there.
    pub fn opportunity(&self, imp: &Imp<'_>, asker: &Asker<'_>) -> Result<Opportunity, NoBidReason> {
        if self.contradicts_itself {
            return Err(NoBidReason::InvalidRequest);
        }
        let measured = |metric: &Metric<'_>| !metric.kind.is_empty() && metric.value.is_some();
        let unreadable = imp.pmp.is_malformed() || imp.qty.is_malformed();
        if unreadable
            || imp.id.is_empty()
            || imp.repeats_id
            || !imp.metric.iter().all(measured)
            || !is_currency(&imp.bidfloorcur)
        {
            return Err(NoBidReason::InvalidImp);
        }
        let prices =
            Prices { rates: asker.rates, currency: first_said(&imp.bidfloorcur, price::DEFAULT_CURRENCY) };
        let floor = prices.read(imp.bidfloor)?;
        let currency = self.currency(asker.rates).map(|(code, _)| code);
        let mut refusal = None;
        let mut offered = |flaw: NoBidReason| refusal = refusal.max(Some(flaw));
        let banner = imp.banner.get().map(|banner| slots::banner(banner, imp.instl, &self.device));
        let video = imp.video.get().map(|video| slots::stream(video, false, &imp.id, &prices));
        let audio = imp.audio.get().map(|audio| slots::stream(audio, true, &imp.id, &prices));
        let native = imp.native.get().map(native::slot);
        let position =
            imp.banner.get().and_then(|banner| banner.pos).or(imp.video.get().and_then(|video| video.pos));
        let opportunity = Opportunity {
            banner: banner.and_then(|slot| slot.map_err(&mut offered).ok()),
            video: video.and_then(|slot| slot.map_err(&mut offered).ok()),
            audio: audio.and_then(|slot| slot.map_err(&mut offered).ok()),
            native: native.and_then(|slot| slot.map_err(&mut offered).ok()),
            floor,
            deals: deals::usable(imp.pmp.get(), self.at, currency, asker)?,
            deals_only: imp.pmp.get().is_some_and(|pmp| pmp.private_auction),
            placement: tag(&imp.tagid),
            position: position.and_then(|position| u8::try_from(position).ok()).unwrap_or(0),
            interstitial: imp.instl,
            secure: imp.secure,
            rewarded: imp.rewarded(),
            quantity: imp.qty.get().map_or(Ok(Quantity::ONE), |qty| quantity(qty.multiplier))?,
            expires_within: imp.exp.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0),
            viewability: viewability(&imp.metric),
        };
        let formats = [
            opportunity.banner.is_some(),
            opportunity.video.is_some(),
            opportunity.audio.is_some(),
            opportunity.native.is_some(),
        ];
        if formats.contains(&true) {
            Ok(opportunity)
        } else {
            Err(refusal.unwrap_or(NoBidReason::InvalidImp))
        }
    }

    /// `site.domain`, else the page's host, else `app.bundle`, else whatever names the screens out of home.
    pub fn inventory(&self) -> Inventory<'_> {
        fn named<'r>(channel: &'r Channel<'_>) -> Inventory<'r> {
            let domain = match trimmed(&channel.domain) {
                "" => host_of(&channel.page).unwrap_or(""),
                domain => domain,
            };
            if domain.is_empty() {
                Inventory::Bundle(trimmed(&channel.bundle))
            } else {
                Inventory::Domain(domain)
            }
        }
        // An app is known by its bundle, whatever its domain.
        let app = self.app.as_deref().map(|app| Inventory::Bundle(trimmed(&app.bundle)));
        let known = self.site.as_deref().map(named).into_iter().chain(app);
        let mut all = known.chain(self.channels().map(named));
        all.find(|inventory| !inventory.name().is_empty()).unwrap_or(Inventory::Bundle(""))
    }
}

/// What a site or app is known by; an empty bundle where by nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inventory<'r> {
    /// A domain, whose parents may be known too.
    Domain(&'r str),
    /// An app's id in its store.
    Bundle(&'r str),
}

impl<'r> Inventory<'r> {
    /// The name alone.
    pub const fn name(self) -> &'r str {
        match self {
            Self::Domain(name) | Self::Bundle(name) => name,
        }
    }

    fn tag(self) -> Tag {
        Tag::of(self.name())
    }
}

fn tag(word: &str) -> Tag {
    Tag::of(trimmed(word))
}

fn tags<const N: usize>(words: &Words<'_>, tag: impl Fn(&str) -> Tag) -> SmallVec<[Tag; N]>
where
    [Tag; N]: smallvec::Array<Item = Tag>,
{
    words.iter().map(|word| tag(word)).filter(|tag| tag.is_some()).collect()
}

/// The same in rising order, to be searched by halves: a body can hold very many.
fn sorted<const N: usize>(words: &Words<'_>, tag: impl Fn(&str) -> Tag) -> SmallVec<[Tag; N]>
where
    [Tag; N]: smallvec::Array<Item = Tag>,
{
    let mut sorted = SmallVec::with_capacity(words.len());
    for word in words {
        let tag = tag(word);
        if tag.is_some() {
            sorted.push(tag);
        }
    }
    sorted.sort_unstable();
    sorted
}

fn first_said<'r>(first: &'r str, second: &'r str) -> &'r str {
    if first.is_empty() { second } else { first }
}

/// Three letters (ISO 4217), or nothing.
fn is_currency(code: &str) -> bool {
    let code = trimmed(code);
    code.is_empty() || (code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// `de-AT` → `de`.
fn primary_language(language: &str) -> &str {
    language.split(['-', '_']).next().unwrap_or(language)
}

/// The first of the wanted ids that is there. Zeros are what is sent in place of an id that was taken away: nobody's.
fn user_key(user: &User<'_>, wanted: &[UserId]) -> Option<UserKey> {
    let is_id = |id: &&str| id.bytes().any(|byte| !matches!(byte, b'0' | b'-' | b' '));
    let find = |kind: &UserId| match kind {
        UserId::Buyeruid => Some(&*user.buyeruid).filter(is_id),
        UserId::Id => Some(&*user.id).filter(is_id),
        UserId::Extended(source) => user
            .extended_ids()
            .filter(|eid| eid.source.eq_ignore_ascii_case(source))
            .flat_map(|eid| &eid.uids)
            .map(|uid| &*uid.id)
            .find(is_id),
    };
    wanted.iter().find_map(find).map(UserKey::of)
}

/// Clocks on earth are 12 hours behind UTC to 14 hours ahead of it.
fn utc_offset(minutes: i64) -> Option<i16> {
    i16::try_from(minutes).ok().filter(|minutes| (-12 * 60..=14 * 60).contains(minutes))
}

/// AdCOM 1.0, list of connection types.
fn connection(device: &Device<'_>) -> Connection {
    match device.connectiontype {
        Some(1) => Connection::Wired,
        Some(2) => Connection::Wifi,
        Some(3..=7) => Connection::Cellular,
        _ => Connection::Unknown,
    }
}

/// AdCOM 1.0, list of device types; where it is silent, what the browser says of itself.
fn device_kind(device: &Device<'_>) -> DeviceKind {
    match device.devicetype {
        Some(1 | 4) => DeviceKind::Phone,
        Some(2) => DeviceKind::Computer,
        Some(5) => DeviceKind::Tablet,
        Some(3 | 6 | 7) => DeviceKind::Tv,
        Some(8) => DeviceKind::OutOfHome,
        _ => match device.sua.as_deref().and_then(|sua| sua.mobile) {
            Some(1) => DeviceKind::Phone,
            Some(0) => DeviceKind::Computer,
            _ => DeviceKind::Unknown,
        },
    }
}

/// `device.os`, else the platform in `device.sua`.
fn operating_system(device: &Device<'_>) -> Tag {
    let platform = device.sua.as_deref().and_then(|sua| sua.platform.as_deref());
    tag(first_said(&device.os, platform.map_or("", |platform| &platform.brand)))
}

/// The share of such impressions that were seen. Of several vendors' figures the lowest; what is no share says nothing.
fn viewability(metrics: &[Metric<'_>]) -> Option<f32> {
    let seen = metrics.iter().filter(|metric| metric.kind.eq_ignore_ascii_case("viewability"));
    let shares = seen.filter_map(|metric| metric.value).filter(|value| (0.0..=1.0).contains(value));
    shares.map(|share| share as f32).reduce(f32::min)
}

/// A multiplier in millionths. Without one that says something sensible the imp has no price.
fn quantity(multiplier: Option<f64>) -> Result<Quantity, NoBidReason> {
    // A screen that a billion people see is an error.
    match multiplier.and_then(CpmMicros::from_f64_rounded_up) {
        Some(millionths) if millionths > CpmMicros::ZERO => Ok(Quantity(millionths.0.unsigned_abs())),
        _ => Err(NoBidReason::InvalidImp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewability_is_the_lowest_share_that_is_said() {
        let metric = |kind: &'static str, value| Metric { kind: kind.into(), value: Some(value) };
        let said = |metrics: &[Metric<'_>]| viewability(metrics).map(f64::from);
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[metric("click_through_rate", 0.1)]), None);
        assert_eq!(said(&[metric("viewability", 0.75), metric("Viewability", 0.5)]), Some(0.5));
        assert_eq!(said(&[metric("viewability", 60.0), metric("viewability", f64::NAN)]), None, "no shares");
    }
}
