//! Notices: what exchanges, browsers and shops tell about a bid.

use std::time::Duration;

use actix::dev::SendError;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use haggle_actors::campaign::{Deliver, Outcome};
use haggle_domain::{CpmMicros, Decision, Event, Micros, Notice, Quantity, Tag, Terms};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::orders::amount;
use super::state::State;
use super::urls::{self, landing};
use crate::config::BillOn;
use crate::metrics::{LossReason, NoticeKind, NoticeOutcome};
use crate::price::PriceKeys;
use crate::token::{Forged, TokenKind};

/// A transparent GIF of one pixel.
pub(super) const PIXEL: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// How long an answer is waited for; the sender may ask again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the macros of win, billing and loss notices became.
#[derive(Debug, Default, Deserialize)]
pub struct Macros {
    /// `${AUCTION_PRICE}`.
    p: Option<String>,
    /// `${AUCTION_MIN_TO_WIN}`.
    m: Option<String>,
    /// `${AUCTION_LOSS}`.
    r: Option<String>,
    /// `${AUCTION_MULTIPLIER}`.
    q: Option<String>,
}

/// What a shop says of an order.
#[derive(Debug, Default, Deserialize)]
pub struct Order {
    /// What it brought, as a decimal.
    pub(super) value: Option<String>,
    /// In which currency; the account's where it is left out.
    pub(super) currency: Option<String>,
    /// The shop's id of it.
    pub(super) order: Option<String>,
}

/// A query that may be unreadable, which is an answer of ours and not the framework's.
type Query<T> = Result<web::Query<T>, actix_web::Error>;

/// Registers the notices' addresses.
pub fn configure(service: &mut web::ServiceConfig) {
    let path = |prefix: &str| format!("{prefix}{{token}}");
    service
        .route(&path(urls::WIN), web::get().to(win))
        .route(&path(urls::WIN), web::post().to(win))
        .route(&path(urls::BILL), web::get().to(bill))
        .route(&path(urls::BILL), web::post().to(bill))
        .route(&path(urls::LOSS), web::get().to(loss))
        .route(&path(urls::LOSS), web::post().to(loss))
        .route(&path(urls::IMPRESSION), web::get().to(impression))
        .route(&path(urls::CLICK), web::get().to(click))
        .route(&path(urls::CONVERSION), web::get().to(conversion))
        .route(&path(urls::CONVERSION), web::post().to(conversion));
}

/// Hands a notice to its campaign's actor and waits until what it says is durable.
pub(super) async fn deliver(state: &State, notice: Notice) -> NoticeOutcome {
    if let Some(several) = &state.several {
        if notice.is_of_money() && state.clock.now() >= notice.decision().expires_at {
            return NoticeOutcome::Expired;
        }
        // Whether it counts is for the campaign's owner to say; that it comes to him is certain from here on.
        let campaign = notice.decision().bid.campaign;
        let told = tokio::time::timeout(PATIENCE, several.tell(campaign, Event::Noticed { notice })).await;
        return if matches!(told, Ok(Some(()))) { NoticeOutcome::Accepted } else { NoticeOutcome::Busy };
    }
    let Some(handle) = state.campaigns.get(notice.decision().bid.campaign) else {
        return NoticeOutcome::UnknownCampaign;
    };
    if handle.supervision().breaker_open() || handle.supervision().is_gone() {
        return NoticeOutcome::Busy;
    }
    let (reply, answer) = oneshot::channel();
    match handle.address.try_send(Deliver { notice, reply }) {
        Ok(()) => {}
        Err(SendError::Full(_)) => {
            handle.turned_away();
            return NoticeOutcome::Busy;
        }
        Err(SendError::Closed(_)) => return NoticeOutcome::Busy,
    }
    // No answer: the actor panicked, or waits to be started again, or the journal failed. Nothing was acknowledged.
    let Ok(answer) = tokio::time::timeout(PATIENCE, answer).await else { return NoticeOutcome::Busy };
    answer.map_or(NoticeOutcome::Busy, shown)
}

/// An actor's answer, as it is counted.
fn shown(outcome: Outcome) -> NoticeOutcome {
    match outcome {
        Outcome::Accepted => NoticeOutcome::Accepted,
        Outcome::Capped => NoticeOutcome::Capped,
        Outcome::Duplicate => NoticeOutcome::Duplicate,
        Outcome::Conflict => NoticeOutcome::Conflict,
        Outcome::Expired => NoticeOutcome::Expired,
        Outcome::Busy => NoticeOutcome::Busy,
    }
}

/// Counts what became of a notice that some node had taken in, and notes a bill that came too late after all.
pub(super) fn settled(state: &State, notice: &Notice, outcome: Outcome) {
    let kind = match notice {
        Notice::Won { .. } => NoticeKind::Win,
        Notice::Bill { .. } => NoticeKind::Bill,
        Notice::Lost { .. } => NoticeKind::Loss,
        Notice::Impression { .. } => NoticeKind::Impression,
        Notice::Click { .. } => NoticeKind::Click,
        Notice::Conversion { .. } => NoticeKind::Conversion,
    };
    state.metrics.settled(kind, shown(outcome));
    if let (Notice::Bill { decision, price }, Outcome::Expired) = (notice, outcome) {
        note_late(state, decision, *price);
    }
}

/// Notes a bill that came too late, as far as there is room.
fn note_late(state: &State, decision: &Decision, price: CpmMicros) {
    if let Some(record) = state.late.note(decision, price, state.clock.now()) {
        state.journal.try_append_unacknowledged(vec![record]);
    }
}

/// The answer to a notice that is not a click. Idempotent: a duplicate is answered like the first.
pub(super) fn answer(outcome: NoticeOutcome) -> HttpResponse {
    match outcome {
        NoticeOutcome::Accepted | NoticeOutcome::Duplicate | NoticeOutcome::Capped => {
            HttpResponse::NoContent().finish()
        }
        NoticeOutcome::Conflict => {
            error(HttpResponse::Conflict(), "this contradicts what was said of the bid before")
        }
        NoticeOutcome::Forged => error(HttpResponse::Forbidden(), "not a genuine token for this notice"),
        NoticeOutcome::Expired => error(HttpResponse::Gone(), "too late: the bid's reservation has ended"),
        NoticeOutcome::BadPrice => error(
            HttpResponse::BadRequest(),
            "the price cannot be read; is the macro ${AUCTION_PRICE} filled in, and encrypted where and only where the \
             exchange has `price_encryption`?",
        ),
        NoticeOutcome::UnknownCampaign => {
            error(HttpResponse::Gone(), "the campaign is not configured any more")
        }
        NoticeOutcome::Busy => {
            let mut response = HttpResponse::ServiceUnavailable();
            response.insert_header((header::RETRY_AFTER, "1"));
            error(response, "not now; send it again")
        }
    }
}

fn error(mut response: actix_web::HttpResponseBuilder, message: &str) -> HttpResponse {
    response.json(serde_json::json!({ "error": message }))
}

/// The decision in a token, without the user if they have opted out or were erased since.
pub(super) fn open(state: &State, kind: TokenKind, token: &str) -> Result<Decision, Forged> {
    let mut decision = state.sealer.open(kind, token)?;
    state.audience.redact(&mut decision);
    Ok(decision)
}

/// Counts the outcome and answers.
fn finish(state: &State, kind: NoticeKind, outcome: NoticeOutcome) -> HttpResponse {
    state.metrics.notice(kind, outcome);
    answer(outcome)
}

/// The keys of a decision's exchange, where that encrypts its prices.
fn price_keys<'s>(state: &'s State, decision: &Decision) -> Option<&'s PriceKeys> {
    let exchange = state.exchanges.iter().find(|exchange| exchange.key == decision.exchange)?;
    exchange.price_encryption.as_ref()
}

/// What it took to win, where the exchange filled the macro in with a price. It moves no money, so an exchange that
/// encrypts its prices may write this one plainly.
fn min_to_win(state: &State, decision: &Decision, macros: &Query<Macros>) -> Option<CpmMicros> {
    let text = macros.as_ref().ok()?.m.as_deref()?;
    let decrypted = price_keys(state, decision).and_then(|keys| keys.decrypt(text));
    let price = decrypted.or_else(|| CpmMicros::parse_rounded_up(text).ok())?;
    (price > CpmMicros::ZERO).then(|| decision.terms.in_account(price))
}

/// What a notice's price comes to in the account's currency. It is encrypted if and only if its exchange encrypts. Where
/// the exchange says how many saw the ad, that many are paid for; the bid's ceiling bounds it all the same.
fn price(state: &State, decision: &Decision, macros: &Query<Macros>) -> Option<CpmMicros> {
    let text = macros.as_ref().ok()?.p.as_deref()?;
    let price = match price_keys(state, decision) {
        Some(keys) => keys.decrypt(text),
        None => CpmMicros::parse_rounded_up(text).ok(),
    }?;
    let quantity = macros.as_ref().ok().and_then(|macros| macros.q.as_deref());
    // A multiplier is a decimal of at most six digits behind the point, as amounts of money are.
    let quantity = quantity.and_then(|text| CpmMicros::parse_rounded_up(text).ok());
    let terms = match quantity {
        Some(seen) if decision.terms.quantity != Quantity::ONE => {
            Terms { quantity: Quantity(seen.0.unsigned_abs()), ..decision.terms }
        }
        _ => decision.terms,
    };
    Some(terms.charge(price))
}

async fn win(state: web::Data<State>, token: web::Path<String>, macros: Query<Macros>) -> HttpResponse {
    let kind = NoticeKind::Win;
    let Ok(decision) = open(&state, TokenKind::Money, &token) else {
        return finish(&state, kind, NoticeOutcome::Forged);
    };
    let Some(price) = price(&state, &decision, &macros) else {
        return finish(&state, kind, NoticeOutcome::BadPrice);
    };
    let bills = state
        .exchanges
        .iter()
        .any(|exchange| exchange.key == decision.exchange && exchange.bill_on == BillOn::Nurl);
    if bills {
        let outcome = settle(&state, decision.clone(), price).await;
        state.metrics.notice(NoticeKind::Bill, outcome);
        if !matches!(outcome, NoticeOutcome::Accepted | NoticeOutcome::Capped | NoticeOutcome::Duplicate) {
            return finish(&state, kind, outcome);
        }
    }
    let min_to_win = min_to_win(&state, &decision, &macros);
    let notice = Notice::Won { decision, price, min_to_win };
    let outcome = deliver(&state, notice).await;
    finish(&state, kind, outcome)
}

async fn bill(state: web::Data<State>, token: web::Path<String>, macros: Query<Macros>) -> HttpResponse {
    let kind = NoticeKind::Bill;
    let Ok(decision) = open(&state, TokenKind::Money, &token) else {
        return finish(&state, kind, NoticeOutcome::Forged);
    };
    let Some(price) = price(&state, &decision, &macros) else {
        return finish(&state, kind, NoticeOutcome::BadPrice);
    };
    let outcome = settle(&state, decision, price).await;
    finish(&state, kind, outcome)
}

/// Bills a bid; that it came too late is noted.
async fn settle(state: &State, decision: Decision, price: CpmMicros) -> NoticeOutcome {
    let outcome = deliver(state, Notice::Bill { decision: decision.clone(), price }).await;
    if outcome == NoticeOutcome::Expired {
        note_late(state, &decision, price);
    }
    outcome
}

async fn loss(state: web::Data<State>, token: web::Path<String>, macros: Query<Macros>) -> HttpResponse {
    let Ok(decision) = open(&state, TokenKind::Money, &token) else {
        return finish(&state, NoticeKind::Loss, NoticeOutcome::Forged);
    };
    let min_to_win = min_to_win(&state, &decision, &macros);
    let said = macros.as_ref().ok().and_then(|macros| macros.r.as_deref());
    let outcome = deliver(&state, Notice::Lost { decision, min_to_win }).await;
    if outcome == NoticeOutcome::Accepted {
        state.metrics.loss(LossReason::of(said));
    }
    finish(&state, NoticeKind::Loss, outcome)
}

async fn impression(state: web::Data<State>, token: web::Path<String>) -> HttpResponse {
    let outcome = match open(&state, TokenKind::Event, &token) {
        Ok(decision) => {
            // Of several nodes the campaign's owner does, who knows whether it came before.
            let tells = state.users.is_some() && state.several.is_none();
            let shared = tells.then(|| decision.clone());
            let outcome = deliver(&state, Notice::Impression { decision }).await;
            if let Some(decision) = shared.filter(|_| outcome == NoticeOutcome::Accepted) {
                share(&state, &decision);
            }
            outcome
        }
        Err(Forged) => NoticeOutcome::Forged,
    };
    state.metrics.notice(NoticeKind::Impression, outcome);
    match outcome {
        // The browser shows whatever comes, so it gets its pixel; the counters know better.
        NoticeOutcome::Accepted | NoticeOutcome::Duplicate => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "image/gif"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(PIXEL),
        other => answer(other),
    }
}

/// Tells other nodes what a user has seen.
pub(super) fn share(state: &State, decision: &Decision) {
    let catalog = &state.snapshot.load().catalog;
    // A campaign that is gone caps nothing.
    if let Some(entry) = catalog.get(decision.bid.campaign) {
        let (caps, advertisers) = (&entry.caps, &catalog.advertiser_caps);
        state.audience.tell_impression(decision, caps, advertisers, state.clock.now());
    }
}

/// A click. With [`urls::TRACKING`] a player tells of one that leads elsewhere, and follows no redirect.
async fn click(state: web::Data<State>, token: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let kind = NoticeKind::Click;
    let Ok(decision) = open(&state, TokenKind::Event, &token) else {
        return finish(&state, kind, NoticeOutcome::Forged);
    };
    // The page comes from the campaign, never from the request: no open redirect.
    let page = state.snapshot.load().catalog.get(decision.bid.campaign).and_then(|entry| {
        let creative = entry.campaign.creatives.get(usize::from(decision.creative))?;
        let mut token = String::new();
        state.sealer.seal(TokenKind::Order, &decision, &mut token);
        Some(landing(&creative.landing, &token))
    });
    let Some(page) = page else { return finish(&state, kind, NoticeOutcome::UnknownCampaign) };
    let outcome = deliver(&state, Notice::Click { decision }).await;
    if request.query_string() == urls::TRACKING {
        return finish(&state, kind, outcome);
    }
    state.metrics.notice(kind, outcome);
    // The user wants the page, whether the click counts or not.
    HttpResponse::Found()
        .insert_header((header::LOCATION, page))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

async fn conversion(state: web::Data<State>, token: web::Path<String>, order: Query<Order>) -> HttpResponse {
    let Ok(order) = order else {
        state.metrics.notice(NoticeKind::Conversion, NoticeOutcome::BadPrice);
        return error(
            HttpResponse::BadRequest(),
            "the query is unreadable; write it like value=59.90&order=ID",
        );
    };
    match take_order(&state, &token, order.into_inner()).await {
        Ok(outcome) => answer(outcome),
        Err(response) => response,
    }
}

/// Takes in an order that a click's token vouches for, and counts what became of it; `Err` where its value cannot be read.
pub(super) async fn take_order(
    state: &State,
    token: &str,
    order: Order,
) -> Result<NoticeOutcome, HttpResponse> {
    let count = |outcome| state.metrics.notice(NoticeKind::Conversion, outcome);
    let Ok(decision) = open(state, TokenKind::Order, token) else {
        count(NoticeOutcome::Forged);
        return Ok(NoticeOutcome::Forged);
    };
    let revenue = match order.value.as_deref() {
        None => Micros::ZERO,
        Some(text) => amount(text, order.currency.as_deref(), &state.rates).map_err(|problem| {
            count(NoticeOutcome::BadPrice);
            let why = format!("`value` is not an amount; write it like value=59.90 ({problem})");
            error(HttpResponse::BadRequest(), &why)
        })?,
    };
    let id = order.order.as_deref().filter(|id| !id.is_empty());
    let order = id.map_or_else(|| Tag::of(&decision.bid.to_string()), Tag::of);
    let outcome = deliver(state, Notice::Conversion { decision, revenue, order }).await;
    count(outcome);
    Ok(outcome)
}
