//! Orders, told of by the shop's server (`POST /conversions`) or by a pixel on its page (`GET /pixel/conversion`).

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use haggle_domain::{CampaignKey, Decision, Event, Notice, Record};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{self, Coding};
use super::events::{MOST, refuse_key};
use super::notice::{self, PIXEL};
use super::once::Once;
use super::orders::{self, Reading, Told, Wrong};
use super::privacy::durably;
use super::state::State;
use crate::metrics::{NoticeKind, NoticeOutcome, ProfileOutcome};
use crate::token::TokenKind;

/// Bytes in one request, at most.
const MOST_BYTES: usize = 2 << 20;

/// Registers the addresses.
pub fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/conversions", web::post().to(conversions))
        .route("/pixel/conversion", web::get().to(pixel));
}

/// Takes a JSON array of orders. All are taken, or none; one that was told of before changes nothing.
async fn conversions(state: web::Data<State>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let refuse = |mut response: actix_web::HttpResponseBuilder, outcome, body: Value| {
        state.metrics.order_told(outcome, 1);
        response.json(body)
    };
    if let Some(why) = refuse_key(&state, &request) {
        return refuse(HttpResponse::Unauthorized(), ProfileOutcome::Unauthorized, json!({ "error": why }));
    }
    let malformed = |response, body| refuse(response, ProfileOutcome::Malformed, body);
    let body = match body::read(payload.into_inner(), Coding::Plain, MOST_BYTES).await {
        Ok(body) => body,
        Err(error) => {
            return malformed(HttpResponse::build(error.status()), json!({ "error": error.to_string() }));
        }
    };
    let list: Vec<Value> = match serde_json::from_slice::<Vec<Once>>(&body) {
        Ok(list) => list.into_iter().map(|Once(value)| value).collect(),
        Err(error) => {
            let why = format!("not a JSON list of orders: {error}");
            return malformed(HttpResponse::BadRequest(), json!({ "error": why }));
        }
    };
    if list.len() > MOST {
        let why = format!("{} orders in one request; send at most {MOST}", list.len());
        return malformed(HttpResponse::PayloadTooLarge(), json!({ "error": why }));
    }
    let now = state.clock.now();
    let open = |token: &str| notice::open(&state, TokenKind::Order, token).ok();
    let told = match orders::read(list, &Reading { rates: &state.rates, now, open: &open }) {
        Ok(told) => told,
        Err(Wrong { index, field, problem }) => {
            let error = format!(
                "order {index}: {}{problem}",
                if field.is_empty() { String::new() } else { format!("`{field}` ") }
            );
            let body = json!({ "error": error, "index": index, "field": field });
            return malformed(HttpResponse::BadRequest(), body);
        }
    };
    let busy = |why: &str| {
        let mut response = HttpResponse::ServiceUnavailable();
        response.insert_header((header::RETRY_AFTER, "1"));
        refuse(response, ProfileOutcome::Busy, json!({ "error": why }))
    };
    let count = told.len();
    let (mut records, mut notices) = (Vec::with_capacity(count), Vec::new());
    for told in told {
        let event = match told {
            Told::Placed(order, decisions) => {
                notices.extend(for_campaign(&order, decisions));
                Event::Ordered { order }
            }
            Told::Corrected { order, value, lines } => Event::OrderCorrected { order, value, lines },
        };
        records.push(Record { at: now, campaign: CampaignKey::default(), event });
    }
    if let Err(why) = durably(&state, records).await {
        return busy(&why);
    }
    // What campaigns' goals go by: the last click that a token proves. Repeated as a whole, it counts once there, too.
    for notice in notices {
        let outcome = notice::deliver(&state, notice).await;
        state.metrics.notice(NoticeKind::Conversion, outcome);
        if outcome == NoticeOutcome::Busy {
            return busy("a campaign has no room now; send all of it again");
        }
    }
    state.metrics.order_told(ProfileOutcome::Accepted, count as u64);
    HttpResponse::NoContent().finish()
}

/// What the campaign of the last proven click is told.
fn for_campaign(order: &haggle_domain::Order, decisions: Vec<Decision>) -> Option<Notice> {
    let decision = decisions.into_iter().max_by_key(|decision| decision.at)?;
    Some(Notice::Conversion { decision, revenue: order.value, order: order.tag })
}

/// What a pixel says of an order.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pixel {
    /// The token that the landing page was given.
    token: Option<String>,
    /// What the order brought.
    value: Option<String>,
    /// In which currency; the account's where it is left out.
    currency: Option<String>,
    /// The shop's id of it.
    order: Option<String>,
}

/// An order told of by a browser. It is trusted no more than the click's token that it carries: a user's id alone anybody could
/// write down.
async fn pixel(state: web::Data<State>, pixel: Result<web::Query<Pixel>, actix_web::Error>) -> HttpResponse {
    let Ok(web::Query(Pixel { token, value, currency, order })) = pixel else {
        state.metrics.notice(NoticeKind::Conversion, NoticeOutcome::BadPrice);
        return HttpResponse::BadRequest().json(
            json!({ "error": "the query is unreadable; write it like token=TOKEN&order=ID&value=59.90" }),
        );
    };
    let order = notice::Order { value, currency, order };
    match notice::take_order(&state, token.as_deref().unwrap_or_default(), order).await {
        // The browser shows whatever comes, so it gets its pixel; the counters know better.
        Ok(NoticeOutcome::Accepted | NoticeOutcome::Duplicate) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "image/gif"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(PIXEL),
        Ok(other) => notice::answer(other),
        Err(response) => response,
    }
}
