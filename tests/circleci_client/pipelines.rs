//! Pipelines of API v2.

use serde_json::json;
use slipway::circleci::sandbox::plan::{Config, ConfigVersion, Definition, Project as Planned, Provider};
use slipway::circleci::sandbox::timeline::Outcome;
use slipway::circleci::{CircleCi, RefusalKind, RunId, Status, TriggerError};
use slipway::repo::Trigger;

use crate::circleci::{FakeCircleCi, Fault, Route};
use crate::{OrderExt, access, client, hasty, pipeline, project, told, unread, with};

#[tokio::test]
async fn a_pipeline_runs_with_typed_parameters_and_is_read_to_its_end() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = pipeline("feature/login").parameters("action=deploy replicas=3 migrate=true");
    let run = circleci.trigger(&order).await.unwrap();
    let RunId::Pipeline { number: 1, .. } = run.id else { panic!("{run:?}") };
    assert_eq!(run.url.unwrap(), format!("{}/pipelines/github/acme/web/1", fake.url()));

    let seen = &fake.requests_to(Route::RunPipeline)[0];
    assert_eq!(seen.raw, "/api/v2/project/github/acme/web/pipeline/run");
    assert_eq!(
        seen.json,
        Some(json!({
            "definition_id": fake.project("acme/web").definitions[0].id.to_string(),
            "config": {"branch": "feature/login"},
            "checkout": {"branch": "feature/login"},
            "parameters": {"action": "deploy", "replicas": 3, "migrate": true},
        }))
    );
    fake.begin_pipeline("acme/web", 1);
    assert_eq!(circleci.read(&project(), &run.id).await.unwrap().status, Status::Running);
    fake.finish_pipeline("acme/web", 1, Outcome::Failed);
    let end = circleci.read(&project(), &run.id).await.unwrap();
    assert_eq!((end.status, end.status_word.as_str()), (Status::Failed, "failed"));
    assert_eq!(end.revision.unwrap().as_str(), fake.project("acme/web").branches["feature/login"]);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_order_without_parameters_says_nothing_of_them_and_the_definitions_are_asked_for_once() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    for _ in 0..2 {
        circleci.trigger(&pipeline("main")).await.unwrap();
    }
    assert_eq!(fake.requests_to(Route::RunPipeline)[0].json.as_ref().unwrap().get("parameters"), None);
    assert_eq!(fake.requests_to(Route::Definitions).len(), 1);
    // A refusal may mean that they have changed.
    circleci.trigger(&pipeline("nowhere")).await.unwrap_err();
    circleci.trigger(&pipeline("main")).await.unwrap();
    assert_eq!(fake.requests_to(Route::Definitions).len(), 2);
}

#[tokio::test]
async fn the_user_token_is_used_even_where_there_is_a_project_token() {
    let fake = FakeCircleCi::start().await;
    let mut access = access(fake.url(), fake.token());
    access.project_token = Some("project-token".to_owned().into());
    with(access, hasty()).trigger(&pipeline("main")).await.unwrap();
    assert!(fake.requests().iter().all(|seen| seen.token.as_deref() == Some(fake.token())));
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_environments_definition_runs_and_an_unclear_one_is_asked_for() {
    let fake = FakeCircleCi::start().await;
    let definitions = vec![
        Definition::new("build", ".circleci/build.yml", "github_app"),
        Definition::new("deploy", ".circleci/deploy.yml", "github_app"),
    ];
    let (build, deploy) = (definitions[0].id, definitions[1].id);
    fake.change_project("acme/web", |project| *project = project.clone().definitions(definitions));
    let circleci = client(&fake);
    let with = |definition: &str| {
        let mut order = pipeline("main");
        order.trigger = Trigger::Pipeline { definition: Some(definition.to_owned()) };
        order
    };
    for named in ["deploy".to_owned(), deploy.to_string()] {
        circleci.trigger(&with(&named)).await.unwrap();
        assert_eq!(fake.pipelines().last().unwrap().definition, Some(deploy));
    }
    let named = |text: String| text.replace(&build.to_string(), "<build>").replace(&deploy.to_string(), "<deploy>");
    insta::assert_snapshot!(named(told(&circleci.trigger(&pipeline("main")).await.unwrap_err())), @r#"
    DefinitionAmbiguous: acme/web has several pipeline definitions and it isn't clear which one deploys. Set the environment's `definition` to the name or id of one of them.
    CircleCI: build (.circleci/build.yml, <build>); deploy (.circleci/deploy.yml, <deploy>)
    "#);
    insta::assert_snapshot!(named(told(&circleci.trigger(&with("gone")).await.unwrap_err())), @r#"
    DefinitionNotFound: acme/web has no pipeline definition of the name or id that the environment gives, or several of that name. Set the environment's `definition` to the id of one that the project has.
    CircleCI: build (.circleci/build.yml, <build>); deploy (.circleci/deploy.yml, <deploy>)
    "#);
    assert_eq!(fake.triggers(), 2);
}

#[tokio::test]
async fn a_project_without_definitions_leaves_the_choice_to_circleci() {
    let fake = FakeCircleCi::start().await;
    fake.change_project("acme/web", |project| *project = project.clone().definitions(vec![]));
    client(&fake).trigger(&pipeline("main")).await.unwrap();
    assert_eq!(fake.requests_to(Route::RunPipeline)[0].json.as_ref().unwrap().get("definition_id"), None);
}

#[tokio::test]
async fn a_server_without_definitions_gets_the_classic_trigger() {
    for absent in [404, 500] {
        let fake = FakeCircleCi::start().await.on_server(absent);
        let circleci = client(&fake);
        circleci.trigger(&pipeline("release/1.2").parameters("action=deploy")).await.unwrap();
        let seen = &fake.requests_to(Route::ClassicPipeline)[0];
        assert_eq!(seen.json, Some(json!({"branch": "release/1.2", "parameters": {"action": "deploy"}})));
        assert!(fake.requests_to(Route::RunPipeline).is_empty(), "a POST is never a probe");
        // It would run something else than what is named.
        let mut order = pipeline("main");
        order.trigger = Trigger::Pipeline { definition: Some("deploy".to_owned()) };
        let error = circleci.trigger(&order).await.unwrap_err();
        if absent == 404 {
            insta::assert_snapshot!(told(&error), @"DefinitionsUnknown: The environment gives a pipeline definition, but this CircleCI does not tell which ones acme/web has. A CircleCI server has none: take `definition` out of the environment. Otherwise try again in a few minutes.");
        }
        assert_eq!(fake.triggers(), 1);
    }
}

#[tokio::test]
async fn an_opaque_slug_replaces_the_name() {
    let config = Config::new(ConfigVersion::V2_1, &["build"]).workflow("build", &["build"]);
    let fake = FakeCircleCi::start().await.with_project(Planned::new(Provider::CircleCi, "43G3km5", "44n9puj", config));
    let mut order = pipeline("main");
    order.project.slug = Some("circleci/43G3km5/44n9puj".to_owned());
    let run = client(&fake).trigger(&order).await.unwrap();
    assert_eq!(run.url.unwrap(), format!("{}/pipelines/circleci/43G3km5/44n9puj/1", fake.url()));

    order.project.slug = Some("circleci/../me".to_owned());
    let error = client(&fake).trigger(&order).await.unwrap_err();
    insta::assert_snapshot!(told(&error), @"Slug: The project slug of acme/web is not one of CircleCI's. Copy it from Project Settings on CircleCI: `circleci/<organization id>/<project id>`.");
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let mut fake = FakeCircleCi::start().await;
    fake.change_project("acme/web", |project| *project = project.clone().branch("skip-ci"));
    let circleci = client(&fake);
    let refusal = async |order| told(&circleci.trigger(&order).await.unwrap_err());
    insta::assert_snapshot!(refusal(pipeline("main").parameters("colour=red replicas=2")).await, @r#"
    ParameterUndeclared 400: The configuration declares no pipeline parameter `colour`, and CircleCI refuses what is not declared. Declare it under `parameters:` in acme/web's `.circleci/config.yml` on this branch (docs/circleci.md shows how), or leave it out.
    CircleCI: Unexpected argument(s): colour
    "#);
    insta::assert_snapshot!(refusal(pipeline("main").parameters("replicas=many")).await, @r#"
    ParameterType 400: The configuration declares another type for the parameter `replicas`. A number is written `N=3`, a truth value `DRY=true`, and text that looks like one of them is quoted: `TAG="3"`.
    CircleCI: Type error for argument replicas: expected type: integer, actual value: "many" (type string)
    "#);
    insta::assert_snapshot!(refusal(pipeline("nowhere")).await, @r#"
    BranchNotFound 400: CircleCI finds no such branch in acme/web. Check how it is written, and that it has been pushed.
    CircleCI: Branch not found
    "#);
    insta::assert_snapshot!(refusal(pipeline("skip-ci")).await, @r#"
    NothingStarted 200: CircleCI took the request for acme/web but started nothing. A commit message that skips CI, or settings of the project on CircleCI, can be the reason: change that, then deploy again.
    CircleCI: Pipeline skipped: the commit message contains [skip ci].
    "#);
    let mut gone = pipeline("main");
    gone.project.repo = "acme/gone".parse().unwrap();
    insta::assert_snapshot!(refusal(gone).await, @r#"
    NotFound 404: CircleCI shows no project acme/gone (github) to the token in CIRCLE_API_USER_TOKEN: it isn't there, or the token can't see it. Check how the name is written, that the project is set up on CircleCI, and that the token's owner can open it there.
    CircleCI: Project not found
    "#);
    fake.fault(Route::RunPipeline, Fault::Status(403, json!({"message": "Permission denied."})), 1);
    insta::assert_snapshot!(refusal(pipeline("main")).await, @r#"
    Forbidden 403: CircleCI does not let the token in CIRCLE_API_USER_TOKEN do this in acme/web. Its owner needs write access to the repository; a project token needs more than a read-only scope.
    CircleCI: Permission denied.
    "#);
    fake.replace_token("another");
    insta::assert_snapshot!(refusal(pipeline("main")).await, @r#"
    Unauthorized 401: CircleCI does not accept the token in CIRCLE_API_USER_TOKEN: it is wrong, revoked or expired. Personal tokens live at most a year and are made on CircleCI under User Settings, Personal API Tokens. The bot's operator makes a new one there, sets CIRCLE_API_USER_TOKEN and restarts the bot.
    CircleCI: You must log in first.
    "#);
    assert_eq!(fake.triggers(), 0);
}

#[tokio::test]
async fn anything_but_201_has_started_nothing_and_an_odd_201_may_have() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    fake.fault(Route::RunPipeline, Fault::Status(202, json!({"id": "x"})), 1);
    let Err(TriggerError::Refused(refusal)) = circleci.trigger(&pipeline("main")).await else { panic!() };
    assert_eq!((refusal.kind, refusal.status), (RefusalKind::NothingStarted, Some(202)));
    for odd in [json!({"id": "../../me", "number": 1}), json!({"number": 1}), json!([]), json!("created")] {
        fake.fault(Route::RunPipeline, Fault::StatusAfter(201, odd), 1);
        assert!(matches!(circleci.trigger(&pipeline("main")).await, Err(TriggerError::Lost { .. })));
    }
    // A page that isn't CircleCI's tells nothing.
    fake.fault(Route::RunPipeline, Fault::Garbage, 1);
    assert!(matches!(circleci.trigger(&pipeline("main")).await, Err(TriggerError::Lost { .. })));
}

#[tokio::test]
async fn branches_are_those_of_recent_pipelines_and_of_insights() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    circleci.trigger(&pipeline("release/1.2")).await.unwrap();
    let insights = json!({"branches": ["main", "a..b", "release/1.2", 7, "-x", "develop"]});
    fake.fault(Route::Branches, Fault::OddJson(insights.clone()), 1);
    let names = async |circleci: &CircleCi| {
        let branches = circleci.branches(&project()).await.unwrap();
        branches.iter().map(|branch| branch.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&circleci).await, ["release/1.2", "main", "develop"]);
    fake.fault(Route::Branches, Fault::Status(404, json!({"message": "Not found."})), 1);
    assert_eq!(names(&circleci).await, ["release/1.2"]);
    // That Insights isn't there is remembered for a while.
    assert_eq!(names(&circleci).await, ["release/1.2"]);
    assert_eq!(fake.requests_to(Route::Branches).len(), 2);
    let circleci = client(&fake);
    fake.fault(Route::ListPipelines, Fault::Status(404, json!({"message": "Not found."})), 1);
    fake.fault(Route::Branches, Fault::OddJson(insights), 1);
    assert_eq!(names(&circleci).await, ["main", "release/1.2", "develop"]);
    let mut gone = project();
    gone.repo = "acme/gone".parse().unwrap();
    insta::assert_snapshot!(unread(&circleci.branches(&gone).await.unwrap_err()), @r#"
    NotFound 404: CircleCI shows no project acme/gone (github) to the token in CIRCLE_API_USER_TOKEN: it isn't there, or the token can't see it. Check how the name is written, that the project is set up on CircleCI, and that the token's owner can open it there.
    CircleCI: Project not found
    "#);
}
