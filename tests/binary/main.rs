//! The built binary, as an operator runs it: started, stopped, killed and asked, between the fake Discord and the fake
//! CircleCI.
#![allow(clippy::unwrap_used, reason = "a test that unwraps in vain fails, as it should")]

#[path = "../support/nobody.rs"]
mod nobody;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

mod command_line;
mod kill;
mod kill_points;
mod policy;
mod secrets;
mod start;
mod stop;

use process::Process;
use support::Stage;
use support::circleci::FakeCircleCi;

/// Everything is there but the bot.
async fn stage() -> Stage {
    stage_with(&[]).await
}

async fn stage_with(more: &[(&str, &str)]) -> Stage {
    Stage::before_curtain(FakeCircleCi::start().await, more).await
}

/// Starts `slipway` with these arguments and the stage's settings, in the folder of its database.
fn slipway(stage: &Stage, arguments: &[&str]) -> Process {
    slipway_with(stage, arguments, stage.variables())
}

fn slipway_with(stage: &Stage, arguments: &[&str], variables: Vec<(String, String)>) -> Process {
    Process::start(stage.database().parent().unwrap(), arguments, &variables)
}

/// The stage's settings, but with this value of a variable; without one it is taken away.
fn changed(stage: &Stage, name: &str, value: Option<&str>) -> Vec<(String, String)> {
    let mut variables = stage.variables();
    variables.retain(|(known, _)| known != name);
    variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    variables
}

/// Starts the bot, waits until it is ready, registers `acme/web` and lets Alice deploy it.
async fn ready(stage: &Stage) -> Process {
    let bot = slipway(stage, &["run"]);
    bot.says("The commands are registered").await;
    stage.root().adds_repo("acme/web").await;
    stage.root().lets("alice", "deploy").await;
    bot
}
