//! The refusals of CircleCI, each with the words on its card.

use super::*;

/// The card, once it is certain that nothing was started and that the log says so.
async fn refused(stage: &Stage) -> String {
    let card = card_of_main(stage).await;
    assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["refused".to_owned()]));
    let log = stage.audit().await;
    let last = log.last().unwrap();
    assert_eq!((last.action.as_str(), last.outcome.as_str()), ("deploy.finished", "refused"));
    card
}

#[tokio::test]
async fn a_dead_token() {
    let mut stage = Stage::start().await;
    stage.circleci.replace_token("another-one");
    insta::assert_snapshot!(refused(&stage).await, @r"
    # Deploy #1 is refused
    CircleCI does not accept the token in CIRCLE\_API\_USER\_TOKEN: it is wrong, revoked or expired. Personal tokens live at most a year and are made on CircleCI under User Settings, Personal API Tokens. The bot's operator makes a new one there, sets CIRCLE\_API\_USER\_TOKEN and restarts the bot. CircleCI said: “You must log in first.”
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **refused**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");
    stage.finish().await;
}

#[tokio::test]
async fn a_project_that_the_token_does_not_see() {
    let stage = Stage::start().await;
    stage.circleci.world().state().projects.clear();
    insta::assert_snapshot!(refused(&stage).await, @r"
    # Deploy #1 is refused
    CircleCI shows no project acme/web (github) to the token in CIRCLE\_API\_USER\_TOKEN: it isn't there, or the token can't see it. Check how the name is written, that the project is set up on CircleCI, and that the token's owner can open it there. CircleCI said: “Project not found”
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **refused**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");
    stage.finish().await;
}

#[tokio::test]
async fn a_configuration_of_2_1_at_the_job_trigger() {
    let stage = Stage::start_with_job().await;
    stage.circleci.change_project("acme/web", |project| project.config.version = ConfigVersion::V2_1);
    let card = refused(&stage).await;
    insta::assert_snapshot!(card, @r"
    # Deploy #1 is refused
    CircleCI's job trigger (API v1.1) can't use the configuration of acme/web on this branch: it starts jobs only from configurations below 2.1. If `.circleci/config.yml` says `version: 2.1`, use a `pipeline` environment (docs/circleci.md shows how); else correct what CircleCI says of it. CircleCI said: “Your config file has errors and may not run correctly: 2 schema violations found; required key \[jobs\] not found; extraneous key \[parameters\] is not permitted”
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **refused**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");
    assert!(!card.contains("<br") && !card.contains("pre>"));
    stage.finish().await;
}

#[tokio::test]
async fn a_job_that_is_not_there() {
    let stage = Stage::start_with_job().await;
    stage.circleci.change_project("acme/web", |project| project.config.jobs.retain(|job| job == "build"));
    insta::assert_snapshot!(refused(&stage).await, @"
    # Deploy #1 is refused
    The configuration of acme/web on this branch has no such job. Check the environment's job against `.circleci/config.yml` there. CircleCI said: “Cannot find a job named `deploy_docker` to run in the `jobs:` section of your configuration file.”
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **refused**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");
    stage.finish().await;
}

#[tokio::test]
async fn an_undeclared_parameter_and_one_of_another_type() {
    let stage = Stage::start().await;
    let with = |parameters: &'static str| move |call: CommandCall| call.string("parameters", parameters);
    let deploy = stage.alice().deploys_with("acme/web", "main", with("COLOUR=red")).await;
    insta::assert_snapshot!(stage.tidy(&deploy.answer().await), @"
    # Deploy #1 is refused
    The configuration declares no pipeline parameter `COLOUR`, and CircleCI refuses what is not declared. Declare it under `parameters:` in acme/web's `.circleci/config.yml` on this branch (docs/circleci.md shows how), or leave it out. CircleCI said: “Unexpected argument(s): COLOUR”
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **refused**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    Parameters: `COLOUR=red`
    [Retry](/deploys retry 1)
    ");
    let deploy = stage.alice().deploys_with("acme/web", "main", with("replicas=many")).await;
    insta::assert_snapshot!(stage.tidy(&deploy.answer().await), @r#"
    # Deploy #2 is refused
    The configuration declares another type for the parameter `replicas`. A number is written `N=3`, a truth value `DRY=true`, and text that looks like one of them is quoted: `TAG="3"`. CircleCI said: “Type error for argument replicas: expected type: integer, actual value: "many" (type string)”
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **refused**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    Parameters: `replicas=many`
    [Retry](/deploys retry 2)
    "#);
    assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["refused".to_owned(); 2]));
    stage.finish().await;
}

#[tokio::test]
async fn a_trigger_that_is_retired() {
    let stage = Stage::start_with_job().await;
    stage.circleci.retire_v1_triggers();
    insta::assert_snapshot!(refused(&stage).await, @"
    # Deploy #1 is refused
    CircleCI takes no more triggers of its API v1.1, which end for everybody on 1 February 2027. Use a `pipeline` environment instead: docs/circleci.md shows how to move one over. CircleCI said: “This endpoint was removed on 1 February 2027. Use API v2 or v3 to trigger pipelines.”
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **refused**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");
    stage.finish().await;
}

#[tokio::test]
async fn a_branch_that_is_not_there() {
    for stage in [Stage::start().await, Stage::start_with_job().await] {
        let deploy = stage.alice().deploys("acme/web", "no-such-branch").await;
        let card = stage.tidy(&deploy.answer().await);
        insta::allow_duplicates! { insta::assert_snapshot!(card, @"
        # Deploy #1 is refused
        CircleCI finds no such branch in acme/web. Check how it is written, and that it has been pushed. CircleCI said: “Branch not found”
        Repository: `acme/web`
        Branch: `no-such-branch`
        Environment: `production`
        State: **refused**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        "); }
        stage.finish().await;
    }
}

#[tokio::test]
async fn several_definitions() {
    let stage = Stage::start().await;
    stage.circleci.change_project("acme/web", |project| {
        project.definitions =
            ["one", "two"].map(|name| Definition::new(name, &format!("{name}.yml"), "github_app")).to_vec();
    });
    let card = refused(&stage).await;
    for definition in stage.circleci.project("acme/web").definitions {
        assert!(card.contains(&definition.name), "{card}");
    }
    assert!(card.contains("several pipeline definitions"), "{card}");
    stage.finish().await;
}

#[tokio::test]
async fn the_words_of_circleci_are_inert() {
    let stage = Stage::start().await;
    let said = json!({"message": "@everyone <@1> **no** [x](https://evil.test) <script>"});
    stage.circleci.fault(Route::RunPipeline, Fault::Status(400, said), 1);
    let card = refused(&stage).await.replace('\u{200b}', "·");
    insta::assert_snapshot!(card, @r"
    # Deploy #1 is refused
    CircleCI refused the request for acme/web (status 400). What it says may tell what to change; its status page is https\://status.circleci.com. CircleCI said: “\@·everyone \<\@·1\> \*\*no\*\* \[x\](https\://evil.test) \<script\>”
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **refused**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");
    stage.finish().await;
}
