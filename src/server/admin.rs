//! Metrics, health, readiness and the campaigns' state, on a listener of their own.

use actix_web::{HttpResponse, web};
use haggle_domain::NoBidReason;
use haggle_strategies::CampaignState;
use serde_json::{Map, Value, json};

use super::state::{CampaignHandle, State};

/// Registers the addresses.
pub fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/metrics", web::get().to(metrics))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/campaigns", web::get().to(campaigns))
        .route("/campaigns/{id}", web::get().to(campaign));
}

async fn metrics(state: web::Data<State>) -> HttpResponse {
    state.refresh_metrics();
    match state.metrics.render() {
        Ok(text) => HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// The process answers, and its journal works: otherwise it should be replaced.
async fn healthz(state: web::Data<State>) -> HttpResponse {
    match state.journal.failure() {
        None => HttpResponse::Ok().body("ok\n"),
        Some(error) => HttpResponse::ServiceUnavailable().body(format!("{error}\n")),
    }
}

/// It can take traffic.
async fn readyz(state: web::Data<State>) -> HttpResponse {
    match state.ready() {
        Ok(()) => HttpResponse::Ok().body("ready\n"),
        Err(why) => HttpResponse::ServiceUnavailable().body(format!("{why}\n")),
    }
}

/// Every campaign: its money and how far it came at each imp.
async fn campaigns(state: web::Data<State>) -> HttpResponse {
    let all: Vec<Value> = state.campaigns.iter().map(|handle| shown(&state, handle)).collect();
    HttpResponse::Ok().json(all)
}

/// One of them.
async fn campaign(state: web::Data<State>, id: web::Path<String>) -> HttpResponse {
    match state.campaigns.iter().find(|handle| handle.id == *id) {
        Some(handle) => HttpResponse::Ok().json(shown(&state, handle)),
        None => HttpResponse::NotFound().json(json!({
            "error": "unknown_campaign",
            "message": "no campaign of that id is configured; /campaigns lists them",
        })),
    }
}

/// Amounts in millionths of the account's currency. `imps` are those since the start that say what became of the campaign: all
/// that were ranked where there are few campaigns, else a sample; `bids` and the reasons in `refused` sum to them.
fn shown(state: &State, handle: &CampaignHandle) -> Value {
    let funnel = state.snapshot.load().catalog.get(handle.key).map(|entry| entry.live.funnel.read());
    let funnel = funnel.map(|counts| {
        let refused = NoBidReason::ALL.iter().zip(counts.refused).filter(|(_, count)| *count > 0);
        let refused: Map<String, Value> =
            refused.map(|(reason, count)| (reason.as_str().to_owned(), count.into())).collect();
        json!({ "imps": counts.imps(), "bids": counts.explained_bids, "refused": refused })
    });
    let Some(report) = handle.report.load_full() else {
        return json!({ "id": handle.id, "state": "starting", "funnel": funnel });
    };
    let now = match report.state {
        CampaignState::Down => "down",
        CampaignState::Active => "active",
        CampaignState::Paced => "paced",
        CampaignState::Exhausted => "exhausted",
    };
    json!({
        "id": handle.id, "state": now, "multiplier": report.multiplier,
        "budget_micros": report.budget, "spend_micros": report.settled, "reserved_micros": report.reserved,
        "available_micros": report.available, "bids": report.bids, "wins": report.wins,
        "impressions": report.impressions, "clicks": report.clicks, "orders": report.conversions,
        "funnel": funnel,
    })
}
