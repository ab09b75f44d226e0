//! `/repo`: which repositories can be deployed, and how.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use serde_json::json;
use support::circleci::{Fault, Route};
use support::discord::CommandCall;
use support::{Person, Stage};

fn repo(name: &str) -> CommandCall {
    CommandCall::new("repo").sub(name)
}

fn add(name: &str) -> CommandCall {
    repo("add").string("name", name)
}

async fn hears(stage: &Stage, who: &Person<'_>, call: CommandCall) -> String {
    let answer = who.hears(call).await;
    assert!(answer.ephemeral, "{}", answer.text());
    stage.tidy(&answer)
}

async fn root_hears(stage: &Stage, call: CommandCall) -> String {
    hears(stage, &stage.root(), call).await
}

#[tokio::test]
async fn a_repository_is_added_listed_shown_and_removed() {
    let stage = Stage::empty().await;
    insta::assert_snapshot!(root_hears(&stage, repo("list")).await, @"
    (only you can see this)
    # Repositories
    No repository that you may see is registered here. An admin can add one with `/repo add`.
    ");
    insta::assert_snapshot!(root_hears(&stage, add("acme/web").string("default_branch", "develop")).await, @"
    (only you can see this)
    # acme/web is registered
    Its environment `production` runs a pipeline (API v2). Try `/deploy acme/web main`.
    ");
    insta::assert_snapshot!(root_hears(&stage, add("ACME/web")).await, @r"
    (only you can see this)
    # Not done
    `ACME/web` is registered already. `/repo show ACME/web` shows how.
    ");
    let bitbucket = add("acme/legacy").string("job", "deploy_docker").string("vcs", "bitbucket");
    insta::assert_snapshot!(root_hears(&stage, bitbucket).await, @"
    (only you can see this)
    # acme/legacy is registered
    Its environment `production` runs the job `deploy_docker` (API v1.1, which CircleCI ends a time (a time); `/environment set` with `trigger:pipeline` moves it). Try `/deploy acme/legacy main`.
    ");
    insta::assert_snapshot!(root_hears(&stage, repo("list")).await, @r"
    (only you can see this)
    # Repositories
    `acme/legacy` on bitbucket
    `acme/web` on github
    ");
    insta::assert_snapshot!(root_hears(&stage, repo("show").string("name", "Acme/Web")).await, @r"
    (only you can see this)
    # acme/web
    Host: github
    Default branch: `develop`
    Environments: `production` runs a pipeline (API v2)
    ");
    insta::assert_snapshot!(root_hears(&stage, repo("show").string("name", "acme/legacy")).await, @"
    (only you can see this)
    # acme/legacy
    Host: bitbucket
    Environments: `production` runs the job `deploy_docker` (API v1.1, which CircleCI ends a time (a time); `/environment set` with `trigger:pipeline` moves it)
    ");
    let removed = stage.root().removes(repo("remove").string("name", "acme/legacy")).await;
    insta::assert_snapshot!(stage.tidy(&removed), @r"
    (only you can see this)
    # acme/legacy is removed
    Its environments are gone and it can't be deployed any more. Rules, deploys and audit entries stay.
    ");
    insta::assert_snapshot!(root_hears(&stage, repo("show").string("name", "acme/legacy")).await, @"
    (only you can see this)
    # Not done
    `acme/legacy` is not registered here. `/repo list` shows what is; an admin can add it with `/repo add`.
    ");
    insta::assert_snapshot!(root_hears(&stage, repo("remove").string("name", "acme/legacy")).await, @"
    (only you can see this)
    # Not done
    `acme/legacy` is not registered here. `/repo list` shows what is; an admin can add it with `/repo add`.
    ");

    let log: Vec<_> = stage.audit().await.into_iter().filter(|entry| entry.action.starts_with("repo")).collect();
    let told: Vec<_> = log.iter().map(|entry| (entry.action.as_str(), entry.repo.as_deref().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("repo.added", "acme/web"),
            ("repo.denied", "ACME/web"),
            ("repo.added", "acme/legacy"),
            ("repo.removed", "acme/legacy"),
            ("repo.denied", "acme/legacy"),
            ("repo.denied", "acme/legacy"),
        ]
    );
    assert_eq!(log[2].detail["production"]["job"], "deploy_docker");
    stage.finish().await;
}

#[tokio::test]
async fn only_an_admin_of_a_repository_adds_and_removes_it() {
    let stage = Stage::start().await;
    for call in [add("acme/api"), repo("remove").string("name", "acme/web")] {
        assert!(hears(&stage, &stage.alice(), call).await.contains("Not permitted"));
    }
    let carol = stage.person("carol");
    let call = CommandCall::new("permission").sub("grant").mentionable("who", carol.id).string("action", "admin");
    stage.root().grants(call.string("repo", "acme/*")).await;
    assert!(hears(&stage, &carol, add("other/api")).await.contains("Not permitted"));
    assert!(hears(&stage, &carol, add("acme/api")).await.contains("is registered"));
    stage.finish().await;
}

#[tokio::test]
async fn a_project_with_a_slug_of_its_own_runs_pipelines_only() {
    let stage = Stage::empty().await;
    let slug = "circleci/43G3kM5RtfFE7v5sa4nWAU/44n9pujWcTnVZ2b5S8Fnat";
    let call = add("acme/app").string("project", slug);
    insta::assert_snapshot!(root_hears(&stage, call.clone().string("job", "deploy")).await, @r"
    (only you can see this)
    # Not done
    A project with a slug of its own has no API v1.1, which is what `job` needs. Leave `job` out: `production` then runs a pipeline.
    ");
    assert!(root_hears(&stage, call).await.contains("is registered"));
    assert!(root_hears(&stage, repo("show").string("name", "acme/app")).await.contains(slug));
    stage.finish().await;
}

#[tokio::test]
async fn what_cannot_be_used_is_refused() {
    let stage = Stage::empty().await;
    for (option, value) in [("job", "a b"), ("project", "gh/acme/web"), ("default_branch", "a..b")] {
        let answer = root_hears(&stage, add("acme/web").string(option, value)).await;
        assert!(answer.contains("Not a usable"), "{answer}");
    }
    for name in ["acme", "../../me", "acme/we b", "@everyone/x"] {
        let answer = root_hears(&stage, add(name)).await;
        assert!(answer.contains("Not a usable repository"), "{answer}");
    }
    assert!(root_hears(&stage, repo("list")).await.contains("No repository"));
    assert_eq!(stage.audited("repo.denied").await, 7);
    stage.finish().await;
}

#[tokio::test]
async fn the_day_on_which_the_job_triggers_end_is_remembered_and_shown() {
    let mut stage = Stage::start_with_job().await;
    let sees = async |stage: &Stage, day: &str| {
        let shown = stage.root().hears(repo("show").string("name", "acme/web")).await.text();
        shown.contains(&format!("<t:{day}:"))
    };
    // 1 February 2027, as CircleCI published it.
    assert!(sees(&stage, "1801440000").await);
    // From the day that has come on, CircleCI answers 410.
    stage.circleci.retire_v1_triggers();
    stage.alice().deploys("acme/web", "main").await.answer().await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while sees(&stage, "1801440000").await {
        assert!(tokio::time::Instant::now() < deadline, "the day is not remembered");
    }
    stage.stop_bot().await.unwrap();
    stage.start_bot_again().await;
    assert!(!sees(&stage, "1801440000").await, "a restart forgets nothing");
    stage.finish().await;
}

#[tokio::test]
async fn a_projects_own_token_is_named_and_one_that_fits_two_is_used_for_neither() {
    let stage = Stage::with(&[("CIRCLE_API_PROJECT_TOKEN_ACME_WEB_APP", "shared-by-accident")]).await;
    let job = |name: &str| add(name).string("job", "deploy_docker");
    root_hears(&stage, job("acme/web-app")).await;
    insta::assert_snapshot!(root_hears(&stage, repo("show").string("name", "acme/web-app")).await, @"
    (only you can see this)
    # acme/web-app
    Host: github
    Environments: `production` runs the job `deploy_docker` (API v1.1, which CircleCI ends a time (a time); `/environment set` with `trigger:pipeline` moves it)
    Project token: `CIRCLE_API_PROJECT_TOKEN_ACME_WEB_APP`
    ");

    root_hears(&stage, job("acme/web_app")).await;

    insta::assert_snapshot!(root_hears(&stage, repo("show").string("name", "acme/web-app")).await, @r"
    (only you can see this)
    # acme/web-app
    Host: github
    Environments: `production` runs the job `deploy_docker` (API v1.1, which CircleCI ends a time (a time); `/environment set` with `trigger:pipeline` moves it)
    Project token: `CIRCLE_API_PROJECT_TOKEN_ACME_WEB_APP` would fit another registered repository too, so it is used for neither. Use `CIRCLE_API_PROJECT_TOKEN`, or the user token, for the two.
    ");
    insta::assert_snapshot!(root_hears(&stage, repo("show").string("name", "acme/web_app")).await, @r"
    (only you can see this)
    # acme/web\_app
    Host: github
    Environments: `production` runs the job `deploy_docker` (API v1.1, which CircleCI ends a time (a time); `/environment set` with `trigger:pipeline` moves it)
    Project token: `CIRCLE_API_PROJECT_TOKEN_ACME_WEB_APP` would fit another registered repository too, so it is used for neither. Use `CIRCLE_API_PROJECT_TOKEN`, or the user token, for the two.
    ");
    stage.circleci.fault(Route::TriggerJob, Fault::Status(404, json!({"message": "Project not found"})), 1);
    let card = stage.root().deploys("acme/web-app", "main").await.answer().await.text();
    assert!(card.contains("CIRCLE\\_API\\_USER\\_TOKEN"), "{card}");
    let sent = &stage.circleci.requests_to(Route::TriggerJob)[0];
    assert_eq!(sent.token.as_deref(), Some(stage.circleci.token()));
    stage.finish().await;
}

#[tokio::test]
async fn a_removed_repository_is_not_deployed_and_can_come_back() {
    let stage = Stage::start().await;
    stage.alice().deploys("acme/web", "main").await.answer().await;
    stage.root().removes(repo("remove").string("name", "acme/web")).await;
    let refused = stage.alice().deploys("acme/web", "main").await.answer().await.text();
    assert!(refused.contains("not registered here"), "{refused}");
    stage.root().adds_repo("acme/web").await;
    let card = stage.alice().deploys("acme/web", "main").await.answer().await.text();
    assert!(card.contains("Deploy #2 is queued"), "{card}");
    stage.finish().await;
}
