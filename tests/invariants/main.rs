//! The invariants of the design, each with tests that fail when it is broken.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

#[path = "../support/mod.rs"]
mod support;

mod invariant_01_refused_by_default;
mod invariant_02_recorded_before_done;
mod invariant_03_seen_before_done;
mod invariant_04_once;
mod invariant_05_never_blindly_again;
mod invariant_06_followed_to_the_end;
mod invariant_07_answered_within_the_deadline;
mod invariant_08_no_pings_no_tricks;
mod invariant_09_tamper_evident;
mod invariant_10_one_guild_never_sees_another;
mod invariant_11_only_valid_refs;
mod invariant_12_errors_help;

use serde_json::json;
use std::time::Duration;
use support::circleci::{Fault, Route};
use support::discord::{CommandCall, Fault as DiscordFault, Interaction, RouteKind};
use support::stage::{deploy, grant};
use support::{Person, Stage};

/// `/deploy acme/web main` by Alice.
async fn alice_deploys(stage: &Stage) -> Interaction {
    stage.alice().deploys("acme/web", "main").await
}

/// Lets the bot finish what is under way and stop, and checks that nothing was triggered or recorded.
async fn nothing_came_of_it(mut stage: Stage) {
    stage.stop_bot().await.unwrap();
    assert_eq!(stage.circleci.requests().len(), 0, "{}", stage.discord.story());
    assert_eq!(stage.states().await, [""; 0]);
    assert_eq!(stage.audited("deploy.requested").await, 0);
    stage.finish().await;
}
