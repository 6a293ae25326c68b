//! What users ask for by way of the shop: to be left alone, and to be forgotten.
//!
//! Both are answered once they are durable. An opt-out holds from then on; an erasure is completed in the background,
//! or after the next start. No log and no answer names a user.

use actix_web::{HttpRequest, HttpResponse, web};
use haggle_actors::journal::JournalError;
use haggle_domain::{CampaignKey, Event, PrivacyKey, Record, Timestamp, UserKey};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::body::{self, Coding};
use super::events::{MOST, MOST_BYTES, refuse_key};
use super::state::State;

/// Somebody who asks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    /// The user's id as exchanges call it (`buyeruid`).
    user: String,
}

/// Registers the addresses.
pub fn configure(service: &mut web::ServiceConfig) {
    service.route("/privacy/opt-out", web::post().to(opt_out)).route("/privacy/erase", web::post().to(erase));
}

/// The record of an opt-out.
pub(crate) fn opted_out(user: &str, at: Timestamp) -> Record {
    record(Event::UserOptedOut { user: PrivacyKey::of(UserKey::of(user)) }, at)
}

/// The record of an erasure.
pub(crate) fn erased(user: &str, at: Timestamp) -> Record {
    record(Event::UserErased { user: PrivacyKey::of(UserKey::of(user)) }, at)
}

fn record(event: Event, at: Timestamp) -> Record {
    Record { at, campaign: CampaignKey::default(), event }
}

async fn opt_out(state: web::Data<State>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    take(&state, &request, payload, opted_out).await
}

async fn erase(state: web::Data<State>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    take(&state, &request, payload, erased).await
}

/// Takes a JSON array of users. All are taken, or none.
async fn take(
    state: &State,
    request: &HttpRequest,
    payload: web::Payload,
    record: fn(&str, Timestamp) -> Record,
) -> HttpResponse {
    if let Some(why) = refuse_key(state, request) {
        return error(HttpResponse::Unauthorized(), why);
    }
    let body = match body::read(payload.into_inner(), Coding::Plain, MOST_BYTES).await {
        Ok(body) => body,
        Err(problem) => return error(HttpResponse::build(problem.status()), &problem.to_string()),
    };
    let Ok(users) = serde_json::from_slice::<Vec<Asking>>(&body) else {
        // What the parser says may quote an id.
        return error(
            HttpResponse::BadRequest(),
            "not a JSON list of users; write it like [{\"user\": \"ID\"}]",
        );
    };
    if users.len() > MOST {
        let why = format!("{} users in one request; send at most {MOST}", users.len());
        return error(HttpResponse::PayloadTooLarge(), &why);
    }
    if users.iter().any(|asking| asking.user.is_empty()) {
        return error(HttpResponse::BadRequest(), "`user` must not be empty");
    }
    let now = state.clock.now();
    let records = users.iter().map(|asking| record(&asking.user, now)).collect();
    match durably(state, records).await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(why) => error(HttpResponse::ServiceUnavailable(), &why),
    }
}

/// Hands records to the journal and waits until they are durable.
pub(super) async fn durably(state: &State, records: Vec<Record>) -> Result<(), String> {
    let (sender, answer) = oneshot::channel::<Result<(), JournalError>>();
    let permit = state.journal.try_reserve().map_err(|_| "not now; send it again")?;
    // Whoever asked may have gone.
    permit.commit(records, Some(Box::new(move |result| drop(sender.send(result)))));
    match answer.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the journal has stopped".to_owned()),
    }
}

fn error(mut response: actix_web::HttpResponseBuilder, message: &str) -> HttpResponse {
    response.json(serde_json::json!({ "error": message }))
}
