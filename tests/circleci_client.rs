//! Stories about Slipway's CircleCI client, told against the fake CircleCI: what it sends, what it makes of every answer and of
//! none, what it finds again, and what it tells people.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

#[path = "circleci_client/acting.rs"]
mod acting;
#[path = "support/circleci/mod.rs"]
mod circleci;
#[path = "circleci_client/following.rs"]
mod following;
#[path = "circleci_client/jobs.rs"]
mod jobs;
#[path = "circleci_client/looking.rs"]
mod looking;
#[path = "support/nobody.rs"]
mod nobody;
#[path = "circleci_client/output.rs"]
mod output;
#[path = "circleci_client/pipelines.rs"]
mod pipelines;
#[path = "circleci_client/secrets.rs"]
mod secrets;
#[path = "circleci_client/trouble.rs"]
mod trouble;
#[path = "circleci_client/whole_builds.rs"]
mod whole_builds;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use slipway::circleci::{
    Access, ActError, CircleCi, Claimed, Lane, Order, Patience, Project, ReadError, Refusal, RunId, Search,
    TriggerError,
};
use slipway::deploy::parameters;
use slipway::repo::{EnvironmentName, Trigger, Vcs};
use slipway::time::{Clock, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use circleci::FakeCircleCi;

/// Long enough for a loaded machine, and no test waits for it.
const REQUEST: Duration = Duration::from_secs(10);

/// A patience that lets no test wait.
fn hasty() -> Patience {
    Patience {
        connect: Duration::from_secs(2),
        request: REQUEST,
        retry_first: Duration::from_millis(5),
        retry_longest: Duration::from_millis(20),
        read_retries_max: 2,
        rate_limited: Duration::from_secs(5),
        looks: [0, 20].map(Duration::from_millis).to_vec(),
        definitions: Duration::from_secs(60),
        reads_per_second: 1_000.0,
        reads_burst: 1_000,
    }
}

fn access(url: &str, token: &str) -> Access {
    Access {
        url: url.to_owned(),
        user_token: token.to_owned().into(),
        project_token: None,
        project_tokens: HashMap::new(),
    }
}

fn with(access: Access, patience: Patience) -> CircleCi {
    logs();
    CircleCi::new(access, patience, Clock::system()).unwrap()
}

/// A client of the fake, with its personal token.
fn client(fake: &FakeCircleCi) -> CircleCi {
    with(access(fake.url(), fake.token()), hasty())
}

fn project() -> Project {
    let token_name = Some("ACME_WEB".to_owned());
    Project { vcs: Vcs::GitHub, repo: "acme/web".parse().unwrap(), slug: None, token_name }
}

/// An order of `alice`'s, made now.
fn order(trigger: Trigger, branch: &str) -> Order {
    Order {
        project: project(),
        trigger,
        branch: branch.parse().unwrap(),
        revision: None,
        parameters: vec![],
        deploy: Uuid::now_v7(),
        environment: EnvironmentName::production(),
        actor: "alice (1)".to_owned(),
        requested_at: Clock::system().now(),
    }
}

/// The job `deploy_docker` on a branch.
fn job(branch: &str) -> Order {
    order(Trigger::Job("deploy_docker".parse().unwrap()), branch)
}

/// A pipeline on a branch.
fn pipeline(branch: &str) -> Order {
    order(Trigger::Pipeline { definition: None }, branch)
}

/// The workflows of a branch, by v1.1.
fn whole_build(branch: &str) -> Order {
    order(Trigger::Build, branch)
}

trait OrderExt {
    fn parameters(self, text: &str) -> Order;
    fn revision(self, text: &str) -> Order;
}

impl OrderExt for Order {
    fn parameters(mut self, text: &str) -> Order {
        self.parameters = parameters::parse(text).unwrap();
        self
    }

    fn revision(mut self, text: &str) -> Order {
        self.revision = Some(text.parse().unwrap());
        self
    }
}

/// A person waits for it.
fn search<'a>(order: &'a Order, claimed: Claimed<'a>) -> Search<'a> {
    Search { order, claimed, lane: Lane::Person }
}

/// Nobody has claimed anything.
fn unclaimed(_: &RunId) -> bool {
    false
}

/// What a person is told of an order that came to nothing.
fn told(error: &TriggerError) -> String {
    match error {
        TriggerError::Refused(refusal) => refused(refusal),
        TriggerError::NotSent { why } => format!("not sent: {why}"),
        TriggerError::Lost { why } => format!("lost: {why}"),
        TriggerError::Unnamed => format!("unnamed: {error}"),
    }
}

fn refused(refusal: &Refusal) -> String {
    let mut text = format!("{:?}", refusal.kind);
    if let Some(status) = refusal.status {
        write!(text, " {status}").unwrap();
    }
    write!(text, ": {}", refusal.why).unwrap();
    if let Some(said) = &refusal.said {
        write!(text, "\nCircleCI: {said}").unwrap();
    }
    text
}

/// What a person is told of something that was not done.
fn undone(error: &ActError) -> String {
    match error {
        ActError::Refused(refusal) => refused(refusal),
        ActError::NotSent { why } => format!("not sent: {why}"),
        ActError::Uncertain { why } => format!("uncertain: {why}"),
    }
}

fn unread(error: &ReadError) -> String {
    match error {
        ReadError::Refused(refusal) => refused(refusal),
        ReadError::Unavailable { status, why } => format!("unavailable {status:?}: {why}"),
        ReadError::Unreadable { why } => format!("unreadable: {why}"),
    }
}

/// A server that has one answer to everything.
struct Scripted {
    url: String,
    server: JoinHandle<()>,
}

impl Scripted {
    async fn answers(status: u16, headers: &[(&'static str, &'static str)], body: impl Into<Vec<u8>>) -> Scripted {
        let status = StatusCode::from_u16(status).unwrap();
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let body: Vec<u8> = body.into();
        let app = Router::new().fallback(move || {
            let answer = (status, headers.clone(), body.clone());
            async move { answer }
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Scripted { url, server }
    }

    fn client(&self) -> CircleCi {
        with(access(&self.url, "user-token"), hasty())
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Everything that any test of this file logs, from TRACE on, other crates' lines included.
fn logs() -> &'static Logs {
    static LOGS: OnceLock<Logs> = OnceLock::new();
    LOGS.get_or_init(|| {
        let logs = Logs::default();
        let writer = logs.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        logs
    })
}

#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn day(text: &str) -> Timestamp {
    text.parse().unwrap()
}
