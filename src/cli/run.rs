//! `slipway run`: the bot on Discord, from its settings to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::signals::Signals;
use super::{Complaint, Exit, tell_wrong, token_names};
use crate::app::App;
use crate::audit::Action;
use crate::circleci::webhook::{Event, Kind};
use crate::circleci::{CircleCi, Patience};
use crate::config::{self, Settings, Variables};
use crate::db::{Db, Lease};
use crate::deploy::{Ended, Pace};
use crate::discord::bot;
use crate::http::{HttpError, HttpServer, State, Webhooks};
use crate::time::Clock;

/// How long the last entries and the database's closing may take when Slipway stops.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);
/// How many events of webhooks may wait; CircleCI is asked to come again with those that find no room.
const EVENTS_MAX: usize = 256;

/// Runs the bot until SIGTERM or Ctrl-C, or until Discord refuses it for good.
pub async fn run(variables: &Variables) -> Result<Exit, Complaint> {
    let settings = Settings::read(variables).map_err(|wrong| tell_wrong(&wrong))?;
    tell_about(variables, &settings);
    let stopping = CancellationToken::new();
    let _signals = AbortOnDropHandle::new(tokio::spawn(stop_at_signals(stopping.clone())?));
    serve(settings, Patience::default(), Pace::default(), stopping).await?;
    tracing::info!("Slipway has stopped");
    Ok(Exit::Done)
}

/// Runs the bot until `stopping`, or until Discord refuses it for good; `patience` is with CircleCI, and deploys are
/// followed at this `pace`.
pub async fn serve(
    settings: Settings,
    patience: Patience,
    pace: Pace,
    stopping: CancellationToken,
) -> Result<(), Complaint> {
    let _lease = Lease::take(&settings.base.database, &format!("slipway run, process {}", std::process::id()))?;
    let db = Db::open(&settings.base.database).await?;
    let clock = Clock::system();
    let names = token_names(&settings.circleci);
    let circleci = CircleCi::new(settings.circleci, patience, clock.clone())?;
    let app = App::new(db.clone(), circleci, settings.base.owners, names, clock, pace, stopping.clone()).await?;
    let (events, received) = mpsc::channel(EVENTS_MAX);
    let http = bind(settings.http, &app, events).await?;
    app.check_audit().await?;
    app.record_process(Action::SlipwayStarted).await?;
    tell_of_jobs(&app).await?;

    let notices = AbortOnDropHandle::new(tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.watch_v1_triggers_end().await }
    }));
    let following = AbortOnDropHandle::new(tokio::spawn({
        let (app, stopping) = (Arc::clone(&app), stopping.clone());
        async move { app.deploys.follow(&stopping).await }
    }));
    let requests = AbortOnDropHandle::new(tokio::spawn({
        let (app, stopping) = (Arc::clone(&app), stopping.clone());
        async move { app.requests.watch(&stopping).await }
    }));
    let http = http.map(|server| AbortOnDropHandle::new(tokio::spawn(server.serve(stopping.clone()))));
    let heard = AbortOnDropHandle::new(tokio::spawn(hear(Arc::clone(&app), received)));
    let circleci = AbortOnDropHandle::new(tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.watch_circleci().await }
    }));
    // On the worker, where all it begins goes on: from this thread each event would take a further way.
    let bot = AbortOnDropHandle::new(tokio::spawn({
        let app = Arc::clone(&app);
        async move { bot::run(app, settings.discord).await }
    }));
    let ended = match bot.await {
        Ok(ended) => ended,
        Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => Ok(()),
    };
    stopping.cancel();
    let farewell = async {
        let _ = tokio::join!(notices, circleci, requests);
        if let Some(http) = http {
            let _ = http.await;
        }
        // The server held the sender.
        let _ = heard.await;
        if let Err(error) = following.await {
            tracing::error!("Following deploys ended badly: {error}. This is a mistake in Slipway; please report it");
        }
        if let Err(error) = app.record_process(Action::SlipwayStopped).await {
            tracing::error!("The stop could not be recorded: {error}");
        }
        app.branches.close().await;
        db.close().await;
    };
    if timeout(FAREWELL_WITHIN, farewell).await.is_err() {
        tracing::warn!("Slipway stops without waiting for the database; what was committed is safe");
    }
    Ok(ended?)
}

/// Takes the port, where one is wanted. What webhooks tell goes to `events`.
async fn bind(
    settings: Option<config::Http>,
    app: &App,
    events: mpsc::Sender<Event>,
) -> Result<Option<HttpServer>, HttpError> {
    let Some(config::Http { addr, webhook_secret }) = settings else { return Ok(None) };
    let state = State {
        metrics: app.metrics.clone(),
        health: app.health.clone(),
        webhooks: webhook_secret.map(|secret| Webhooks { secret, events }),
        db: app.db().clone(),
        clock: app.clock.clone(),
    };
    HttpServer::bind(addr, state).await.map(Some)
}

/// Listens to CircleCI's webhooks until nobody speaks any more: what they tell of is asked about at once. What they say isn't
/// believed beyond that, so that a forged one could do no more.
async fn hear(app: Arc<App>, mut received: mpsc::Receiver<Event>) {
    while let Some(event) = received.recv().await {
        tracing::debug!(event.kind = ?event.kind, event.id, project = event.project_slug, "A webhook told of something");
        let ended = match (event.kind, event.pipeline, &event.job) {
            (Kind::WorkflowCompleted, Some(pipeline), _) => Ended::Workflow { pipeline },
            (Kind::JobCompleted, _, Some(job)) => Ended::Job { number: job.number },
            _ => continue,
        };
        let project = event.project_slug.unwrap_or_default();
        if let Err(error) = app.deploys.heard(&project, ended).await {
            tracing::warn!("A webhook moves no card, because the database failed: {error}");
        }
    }
}

/// What the operator should know of the settings before anything else happens.
fn tell_about(variables: &Variables, settings: &Settings) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), database = %settings.base.database.path().display(), circleci = %settings.circleci.url, "Slipway starts");
    for name in variables.unknown() {
        tracing::warn!(
            "{name} is no setting of Slipway's and changes nothing; is it misspelt? .env.example lists them all"
        );
    }
    if let Some(half) = variables.half_of_webhooks() {
        tracing::warn!("{half}");
    }
    if settings.base.owners.is_empty() {
        tracing::warn!(
            "SLIPWAY_OWNERS is not set, so nobody can register repositories or grant permissions. Set it to your Discord user id (Copy User ID)"
        );
    }
}

/// API v1.1's triggers end on a day: whoever still uses them reads so at every start.
async fn tell_of_jobs(app: &App) -> Result<(), Complaint> {
    let jobs = app.repos.jobs_anywhere().await?;
    if !jobs.is_empty() {
        tracing::warn!(
            circleci.v1_triggers_end = %app.v1_triggers_end(),
            environments = jobs.join(", "),
            "CircleCI ends API v1.1's triggers on that day; move these environments to pipelines before (docs/circleci.md)"
        );
    }
    Ok(())
}

/// Cancels `stopping` at the first SIGTERM or Ctrl-C; the second one ends the process at once.
fn stop_at_signals(stopping: CancellationToken) -> std::io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        let mut told = false;
        loop {
            signals.next().await;
            if told {
                std::process::exit(1);
            }
            told = true;
            tracing::info!("Slipway is stopping: no new work is taken, and what is under way is finished");
            stopping.cancel();
        }
    })
}
