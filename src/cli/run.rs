//! `slipway run`: the bot on Discord, from its settings to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Complaint, Exit, tell_wrong, token_names};
use crate::app::App;
use crate::audit::Action;
use crate::circleci::{CircleCi, Patience};
use crate::config::{Settings, Variables};
use crate::db::{Db, Lease};
use crate::discord::bot;
use crate::time::Clock;

/// How long the last entries and the database's closing may take when Slipway stops.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// Runs the bot until SIGTERM or Ctrl-C, or until Discord refuses it for good.
pub async fn run(variables: &Variables) -> Result<Exit, Complaint> {
    let settings = Settings::read(variables).map_err(|wrong| tell_wrong(&wrong))?;
    tell_about(variables, &settings);
    let stopping = CancellationToken::new();
    let _signals = AbortOnDropHandle::new(tokio::spawn(stop_at_signals(stopping.clone())?));
    serve(settings, Patience::default(), stopping).await?;
    tracing::info!("Slipway has stopped");
    Ok(Exit::Done)
}

/// Runs the bot until `stopping`, or until Discord refuses it for good; `patience` is with CircleCI.
pub async fn serve(settings: Settings, patience: Patience, stopping: CancellationToken) -> Result<(), Complaint> {
    let _lease = Lease::take(&settings.base.database, &format!("slipway run, process {}", std::process::id()))?;
    let db = Db::open(&settings.base.database).await?;
    let clock = Clock::system();
    let names = token_names(&settings.circleci);
    let circleci = CircleCi::new(settings.circleci, patience, clock.clone())?;
    let app = App::new(db.clone(), circleci, settings.base.owners, names, clock, stopping.clone()).await?;
    app.record_process(Action::SlipwayStarted).await?;
    tell_of_jobs(&app).await?;

    let notices = AbortOnDropHandle::new(tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.watch_v1_triggers_end().await }
    }));
    let ended = bot::run(Arc::clone(&app), settings.discord).await;
    stopping.cancel();
    let farewell = async {
        let _ = notices.await;
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

/// What the operator should know of the settings before anything else happens.
fn tell_about(variables: &Variables, settings: &Settings) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), database = %settings.base.database.path().display(), circleci = %settings.circleci.url, "Slipway starts");
    for name in variables.unknown() {
        tracing::warn!(
            "{name} is no setting of Slipway's and changes nothing; is it misspelt? .env.example lists them all"
        );
    }
    for name in variables.unused() {
        tracing::warn!("{name} is set, but this version serves no HTTP yet");
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
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        let mut told = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if told {
                std::process::exit(1);
            }
            told = true;
            tracing::info!("Slipway is stopping: no new work is taken, and what is under way is finished");
            stopping.cancel();
        }
    })
}
