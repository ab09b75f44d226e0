//! Following a run to its end: what each poll reads, and what it makes of what CircleCI says.

use std::time::{Duration, Instant};

use serde_json::json;
use slipway::circleci::sandbox::plan::{Config, ConfigVersion, Project as Planned, Provider};
use slipway::circleci::sandbox::timeline::Outcome;
use slipway::circleci::{CircleCi, Patience, Progress, Reachable, ReadError, RefusalKind, Run, RunId, Status};

use crate::circleci::{FakeCircleCi, Fault, RetryAfter, Route};
use crate::{access, client, hasty, job, pipeline, project, with};

/// Two workflows that always run, the second with an approval between its jobs.
async fn two_workflows() -> FakeCircleCi {
    let config = Config::new(ConfigVersion::V2_1, &["test", "build", "release"])
        .workflow("check", &["test"])
        .workflow_with_hold("ship", &["build"], "looks good?", &["release"]);
    FakeCircleCi::start().await.with_project(Planned::new(Provider::GitHub, "acme", "web", config))
}

async fn poll(circleci: &CircleCi, run: &Run, seen: Option<&Run>) -> Progress {
    circleci.progress(&project(), &run.id, seen).await.unwrap()
}

fn words(progress: &Progress) -> Vec<String> {
    progress.workflows.iter().map(|line| format!("{} {} {:?}", line.name, line.word, line.status)).collect()
}

#[tokio::test]
async fn a_pipeline_is_followed_through_an_approval_with_a_line_for_each_workflow() {
    let fake = two_workflows().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    let first = poll(&circleci, &run, None).await;
    assert_eq!(words(&first), ["check running Running", "ship running Running"]);
    assert_eq!((first.holds.len(), first.messages.len()), (0, 0));
    let ship = &first.workflows[1];
    assert_eq!(
        ship.url.as_ref().unwrap(),
        &format!("{}/pipelines/github/acme/web/1/workflows/{}", fake.url(), ship.id)
    );
    assert_eq!(fake.requests_to(Route::WorkflowJobs).len(), 0, "jobs are read for what is on hold alone");

    fake.finish_pipeline("acme/web", 1, Outcome::Success);
    let held = poll(&circleci, &first.run, Some(&first.run)).await;
    assert_eq!(words(&held), ["check success Succeeded", "ship on_hold Running"]);
    assert_eq!((held.run.status, held.run.status_word.as_str()), (Status::Running, "on_hold"));
    assert_eq!((held.holds[0].name.as_str(), held.holds[0].workflow), ("looks good?", ship.id));

    circleci.approve(&project(), &held.holds[0]).await.unwrap();
    let goes_on = poll(&circleci, &held.run, Some(&held.run)).await;
    assert_eq!((goes_on.run.status_word.as_str(), goes_on.holds.len()), ("running", 0));
    fake.finish_pipeline("acme/web", 1, Outcome::Success);
    let end = poll(&circleci, &goes_on.run, Some(&goes_on.run)).await;
    assert_eq!((end.run.status, end.run.status_word.as_str()), (Status::Succeeded, "success"));
    assert_eq!(end.run.revision.unwrap().as_str(), fake.project("acme/web").branches["main"]);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_poll_of_what_was_seen_is_one_call() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let triggered = circleci.trigger(&pipeline("main")).await.unwrap();
    let first = poll(&circleci, &triggered, None).await;
    let before = circleci.reads().total;
    for _ in 0..5 {
        poll(&circleci, &triggered, Some(&first.run)).await;
    }
    assert_eq!((circleci.reads().total - before, fake.requests_to(Route::ReadPipeline).len()), (5, 1));
    // What the trigger answered tells no revision, so the pipeline itself is read.
    poll(&circleci, &triggered, Some(&triggered)).await;
    assert_eq!(fake.requests_to(Route::ReadPipeline).len(), 2);

    let single = circleci.trigger(&job("main")).await.unwrap();
    let before = circleci.reads().total;
    let progress = poll(&circleci, &single, Some(&single)).await;
    assert_eq!((progress.run.status, progress.workflows.len()), (Status::Queued, 0));
    assert_eq!(circleci.reads().total - before, 1);
}

#[tokio::test]
async fn failing_unauthorized_and_unknown_words_are_told_for_what_they_are() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    let test = fake.job("acme/web", 1, "test").num;
    fake.finish("acme/web", test, Outcome::Failed);
    let failing = poll(&circleci, &run, None).await;
    assert_eq!((failing.run.status, failing.run.status_word.as_str()), (Status::Running, "failing"));

    fake.workflows_say("acme/web", 1, "levitating\u{1b}[31m");
    let odd = poll(&circleci, &run, None).await;
    assert_eq!((odd.run.status, odd.run.status_word.as_str()), (Status::Running, "levitating [31m"));

    for (word, status) in [("error", Status::Failed), ("not_run", Status::Canceled), ("canceled", Status::Canceled)] {
        fake.workflows_say("acme/web", 1, word);
        assert_eq!(poll(&circleci, &run, Some(&odd.run)).await.run.status, status, "{word}");
    }
    fake.workflows_say("acme/web", 1, "unauthorized");
    let end = poll(&circleci, &run, Some(&odd.run)).await;
    assert_eq!(end.run.status, Status::Failed);
    insta::assert_snapshot!(end.messages.join("\n"), @"The workflow build is unauthorized: one of its jobs uses a context that is restricted to others than whose token triggered it or who approved it. Change the context's restrictions on CircleCI, or let one of them do it.");
}

#[tokio::test]
async fn an_errored_pipeline_says_why_and_one_without_workflows_says_nothing() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    fake.no_workflows("acme/web", 1);
    let empty = poll(&circleci, &run, None).await;
    assert_eq!(
        (empty.run.status, empty.run.status_word.as_str(), empty.workflows.len()),
        (Status::Queued, "created", 0)
    );

    fake.error_pipeline("acme/web", 1, "Error calling workflow:<br/>job `deploy` isn't defined");
    for seen in [None, Some(&empty.run)] {
        let end = poll(&circleci, &run, seen).await;
        assert_eq!((end.run.status, end.run.status_word.as_str()), (Status::Failed, "errored"));
        assert_eq!(end.messages, ["Error calling workflow: job `deploy` isn't defined"]);
    }
}

#[tokio::test]
async fn a_rerun_counts_in_the_place_of_what_it_reran() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    fake.finish_pipeline("acme/web", 1, Outcome::Failed);
    let failed = poll(&circleci, &run, None).await;
    assert_eq!(failed.run.status, Status::Failed);
    fake.advance(Duration::from_secs(5));
    let new = circleci.rerun_from_failed(&project(), &run.id).await.unwrap();
    let again = poll(&circleci, &run, Some(&failed.run)).await;
    assert_eq!(words(&again), ["build running Running"]);
    assert_eq!(again.workflows[0].id, new);
    assert_eq!(fake.requests_to(Route::RerunWorkflow)[0].json, Some(json!({"from_failed": true})));
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn polls_wait_while_circleci_asks_for_it_and_triggers_do_not() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&job("main")).await.unwrap();
    fake.fault(Route::ReadBuild, Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(1)) }, 1);
    let begun = Instant::now();
    let (polled, triggered) = tokio::join!(poll(&circleci, &run, None), async {
        fake.until_answered(Route::ReadBuild, 1).await;
        circleci.trigger(&pipeline("main")).await.unwrap();
        begun.elapsed()
    });
    assert_eq!(polled.run.id, run.id);
    assert!(begun.elapsed() >= Duration::from_millis(990) && triggered < Duration::from_millis(900), "{triggered:?}");
    assert_eq!((circleci.reads().rate_limited, circleci.reads().paused), (1, 1));
}

#[tokio::test]
async fn polls_wait_when_nothing_is_left_of_the_lower_limit() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&job("main")).await.unwrap();
    let used_up = &[("ratelimit-remaining", "9"), ("x-ratelimit-remaining-second", "0"), ("x-ratelimit-reset", "1")];
    fake.fault(Route::ReadBuild, Fault::Headers(used_up), 1);
    let begun = Instant::now();
    poll(&circleci, &run, None).await;
    assert!(begun.elapsed() < Duration::from_millis(900));
    poll(&circleci, &run, None).await;
    assert!(begun.elapsed() >= Duration::from_millis(990));
    assert_eq!((circleci.reads().rate_limited, circleci.reads().paused), (0, 1));
}

#[tokio::test]
async fn a_pipeline_that_is_gone_is_told_from_a_project_that_is() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    let seen = poll(&circleci, &run, None).await.run;
    fake.world().state().pipelines.clear();
    for seen in [None, Some(&seen)] {
        let gone = circleci.progress(&project(), &run.id, seen).await.unwrap_err();
        assert!(
            matches!(gone, ReadError::Refused(ref refusal) if refusal.kind == RefusalKind::RunNotFound),
            "{gone:?}"
        );
    }
}

#[tokio::test]
async fn all_reads_share_one_budget() {
    let fake = FakeCircleCi::start().await;
    let patience = Patience { reads_per_second: 20.0, reads_burst: 2, ..hasty() };
    let circleci = with(access(fake.url(), fake.token()), patience);
    let run = circleci.trigger(&job("main")).await.unwrap();
    let begun = Instant::now();
    let other = circleci.clone();
    let poll_often = async |circleci: &CircleCi| {
        for _ in 0..5 {
            poll(circleci, &run, None).await;
        }
    };
    tokio::join!(poll_often(&circleci), poll_often(&other));
    // Two at once, eight at 20 a second.
    assert!(begun.elapsed() >= Duration::from_millis(390), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn it_is_told_whether_circleci_can_be_reached() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let reachable = circleci.reachable();
    assert_eq!(*reachable.borrow(), Reachable::Unknown);
    let run = circleci.trigger(&job("main")).await.unwrap();
    assert_eq!(*reachable.borrow(), Reachable::Yes);
    for fault in [Fault::Html502, Fault::DropBefore] {
        fake.fault(Route::ReadBuild, fault, 3);
        circleci.progress(&project(), &run.id, None).await.unwrap_err();
        assert!(matches!(*reachable.borrow(), Reachable::No { .. }));
        poll(&circleci, &run, None).await;
        assert_eq!(*reachable.borrow(), Reachable::Yes);
    }
    // A build that is gone is an answer too.
    circleci.progress(&project(), &RunId::Build(99), None).await.unwrap_err();
    assert_eq!(*reachable.borrow(), Reachable::Yes);
}

#[tokio::test]
async fn what_a_server_lacks_is_gone_round_and_remembered() {
    for absent in [404, 500] {
        let fake = FakeCircleCi::start().await.on_server(absent);
        let circleci = client(&fake);
        circleci.trigger(&pipeline("develop")).await.unwrap();
        for _ in 0..2 {
            let branches = circleci.branches(&project()).await.unwrap();
            assert!(branches.iter().any(|branch| branch.as_str() == "develop"));
            circleci.trigger(&pipeline("main")).await.unwrap();
        }
        assert_eq!((fake.requests_to(Route::Branches).len(), fake.requests_to(Route::Definitions).len()), (1, 1));
        assert_eq!(*circleci.reachable().borrow(), Reachable::Yes, "a server that lacks something is there");
    }
}
