//! The server by itself, on a free loopback port, with everything around it in the test's hands, and a client that speaks
//! HTTP letter by letter.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use slipway::circleci::webhook::Event;
use slipway::db::Db;
use slipway::health::Health;
use slipway::http::{HttpServer, State, Webhooks};
use slipway::metrics::Metrics;
use slipway::time::Clock;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::circleci::webhook::{Outbound, signature};

pub const SECRET: &str = "the-webhook-secret";
/// Nothing in these tests takes longer.
const WAIT_LIMIT: Duration = Duration::from_secs(20);

pub struct Server {
    pub address: SocketAddr,
    pub metrics: Metrics,
    pub health: Health,
    pub db: Db,
    pub events: Receiver<Event>,
    stopping: CancellationToken,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

/// An answer, read until the connection closed.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Server {
    /// With a secret, and room for so many events.
    pub async fn start(room: usize) -> Self {
        Self::start_with(Some(SECRET), room).await
    }

    pub async fn start_with(secret: Option<&str>, room: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&format!("sqlite://{}/slipway.db", folder.path().display()).parse().unwrap()).await.unwrap();
        let (sender, events) = channel(room);
        let (metrics, health) = (Metrics::new(), Health::default());
        let state = State {
            metrics: metrics.clone(),
            health: health.clone(),
            webhooks: secret.map(|secret| Webhooks { secret: secret.into(), events: sender }),
            db: db.clone(),
            clock: Clock::system(),
        };
        let server = HttpServer::bind("127.0.0.1:0".parse().unwrap(), state).await.unwrap();
        let address = server.local_addr();
        let stopping = CancellationToken::new();
        let serving = tokio::spawn(server.serve(stopping.clone()));
        Self { address, metrics, health, db, events, stopping, serving, _folder: folder }
    }

    /// CircleCI, with the right secret.
    pub fn circleci(&self) -> Outbound {
        self.circleci_with(Some(SECRET))
    }

    pub fn circleci_with(&self, secret: Option<&str>) -> Outbound {
        Outbound::new(&format!("http://{}/webhooks/circleci", self.address), secret)
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes and reads the answer.
    pub async fn sends(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        // A server that has said no may no longer listen.
        let _ = stream.write_all(request.as_ref()).await;
        answer(&mut stream).await
    }

    pub async fn gets(&self, path: &str) -> Answer {
        self.sends(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
    }

    /// A webhook with this body and these further lines of head.
    pub async fn posts(&self, head: &str, body: &str) -> Answer {
        self.sends(format!("{}{body}", head_of(head, body.len()))).await
    }

    /// A webhook with this body, signed.
    pub async fn posts_signed(&self, body: &str) -> Answer {
        self.posts(&signed(body), body).await
    }

    /// What `/metrics` says of webhooks with this result.
    pub fn counted(&self, result: &str) -> u64 {
        let text = self.metrics.render();
        let line = format!("slipway_webhooks_total{{result=\"{result}\"}} ");
        text.lines().find_map(|found| found.strip_prefix(&line)).unwrap().parse().unwrap()
    }

    /// The entries of the process's own audit log: action, outcome, reason, detail.
    pub async fn audited(&self) -> Vec<(String, String, String, Value)> {
        let rows: Vec<(String, String, String, String)> =
            sqlx::query_as("SELECT action, outcome, reason, detail FROM audit_log WHERE guild_id = 0 ORDER BY seq")
                .fetch_all(self.db.pool())
                .await
                .unwrap();
        rows.into_iter()
            .map(|(action, outcome, why, detail)| (action, outcome, why, serde_json::from_str(&detail).unwrap()))
            .collect()
    }

    /// Stops it in good order.
    pub async fn stops(&mut self) {
        self.stopping.cancel();
        timeout(WAIT_LIMIT, &mut self.serving).await.unwrap().unwrap();
    }
}

/// The head of a webhook.
pub fn head_of(more: &str, length: usize) -> String {
    format!("POST /webhooks/circleci HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{more}\r\n")
}

/// The signature's line.
pub fn signed(body: &str) -> String {
    format!("circleci-signature: v1={}\r\n", signature(SECRET, body))
}

/// Reads until the server closes.
pub async fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    let read = async {
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            bytes.extend_from_slice(&part[..count]);
        }
    };
    timeout(WAIT_LIMIT, read).await.expect("the server answers or closes");
    let text = String::from_utf8(bytes).unwrap();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Answer { status: 0, head: text, body: String::new() };
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}
