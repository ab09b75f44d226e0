//! A sandbox CircleCI: an HTTP server on a loopback port that answers like API v1.1, v2 and a little of v3, and builds nothing. The
//! console embeds it, and the tests' fake CircleCI wraps it. It knows nothing of the rest of Slipway.

pub mod auth;
mod edn;
pub mod hold;
pub mod output;
mod pages;
pub mod plan;
pub mod play;
pub mod timeline;
mod v1;
mod v2;
mod v3;
pub mod wire;
pub mod world;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::map_request;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use plan::Plan;
use wire::Refusal;
use world::World;

/// How long `stop` lets requests in hand finish.
const STOP_TIME_LIMIT: Duration = Duration::from_secs(2);

/// A running sandbox. Dropping it aborts its server; `stop` ends it in order.
pub struct Sandbox {
    world: Arc<World>,
    token: String,
    closing: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

impl Sandbox {
    /// Serves `plan` on a free loopback port. Fails only when no port can be bound.
    pub async fn start(plan: Plan) -> io::Result<Sandbox> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let token = plan.token.clone();
        let world = Arc::new(World::new(plan, url));
        let closing = CancellationToken::new();
        let serve =
            axum::serve(listener, router(world.clone())).with_graceful_shutdown(closing.clone().cancelled_owned());
        let server = tokio::spawn(serve.into_future());
        Ok(Sandbox { world, token, closing, server })
    }

    /// Its root, without a slash at the end: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.world.url()
    }

    /// The personal token that it accepts.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Its state, for whoever wants to look or to interfere.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Ends the server: requests in hand get two seconds.
    pub async fn stop(mut self) {
        self.closing.cancel();
        if tokio::time::timeout(STOP_TIME_LIMIT, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.closing.cancel();
        self.server.abort();
    }
}

/// Everything that the sandbox answers, for a server of one's own.
pub fn router(world: Arc<World>) -> Router {
    let routes = Router::new()
        .merge(pages::routes())
        .merge(output::routes())
        .nest("/api/v1.1", v1::routes(world.clone()))
        .nest("/api/v2", v2::routes(world.clone()))
        .nest("/api/v3", v3::routes(world.clone()))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_path)
        .with_state(world);
    // Slugs are opened before routing, so this layer wraps a router whose only route is its fallback.
    Router::new().fallback_service(routes).layer(map_request(wire::open_slug))
}

async fn no_such_path() -> Refusal {
    Refusal::no_such_path()
}
