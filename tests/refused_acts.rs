//! What the audit log keeps of what was refused: where it would have happened, why, and whether it was only looked at.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use slipway::circleci::sandbox::timeline::Outcome;
use support::Stage;
use support::database::Entry;
use support::discord::CommandCall;

fn act(sub: &str, id: &str) -> CommandCall {
    CommandCall::new("deploys").sub(sub).string("id", id)
}

async fn last_denied(stage: &Stage) -> Entry {
    stage.audit().await.into_iter().rfind(|entry| entry.action == "deploy.denied").unwrap()
}

fn place(entry: &Entry) -> [Option<&str>; 3] {
    [entry.repo.as_deref(), entry.branch.as_deref(), entry.environment.as_deref()]
}

#[tokio::test]
async fn a_refused_act_names_where_its_deploy_went() {
    let stage = Stage::following_job().await;
    let asked = stage.alice().deploys("acme/web", "main").await;
    asked.answer_when(|card| card.text().contains("is queued")).await;
    for (sub, who) in
        [("cancel", stage.bob()), ("approve", stage.bob()), ("retry", stage.bob()), ("retry", stage.alice())]
    {
        who.hears(act(sub, "1").string("reason", "I want to")).await;
        let entry = last_denied(&stage).await;
        assert_eq!(place(&entry), [Some("acme/web"), Some("main"), Some("production")], "{sub}: {entry:?}");
        assert_eq!((entry.deploy, entry.reason.as_deref()), (Some(1), Some("I want to")));
        assert!(!entry.detail["why"].as_str().unwrap().is_empty(), "{entry:?}");
    }
    stage.bob().hears(act("cancel", "77")).await;
    assert_eq!(place(&last_denied(&stage).await), [None; 3]);
    stage.circleci.finish("acme/web", 1, Outcome::Success);
    asked.answer_when(|card| card.text().contains("is succeeded")).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_refused_rollback_names_the_environment_that_was_meant_and_a_dry_run_says_so() {
    let stage = Stage::following_job().await;
    stage.bob().hears(CommandCall::new("rollback").string("repo", "acme/web").boolean("dry_run", true)).await;
    let entry = last_denied(&stage).await;
    assert_eq!((place(&entry), &entry.detail["dry_run"]), ([Some("acme/web"), None, Some("production")], &true.into()));
    stage.bob().hears(support::stage::deploy("acme/web", "main")).await;
    let entry = last_denied(&stage).await;
    assert_eq!(place(&entry), [Some("acme/web"), Some("main"), Some("production")]);
    assert!(entry.detail.get("dry_run").is_none(), "{entry:?}");
    stage.finish().await;
}

/// Beyond 2^53 a JSON number is another one, and the hash is over JSON.
#[tokio::test]
async fn a_number_that_no_deploy_can_have_does_not_break_the_chain() {
    let stage = Stage::following_job().await;
    for number in ["9007199254740991", "9007199254740993", "9223372036854775807"] {
        stage.bob().hears(act("cancel", number)).await;
        stage.bob().hears(CommandCall::new("rollback").string("repo", "acme/web").string("to", number)).await;
    }
    assert!(stage.verify().await.holds());
    stage.finish().await;
}
