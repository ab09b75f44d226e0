//! Access that is asked for: by the command or the button under a denial, decided by a press, run out by itself.

#![allow(clippy::unwrap_used, reason = "a test that unwraps in vain fails, as it should")]

mod support;

use insta::assert_snapshot;
use support::discord::{CommandCall, Interaction, MessageView};
use support::stage::grant;
use support::{Person, Stage};

fn request(reason: &str) -> CommandCall {
    CommandCall::new("access").sub("request").string("repo", "acme/web").string("reason", reason)
}

fn on_request(word: &str, id: &str) -> CommandCall {
    CommandCall::new("access").sub(word).string("id", id)
}

/// Bob asks; his card.
async fn asked(stage: &Stage) -> (Interaction, MessageView) {
    let asked = stage.bob().runs(request("the hotfix")).await;
    let card = asked.answer_when(|card| card.text().contains("open")).await;
    (asked, card)
}

async fn presses(stage: &Stage, who: &Person<'_>, card: &MessageView, button: &str) -> MessageView {
    stage.discord.press(who, card, button).await.answer().await
}

#[tokio::test]
async fn what_is_asked_for_is_granted_by_a_press_and_runs_out() {
    let stage = Stage::start().await;
    let (asked, card) = asked(&stage).await;
    assert_snapshot!(stage.tidy(&card), @"
    # Access request #1
    @somebody asks for `deploy` in `production` of `acme/web`, for 1h from the approval on.
    State: **open**
    Asked: a time (a time)
    Reason: the hotfix
    To be decided by: @somebody
    Until: a time (a time)
    [Approve](/access approve 1) [Reject](/access reject 1) [Withdraw](/access withdraw 1)
    ");
    assert!(!card.ephemeral && !asked.acknowledged().await.ephemeral);

    let answer = presses(&stage, &stage.root(), &card, "Approve").await;
    assert!(answer.ephemeral);
    assert_snapshot!(stage.tidy(&answer), @"
    (only you can see this)
    # Access request #1 is approved
    @somebody holds `deploy` in `production` of `acme/web` until a time (a time). Approved by @somebody.
    ");
    let decided = asked.answer_when(|card| card.text().contains("approved")).await;
    assert_snapshot!(stage.tidy(&decided), @"
    # Access request #1
    @somebody asks for `deploy` in `production` of `acme/web`, for 1h from the approval on.
    State: **approved**
    Asked: a time (a time)
    Reason: the hotfix
    Approved by: @somebody, a time (a time)
    Rule: `#3` until a time (a time)
    ");
    assert!(decided.buttons().is_empty(), "there is nothing left to press");
    stage.discord.until("what is told", |_| asked.followups().len() == 1).await;
    let told = &asked.followups()[0];
    assert!(told.pings.is_empty() && !told.ephemeral, "told in the channel, without a ping");

    let deployed = stage.bob().deploys("acme/web", "main").await;
    deployed.answer_when(|card| card.text().contains("queued")).await;
    stage.another_program_writes("UPDATE rule SET expires_at = 1 WHERE expires_at IS NOT NULL").await;
    let check = CommandCall::new("permission").sub("check").user("user", &stage.bob()).string("repo", "acme/web");
    let checked = stage.bob().hears(check.string("branch", "main").string("environment", "production")).await;
    assert!(checked.text().contains("Not allowed"), "{}", checked.text());
    let actions: Vec<String> = stage.audit().await.into_iter().map(|entry| entry.action).collect();
    let steps: Vec<&String> = actions.iter().filter(|action| action.starts_with("access.")).collect();
    assert_eq!(steps, ["access.requested", "access.approved"]);
    stage.finish().await;
}

#[tokio::test]
async fn a_denial_offers_to_ask_and_a_form_takes_the_reason_and_the_duration() {
    let stage = Stage::start().await;
    let refused = stage.bob().deploys("acme/web", "main").await.answer().await;
    let opened = stage.discord.press(&stage.bob(), &refused, "Request access").await;
    let modal = opened.modal().await;
    assert_eq!(modal["custom_id"], "/access request acme/web environment:production action:deploy");
    let filled_in = [("reason", "the hotfix @everyone"), ("duration", "2h")];
    let submitted = stage.discord.submit(&stage.bob(), &opened, &filled_in).await;
    let card = submitted.answer_when(|card| card.text().contains("open")).await;
    assert!(!card.ephemeral && card.text().contains("for 2h"), "{}", card.text());

    // The same form again, as a client can send it: it is one request.
    stage.discord.redeliver(&submitted).await;
    let again = stage.discord.submit(&stage.bob(), &opened, &filled_in).await.answer().await;
    assert!(again.ephemeral && again.text().contains("asked for that already"), "{}", again.text());
    let odd =
        stage.discord.submit(&stage.bob(), &opened, &[("reason", "x"), ("duration", "soon")]).await.answer().await;
    assert!(odd.text().contains("can't be used as"), "{}", odd.text());
    assert_eq!(stage.audited("access.requested").await, 1);
    assert_eq!(stage.audited("access.denied").await, 2);
    stage.finish().await;
}

#[tokio::test]
async fn a_rejection_asks_for_its_reason_and_is_told() {
    let stage = Stage::start().await;
    let (asked, card) = asked(&stage).await;
    let opened = stage.discord.press(&stage.root(), &card, "Reject").await;
    let answer = stage.discord.submit(&stage.root(), &opened, &[("reason", "wait for the release")]).await;
    assert!(answer.answer().await.text().contains("rejected"));
    let decided = asked.answer_when(|card| card.text().contains("rejected")).await;
    assert_snapshot!(stage.tidy(&decided), @"
    # Access request #1
    @somebody asks for `deploy` in `production` of `acme/web`, for 1h from the approval on.
    State: **rejected**
    Asked: a time (a time)
    Reason: the hotfix
    Rejected by: @somebody, a time (a time)
    Because: wait for the release
    ");
    assert!(decided.buttons().is_empty());
    // The form is sent a second time: it was decided once.
    let again = stage.discord.submit(&stage.root(), &opened, &[("reason", "twice")]).await.answer().await;
    assert!(again.text().contains("rejected already"), "{}", again.text());
    let refused = stage.bob().deploys("acme/web", "main").await.answer().await;
    assert!(refused.text().contains("Not permitted"));
    stage.finish().await;
}

#[tokio::test]
async fn nobody_decides_their_own_request_and_nobody_without_the_right() {
    let stage = Stage::start().await;
    let bob = stage.bob();
    let (asked, card) = asked(&stage).await;
    let mallory = stage.person("mallory");
    for button in ["Approve", "Reject"] {
        let refused = presses(&stage, &mallory, &card, button).await;
        assert!(refused.ephemeral && refused.text().contains("Not permitted"), "{}", refused.text());
    }
    let refused = presses(&stage, &mallory, &card, "Withdraw").await;
    assert!(refused.text().contains("no request `#1` of yours"), "{}", refused.text());
    // Even who administers it.
    stage.root().grants(grant(bob.id, "admin").string("repo", "acme/web")).await;
    let refused = presses(&stage, &bob, &card, "Approve").await;
    assert!(refused.text().contains("Nobody decides"), "{}", refused.text());
    // An administrator who doesn't hold it can't give it away.
    let carol = stage.person("carol");
    stage.root().grants(grant(carol.id, "admin").string("repo", "acme/web")).await;
    let refused = presses(&stage, &carol, &card, "Approve").await;
    assert!(refused.text().contains("don't hold"), "{}", refused.text());
    assert!(asked.original().unwrap().text().contains("open"));
    assert_eq!(stage.audited("access.approved").await, 0);
    stage.finish().await;
}

#[tokio::test]
async fn nobody_approves_for_longer_than_they_hold_it_themselves() {
    let stage = Stage::start().await;
    let (asked, card) = asked(&stage).await;
    let carol = stage.person("carol");
    for action in ["admin", "deploy"] {
        stage.root().grants(grant(carol.id, action).string("expires", "30m")).await;
    }
    let refused = presses(&stage, &carol, &card, "Approve").await;
    assert!(refused.text().contains("It must end no later than that"), "{}", refused.text());
    assert!(asked.original().unwrap().text().contains("open"), "the request still waits for somebody who holds it");
    presses(&stage, &stage.root(), &card, "Approve").await;
    asked.answer_when(|card| card.text().contains("approved")).await;
    stage.finish().await;
}

/// What was recorded when the process was killed has its card at the next start, by the message that Discord made for the answer.
#[tokio::test]
async fn a_request_whose_card_was_never_shown_is_shown_at_the_next_start() {
    let mut stage = Stage::start().await;
    let (asked, _) = asked(&stage).await;
    stage.kill_bot().await;
    stage.another_program_writes("UPDATE access_request SET shown = 0, user_name = 'bob'").await;
    stage.discord.expire(&asked);
    let edits = asked.original().unwrap().history.len();
    stage.start_bot_again().await;
    asked.answer_when(|card| card.history.len() > edits && card.text().contains("open")).await;
    let card = asked.original().unwrap();
    presses(&stage, &stage.root(), &card, "Approve").await;
    asked.answer_when(|card| card.text().contains("approved")).await;
    stage.finish().await;
}

/// A policy that is exported can be applied again, so a rule's reason is no longer than one that somebody gives.
#[tokio::test]
async fn the_longest_reason_makes_a_rule_whose_reason_is_one() {
    let stage = Stage::start().await;
    let asked = stage.bob().runs(request(&"r".repeat(500))).await;
    let card = asked.answer_when(|card| card.text().contains("open")).await;
    presses(&stage, &stage.root(), &card, "Approve").await;
    let reasons: Vec<Option<String>> = sqlx::query_scalar("SELECT reason FROM rule ORDER BY number")
        .fetch_all(&mut stage.another_program().await)
        .await
        .unwrap();
    let reason = reasons.last().unwrap().as_ref().unwrap();
    assert!(
        reason.starts_with("Access request #1: r") && reason.parse::<slipway::deploy::Reason>().is_ok(),
        "{reason}"
    );
    stage.finish().await;
}

#[tokio::test]
async fn two_admins_who_press_at_once_decide_once() {
    let stage = Stage::start().await;
    let (asked, card) = asked(&stage).await;
    let carol = stage.person("carol");
    for action in ["admin", "deploy"] {
        stage.root().grants(grant(carol.id, action)).await;
    }
    let (root, carol) = (stage.root(), carol);
    let (one, other) =
        tokio::join!(presses(&stage, &root, &card, "Approve"), presses(&stage, &carol, &card, "Approve"));
    let already = [&one, &other].iter().filter(|answer| answer.text().contains("approved already")).count();
    assert_eq!(already, 1, "{} / {}", one.text(), other.text());
    asked.answer_when(|card| card.text().contains("approved")).await;
    assert_eq!(stage.audited("access.approved").await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn what_is_taken_back_can_be_decided_no_more() {
    let stage = Stage::start().await;
    let (asked, card) = asked(&stage).await;
    let answer = stage.bob().hears(on_request("withdraw", "1")).await;
    assert!(answer.text().contains("withdrawn"), "{}", answer.text());
    let after = asked.answer_when(|card| card.text().contains("withdrawn")).await;
    assert!(after.buttons().is_empty());
    // The card as another client still shows it.
    let refused = stage.discord.press_forged(&stage.root(), &card, "/access approve 1").await.answer().await;
    assert!(refused.text().contains("withdrawn already"), "{}", refused.text());
    stage.finish().await;
}

#[tokio::test]
async fn a_request_survives_a_restart_and_expires_by_itself() {
    let mut stage = Stage::start().await;
    let (asked, _) = asked(&stage).await;
    stage.kill_bot().await;
    stage.discord.expire(&asked);
    stage.another_program_writes("UPDATE access_request SET expires_at = 1").await;
    stage.start_bot_again().await;
    let card = asked.answer_when(|card| card.text().contains("expired")).await;
    assert!(card.buttons().is_empty());
    assert_snapshot!(stage.tidy(&card), @"
    # Access request #1
    @somebody asks for `deploy` in `production` of `acme/web`, for 1h from the approval on.
    State: **expired**
    Asked: a time (a time)
    Reason: the hotfix
    Decided by: nobody in time, a time (a time)
    ");
    let is_told = || stage.everything_shown().iter().any(|message| message.text().contains("decided in time"));
    stage.discord.until("what is told", |_| is_told()).await;
    let refused = stage.root().hears(on_request("approve", "1")).await;
    assert!(refused.text().contains("expired already"), "{}", refused.text());
    assert_eq!(stage.audited("access.expired").await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_not_asked_of_anybody() {
    let stage = Stage::start().await;
    let refused = stage.alice().hears(request("again")).await;
    assert!(refused.ephemeral && refused.text().contains("already"), "{}", refused.text());
    let unknown = CommandCall::new("access").sub("request").string("repo", "acme/nothing").string("reason", "x");
    let refused = stage.bob().hears(unknown).await;
    assert!(refused.ephemeral && refused.text().contains("acme/nothing"), "{}", refused.text());
    let refused = stage.bob().hears(request("x").string("duration", "52w")).await;
    assert!(refused.text().contains("ask an administrator for a rule"), "{}", refused.text());
    stage.root().grants(grant(stage.bob().id, "deploy").string("effect", "deny")).await;
    let refused = stage.bob().hears(request("x")).await;
    assert!(refused.text().contains("denies you"), "{}", refused.text());
    let denied = stage.bob().deploys("acme/web", "main").await.answer().await;
    assert!(denied.buttons().is_empty(), "what a rule denies can't be asked for");
    assert_eq!(stage.audited("access.requested").await, 0);
    stage.finish().await;
}

#[tokio::test]
async fn another_guild_sees_and_decides_nothing_of_it() {
    // Its commands are registered everywhere.
    let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
    stage.root().adds_repo("acme/web").await;
    let (asked, card) = asked(&stage).await;
    let elsewhere = stage.discord.guild("elsewhere");
    let root_elsewhere = stage.person_of(&elsewhere, "root");
    for forged in ["/access approve 1", "/access reject 1", "/access withdraw 1"] {
        let answer = stage.discord.press_forged(&root_elsewhere, &card, forged).await.answer().await;
        assert!(answer.text().contains("request `#1`"), "{forged}: {}", answer.text());
        let same = stage.discord.press_forged(&root_elsewhere, &card, &forged.replace('1', "2")).await.answer().await;
        assert_eq!(answer.text().replace("#1", "#2"), same.text(), "as if there were none");
    }
    let list = root_elsewhere.hears(CommandCall::new("access").sub("list")).await;
    assert!(list.text().contains("none that you may see"), "{}", list.text());
    assert!(asked.original().unwrap().text().contains("open"));
    stage.finish().await;
}

#[tokio::test]
async fn a_form_runs_no_other_command() {
    let stage = Stage::start().await;
    let refused = stage.bob().deploys("acme/web", "main").await.answer().await;
    for forged in
        ["/permission grant 1 admin", "/deploy acme/web main", "/access list page:2 x", "/repo remove acme/web"]
    {
        let answer = stage.discord.press_forged(&stage.bob(), &refused, forged).await.answer().await;
        assert!(answer.text().contains("not known"), "{forged}: {}", answer.text());
    }
    stage.finish().await;
}
