//! That no token comes out of the process, however much it is told to say.

use crate::process::Signal;
use crate::support::circleci::{Fault, Route};
use crate::support::discord::{self, CommandCall, RouteKind};
use crate::{slipway, stage_with};

const MORE: &[(&str, &str)] = &[
    ("RUST_LOG", "trace"),
    ("CIRCLE_API_PROJECT_TOKEN_ACME_APP", "hush-project-of-app"),
    ("CIRCLECI_WEBHOOK_SECRET", "hush-webhook"),
];

#[tokio::test]
async fn no_token_is_ever_printed() {
    let stage = stage_with(MORE).await;
    let bot = slipway(&stage, &["run"]);
    bot.says("The commands are registered").await;
    stage.root().adds_repo("acme/web").await;
    stage.root().lets("alice", "deploy").await;
    // Every way for words to come in: answers, refusals, faults on either side, completion, a resumed session.
    stage.circleci.fault(Route::RunPipeline, Fault::Html502, 1);
    stage.discord.fault(RouteKind::EditOriginal, discord::Fault::DropBefore, 1);
    let mut interactions = vec![
        stage.alice().deploys("acme/web", "main").await,
        stage.bob().deploys("acme/web", "main").await,
        stage.root().runs(CommandCall::new("repo").sub("add").string("name", "acme/web")).await,
    ];
    for interaction in &interactions {
        interaction.answer().await;
    }
    let typed = CommandCall::new("deploy").string("repo", "acme/web").typing("branch", "ma");
    let completed = stage.discord.autocomplete(&stage.alice(), typed).await;
    completed.choices().await;
    stage.discord.close(None);
    stage.discord.resumed(1).await;
    interactions.push(stage.alice().deploys("acme/web", "main").await);
    interactions.last().unwrap().answer().await;
    interactions.push(completed);
    bot.signal(Signal::Term);
    let ended = bot.ends().await;
    assert_eq!(ended.code, Some(0));

    let said = ended.stdout + &ended.stderr;
    assert!(said.contains("TRACE") && said.len() > 20_000, "it was told to say everything: {} bytes", said.len());
    let mut secrets = vec![stage.discord.token().to_owned(), stage.circleci.token().to_owned()];
    secrets.extend(MORE[1..].iter().map(|(_, value)| (*value).to_owned()));
    secrets.extend(interactions.iter().map(|interaction| interaction.token.clone()));
    for secret in secrets {
        let line = said.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
    let _ = stage.discord.take_violations();
}
