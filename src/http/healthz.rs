//! `GET /healthz`: whether Slipway lives and can work. Tells states, and neither secrets nor anything of a guild's.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::db::Db;
use crate::health::{Gateway, Health};

/// How long the database may take to answer a read.
const DATABASE_WITHIN: Duration = Duration::from_secs(1);
/// How long its answer holds: asking often must not take the database's connections from those who work.
const ANSWER_HOLDS: Duration = Duration::from_millis(500);

/// What is checked.
pub(super) struct Checkup {
    health: Health,
    db: Db,
    last: Mutex<Option<(Instant, Database)>>,
}

/// How the database is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Database {
    Ok,
    Slow,
    Failing,
}

impl Database {
    fn as_str(self) -> &'static str {
        match self {
            Database::Ok => "ok",
            Database::Slow => "slow",
            Database::Failing => "failing",
        }
    }
}

impl Checkup {
    pub(super) fn new(health: Health, db: Db) -> Self {
        Self { health, db, last: Mutex::default() }
    }

    /// The process answers; nothing else is looked at.
    pub(super) fn live() -> (StatusCode, Json<Value>) {
        (StatusCode::OK, Json(json!({ "live": true, "version": env!("CARGO_PKG_VERSION") })))
    }

    /// Ready is who can record and be heard: the database answers and the gateway is connected. A CircleCI that is down
    /// is told and changes nothing: the bot still answers, records and finds out later, and taking it away would not help.
    pub(super) async fn ready(&self) -> (StatusCode, Json<Value>) {
        let database = self.database().await;
        let gateway = self.health.of_gateway();
        let ready = database == Database::Ok && gateway == Gateway::Connected;
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let told = json!({
            "live": true,
            "ready": ready,
            "database": database.as_str(),
            "gateway": gateway.as_str(),
            "circleci": self.health.of_circleci().as_str(),
            "version": env!("CARGO_PKG_VERSION"),
        });
        (status, Json(told))
    }

    /// Whoever asks meanwhile waits for the same answer.
    async fn database(&self) -> Database {
        let mut last = self.last.lock().await;
        if let Some((at, database)) = *last
            && at.elapsed() < ANSWER_HOLDS
        {
            return database;
        }
        let database = match timeout(DATABASE_WITHIN, self.db.answer()).await {
            Ok(Ok(())) => Database::Ok,
            Ok(Err(error)) => {
                // Told once, not at each probe.
                if last.is_none_or(|(_, before)| before != Database::Failing) {
                    tracing::error!("The database doesn't answer a read: {error}");
                }
                Database::Failing
            }
            Err(_) => Database::Slow,
        };
        *last = Some((Instant::now(), database));
        database
    }
}
