//! A kill at the worst moment: CircleCI has taken the deploy, and nobody was told.

use crate::process::Signal;
use crate::support::circleci::{Fault, Route};
use crate::support::discord::{CommandCall, RouteKind};
use crate::{slipway, stage};

#[tokio::test]
async fn a_build_that_a_kill_made_us_forget_is_looked_for_adopted_and_shown() {
    // A job carries the deploy's number and is certain; of pipelines only the lonely one is adopted, in the last look.
    for (job, trigger) in [(Some("deploy_docker"), Route::TriggerJob), (None, Route::RunPipeline)] {
        let stage = stage().await;
        let bot = slipway(&stage, &["run"]);
        bot.says("The commands are registered").await;
        let add = CommandCall::new("repo").sub("add").string("name", "acme/web");
        let add = job.into_iter().fold(add, |add, job| add.string("job", job));
        stage.root().runs(add).await.answer().await;
        stage.root().lets("alice", "deploy").await;

        stage.circleci.fault(trigger, Fault::HangAfter, 1);
        let deploy = stage.alice().deploys("acme/web", "main").await;
        stage.circleci.until("CircleCI has taken it", |fake| fake.triggers() == 1).await;
        bot.signal(Signal::Kill);
        bot.ends().await;
        stage.discord.disconnected().await;
        assert_eq!(stage.states().await, ["triggering"]);

        let bot = slipway(&stage, &["run"]);
        stage.discord.requested(RouteKind::EditMessage, 1).await;
        let card = deploy.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
        assert!(card.text().contains("found by looking for it"), "{}", card.text());
        assert!(card.buttons().iter().any(|button| button.label == "Build"), "{}", card.text());
        assert_eq!((stage.circleci.triggers(), stage.circleci.requests_to(trigger).len()), (1, 1), "never sent twice");
        assert_eq!(stage.states().await, ["queued"]);
        let adopted: Vec<_> =
            stage.audit().await.into_iter().filter(|entry| entry.action == "deploy.triggered").collect();
        assert!(adopted.len() == 1 && adopted[0].detail["adopted"] == true, "{adopted:?}");

        bot.signal(Signal::Term);
        assert_eq!(bot.ends().await.code, Some(0));
        stage.finish().await;
    }
}
