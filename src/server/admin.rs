//! Metrics, health and readiness, on a listener of their own.

use actix_web::{HttpResponse, web};

use super::state::State;

/// Registers the addresses.
pub fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/metrics", web::get().to(metrics))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz));
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
