//! `/deploy`, from Discord to CircleCI and back.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use support::Stage;
use support::circleci::{Fault, Route};

#[tokio::test]
async fn a_deploy_is_checked_recorded_triggered_and_answered_with_its_link() {
    let stage = Stage::start().await;

    let deploy =
        stage.alice().deploys_with("acme/web", "main", |call| call.string("reason", "fixes the login page")).await;

    assert!(!deploy.acknowledged().await.ephemeral);
    let card = deploy.answer().await;
    insta::assert_snapshot!(stage.tidy(&card), @"");
    let pipelines = stage.circleci.pipelines();
    assert_eq!(pipelines.len(), 1);
    stage.finish().await;
}
