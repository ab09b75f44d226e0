//! Invariant 3: nothing is triggered unless Discord accepted the acknowledgement.

use super::*;

/// Alice deploys while Discord behaves so, and the bot has tried to acknowledge.
async fn deploys_while(faults: &[(RouteKind, DiscordFault)]) -> (Stage, Interaction) {
    let stage = Stage::start().await;
    let before = stage.discord.requests_to(RouteKind::Callback).len();
    for (route, fault) in faults {
        stage.discord.fault(*route, fault.clone(), 1);
    }
    let asked = alice_deploys(&stage).await;
    stage.discord.requested(RouteKind::Callback, before + 1).await;
    (stage, asked)
}

#[tokio::test]
async fn what_discord_did_not_accept_triggers_nothing() {
    let refusals = [
        DiscordFault::Status(502),
        DiscordFault::Status(500),
        DiscordFault::DropBefore,
        DiscordFault::Refused(404, 10062, "Unknown interaction"),
        DiscordFault::Refused(400, 50035, "Invalid Form Body"),
        DiscordFault::Refused(403, 50013, "Missing Permissions"),
    ];
    for refusal in refusals {
        let (stage, asked) = deploys_while(&[(RouteKind::Callback, refusal)]).await;
        assert!(asked.never_acknowledged());
        nothing_came_of_it(stage).await;
    }
}

#[tokio::test]
async fn an_acknowledgement_that_hangs_triggers_nothing() {
    let (stage, _) = deploys_while(&[(RouteKind::Callback, DiscordFault::Hang)]).await;
    stage.discord.requested(RouteKind::EditOriginal, 3).await;
    nothing_came_of_it(stage).await;
}

#[tokio::test]
async fn an_interaction_that_arrives_too_late_triggers_nothing() {
    let stage = Stage::start().await;
    let before = stage.discord.requests_to(RouteKind::Callback).len();
    let late = deploy("acme/web", "main").typed_ago(Duration::from_secs(4));
    stage.discord.interact_now(&stage.alice(), late);
    stage.discord.requested(RouteKind::Callback, before + 1).await;
    nothing_came_of_it(stage).await;
}

#[tokio::test]
async fn when_the_answer_is_lost_an_edit_finds_out_that_it_was_accepted() {
    for lost in [DiscordFault::DropAfter, DiscordFault::HangAfter] {
        let (stage, asked) = deploys_while(&[(RouteKind::Callback, lost)]).await;

        let card = asked.answer_when(|card| card.text().contains("Deploy #1")).await;

        assert!(card.text().contains("is queued"), "{}", card.text());
        assert_eq!(card.history.iter().filter(|before| before.text().contains("Working on it")).count(), 1);
        assert_eq!(stage.circleci.triggers(), 1);
        // Nothing was sent to CircleCI before the edit had told.
        stage.finish().await;
    }
}

#[tokio::test]
async fn when_the_edit_fails_too_nothing_is_triggered() {
    let (stage, asked) = deploys_while(&[
        (RouteKind::Callback, DiscordFault::DropAfter),
        (RouteKind::EditOriginal, DiscordFault::Refused(404, 10015, "Unknown Webhook")),
    ])
    .await;
    asked.acknowledged().await;
    nothing_came_of_it(stage).await;
}
