//! The bid endpoint: `POST /openrtb2/bid/{exchange}`.
//!
//! Between the body and the answer nothing is awaited or asked of anybody, and nothing is locked but a shard of the opt-outs
//! and one of the users: one snapshot, [`haggle_actors::decide`], and the response is written. Where nodes share what they know
//! of users, the request's user is waited for first, for as long as `redis_timeout` says at most.

use std::cell::RefCell;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use haggle_actors::decide::{Asking, Witness};
use haggle_domain::fit::{attributes, template, verification};
use haggle_domain::{
    Ad, Basis, BasisSource, Campaign, Category, Context, Creative, Media, NoBidReason, Opportunity, Record,
    Stream, StreamSlot, Timestamp,
};
use haggle_openrtb::{
    Asker, BannerMarkup, Bid, BidRequest, Imp, Markup, NativeMarkup, RequestError, ResponseHead,
    ResponseWriter, VastMarkup, write_no_bid,
};
use haggle_strategies::safety::family;
use haggle_strategies::{Committed, Ranking, Snapshot};

use super::admission;
use super::body::{self, BodyError, Coding};
use super::gate;
use super::state::State;
use super::urls::NoticeUrls;
use crate::clock::monotonic;
use crate::config::{Exchange, NoBid};
use crate::metrics::RequestOutcome;
use crate::users::UserStore;

/// Which version the answer is by (section 2.1).
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-openrtb-version");
const VERSION: HeaderValue = HeaderValue::from_static("2.6");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

thread_local! {
    /// Each worker's scratch space.
    static RANKING: RefCell<Ranking> = RefCell::default();
    /// See [`RANKING`].
    static URLS: RefCell<NoticeUrls> = RefCell::default();
}

/// Where the address begins; the exchange's name follows.
pub(super) const PATH: &str = "/openrtb2/bid/";

/// Registers the address.
pub fn configure(service: &mut web::ServiceConfig) {
    service.route(&format!("{PATH}{{exchange}}"), web::post().to(bid));
}

fn refuse(mut response: actix_web::HttpResponseBuilder, kind: &str, message: &str) -> HttpResponse {
    response.json(serde_json::json!({ "error": kind, "message": message }))
}

/// How the body says that it is coded. A missing type is taken for JSON: some exchanges send none.
fn coding(headers: &HeaderMap) -> Option<Coding> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
    let json = text(header::CONTENT_TYPE).is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or("").trim();
        kind.is_empty() || kind.eq_ignore_ascii_case("application/json")
    });
    match text(header::CONTENT_ENCODING) {
        _ if !json => None,
        None => Some(Coding::Plain),
        Some(coding) if coding.eq_ignore_ascii_case("identity") => Some(Coding::Plain),
        Some(coding) if coding.eq_ignore_ascii_case("gzip") => Some(Coding::Gzip),
        Some(_) => None,
    }
}

/// The same for an address that is written in a way that the front does not look at, or names no exchange.
async fn bid(
    state: web::Data<State>,
    request: HttpRequest,
    exchange: web::Path<String>,
    payload: web::Payload,
) -> HttpResponse {
    match state.exchanges.iter().position(|known| known.name == *exchange) {
        Some(index) => answer(&state, index, request.headers(), payload.into_inner()).await,
        None => refuse(
            HttpResponse::NotFound(),
            "unknown_exchange",
            "no such exchange is configured; add an [[exchange]] of that name",
        ),
    }
}

/// Answers the request of an exchange, which is given by its place among the configured ones.
pub(super) async fn answer(
    state: &State,
    index: usize,
    headers: &HeaderMap,
    payload: Payload,
) -> HttpResponse {
    let metrics = &state.metrics;
    let Some(coding) = coding(headers) else {
        metrics.bid_request(index, RequestOutcome::UnsupportedMedia);
        return refuse(
            HttpResponse::UnsupportedMediaType(),
            "unsupported_media",
            "send the request as application/json, plain or compressed with gzip",
        );
    };
    let body = match body::read(payload, coding, state.settings.max_body_bytes).await {
        Ok(body) => body,
        Err(error) => {
            let (outcome, kind) = match error {
                BodyError::TooLarge(_) => (RequestOutcome::TooLarge, "too_large"),
                BodyError::TooSlow | BodyError::Broken(_) | BodyError::NotGzip => {
                    (RequestOutcome::Malformed, "unreadable_body")
                }
            };
            metrics.bid_request(index, outcome);
            return refuse(HttpResponse::build(error.status()), kind, &error.to_string());
        }
    };
    let waited = match admission::admit(state, index) {
        Ok(waited) => waited,
        Err(let_go) => return let_go,
    };
    let started = monotonic();
    let reply = match &state.users {
        None => reply(state, index, &body, waited),
        // In a box, so that a node by itself has nothing to carry.
        Some(users) => Box::pin(reply_of_shared(state, users, index, &body, waited)).await,
    };
    let response = match reply {
        Ok(Reply::Bids(body) | Reply::NoBid(Some(body))) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, JSON))
            .insert_header((VERSION_HEADER, VERSION))
            .body(body),
        Ok(Reply::NoBid(None)) => HttpResponse::NoContent().insert_header((VERSION_HEADER, VERSION)).finish(),
        Err(error) => refuse(HttpResponse::BadRequest(), error.kind(), &error.to_string()),
    };
    metrics.bid_duration.observe(started.elapsed().as_secs_f64());
    response
}

/// What a well-formed request is told.
#[derive(Debug)]
pub enum Reply {
    /// At least one bid: the response's body.
    Bids(Vec<u8>),
    /// None, and the body that says so where the exchange wants one.
    NoBid(Option<Vec<u8>>),
}

/// All that is done for a request between its body and its answer. `exchange` is its place among the configured ones,
/// `waited` how long it had to wait for its turn.
///
/// # Errors
///
/// The body is no bid request.
pub fn reply(state: &State, exchange: usize, body: &[u8], waited: Duration) -> Result<Reply, RequestError> {
    let Some(known) = state.exchanges.get(exchange) else { return Ok(Reply::NoBid(None)) };
    let request = haggle_openrtb::parse(body)
        .inspect_err(|_| state.metrics.bid_request(exchange, RequestOutcome::Malformed))?;
    let now = state.clock.now();
    let asked = Asked::of(state, known, &request, waited, now);
    let answer = decide(state, known, &request, &asked, false, now);
    Ok(told(state, exchange, known, &request, answer))
}

/// The same where nodes share what they know of users: the request's is waited for, once, no longer than `redis_timeout` and than
/// its deadline lets it.
///
/// # Errors
///
/// The body is no bid request.
pub async fn reply_of_shared(
    state: &State,
    users: &UserStore,
    exchange: usize,
    body: &[u8],
    waited: Duration,
) -> Result<Reply, RequestError> {
    let Some(known) = state.exchanges.get(exchange) else { return Ok(Reply::NoBid(None)) };
    let request = haggle_openrtb::parse(body)
        .inspect_err(|_| state.metrics.bid_request(exchange, RequestOutcome::Malformed))?;
    let asked = Asked::of(state, known, &request, waited, state.clock.now());
    let mut away = false;
    if let Some(user) = asked.context.user.filter(|_| asked.refused.is_none()) {
        let left = request.tmax().map(|most| most.saturating_sub(waited + known.network_margin));
        match users.meet(user, left, &*state.clock).await {
            Ok(Some(wait)) => state.metrics.user_fetch_duration.observe(wait.as_secs_f64()),
            Ok(None) => {}
            Err(_) => away = true,
        }
    }
    let answer = decide(state, known, &request, &asked, away, state.clock.now());
    Ok(told(state, exchange, known, &request, answer))
}

/// What a well-formed request is told of its answer.
fn told(state: &State, exchange: usize, known: &Exchange, request: &BidRequest<'_>, answer: Answer) -> Reply {
    let (outcome, reply) = match answer {
        Answer::Bids(body) => (RequestOutcome::Bid, Reply::Bids(body)),
        Answer::NoBid(reason) => {
            let told = (known.no_bid == NoBid::Reason).then(|| {
                let mut body = Vec::with_capacity(128);
                write_no_bid(&mut body, &request.id, reason.code());
                body
            });
            (RequestOutcome::NoBid, Reply::NoBid(told))
        }
    };
    state.metrics.bid_request(exchange, outcome);
    reply
}

/// A request in our terms, and why nothing of it is bid on, if so.
struct Asked {
    context: Context,
    refused: Option<NoBidReason>,
}

impl Asked {
    fn of(
        state: &State,
        exchange: &Exchange,
        request: &BidRequest<'_>,
        waited: Duration,
        now: Timestamp,
    ) -> Self {
        let mut context = context(state, request, &asker(state, exchange), now);
        context.explore_prices = exchange.explore_prices;
        let refused = match state.serving() {
            true if is_late(exchange, request, waited) => Some(NoBidReason::TooLate),
            true => gate::refusal(state, exchange, request, context.basis),
            false => Some(NoBidReason::NotServing),
        };
        Self { context, refused }
    }
}

/// Who asks, and what we are to them.
fn asker<'a>(state: &'a State, exchange: &'a Exchange) -> Asker<'a> {
    Asker {
        exchange: exchange.key,
        seat: &state.settings.seat,
        user_ids: &exchange.user_ids,
        rates: &state.rates,
    }
}

/// Whether an answer would come after `tmax`, of which the network takes its part. Where nothing is said there is no
/// deadline.
fn is_late(exchange: &Exchange, request: &BidRequest<'_>, waited: Duration) -> bool {
    request.tmax().is_some_and(|most| waited + exchange.network_margin > most)
}

/// What becomes of a well-formed request.
enum Answer {
    /// At least one bid: the response's body.
    Bids(Vec<u8>),
    /// None, for the reason of the imp that came furthest.
    NoBid(NoBidReason),
}

/// Decides on every imp of a request. Each imp ends in a bid (a pod in several) or in one reason for none. `user_away` where nodes
/// share what they know of users, and of this one it could not be read.
fn decide(
    state: &State,
    exchange: &Exchange,
    request: &BidRequest<'_>,
    Asked { context, refused }: &Asked,
    user_away: bool,
    now: Timestamp,
) -> Answer {
    let settings = &state.settings;
    let snapshot = state.snapshot.load();
    let asker = asker(state, exchange);
    let asking = Asking {
        snapshot: &snapshot,
        audience: &state.audience,
        user_away,
        told: &state.told,
        context,
        request_id: &request.id,
        refused: *refused,
        fit_for_secure: state.fit_for_secure,
        bid_log_sample: settings.bid_log_sample,
        now,
    };
    let imps = request.imps_for(context, &asker).map(|(imp, opportunity)| {
        state.metrics.imps.inc();
        (&*imp.id, opportunity)
    });
    let decided = RANKING.with_borrow_mut(|ranking| asking.decide(imps, ranking, &mut { state }));
    let bids = match decided {
        Ok(bids) => bids,
        Err(reason) => return Answer::NoBid(reason),
    };
    let count: usize = bids.iter().map(|(_, _, made)| made.len()).sum();
    let mut out = Vec::with_capacity(3072 * count);
    let head = ResponseHead {
        request_id: &request.id,
        response_id: "",
        currency: request.currency(&state.rates).map_or(&settings.currency, |(code, _)| code),
        seat: &settings.seat,
    };
    let mut response = ResponseWriter::new(&mut out, &head);
    let taxonomy = context.category_taxonomy;
    let answering = Answering { state, exchange, snapshot: &snapshot, taxonomy, test: context.test, now };
    URLS.with_borrow_mut(|urls| {
        for (position, opportunity, made) in &bids {
            let Some(imp) = request.imps.get(*position) else { continue };
            for committed in made {
                answering.write(imp, opportunity, committed, urls, &mut response);
            }
        }
    });
    response.finish();
    Answer::Bids(out)
}

impl Witness for &State {
    fn record(&mut self, record: Record) {
        self.journal.try_append_unacknowledged(vec![record]);
    }

    fn no_bid(&mut self, reason: NoBidReason) {
        self.metrics.no_bid(reason);
    }
}

/// The request in our terms, with no more of the user than the law and the user allow.
fn context(state: &State, request: &BidRequest<'_>, asker: &Asker<'_>, now: Timestamp) -> Context {
    let (mut basis, mut source) = request.basis_in(state.surroundings.country(request), &state.policy);
    if request.user_keys(asker, basis).any(|user| state.audience.opted_out(user)) {
        (basis, source) = (Basis::NONE, BasisSource::OptedOut);
    }
    state.metrics.basis(source);
    let mut context = request.context(asker, basis);
    state.surroundings.complete(request, &mut context, now);
    context
}

/// What the bids of one response have in common.
struct Answering<'a> {
    state: &'a State,
    exchange: &'a Exchange,
    snapshot: &'a Snapshot,
    /// The taxonomy that the request uses.
    taxonomy: u8,
    /// Its bids cost nothing, and are held for nobody.
    test: bool,
    now: Timestamp,
}

impl Answering<'_> {
    fn write(
        &self,
        imp: &Imp<'_>,
        opportunity: &Opportunity,
        committed: &Committed,
        urls: &mut NoticeUrls,
        response: &mut ResponseWriter<'_>,
    ) {
        let decision = &committed.decision;
        let Some(entry) = self.snapshot.catalog.at(committed.campaign) else { return };
        let campaign = &*entry.campaign;
        let Some(creative) = campaign.creatives.get(usize::from(decision.creative)) else { return };
        let state = self.state;
        // The page behind a click in somebody else's VAST is theirs; ours is only told of it.
        let theirs = creative.stream().is_some_and(|stream| matches!(stream.media, Media::Wrapper { .. }));
        let base = &state.settings.public_url;
        urls.write(base, &state.sealer, decision, self.exchange.bill_on, theirs);
        let id = urls.id();
        let Some(markup) = markup(creative, campaign, opportunity, id, urls.click(), urls.impression())
        else {
            return;
        };
        let deals = imp.pmp.get().map_or(&[][..], |pmp| &pmp.deals);
        let deal = committed.deal.and_then(|deal| opportunity.deals.get(usize::from(deal)));
        let deal = deal.and_then(|deal| deals.get(usize::from(deal.index)));
        let held = match self.test {
            true => state.settings.notice_timeout,
            false => decision.expires_at.since(self.now),
        };
        let held = u32::try_from(held.as_secs()).unwrap_or(u32::MAX);
        // Of the request's taxonomy, or of one that shares its codes.
        let wanted = |category: &&Category| family(category.taxonomy) == family(self.taxonomy);
        let cattax = campaign.categories.iter().find(wanted).map_or(0, |category| category.taxonomy);
        response.bid(&Bid {
            id,
            imp_id: &imp.id,
            price: committed.price,
            nurl: urls.win(),
            burl: urls.bill(),
            lurl: urls.loss(),
            markup,
            adomain: &campaign.advertiser_domain,
            bundle: &campaign.app_bundle,
            cid: &campaign.id,
            crid: &creative.id,
            cat: &campaign.categories,
            cattax,
            attr: attributes(creative),
            dealid: deal.map_or("", |deal| &*deal.id),
            language: &campaign.language,
            slotinpod: committed.slot,
            exp: if opportunity.expires_within == 0 { held } else { held.min(opportunity.expires_within) },
        });
    }
}

/// A creative as the imp wants it. `None` only where it does not fit the imp, which ranking rules out.
fn markup<'a>(
    creative: &'a Creative,
    campaign: &'a Campaign,
    opportunity: &'a Opportunity,
    serving: &'a str,
    click_url: &'a str,
    impression_url: &'a str,
) -> Option<Markup<'a>> {
    let title = &*creative.title;
    let verification = verification(creative, opportunity);
    let category = campaign.categories.iter().find(|category| category.taxonomy == Category::CONTENT_1);
    let category = category.map_or("", |category| &*category.code);
    let vast = |slot: &'a StreamSlot, stream: &'a Stream| {
        Some(Markup::Vast(VastMarkup {
            template: template(slot, stream)?,
            slot,
            stream,
            ad_id: serving,
            creative_id: &creative.id,
            title,
            category,
            advertiser: &campaign.advertiser_domain,
            click_url,
            impression_url,
            error_url: "",
            verification,
        }))
    };
    match &creative.ad {
        Ad::Banner { size, image } => Some(Markup::Banner(BannerMarkup {
            click_url,
            image_url: image,
            title,
            size: *size,
            impression_url,
            verification,
        })),
        Ad::Video(stream) => vast(opportunity.video.as_ref()?, stream),
        Ad::Audio(stream) => vast(opportunity.audio.as_ref()?, stream),
        Ad::Native(ad) => Some(Markup::Native(NativeMarkup {
            slot: opportunity.native.as_ref()?,
            ad,
            title,
            click_url,
            impression_url,
            verification,
            wrapped: opportunity.native.as_ref()?.wrapped,
        })),
    }
}
