//! The bid endpoint: `POST /openrtb2/bid/{exchange}`.
//!
//! Between the body and the answer nothing is awaited, locked or asked of anybody: one snapshot, one profile, `rank`,
//! `commit`, and the response is written.

use std::cell::RefCell;

use actix_web::http::header;
use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};
use haggle_domain::{Draw, Event, NoBidReason, Record, Timestamp};
use haggle_openrtb::{BannerMarkup, Bid, BidRequest, ResponseHead, ResponseWriter};
use haggle_strategies::commit::is_sampled;
use haggle_strategies::{Committed, Ranking, Snapshot, commit, rank};
use smallvec::SmallVec;

use super::body::{self, BodyError};
use super::state::State;
use super::urls::NoticeUrls;
use crate::clock::monotonic;
use crate::config::Exchange;
use crate::metrics::RequestOutcome;

thread_local! {
    /// Each worker's scratch space.
    static RANKING: RefCell<Ranking> = RefCell::default();
}

/// Registers the address.
pub fn configure(service: &mut web::ServiceConfig) {
    service.route("/openrtb2/bid/{exchange}", web::post().to(bid));
}

fn refuse(mut response: actix_web::HttpResponseBuilder, kind: &str, message: &str) -> HttpResponse {
    response.json(serde_json::json!({ "error": kind, "message": message }))
}

/// Whether the body claims to be plain JSON. A missing type is taken for it: some exchanges send none.
fn is_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
    let json = text(header::CONTENT_TYPE).is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or("").trim();
        kind.is_empty() || kind.eq_ignore_ascii_case("application/json")
    });
    json && text(header::CONTENT_ENCODING).is_none_or(|coding| coding.eq_ignore_ascii_case("identity"))
}

async fn bid(
    state: web::Data<State>,
    request: HttpRequest,
    exchange: web::Path<String>,
    payload: web::Payload,
) -> HttpResponse {
    let found = state.exchanges.iter().position(|known| known.name == *exchange);
    let Some(index) = found else {
        return refuse(
            HttpResponse::NotFound(),
            "unknown_exchange",
            "no such exchange is configured; add an [[exchange]] of that name",
        );
    };
    let metrics = &state.metrics;
    if !is_json(request.headers()) {
        metrics.bid_request(index, RequestOutcome::UnsupportedMedia);
        return refuse(
            HttpResponse::UnsupportedMediaType(),
            "unsupported_media",
            "send the request as application/json, not compressed",
        );
    }
    let body = match body::read(payload, state.settings.max_body_bytes).await {
        Ok(body) => body,
        Err(error) => {
            let (outcome, kind) = match error {
                BodyError::TooLarge(_) => (RequestOutcome::TooLarge, "too_large"),
                BodyError::TooSlow | BodyError::Broken(_) => (RequestOutcome::Malformed, "unreadable_body"),
            };
            metrics.bid_request(index, outcome);
            return refuse(HttpResponse::build(error.status()), kind, &error.to_string());
        }
    };
    let started = monotonic();
    let response = match haggle_openrtb::parse(&body) {
        Ok(request) => {
            let answer = decide(&state, &state.exchanges[index], &request, state.clock.now());
            let outcome = if answer.is_some() { RequestOutcome::Bid } else { RequestOutcome::NoBid };
            metrics.bid_request(index, outcome);
            match answer {
                Some(body) => HttpResponse::Ok()
                    .insert_header((header::CONTENT_TYPE, "application/json"))
                    .insert_header(("x-openrtb-version", "2.6"))
                    .body(body),
                None => HttpResponse::NoContent().finish(),
            }
        }
        Err(error) => {
            metrics.bid_request(index, RequestOutcome::Malformed);
            refuse(HttpResponse::BadRequest(), error.kind(), &error.to_string())
        }
    };
    metrics.bid_duration.observe(started.elapsed().as_secs_f64());
    response
}

/// Decides on every imp of a request; `None` where none gets a bid. Each imp ends in one bid or one reason.
fn decide(state: &State, exchange: &Exchange, request: &BidRequest<'_>, now: Timestamp) -> Option<Vec<u8>> {
    let settings = &state.settings;
    let snapshot = state.snapshot.load();
    let context = request.context(exchange.key, &settings.seat);
    let profile = context.user.and_then(|user| state.audience.get(user));
    let serving = state.serving();
    let mut bids: SmallVec<[(&str, Committed); 2]> = SmallVec::new();
    RANKING.with_borrow_mut(|ranking| {
        for (imp_id, opportunity) in request.imps(&context, &settings.currency) {
            state.metrics.imps.inc();
            let draw = Draw::new(snapshot.salt, &request.id, imp_id);
            let committed = match opportunity {
                Err(reason) => Err(reason),
                Ok(_) if !serving => Err(NoBidReason::NotServing),
                Ok(opportunity) => {
                    rank(&snapshot, &context, &opportunity, profile.as_ref(), now, draw, ranking);
                    commit(&snapshot, &context, ranking, now)
                }
            };
            match committed {
                Ok(committed) => {
                    if is_sampled(draw, settings.bid_log_sample) {
                        let campaign = committed.decision.bid.campaign;
                        let event = Event::Bid { decision: committed.decision.clone() };
                        state.journal.try_append_unacknowledged(vec![Record { at: now, campaign, event }]);
                    }
                    bids.push((imp_id, committed));
                }
                Err(reason) => state.metrics.no_bid(reason),
            }
        }
    });
    if bids.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(2560 * bids.len());
    let head = ResponseHead {
        request_id: &request.id,
        response_id: "",
        currency: &settings.currency,
        seat: &settings.seat,
    };
    let mut response = ResponseWriter::new(&mut out, &head);
    for (imp_id, committed) in &bids {
        write(state, exchange, &snapshot, imp_id, committed, &mut response, now);
    }
    response.finish();
    Some(out)
}

fn write(
    state: &State,
    exchange: &Exchange,
    snapshot: &Snapshot,
    imp_id: &str,
    committed: &Committed,
    response: &mut ResponseWriter<'_>,
    now: Timestamp,
) {
    let decision = &committed.decision;
    let Some(entry) = snapshot.catalog.entries().get(committed.campaign) else { return };
    let Some(creative) = entry.campaign.creatives.get(usize::from(decision.creative)) else { return };
    let urls = NoticeUrls::new(&state.settings.public_url, &state.sealer, decision, exchange.bill_on);
    response.bid(&Bid {
        id: &decision.bid.to_string(),
        imp_id,
        price: decision.ceiling,
        nurl: &urls.win,
        burl: urls.bill.as_deref().unwrap_or(""),
        lurl: &urls.loss,
        markup: BannerMarkup {
            click_url: &urls.click,
            image_url: match &creative.ad {
                haggle_domain::Ad::Banner { image, .. } => image,
                _ => "",
            },
            title: &creative.title,
            size: creative.banner_size(),
            impression_url: &urls.impression,
        },
        adomain: &entry.campaign.advertiser_domain,
        cid: &entry.campaign.id,
        crid: &creative.id,
        cat: &entry.campaign.categories.iter().map(|category| category.code.clone()).collect::<Vec<_>>(),
        exp: u32::try_from(decision.expires_at.since(now).as_secs()).unwrap_or(u32::MAX),
    });
}
