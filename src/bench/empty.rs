//! The server to compare with: an ordinary actix-web handler that reads the body and answers a constant bid. What it costs
//! is what HTTP costs.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{App, HttpResponse, HttpServer, web};

use super::{EXCHANGE, PATH};
use crate::cli::{print, signals};
use crate::exit::{Exit, ExitError};

/// An answer as long as real ones: 1.1 kilobytes.
fn answer() -> String {
    let token = "kT3v".repeat(50);
    format!(
        "{{\"id\":\"b7c1\",\"cur\":\"USD\",\"seatbid\":[{{\"seat\":\"haggle\",\"bid\":[{{\"id\":\"81-4\",\"impid\":\"1\",\"price\":2.41,\
         \"nurl\":\"http://127.0.0.1/n/win/{token}?p=${{AUCTION_PRICE}}\",\"burl\":\"http://127.0.0.1/n/bill/{token}?p=${{AUCTION_PRICE}}\",\
         \"adm\":\"<a href='http://127.0.0.1/n/click/{token}'><img src='https://cdn.shop.example/a.jpg' width='300' height='250'></a>\
         <img src='http://127.0.0.1/n/imp/{token}' width='1' height='1'>\",\"adomain\":[\"shop.example\"],\"cid\":\"c1\",\"crid\":\"a\",\
         \"cat\":[\"IAB20\"],\"w\":300,\"h\":250,\"exp\":3600}}]}}]}}"
    )
}

async fn bid(answer: web::Data<web::Bytes>, body: web::Bytes) -> HttpResponse {
    if body.is_empty() {
        return HttpResponse::BadRequest().finish();
    }
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header(("x-openrtb-version", "2.6"))
        .body(web::Bytes::clone(&answer))
}

/// Serves on a free port, which it prints, until told to stop. Limits are those of the bidder's server.
///
/// # Errors
///
/// No port can be had.
pub(super) fn serve() -> Result<(), ExitError> {
    actix_rt::System::new().block_on(async {
        let signals = signals()?;
        let failed = |error: std::io::Error| ExitError::new(Exit::AddressUnavailable, error);
        let answer = web::Data::new(web::Bytes::from(answer()));
        let server = HttpServer::new(move || {
            App::new().app_data(answer.clone()).route(&format!("{PATH}{EXCHANGE}"), web::post().to(bid))
        })
        .workers(1)
        .max_connections(8192)
        .client_request_timeout(Duration::from_secs(5))
        .keep_alive(Duration::from_secs(60))
        .shutdown_timeout(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .map_err(failed)?;
        let address = server.addrs().first().copied();
        let address = address.ok_or_else(|| ExitError::new(Exit::Internal, "no address was bound"))?;
        print(format!("serving address={address} admin={address}"))?;
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        signals.await;
        handle.stop(true).await;
        Ok(())
    })
}
