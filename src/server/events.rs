//! What users do in the shop, told by the shop's own server: the source of behaviour targeting.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use haggle_domain::{BehaviourKind, CampaignKey, Event, Record, Tag, Timestamp, UserKey};
use serde::Deserialize;

use super::body::{self, Coding};
use super::state::State;
use crate::metrics::ProfileOutcome;

/// Events in one request, at most.
pub(super) const MOST: usize = 1000;
/// Bytes in one request, at most.
pub(super) const MOST_BYTES: usize = 512 << 10;

/// One thing that a user did.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShopEvent {
    /// The user's id as exchanges call it (`buyeruid`).
    user: String,
    /// What was done.
    did: Did,
    /// The product or category.
    what: String,
    /// When, RFC 3339; now where absent. The future counts as now.
    at: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Did {
    Viewed,
    Carted,
    Bought,
    Searched,
}

/// Registers the address.
pub fn configure(service: &mut web::ServiceConfig) {
    service.route("/events", web::post().to(events));
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn authorised(state: &State, request: &HttpRequest) -> bool {
    let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    match (&state.event_key, given.and_then(|value| value.strip_prefix(b"Bearer "))) {
        (Some(key), Some(given)) => same(key.expose().as_bytes(), given),
        _ => false,
    }
}

/// Why a request of the shop's is refused, if it does not carry the shop's key.
pub(super) fn refuse_key(state: &State, request: &HttpRequest) -> Option<&'static str> {
    if authorised(state, request) {
        None
    } else if state.event_key.is_some() {
        Some("send the shop's key: `Authorization: Bearer …`")
    } else {
        Some("events are off: set `event_key_file`")
    }
}

/// Takes a JSON array of events. All are noted, or none.
async fn events(state: web::Data<State>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let refuse = |mut response: actix_web::HttpResponseBuilder, outcome, message: &str| {
        state.metrics.profile_event(outcome);
        response.json(serde_json::json!({ "error": message }))
    };
    if let Some(why) = refuse_key(&state, &request) {
        return refuse(HttpResponse::Unauthorized(), ProfileOutcome::Unauthorized, why);
    }
    let body = match body::read(payload.into_inner(), Coding::Plain, MOST_BYTES).await {
        Ok(body) => body,
        Err(error) => {
            let response = HttpResponse::build(error.status());
            return refuse(response, ProfileOutcome::Malformed, &error.to_string());
        }
    };
    let events: Vec<ShopEvent> = match serde_json::from_slice(&body) {
        Ok(events) => events,
        Err(error) => {
            return refuse(HttpResponse::BadRequest(), ProfileOutcome::Malformed, &error.to_string());
        }
    };
    if events.len() > MOST {
        let why = format!("{} events in one request; send at most {MOST}", events.len());
        return refuse(HttpResponse::PayloadTooLarge(), ProfileOutcome::Malformed, &why);
    }
    let now = state.clock.now();
    let mut records = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let at = match event.at.as_deref().map(str::parse::<Timestamp>).transpose() {
            Ok(at) => at.map_or(now, |at| at.min(now)),
            Err(error) => {
                let why = format!("event {index}: {error}");
                return refuse(HttpResponse::BadRequest(), ProfileOutcome::Malformed, &why);
            }
        };
        if event.user.is_empty() || event.what.is_empty() {
            let why = format!("event {index}: `user` and `what` must not be empty");
            return refuse(HttpResponse::BadRequest(), ProfileOutcome::Malformed, &why);
        }
        let did = match event.did {
            Did::Viewed => BehaviourKind::Viewed,
            Did::Carted => BehaviourKind::Carted,
            Did::Bought => BehaviourKind::Bought,
            Did::Searched => BehaviourKind::Searched,
        };
        let user = UserKey::of(&event.user);
        if state.audience.opted_out(user) {
            continue;
        }
        let event = Event::Behaviour { user, did, what: Tag::of(&event.what) };
        records.push(Record { at, campaign: CampaignKey::default(), event });
    }
    match state.journal.try_reserve() {
        Ok(permit) => {
            for record in &records {
                if let Event::Behaviour { user, did, what } = record.event {
                    state.audience.tell_behaviour(user, did, what, record.at);
                }
            }
            // Not money: acknowledged before it is durable. A crash may forget the last moments.
            permit.commit(records, None);
            for _ in &events {
                state.metrics.profile_event(ProfileOutcome::Accepted);
            }
            HttpResponse::NoContent().finish()
        }
        Err(_) => refuse(HttpResponse::ServiceUnavailable(), ProfileOutcome::Busy, "not now; send it again"),
    }
}
