//! Metrics, health, readiness, and the campaigns' state and changes, on a listener of their own.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::StatusCode;
use actix_web::http::header::ORIGIN;
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};
use haggle_actors::campaign::Held;
use haggle_actors::holdout::{Band, Interval, Split};
use haggle_actors::learner::LearnerReport;
use haggle_domain::{CampaignKey, Creative, NoBidReason};
use haggle_strategies::Catalog;
use haggle_strategies::explore::Shape;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::state::State;
use crate::campaigns::{CampaignHandle, ChangeError};
use crate::metrics::CampaignState;
use crate::several::Several;

/// Campaigns in one answer where nobody says how many, and at most.
const PAGE: usize = 1000;
const LONGEST_PAGE: usize = 10_000;

/// The longest document of a campaign that is taken.
const LONGEST_DOCUMENT: usize = 1 << 20;

/// Lets nothing be changed by a page that a browser on this machine has open: browsers say from where they ask, and a name that
/// was made to point here is not how anybody who means it calls this port.
pub async fn refuse_pages(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let headers = request.headers();
    let from_page = headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site");
    let host = request.connection_info().host().to_owned();
    let name = host.rsplit_once(':').map_or(&*host, |(name, _)| name).trim_matches(['[', ']']);
    let remote =
        request.app_data::<web::Data<State>>().is_some_and(|state| state.settings.admin_allow_remote);
    let meant = remote || name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    if request.method() != Method::GET && (from_page || !meant) {
        let refused = HttpResponse::Forbidden().json(json!({
            "error": "from_a_page",
            "message": "changes are not taken from web pages; ask by address, without Origin and Sec-Fetch-Site",
        }));
        return Ok(request.into_response(refused));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// Registers the addresses.
pub fn configure(service: &mut web::ServiceConfig) {
    service
        .app_data(web::PayloadConfig::new(LONGEST_DOCUMENT))
        .route("/metrics", web::get().to(metrics))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/campaigns", web::get().to(campaigns))
        .route("/backup", web::post().to(super::backup::post))
        .route("/campaigns/reload", web::post().to(reload))
        .route("/campaigns/{id}", web::get().to(campaign))
        .route("/campaigns/{id}", web::put().to(put))
        .route("/campaigns/{id}", web::delete().to(remove))
        .route("/campaigns/{id}/pause", web::post().to(pause))
        .route("/campaigns/{id}/resume", web::post().to(resume));
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

/// Which campaigns are asked for.
#[derive(Debug, Deserialize)]
struct Page {
    /// One alone.
    id: Option<String>,
    /// At most so many.
    limit: Option<usize>,
    /// Those that come after this one.
    after: Option<String>,
}

/// Campaigns: their money and how far they came at each imp. Where there are more, the header names what to ask for next.
async fn campaigns(state: web::Data<State>, page: web::Query<Page>) -> HttpResponse {
    let seen = Seen::by(&state);
    if let Some(id) = &page.id {
        let one: Vec<Value> = state.campaigns.named(id).iter().map(|handle| shown(handle, &seen)).collect();
        return HttpResponse::Ok().json(one);
    }
    let limit = page.limit.unwrap_or(PAGE).min(LONGEST_PAGE);
    let after = page.after.as_deref().map(CampaignKey::of);
    let Some((handles, more)) = state.campaigns.page(after, limit) else { return unknown() };
    let all: Vec<Value> = handles.iter().map(|handle| shown(handle, &seen)).collect();
    let mut response = HttpResponse::Ok();
    if let Some(last) = handles.last().filter(|_| more) {
        response.insert_header(("x-next-after", &*last.id));
    }
    response.json(all)
}

/// One of them.
async fn campaign(state: web::Data<State>, id: web::Path<String>) -> HttpResponse {
    match state.campaigns.named(&id) {
        Some(handle) => HttpResponse::Ok().json(shown(&handle, &Seen::by(&state))),
        None => unknown(),
    }
}

/// What is said of campaigns beside what their actors show.
struct Seen {
    catalog: Arc<Catalog>,
    learner: Option<Arc<LearnerReport>>,
    several: Option<Arc<Several>>,
    shares_users: bool,
}

impl Seen {
    fn by(state: &State) -> Self {
        Self {
            catalog: Arc::clone(&state.snapshot.load().catalog),
            learner: state.learner.load_full(),
            several: state.several.clone(),
            shares_users: state.users.is_some(),
        }
    }
}

fn unknown() -> HttpResponse {
    failed(&ChangeError::Unknown)
}

/// Amounts in millionths of the account's currency. `imps` are those since the start that say what became of the campaign: all
/// that were ranked where there are few campaigns, else a sample; `bids` and the reasons in `refused` sum to them.
fn shown(handle: &CampaignHandle, seen: &Seen) -> Value {
    let counts = handle.live.funnel.read();
    let refused = NoBidReason::ALL.iter().zip(counts.refused).filter(|(_, count)| *count > 0);
    let refused: Map<String, Value> =
        refused.map(|(reason, count)| (reason.as_str().to_owned(), count.into())).collect();
    let funnel = json!({ "imps": counts.imps(), "bids": counts.explained_bids, "refused": refused });
    let Some(report) = handle.report() else {
        return elsewhere(handle, seen, &funnel);
    };
    let now = if handle.is_retired() { "retired" } else { CampaignState::from(report.state).as_str() };
    let pacing = json!({
        "curve": report.curve, "control": report.control.as_str(), "planned_micros": report.planned,
        "multiplier": report.multiplier, "taken": report.taken,
    });
    let mut said = json!({
        "id": handle.id, "state": now, "multiplier": report.multiplier, "pacing": pacing,
        "goal_multiplier": report.goal_multiplier,
        "averages": report.held.iter().flatten().map(average).collect::<Vec<_>>(),
        "budget_micros": report.budget, "spend_micros": report.settled, "reserved_micros": report.reserved,
        "available_micros": report.available, "bids": report.bids, "wins": report.wins,
        "impressions": report.impressions, "clicks": report.clicks, "orders": report.conversions,
        "explored_micros": report.explored, "exploration_open": report.explores,
        "creatives": creatives(handle, &seen.catalog), "funnel": funnel,
    });
    let campaign = seen.catalog.get(handle.key).map(|entry| &entry.campaign);
    if let (Some(campaign), Some(said)) =
        (campaign.filter(|campaign| seen.shares_users && campaign.asks_of_users()), said.as_object_mut())
    {
        let policy = if campaign.bids_without_user_state { "open" } else { "closed" };
        let refused = counts.refused.get(NoBidReason::UserStateAway.index());
        said.insert(
            "user_state_away".to_owned(),
            json!({ "policy": policy, "refused": refused, "bids": counts.bids_without_user_state }),
        );
    }
    if let (Some(campaign), Some(said)) =
        (campaign.filter(|campaign| !campaign.holdout.is_none()), said.as_object_mut())
    {
        let split = seen.learner.as_ref().map(|report| report.holdout(handle.key)).unwrap_or_default();
        said.insert("holdout".to_owned(), holdout(campaign.holdout.share(), &split));
    }
    said
}

/// A campaign that has no books here: it starts, or it is another node's, which says how it stands every few seconds.
fn elsewhere(handle: &CampaignHandle, seen: &Seen, funnel: &Value) -> Value {
    let posted = seen.several.as_ref().and_then(|several| several.posted(handle.key));
    let Some(posted) = posted else {
        return json!({ "id": handle.id, "state": "starting", "funnel": funnel });
    };
    let sums = &posted.sums;
    let state =
        if handle.is_retired() { "retired" } else { CampaignState::from(handle.live.state()).as_str() };
    json!({
        "id": handle.id, "state": state, "owner": "elsewhere",
        "multiplier": handle.live.multiplier(), "budget_micros": sums.budget, "spend_micros": sums.settled,
        "reserved_micros": sums.reserved, "bids": sums.bids, "wins": sums.wins,
        "impressions": sums.impressions, "clicks": sums.clicks, "orders": sums.orders,
        "creatives": creatives(handle, &seen.catalog), "funnel": funnel,
    })
}

/// What the campaign's ads bring; without `lift` where a group has nobody, without `incremental` where nobody buys with the ads.
fn holdout(share: f64, split: &Split) -> Value {
    let group =
        |band: &Band| json!({ "users": band.users, "buyers": band.buyers, "after_a_click": band.followed });
    let between =
        |interval: Interval| json!({ "seen": interval.seen, "low": interval.low, "high": interval.high });
    let mut said = json!({
        "share": (share * 1e6).round() / 1e6, "held": group(&split.held), "control": group(&split.control),
        "verdict": split.verdict().as_str(), "worth": split.worth(),
    });
    if let Some(said) = said.as_object_mut() {
        for (name, interval) in [("lift", split.lift()), ("incremental", split.incremental())] {
            said.extend(interval.map(|interval| (name.to_owned(), between(interval))));
        }
    }
    said
}

/// How likely each creative is to be shown among those of its format and size.
fn creatives(handle: &CampaignHandle, catalog: &Catalog) -> Value {
    let Some(entry) = catalog.get(handle.key) else { return json!([]) };
    let creatives = &entry.campaign.creatives;
    let shares = handle.live.creative_shares(&creatives.iter().map(Shape::of).collect::<Vec<_>>());
    let shown = |(creative, share): (&Creative, f64)| json!({ "id": creative.id, "probability": share });
    creatives.iter().zip(shares).map(shown).collect()
}

/// What a goal or limit asks for on average and how it stands; without `achieved` before anything was spent. `came` is how many
/// clicks or orders came for each that the model expected.
fn average(held: &Held) -> Value {
    let mut shown = json!({ "average": held.average.as_str(), "target": held.target, "came": held.came });
    if let (Some(achieved), Some(shown)) = (held.achieved, shown.as_object_mut()) {
        shown.insert("achieved".to_owned(), achieved.into());
    }
    shown
}

/// Carries a change through to its end, even where whoever asked for it goes away meanwhile.
async fn whole<T: 'static>(
    change: impl Future<Output = Result<T, ChangeError>> + 'static,
) -> Result<T, ChangeError> {
    actix_rt::spawn(change).await.unwrap_or(Err(ChangeError::Busy))
}

/// Adds a campaign, or changes it: the body is its document.
async fn put(state: web::Data<State>, id: web::Path<String>, text: String) -> HttpResponse {
    let of = id.clone();
    match whole(async move { state.changes.put(&of, text).await }).await {
        Ok(true) => HttpResponse::Created().json(json!({ "id": *id, "done": "added" })),
        Ok(false) => HttpResponse::Ok().json(json!({ "id": *id, "done": "changed" })),
        Err(error) => failed(&error),
    }
}

async fn remove(state: web::Data<State>, id: web::Path<String>) -> HttpResponse {
    let of = id.clone();
    done(&id, "removed", whole(async move { state.changes.remove(&of).await }).await)
}

async fn pause(state: web::Data<State>, id: web::Path<String>) -> HttpResponse {
    let of = id.clone();
    done(&id, "paused", whole(async move { state.changes.pause(&of, true).await }).await)
}

async fn resume(state: web::Data<State>, id: web::Path<String>) -> HttpResponse {
    let of = id.clone();
    done(&id, "resumed", whole(async move { state.changes.pause(&of, false).await }).await)
}

async fn reload(state: web::Data<State>) -> HttpResponse {
    match whole(async move { state.changes.reload().await }).await {
        Ok(summary) => HttpResponse::Ok().json(summary),
        Err(error) => failed(&error),
    }
}

fn done(id: &str, what: &str, result: Result<(), ChangeError>) -> HttpResponse {
    match result {
        Ok(()) => HttpResponse::Ok().json(json!({ "id": id, "done": what })),
        Err(error) => failed(&error),
    }
}

/// A change that was not made, and why.
fn failed(error: &ChangeError) -> HttpResponse {
    let (status, kind) = match error {
        ChangeError::Unknown => (StatusCode::NOT_FOUND, "unknown_campaign"),
        ChangeError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid_campaign"),
        ChangeError::OtherId { .. } => (StatusCode::BAD_REQUEST, "other_id"),
        ChangeError::Several(_) => (StatusCode::BAD_REQUEST, "several_campaigns"),
        ChangeError::NotItsOwnFile { .. } => (StatusCode::CONFLICT, "not_its_own_file"),
        ChangeError::OtherCase(_) => (StatusCode::CONFLICT, "other_case"),
        ChangeError::BuiltIn => (StatusCode::CONFLICT, "built_in"),
        ChangeError::File { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "file"),
        ChangeError::OthersUntold { .. } => (StatusCode::SERVICE_UNAVAILABLE, "others_untold"),
        ChangeError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
    };
    HttpResponse::build(status).json(json!({ "error": kind, "message": error.to_string() }))
}
