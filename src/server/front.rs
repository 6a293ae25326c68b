//! The public listener: bids are answered right above actix's HTTP layer, without the web framework's routing, extractors
//! and application data, which cost as much as reading the request; everything else goes to the web application.

use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::{HttpMessage, HttpService, Request, Response};
use actix_service::{IntoServiceFactory, fn_factory};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, ServerHandle, Service, ServiceFactory, ServiceResponse};
use actix_web::http::Method;
use actix_web::{App, Error, web};

use super::node::StartError;
use super::state::State;
use super::{bid, conversions, events, notice, privacy};

/// Connections that a worker serves at once; more wait in the system's backlog.
const MOST_CONNECTIONS: usize = 8192;

/// Serves bids, notices and the shop's events until the handle stops it.
pub(super) fn serve(state: &web::Data<State>, listener: TcpListener) -> Result<ServerHandle, StartError> {
    let data = state.clone();
    let builder = actix_server::Server::build()
        .workers(state.settings.workers.0)
        .max_concurrent_connections(MOST_CONNECTIONS)
        .shutdown_timeout(1)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let server = builder
        .listen("public", listener, move || {
            let (data, counted, stopping) = (data.clone(), data.clone(), stopping.clone());
            let front = fn_factory(move || front(data.clone()));
            HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .client_request_timeout(Duration::from_secs(5))
                .client_disconnect_timeout(Duration::from_secs(1))
                .keep_alive(Duration::from_secs(60))
                .on_connect_ext(move |_, of_connection| {
                    of_connection.insert(OpenConnection::new(counted.clone()));
                })
                .finish(front)
                .tcp()
        })
        .map_err(|error| StartError::Internal(error.to_string()))?
        .run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(handle)
}

/// Counts a connection for as long as it is open.
struct OpenConnection(web::Data<State>);

impl OpenConnection {
    fn new(state: web::Data<State>) -> Self {
        state.metrics.connections.inc();
        Self(state)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}

/// A worker's service.
async fn front(
    state: web::Data<State>,
) -> Result<impl Service<Request, Response = Response<BoxBody>, Error = Error>, ()> {
    let app = App::new()
        .app_data(state.clone())
        .configure(bid::configure)
        .configure(notice::configure)
        .configure(events::configure)
        .configure(conversions::configure)
        .configure(privacy::configure);
    let app = app.into_factory().new_service(AppConfig::default()).await?;
    Ok(Front { state, app })
}

struct Front<S> {
    state: web::Data<State>,
    app: S,
}

impl<S> Front<S> {
    /// The place of the exchange whose request for bids it is.
    fn exchange(&self, request: &Request) -> Option<usize> {
        let name = request.path().strip_prefix(bid::PATH).filter(|_| request.method() == Method::POST)?;
        self.state.exchanges.iter().position(|known| known.name == name)
    }
}

impl<S> Service<Request> for Front<S>
where
    S: Service<Request, Response = ServiceResponse, Error = Error>,
    S::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.app.poll_ready(context)
    }

    fn call(&self, mut request: Request) -> Self::Future {
        match self.exchange(&request) {
            Some(exchange) => {
                let state = self.state.clone();
                Box::pin(async move {
                    let payload = request.take_payload();
                    let answer = bid::answer(&state, exchange, request.headers(), payload).await;
                    Ok(answer.into())
                })
            }
            None => {
                let answer = self.app.call(request);
                Box::pin(async move { Ok(answer.await?.into()) })
            }
        }
    }
}
