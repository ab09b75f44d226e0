//! Deploys are followed to their end on one live card, whatever happens meanwhile.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use std::time::Duration;

use serde_json::json;
use slipway::circleci::sandbox::timeline::Outcome;
use support::circleci::webhook::Outbound;
use support::circleci::{FakeCircleCi, Fault, Route};
use support::discord::{Fault as DiscordFault, Interaction, MessageView, RouteKind};
use support::{Stage, stage};

/// Waits until the card of a deploy says that it is `state`.
async fn card_is(asked: &Interaction, state: &str) -> MessageView {
    asked.answer_when(|card| card.text().contains(&format!("Deploy #1 is {state}"))).await
}

/// CircleCI tells nothing of pipelines any more, until its faults are cleared.
fn goes_dark(stage: &Stage) {
    stage.circleci.fault(Route::ReadPipeline, Fault::Html502, usize::MAX);
    stage.circleci.fault(Route::PipelineWorkflows, Fault::Html502, usize::MAX);
}

mod the_card {
    use super::*;

    #[tokio::test]
    async fn tells_a_pipelines_whole_story() {
        let stage = Stage::following().await;

        let asked = stage.alice().deploys("acme/web", "main").await;
        let card = asked.answer_when(|card| card.text().contains("Commit: ")).await;
        insta::assert_snapshot!(stage.tidy(&card), @"
        # Deploy #1 is running
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **running**
        Asked by: @somebody
        Asked at: a time (a time)
        Commit: `a-short-commit` A commit of Slipway's sandbox
        Workflows: `build` **running**
        Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
        [Build](https://circleci.test/pipelines/github/acme/web/1) [Cancel](/deploys cancel 1)
        ");
        stage.circleci.begin_pipeline("acme/web", 1);
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);

        insta::assert_snapshot!(stage.tidy(&card_is(&asked, "succeeded").await), @"
        # Deploy #1 is succeeded
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **succeeded**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        Commit: `a-short-commit` A commit of Slipway's sandbox
        Workflows: `build` **success**
        Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
        [Build](https://circleci.test/pipelines/github/acme/web/1)
        ");
        let finished: Vec<_> =
            stage.audit().await.into_iter().filter(|entry| entry.action == "deploy.finished").collect();
        assert!(finished.len() == 1 && finished[0].outcome == "succeeded", "{finished:?}");
        assert!(stage.verify().await.holds());
        stage.finish().await;
    }

    #[tokio::test]
    async fn names_the_step_that_failed_and_the_end_of_its_output_without_secrets() {
        let stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        let output = "Pushing image\nexport AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG\n\u{1b}[31mError: denied\u{1b}[0m @everyone\n";
        stage.circleci.fail_pipeline_with_output("acme/web", 1, "Push the image", output);

        let card = asked.answer_when(|card| card.text().contains("Failed: ")).await;

        insta::assert_snapshot!(stage.tidy(&card).replace('\u{200b}', "·"), @"
        # Deploy #1 is failed
        Retry makes a new deploy; Rerun failed runs only the failed jobs again, in the same pipeline.
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **failed**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        Commit: `a-short-commit` A commit of Slipway's sandbox
        Workflows: `build` **failed**
        Failed: job `build`, step `Push the image`
        ```
        Pushing image
        export AWS_SECRET_ACCESS_KEY=[masked]
        Error: denied @·everyone
        ```
        Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
        [Build](https://circleci.test/pipelines/github/acme/web/1) [Retry](/deploys retry 1) [Rerun failed](/deploys retry 1 failed:True)
        ");
        stage.finish().await;
    }

    #[tokio::test]
    async fn tells_a_jobs_story_too() {
        let stage = Stage::following().await;
        let set = support::discord::CommandCall::new("environment").sub("set").string("repo", "acme/web");
        stage.root().hears(set.string("name", "production").string("job", "deploy_docker")).await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "queued").await;
        stage.circleci.begin("acme/web", 1);
        card_is(&asked, "running").await;
        stage.circleci.finish("acme/web", 1, Outcome::Canceled);
        card_is(&asked, "canceled").await;
        stage.finish().await;
    }

    #[tokio::test]
    async fn tells_a_whole_builds_story_whose_number_circleci_does_not_answer() {
        let stage = Stage::following().await;
        let set = support::discord::CommandCall::new("environment").sub("set").string("repo", "acme/web");
        stage.root().hears(set.string("name", "production").string("trigger", "build")).await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        let card = card_is(&asked, "running").await;
        assert!(card.buttons().iter().any(|button| button.label == "Build"), "{}", card.text());
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
        card_is(&asked, "succeeded").await;
        assert_eq!(stage.circleci.triggers(), 1);
        stage.finish().await;
    }

    #[tokio::test]
    async fn says_what_the_deploy_replaces() {
        let stage = Stage::following().await;
        let first = stage.alice().deploys("acme/web", "main").await;
        card_is(&first, "running").await;
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
        card_is(&first, "succeeded").await;

        let second = stage.alice().deploys("acme/web", "develop").await;

        let card = second.answer_when(|card| card.text().contains("Deploy #2")).await;
        assert!(stage.tidy(&card).contains("Replaces: `a-short-commit` (deploy #1)"), "{}", stage.tidy(&card));
        stage.finish().await;
    }

    #[tokio::test]
    async fn tells_why_a_pipeline_errored_and_that_one_has_no_workflow() {
        let stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        stage.circleci.error_pipeline("acme/web", 1, "Config does not conform to schema @everyone");
        let card = card_is(&asked, "failed").await;
        assert!(card.text().contains("Config does not conform to schema"), "{}", card.text());
        stage.finish().await;
    }

    #[tokio::test]
    async fn outlives_its_token_and_is_edited_as_the_bot() {
        let stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        stage.discord.expire(&asked);
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
        card_is(&asked, "succeeded").await;
        assert_eq!(stage.discord.requests_to(RouteKind::EditMessage).len(), 1);
        stage.discord.take_violations();
        stage.finish().await;
    }

    #[tokio::test]
    async fn that_may_not_be_edited_any_more_is_followed_by_a_new_one_that_links_to_it() {
        let stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        stage.discord.expire(&asked);
        stage.discord.fault(RouteKind::EditMessage, DiscordFault::Refused(403, 50001, "Missing Access"), 1);
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);

        let old = asked.original().unwrap().id;
        let new = stage.discord.message_when(stage.discord.channel_id(), |message| {
            message.id != old && message.text().contains("Deploy #1 is succeeded")
        });
        let text = new.await.text();
        assert!(text.contains(&format!("/{old}>")), "{text}");
        stage.discord.take_violations();
        stage.finish().await;
    }

    #[tokio::test]
    async fn of_a_long_deploy_is_answered_at_its_end_once_and_without_a_ping() {
        let mut stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        stage.another_program_writes("UPDATE deploy SET asked_at = asked_at - 660000").await;
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
        let card = card_is(&asked, "succeeded").await;

        let tells = |message: &MessageView| message.id != card.id && message.text().contains("after 11 min");
        let told = stage.discord.message_when(stage.discord.channel_id(), tells).await;
        assert!(stage.tidy(&told).contains("Deploy of `acme/web` to `production` is succeeded after 11 min"));
        stage.stop_bot().await.unwrap();
        stage.start_bot_again().await;
        let everything = stage.discord.messages(stage.discord.channel_id());
        assert_eq!(everything.iter().filter(|message| message.text().contains("after 11 min")).count(), 1);
        stage.finish().await;
    }

    #[tokio::test]
    async fn arrives_at_its_last_state_through_discords_limits_and_errors() {
        let stage = Stage::following().await;
        stage.discord.fault(RouteKind::EditOriginal, DiscordFault::Status(503), 2);
        let asked = stage.alice().deploys("acme/web", "main").await;
        stage.circleci.until("it runs", |fake| fake.triggers() == 1).await;
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
        card_is(&asked, "succeeded").await;
        stage.discord.take_violations();
        stage.finish().await;
    }
}

mod trouble {
    use super::*;

    #[tokio::test]
    async fn a_pipeline_that_vanishes_is_unknown() {
        let stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        let gone = json!({"message": "Pipeline not found"});
        stage.circleci.fault(Route::ReadPipeline, Fault::Status(404, gone.clone()), usize::MAX);
        stage.circleci.fault(Route::PipelineWorkflows, Fault::Status(404, gone), usize::MAX);
        let card = card_is(&asked, "unknown").await;
        assert!(card.text().contains("no longer knows the build"), "{}", card.text());
        stage.finish().await;
    }

    #[tokio::test]
    async fn an_outage_is_told_and_heals_by_itself() {
        let stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        goes_dark(&stage);
        let card = card_is(&asked, "unknown").await;
        insta::assert_snapshot!(stage.tidy(&card).lines().nth(1).unwrap(), @"CircleCI has been out of reach for a while, so how far it is can't be told: CircleCI had an error of its own (status 502). Slipway goes on asking, and this card changes when CircleCI answers again. Don't deploy again before you have looked at CircleCI.");
        stage.circleci.clear_faults();
        card_is(&asked, "running").await;
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
        card_is(&asked, "succeeded").await;
        assert!(stage.verify().await.holds());
        stage.finish().await;
    }

    #[tokio::test]
    async fn an_outage_at_the_trigger_heals_too() {
        let stage = Stage::following().await;
        stage.circleci.fault(Route::RunPipeline, Fault::DropAfter, 1);
        stage.circleci.fault(Route::ListPipelines, Fault::Html502, usize::MAX);
        let asked = stage.alice().deploys("acme/web", "main").await;
        let card = card_is(&asked, "unknown").await;
        assert!(card.text().contains("Slipway goes on looking"), "{}", card.text());
        stage.circleci.clear_faults();
        card_is(&asked, "running").await;
        assert_eq!((stage.circleci.triggers(), stage.circleci.requests_to(Route::RunPipeline).len()), (1, 1));
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_status_that_nobody_knows_still_runs() {
        let stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        stage.circleci.workflows_say("acme/web", 1, "levitating");
        let card = asked.answer_when(|card| card.text().contains("levitating")).await;
        assert!(card.text().contains("Deploy #1 is running"), "{}", card.text());
        stage.finish().await;
    }
}

mod after_a_stop {
    use super::*;

    #[tokio::test]
    async fn what_ran_is_followed_to_its_end() {
        let mut stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        stage.kill_bot().await;
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
        stage.start_bot_again().await;
        card_is(&asked, "succeeded").await;
        assert_eq!(stage.circleci.triggers(), 1);
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_card_whose_last_edit_was_cut_off_is_edited() {
        let mut stage = Stage::following().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        card_is(&asked, "running").await;
        stage.discord.fault(RouteKind::EditOriginal, DiscordFault::Hang, usize::MAX);
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
        while stage.states().await != ["succeeded"] {
            tokio::task::yield_now().await;
        }
        stage.kill_bot().await;
        stage.discord.clear_faults();
        stage.start_bot_again().await;
        card_is(&asked, "succeeded").await;
        stage.finish().await;
    }
}

#[tokio::test]
async fn every_state_that_a_deploy_came_to_is_in_the_log() {
    let stage = Stage::following().await;
    let asked = stage.alice().deploys("acme/web", "main").await;
    card_is(&asked, "running").await;
    goes_dark(&stage);
    card_is(&asked, "unknown").await;
    stage.circleci.clear_faults();
    card_is(&asked, "running").await;
    stage.circleci.fail_pipeline_with_output("acme/web", 1, "Deploy", "no space left on device");
    let card = asked.answer_when(|card| card.text().contains("Failed: ")).await;
    stage.discord.press(&stage.alice(), &card, "Rerun failed").await.answer().await;
    card_is(&asked, "running").await;
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    card_is(&asked, "succeeded").await;

    let told = stage.told_states(1).await;

    let states = ["triggering", "queued", "running", "unknown", "running", "failed", "running", "succeeded"];
    assert_eq!(told, states);
    let unknown = stage.audit().await.into_iter().find(|entry| entry.outcome == "unknown").unwrap();
    assert_eq!(unknown.detail["was"], "running");
    assert!(stage.verify().await.holds());
    stage.finish().await;
}

#[tokio::test]
async fn a_hundred_at_once_are_all_followed_to_their_end() {
    let stage = Stage::following().await;
    stage.root().grants(stage::grant(stage.discord.guild_id(), "deploy")).await;
    let people: Vec<_> = (0..100).map(|number| stage.person(&format!("p{number}"))).collect();
    let mut asked = Vec::new();
    for person in &people {
        asked.push(person.deploys("acme/web", "main").await);
    }
    stage.circleci.until("all are taken", |fake| fake.triggers() == 100).await;
    for number in 1..=100 {
        stage.circleci.finish_pipeline("acme/web", number, Outcome::Success);
    }
    for asked in &asked {
        asked.answer_when(|card| card.text().contains("is succeeded")).await;
    }
    assert_eq!(stage.states().await, vec!["succeeded"; 100]);
    stage.finish().await;
}

#[tokio::test]
async fn a_webhook_moves_the_card_at_once() {
    let circleci = FakeCircleCi::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let addr = format!("127.0.0.1:{port}");
    let settings = [("SLIPWAY_HTTP_ADDR", addr.as_str()), ("CIRCLECI_WEBHOOK_SECRET", "secret")];
    let stage = Stage::following_on(circleci, &settings).await;
    let asked = stage.alice().deploys("acme/web", "main").await;
    card_is(&asked, "running").await;
    let webhooks = Outbound::new(&format!("http://{addr}/webhooks/circleci"), Some("secret"));
    // The project is known to send webhooks from now on, so that it is asked about seldom.
    let workflow = stage.circleci.workflows("acme/web", 1)[0];
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    webhooks.deliver(&stage.circleci.workflow_completed(workflow), Duration::from_millis(10)).await;
    card_is(&asked, "succeeded").await;
    stage.finish().await;
}
