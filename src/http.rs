//! The one HTTP server: health, metrics and CircleCI's webhooks. Routes and refusals; knows neither Discord nor deploys.

mod body;
mod door;
mod healthz;
mod refused;
mod webhooks;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State as Extracted};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::door::Door;
use self::healthz::Checkup;
use self::webhooks::Receiver;
pub use self::webhooks::{BODY_BYTES_MAX, BODY_WITHIN, Webhooks};
use crate::db::Db;
use crate::health::Health;
use crate::metrics::{self, Metrics};
use crate::time::Clock;

/// How long requests in hand may take when Slipway stops.
const FAREWELL: Duration = Duration::from_millis(300);

/// What the server tells and takes.
pub struct State {
    /// Told at `/metrics`.
    pub metrics: Metrics,
    /// Told at `/healthz`.
    pub health: Health,
    /// What takes webhooks; none when their secret is not set.
    pub webhooks: Option<Webhooks>,
    /// Asked at `/healthz`, and written to when webhooks are refused.
    pub db: Db,
    /// The time.
    pub clock: Clock,
}

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The port can't be had.
    #[error("SLIPWAY_HTTP_ADDR: nothing can be served at {address}: {why}. {}", what_to_do(why))]
    Bind { address: SocketAddr, why: io::Error },
}

fn what_to_do(why: &io::Error) -> &'static str {
    match why.kind() {
        io::ErrorKind::AddrInUse => "Stop the program that listens there, or choose another port.",
        io::ErrorKind::PermissionDenied => "Choose a port above 1023, with a reverse proxy before it.",
        io::ErrorKind::AddrNotAvailable => "Choose an address that this machine has, such as 127.0.0.1.",
        _ => "Choose another address.",
    }
}

/// The server on its port.
pub struct HttpServer {
    door: Door,
    address: SocketAddr,
    cut: CancellationToken,
    rooms: Arc<Rooms>,
    db: Db,
    clock: Clock,
}

/// What the routes share.
struct Rooms {
    metrics: Metrics,
    checkup: Checkup,
    receiver: Option<Receiver>,
}

impl HttpServer {
    /// Takes the port; who connects waits until [`serve`](Self::serve).
    ///
    /// # Errors
    /// When the port can't be had.
    pub async fn bind(address: SocketAddr, state: State) -> Result<Self, HttpError> {
        let refused = |why| HttpError::Bind { address, why };
        let tcp = TcpListener::bind(address).await.map_err(refused)?;
        let address = tcp.local_addr().map_err(refused)?;
        let State { metrics, health, webhooks, db, clock } = state;
        let receiver = webhooks.map(|webhooks| Receiver::new(webhooks, metrics.clone(), clock.clone()));
        let rooms = Arc::new(Rooms { checkup: Checkup::new(health, db.clone()), receiver, metrics });
        let cut = CancellationToken::new();
        Ok(Self { door: Door::new(tcp, cut.clone()), address, cut, rooms, db, clock })
    }

    /// Where it listens: with port 0, the one that was given out.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stopping`, and then what is in hand for a moment. Slipway's last refusals are recorded before it ends.
    pub async fn serve(self, stopping: CancellationToken) {
        let Self { door, address, cut, rooms, db, clock } = self;
        tracing::info!(http.address = %address, webhooks = rooms.receiver.is_some(), "HTTP is served");
        // Ends the connections, too, when this future is dropped.
        let cut = cut.drop_guard();
        let ended = CancellationToken::new();
        let served = axum::serve(door, router(Arc::clone(&rooms)))
            .with_graceful_shutdown(stopping.clone().cancelled_owned())
            .into_future();
        let serving = async {
            let mut served = std::pin::pin!(served);
            tokio::select! {
                _ = &mut served => {}
                () = async { stopping.cancelled().await; sleep(FAREWELL).await } => {
                    drop(cut);
                    // Each connection fails at once, so this doesn't wait.
                    let _ = served.await;
                }
            }
            ended.cancel();
        };
        match &rooms.receiver {
            Some(receiver) => drop(tokio::join!(serving, receiver.refused.write_down(&db, &clock, &ended))),
            None => serving.await,
        }
    }
}

fn router(rooms: Arc<Rooms>) -> Router {
    let webhooks = match rooms.receiver {
        Some(_) => post(receive),
        None => {
            any(async || (StatusCode::NOT_FOUND, "No webhook is taken here: CIRCLECI_WEBHOOK_SECRET is not set.\n"))
        }
    };
    Router::new()
        .route("/webhooks/circleci", webhooks)
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics_page))
        .fallback(async || {
            (StatusCode::NOT_FOUND, "There is /healthz, /metrics and /webhooks/circleci, and nothing else.\n")
        })
        .layer(map_response(one_request_for_each_connection))
        .with_state(rooms)
}

async fn receive(Extracted(rooms): Extracted<Arc<Rooms>>, headers: HeaderMap, body: Body) -> Response {
    match &rooms.receiver {
        Some(receiver) => receiver.receive(&headers, body).await.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn healthz(Extracted(rooms): Extracted<Arc<Rooms>>, RawQuery(query): RawQuery) -> Response {
    // `?live`, also with a value.
    let only_live = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("live")));
    if only_live { Checkup::live().into_response() } else { rooms.checkup.ready().await.into_response() }
}

async fn metrics_page(Extracted(rooms): Extracted<Arc<Rooms>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], rooms.metrics.render())
}

/// So that a connection's one limit of time is its request's.
async fn one_request_for_each_connection(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
