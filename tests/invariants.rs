//! The invariants of the design, each with tests that fail when it is broken.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use std::time::Duration;

use serde_json::json;
use support::circleci::{Fault, Route};
use support::discord::{CommandCall, Fault as DiscordFault, Interaction, RouteKind};
use support::stage::{deploy, grant};
use support::{Person, Stage};

/// `/deploy acme/web main` by Alice.
async fn alice_deploys(stage: &Stage) -> Interaction {
    stage.alice().deploys("acme/web", "main").await
}

/// Lets the bot finish what is under way and stop, and checks that nothing was triggered or recorded.
async fn nothing_came_of_it(mut stage: Stage) {
    stage.stop_bot().await.unwrap();
    assert_eq!(stage.circleci.requests().len(), 0, "{}", stage.discord.story());
    assert_eq!(stage.states().await, [""; 0]);
    assert_eq!(stage.audited("deploy.requested").await, 0);
    stage.finish().await;
}

mod invariant_01_refused_by_default {
    use super::*;

    async fn is_denied(stage: &Stage, who: &Person<'_>) -> String {
        let before = stage.audited("deploy.denied").await;
        let asked = who.deploys("acme/web", "main").await;
        let answer = asked.answer().await;
        assert!(asked.acknowledged().await.ephemeral && answer.text().contains("Not permitted"), "{}", answer.text());
        assert_eq!(stage.audited("deploy.denied").await, before + 1);
        assert_eq!((stage.circleci.requests().len(), stage.states().await.len()), (0, 0));
        stage.tidy(&answer)
    }

    #[tokio::test]
    async fn without_a_matching_allow_nothing_happens() {
        let stage = Stage::start().await;
        let bob = stage.bob();
        insta::assert_snapshot!(is_denied(&stage, &bob).await, @"
        (only you can see this)
        # Not permitted
        You need the permission `deploy` for `acme/web`, branch `main`, environment `production`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
        ");

        let almost = [
            grant(bob.id, "view"),
            grant(bob.id, "approve"),
            grant(bob.id, "deploy").string("repo", "acme/webs"),
            grant(bob.id, "deploy").string("branch", "release/*"),
            grant(bob.id, "deploy").string("environment", "staging"),
            grant(stage.discord.role("deployers"), "deploy"),
        ];
        for rule in almost {
            stage.root().grants(rule).await;
            is_denied(&stage, &bob).await;
        }
        stage.finish().await;
    }

    #[tokio::test]
    async fn an_administrator_of_the_discord_server_may_do_nothing_more() {
        let stage = Stage::start().await;
        let boss = stage.bob().administrator();
        is_denied(&stage, &boss).await;
        let answer = boss.hears(grant(boss.id, "deploy")).await;
        assert!(answer.text().contains("Not permitted"), "{}", answer.text());
        stage.finish().await;
    }

    #[tokio::test]
    async fn one_deny_is_enough() {
        let stage = Stage::start().await;
        stage.root().grants(grant(stage.alice().id, "deploy").string("repo", "acme/web")).await;
        stage.root().grants(grant(stage.alice().id, "deploy").string("branch", "ma*").string("effect", "deny")).await;
        insta::assert_snapshot!(is_denied(&stage, &stage.alice()).await, @"
        (only you can see this)
        # Not permitted
        You need the permission `deploy` for `acme/web`, branch `main`, environment `production`, but it is denied by rule `#4`. One denial outweighs every grant: it ends with `/permission revoke`. That can be done by @somebody. Nothing was done.
        ");
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_permission_lost_between_the_check_and_the_record_is_lost() {
        let stage = Stage::start().await;
        let mut database = stage.hold_database().await;
        let asked = alice_deploys(&stage).await;
        asked.acknowledged().await;

        database.write("UPDATE rule SET revoked_at = 1 WHERE action = 'deploy'").await;
        database.give_back().await;

        let answer = asked.answer().await;
        assert!(answer.text().contains("Not permitted"), "{}", answer.text());
        nothing_came_of_it(stage).await;
    }
}

mod invariant_02_recorded_before_done {
    use super::*;

    #[tokio::test]
    async fn what_circleci_is_asked_for_is_in_the_database_already() {
        for (stage, trigger) in
            [(Stage::start().await, Route::RunPipeline), (Stage::start_with_job().await, Route::TriggerJob)]
        {
            let gate = stage.circleci.hold(trigger);
            alice_deploys(&stage).await;
            stage.circleci.until("it is asked", |circleci| !circleci.requests_to(trigger).is_empty()).await;

            // Another connection sees only what is committed.
            assert_eq!(stage.states().await, ["triggering"]);
            assert_eq!(stage.audited("deploy.requested").await, 1);
            gate.open();
            stage.finish().await;
        }
    }

    #[tokio::test]
    async fn when_it_cannot_be_written_nothing_is_triggered_and_the_person_is_told() {
        let failures = [("deploy", "TRUE"), ("audit_log", "NEW.action = 'deploy.requested'"), ("audit_log", "TRUE")];
        for (table, when) in failures {
            let stage = Stage::start().await;
            stage.database_fails_at(table, when).await;

            let answer = alice_deploys(&stage).await.answer().await;

            insta::allow_duplicates! { insta::assert_snapshot!(stage.tidy(&answer), @r"
            # Not done: the database failed
            The database failed: disk I/O error. Because nothing could be recorded, nothing was done. Try again in a moment; if it stays so, tell whoever runs Slipway: its log has the details.
            "); }
            stage.database_recovers().await;
            nothing_came_of_it(stage).await;
        }
    }

    #[tokio::test]
    async fn the_bot_goes_on_once_the_database_is_well_again() {
        let stage = Stage::start().await;
        stage.database_fails_at("deploy", "TRUE").await;
        assert!(alice_deploys(&stage).await.answer().await.text().contains("the database failed"));
        stage.database_recovers().await;

        assert!(alice_deploys(&stage).await.answer().await.text().contains("Deploy #1 is queued"));

        assert_eq!(stage.circleci.triggers(), 1);
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_kill_between_the_acknowledgement_and_the_record_triggers_nothing() {
        let mut stage = Stage::start().await;
        let database = stage.hold_database().await;
        let asked = alice_deploys(&stage).await;
        asked.acknowledged().await;
        stage.kill_bot().await;
        database.give_back().await;

        stage.start_bot_again().await;
        assert!(stage.alice().hears(CommandCall::new("help")).await.text().contains("Commands"));

        assert!(asked.original().unwrap().is_loading(), "Discord shows that it was never answered");
        nothing_came_of_it(stage).await;
    }
}

mod invariant_03_seen_before_done {
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
}

mod invariant_04_once {
    use super::*;

    /// One trigger, one record, and the card tells of it.
    async fn happened_once(mut stage: Stage, asked: &Interaction) {
        // A start asks CircleCI at once how far it is.
        let goes_on = |text: &str| text.contains("Deploy #1 is queued") || text.contains("Deploy #1 is running");
        let card = asked.answer_when(|card| goes_on(&card.text())).await;
        assert!(!card.text().contains("Deploy #2"));
        stage.stop_bot().await.unwrap();
        assert_eq!(stage.circleci.triggers(), 1);
        assert!(["queued", "running"].contains(&stage.states().await[0].as_str()) && stage.states().await.len() == 1);
        assert_eq!(stage.audited("deploy.requested").await, 1);
        let card = asked.original().unwrap();
        assert!(goes_on(&card.text()), "{}", card.text());
        stage.finish().await;
    }

    #[tokio::test]
    async fn delivered_again_at_once() {
        let stage = Stage::start().await;
        let asked = alice_deploys(&stage).await;
        for _ in 0..5 {
            stage.discord.redeliver(&asked).await;
        }
        stage.alice().hears(CommandCall::new("help")).await;
        happened_once(stage, &asked).await;
    }

    #[tokio::test]
    async fn delivered_again_while_the_first_is_under_way() {
        let stage = Stage::start().await;
        let gate = stage.circleci.hold(Route::RunPipeline);
        let asked = alice_deploys(&stage).await;
        stage.circleci.until("it is asked", |circleci| !circleci.requests_to(Route::RunPipeline).is_empty()).await;
        stage.discord.redeliver(&asked).await;
        stage.alice().hears(CommandCall::new("help")).await;
        gate.open();
        happened_once(stage, &asked).await;
    }

    #[tokio::test]
    async fn delivered_again_after_a_restart() {
        let mut stage = Stage::start().await;
        let asked = alice_deploys(&stage).await;
        asked.answer().await;
        stage.stop_bot().await.unwrap();
        stage.start_bot_again().await;
        let before = stage.discord.requests_to(RouteKind::Callback).len();

        stage.discord.redeliver(&asked).await;

        stage.discord.requested(RouteKind::Callback, before + 1).await;
        stage.discord.take_violations();
        happened_once(stage, &asked).await;
    }

    /// The edit that finds out succeeds, because the first delivery was acknowledged: the record alone tells.
    #[tokio::test]
    async fn delivered_again_after_a_restart_and_the_second_acknowledgements_answer_is_lost() {
        let mut stage = Stage::start().await;
        let asked = alice_deploys(&stage).await;
        asked.answer().await;
        stage.stop_bot().await.unwrap();
        stage.start_bot_again().await;
        let before = stage.discord.requests_to(RouteKind::Callback).len();
        stage.discord.fault(RouteKind::Callback, DiscordFault::Status(502), 1);

        stage.discord.redeliver(&asked).await;

        stage.discord.requested(RouteKind::Callback, before + 1).await;
        happened_once(stage, &asked).await;
    }
}

mod invariant_05_never_blindly_again {
    use super::*;

    #[tokio::test]
    async fn a_trigger_that_may_have_been_taken_is_looked_for_and_not_sent_again() {
        let errors = json!({"message": "Internal server error."});
        let fates = [
            (Fault::DropBefore, 0, "unknown"),
            (Fault::DropAfter, 1, "queued"),
            (Fault::Status(500, errors.clone()), 0, "unknown"),
            (Fault::StatusAfter(503, errors), 1, "queued"),
            (Fault::Html502, 0, "unknown"),
            (Fault::HangBefore, 0, "unknown"),
            (Fault::HangAfter, 1, "queued"),
        ];
        let stories = fates.map(|(fault, taken, ends)| async move {
            for (stage, trigger) in
                [(Stage::start().await, Route::RunPipeline), (Stage::start_with_job().await, Route::TriggerJob)]
            {
                stage.circleci.fault(trigger, fault.clone(), 1);
                let card = alice_deploys(&stage).await.answer_when(|card| !card.text().contains("triggering")).await;
                assert!(card.text().contains(&format!("Deploy #1 is {ends}")), "{}", card.text());
                assert_eq!(stage.circleci.requests_to(trigger).len(), 1);
                assert_eq!((stage.circleci.triggers(), stage.states().await), (taken, vec![ends.to_owned()]));
                stage.finish().await;
            }
        });
        futures_util::future::join_all(stories).await;
    }

    #[tokio::test]
    async fn a_lost_pipeline_is_told_from_those_that_other_deploys_hold() {
        let stage = Stage::start().await;
        alice_deploys(&stage).await.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
        stage.circleci.fault(Route::RunPipeline, Fault::DropAfter, 1);

        let card = alice_deploys(&stage).await.answer_when(|card| !card.text().contains("triggering")).await;

        assert!(card.text().contains("Deploy #2 is queued") && card.text().contains("pipeline 2"), "{}", card.text());
        stage.finish().await;
    }

    #[tokio::test]
    async fn two_lost_at_once_do_not_adopt_the_same_pipeline() {
        let stage = Stage::start().await;
        stage.circleci.fault(Route::RunPipeline, Fault::DropAfter, 1);
        stage.circleci.fault(Route::RunPipeline, Fault::DropBefore, 1);

        let asked = [alice_deploys(&stage).await, alice_deploys(&stage).await];
        for asked in &asked {
            asked.answer_when(|card| !card.text().contains("triggering")).await;
        }

        // Nobody can tell whose it is, unless one has it before the other looks.
        let states = stage.states().await;
        assert!(states.iter().filter(|state| *state == "queued").count() <= 1, "{states:?}");
        assert_eq!((stage.circleci.requests_to(Route::RunPipeline).len(), stage.circleci.triggers()), (2, 1));
        stage.finish().await;
    }
}

mod invariant_06_followed_to_the_end {
    use super::*;

    /// The bot is killed while CircleCI has the trigger in hand, and started again; the card that stands afterwards.
    async fn killed_while_triggering(stage: &mut Stage, trigger: Route, fault: Fault) -> String {
        stage.circleci.fault(trigger, fault, 1);
        let asked = alice_deploys(stage).await;
        stage.circleci.until("it is asked", |circleci| !circleci.requests_to(trigger).is_empty()).await;
        stage.kill_bot().await;
        assert_eq!(stage.states().await, ["triggering"]);

        stage.start_bot_again().await;

        let card = asked.answer_when(|card| !card.text().contains("is triggering")).await;
        assert_eq!(stage.circleci.requests_to(trigger).len(), 1, "it is not sent again");
        stage.tidy(&card)
    }

    #[tokio::test]
    async fn a_trigger_that_a_kill_interrupted_is_looked_for_and_adopted() {
        for (mut stage, trigger) in
            [(Stage::start().await, Route::RunPipeline), (Stage::start_with_job().await, Route::TriggerJob)]
        {
            let card = killed_while_triggering(&mut stage, trigger, Fault::HangAfter).await;
            assert!(card.contains("# Deploy #1 is queued"), "{card}");
            assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["queued".to_owned()]));
            assert!(!stage.discord.requests_to(RouteKind::EditMessage).is_empty(), "as the bot: its token may be dead");
            let log = stage.audit().await;
            let triggered = log.iter().find(|entry| entry.action == "deploy.triggered").unwrap();
            assert_eq!((triggered.detail["adopted"].clone(), triggered.actor.as_str()), (true.into(), "alice"));
            stage.finish().await;
        }
    }

    #[tokio::test]
    async fn a_trigger_that_a_kill_interrupted_and_nobody_finds_is_unknown() {
        let mut stage = Stage::start_with_job().await;
        let card = killed_while_triggering(&mut stage, Route::TriggerJob, Fault::HangBefore).await;
        insta::assert_snapshot!(card, @"
        # Deploy #1 is unknown
        CircleCI's answer to the trigger was not recorded. It was looked for and not found: CircleCI may or may not have taken it, and nothing was sent again. Look at the project on CircleCI before you deploy again.
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **unknown**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");
        assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["unknown".to_owned()]));
        stage.finish().await;
    }

    #[tokio::test]
    async fn what_could_not_be_recorded_is_taken_up_at_the_next_start() {
        let mut stage = Stage::start_with_job().await;
        let gate = stage.circleci.hold(Route::TriggerJob);
        let asked = alice_deploys(&stage).await;
        stage.circleci.until("it is asked", |circleci| !circleci.requests_to(Route::TriggerJob).is_empty()).await;
        let database = stage.hold_database().await;
        gate.open();
        stage.circleci.until_answered(Route::TriggerJob, 1).await;
        stage.kill_bot().await;
        database.give_back().await;
        assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["triggering".to_owned()]));

        stage.start_bot_again().await;

        asked.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
        assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["queued".to_owned()]));
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_stop_waits_for_what_is_under_way() {
        let mut stage = Stage::start().await;
        let gate = stage.circleci.hold(Route::RunPipeline);
        let asked = alice_deploys(&stage).await;
        stage.circleci.until("it is asked", |circleci| !circleci.requests_to(Route::RunPipeline).is_empty()).await;
        let (stopped, ()) = tokio::join!(stage.stop_bot(), async { gate.open() });
        stopped.unwrap();
        assert!(asked.original().unwrap().text().contains("Deploy #1 is queued"));
        assert_eq!(stage.states().await, ["queued"]);
        stage.finish().await;
    }
}

mod invariant_07_answered_within_the_deadline {
    use super::*;

    /// Of Discord's three seconds, at most this much.
    const AT_ONCE: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn the_acknowledgement_waits_for_no_disk() {
        let stage = Stage::start().await;
        let database = stage.hold_database().await;

        let asked = alice_deploys(&stage).await;

        let acknowledged = asked.acknowledged().await;
        assert!(!acknowledged.ephemeral && acknowledged.after < AT_ONCE, "{acknowledged:?}");
        assert_eq!((stage.states().await.len(), stage.circleci.requests().len()), (0, 0));
        database.give_back().await;
        asked.answer_when(|card| card.text().contains("is queued")).await;
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_refusal_waits_for_no_disk_either() {
        let stage = Stage::start().await;
        let database = stage.hold_database().await;
        let calls = [deploy("acme/web", "main"), deploy("acme/web", "a..b"), grant(stage.bob().id, "deploy")];
        for call in calls {
            let acknowledged = stage.bob().runs(call).await.acknowledged().await;
            assert!(acknowledged.ephemeral && acknowledged.after < AT_ONCE, "{acknowledged:?}");
        }
        database.give_back().await;
        stage.finish().await;
    }

    #[tokio::test]
    async fn the_acknowledgement_waits_for_no_circleci() {
        let stage = Stage::start().await;
        stage.circleci.fault(Route::Any, Fault::HangBefore, usize::MAX);

        let asked = alice_deploys(&stage).await;

        assert!(asked.acknowledged().await.after < AT_ONCE);
        stage.circleci.until("it is asked", |circleci| !circleci.requests().is_empty()).await;
        stage.circleci.clear_faults();
        asked.answer_when(|card| card.text().contains("is queued")).await;
        stage.finish().await;
    }

    #[tokio::test]
    async fn nothing_is_asked_of_circleci_before_discord_has_the_acknowledgement() {
        let stage = Stage::start().await;
        let before = stage.discord.requests_to(RouteKind::Callback).len();
        stage.discord.fault(RouteKind::Callback, DiscordFault::DelayAnswer(Duration::from_millis(500)), 1);
        let asked = alice_deploys(&stage).await;
        stage
            .discord
            .until("the acknowledgement to be answered", |discord| {
                let callbacks = discord.requests_to(RouteKind::Callback);
                let answered = callbacks.get(before).is_some_and(|callback| callback.status.is_some());
                assert!(
                    answered || stage.circleci.requests().is_empty(),
                    "CircleCI was asked before Discord had accepted"
                );
                answered
            })
            .await;
        asked.answer_when(|card| card.text().contains("is queued")).await;
        stage.finish().await;
    }
}

mod invariant_08_no_pings_no_tricks {
    use super::*;

    const TRICK: &str =
        "@everyone @here <@1> <@&2> <#3> **b** __u__ ~~s~~ ||h|| `c` [a](https://evil.test) https://evil.test";

    /// What no message of the bot may hold when it repeats [`TRICK`].
    const LIVE: [&str; 11] =
        ["@everyone", "@here", "<@1>", "<@&2>", "<#3>", "**b**", "__u__", "~~s~~", "||h||", "[a](", "https://evil"];

    #[tokio::test]
    async fn whatever_people_and_circleci_say_is_inert() {
        let stage = Stage::start_with_job().await;
        let trickster = stage.person(TRICK);
        stage.root().lets(TRICK, "deploy").await;
        stage.root().lets(TRICK, "admin").await;
        let said = |status| Fault::Status(status, json!({ "message": TRICK }));

        let reason = |call: CommandCall| call.string("reason", TRICK);
        let parameters = format!("NOTE=\"{TRICK}\"");
        trickster.deploys_with("acme/web", "main", reason).await.answer().await;
        trickster.deploys_with("acme/web", "main", |call| call.string("parameters", &parameters)).await.answer().await;
        for status in [400, 401, 403, 404, 422] {
            stage.circleci.fault(Route::TriggerJob, said(status), 1);
            trickster.deploys("acme/web", "main").await.answer().await;
        }
        trickster.deploys(TRICK, "main").await.answer().await;
        trickster.deploys("acme/web", TRICK).await.answer().await;
        for option in ["environment", "revision", "parameters"] {
            trickster.deploys_with("acme/web", "main", |call| call.string(option, TRICK)).await.answer().await;
        }
        let sub = |name: &str| CommandCall::new("permission").sub(name);
        for option in ["repo", "branch", "environment", "expires", "reason"] {
            trickster.hears(grant(stage.bob().id, "view").string(option, TRICK)).await;
        }
        trickster.hears(sub("list")).await;
        trickster.hears(sub("revoke").string("id", TRICK)).await;
        trickster
            .hears(sub("check").user("user", &trickster).string("repo", "acme/web").string("branch", "main"))
            .await;
        for option in ["name", "job", "project", "default_branch"] {
            let add = CommandCall::new("repo").sub("add");
            let add = if option == "name" { add } else { add.string("name", "acme/x") };
            trickster.hears(add.string(option, TRICK)).await;
        }
        trickster.hears(CommandCall::new("help").string("command", TRICK)).await;

        let messages = stage.everything_shown();
        assert!(messages.len() > 25, "{}", messages.len());
        for message in messages {
            assert_eq!(message.pings, [""; 0]);
            // Inside code nothing means anything; the fake's own lines of buttons are made of brackets.
            let text: Vec<_> = message.text().split('`').map(str::to_owned).step_by(2).collect();
            for live in LIVE {
                assert!(!text.iter().any(|text| text.contains(live)), "{live} in {}", message.text());
            }
        }
        for request in stage.discord.requests() {
            let body = request.body.to_string();
            assert!(!body.contains("@everyone") && !body.contains("@here"), "{body}");
            if matches!(request.route, RouteKind::EditOriginal | RouteKind::EditMessage | RouteKind::PostMessage) {
                assert_eq!(request.body["allowed_mentions"]["parse"], json!([]), "{body}");
            }
        }
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_link_of_circlecis_that_is_no_page_is_not_shown() {
        for url in ["javascript:alert(1)", "file:///etc/passwd", "https://me:secret@x.test/", "//x.test", "https://[/"]
        {
            let stage = Stage::start_with_job().await;
            let odd = Fault::OddJson(json!({"build_num": 1, "build_url": url, "status": "queued"}));
            stage.circleci.fault(Route::TriggerJob, odd, 1);

            let card = alice_deploys(&stage).await.answer().await;

            assert!(card.text().contains("build 1"), "{}", card.text());
            assert!(
                !card.text().contains(url) && !card.buttons().iter().any(|button| button.label == "Build"),
                "{}",
                card.text()
            );
            stage.finish().await;
        }
        let stage = Stage::start_with_job().await;
        let url = "https://x.test/> @everyone <https://evil.test> [a](b) `c`";
        let odd = Fault::OddJson(json!({"build_num": 1, "build_url": url, "status": "queued"}));
        stage.circleci.fault(Route::TriggerJob, odd, 1);
        let card = alice_deploys(&stage).await.answer().await;
        insta::assert_snapshot!(card.text().lines().last().unwrap(), @"[Build](https://x.test/%3E%20@everyone%20%3Chttps://evil.test%3E%20[a](b)%20%60c%60) [Cancel](/deploys cancel 1)");
        stage.finish().await;
    }
}

mod invariant_09_tamper_evident {
    use super::*;

    #[tokio::test]
    async fn the_chain_of_a_busy_story_holds_and_shows_what_is_done_to_it() {
        let stage = Stage::start().await;
        let (alice, bob) = (stage.alice(), stage.bob());
        let asked = futures_util::future::join_all((0..8).map(|number| {
            let who = if number % 2 == 0 { &alice } else { &bob };
            who.deploys_with("acme/web", "main", |call| call.string("reason", "all at once"))
        }));
        for asked in asked.await {
            asked.answer_when(|card| !card.text().contains("triggering")).await;
        }
        stage.root().hears(CommandCall::new("permission").sub("revoke").string("id", "#2")).await;

        let checked = stage.verify().await;
        assert!(checked.holds(), "{:?}", checked.broken);
        assert_eq!(checked.entries as usize, stage.audit().await.len());
        assert_eq!((stage.audited("deploy.requested").await, stage.audited("deploy.denied").await), (4, 4));

        let mut program = stage.another_program().await;
        for change in ["UPDATE audit_log SET outcome = 'denied' WHERE seq = 3", "DELETE FROM audit_log WHERE seq = 3"] {
            let error = sqlx::query(change).execute(&mut program).await.unwrap_err();
            assert!(error.to_string().contains("append-only"), "{error}");
        }
        let forced = [
            "DROP TRIGGER audit_log_is_never_changed",
            "UPDATE audit_log SET reason = 'another' WHERE action = 'deploy.requested' AND seq = \
             (SELECT max(seq) FROM audit_log WHERE action = 'deploy.requested')",
        ];
        for change in forced {
            sqlx::query(change).execute(&mut program).await.unwrap();
        }
        assert_eq!(stage.verify().await.broken_count, 1);
        stage.finish().await;
    }
}

mod invariant_10_one_guild_never_sees_another {
    use super::*;

    #[tokio::test]
    async fn rules_repositories_deploys_and_entries_belong_to_their_guild() {
        let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
        stage.root().adds_repo("acme/web").await;
        stage.root().lets("alice", "deploy").await;
        stage.root().lets("alice", "admin").await;
        alice_deploys(&stage).await.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
        let other = stage.discord.guild("other");
        let (root, alice) = (stage.person_of(&other, "root"), stage.person_of(&other, "alice"));
        let hears = async |who: &Person<'_>, call: CommandCall| who.hears(call).await.text();

        let there = hears(&root, deploy("acme/web", "main")).await;
        assert!(there.contains("not registered here"), "{there}");
        let there = hears(&root, CommandCall::new("repo").sub("list")).await;
        assert!(there.contains("No repository"), "{there}");
        let there = hears(&root, CommandCall::new("permission").sub("list")).await;
        assert!(there.contains("#1") && !there.contains("#2"), "{there}");
        let there = hears(&root, CommandCall::new("permission").sub("revoke").string("id", "#2")).await;
        assert!(there.contains("There is no rule"), "{there}");
        let there = hears(&alice, grant(alice.id, "deploy")).await;
        assert!(there.contains("Not permitted"), "{there}");

        let added = hears(&root, CommandCall::new("repo").sub("add").string("name", "acme/web")).await;
        assert!(added.contains("is registered"), "{added}");
        let there = hears(&alice, deploy("acme/web", "main")).await;
        assert!(there.contains("Not permitted"), "a right in one guild is none in another: {there}");
        let asked = root.deploys("acme/web", "main").await;
        asked.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;

        let removed = root.removes(CommandCall::new("repo").sub("remove").string("name", "acme/web")).await.text();
        assert!(removed.contains("is removed"), "{removed}");
        alice_deploys(&stage).await.answer_when(|card| card.text().contains("Deploy #2 is queued")).await;
        let about = |entries: Vec<support::stage::Entry>| {
            entries.iter().filter(|entry| entry.action == "deploy.requested").count()
        };
        assert_eq!((about(stage.audit().await), about(stage.audit_of(other.id).await)), (2, 1));
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_role_of_another_guild_gives_nothing() {
        let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
        stage.root().adds_repo("acme/web").await;
        // Everyone here may deploy; everyone there may not.
        stage.root().grants(grant(stage.discord.guild_id(), "deploy")).await;
        let other = stage.discord.guild("other");
        stage.person_of(&other, "root").hears(CommandCall::new("repo").sub("add").string("name", "acme/web")).await;

        let there = stage.person_of(&other, "bob").deploys("acme/web", "main").await.answer().await;
        assert!(there.text().contains("Not permitted"), "{}", there.text());
        let here = stage.bob().deploys("acme/web", "main").await;
        here.answer_when(|card| card.text().contains("is queued")).await;
        stage.finish().await;
    }
}

mod invariant_11_only_valid_refs {
    use super::*;

    #[tokio::test]
    async fn what_git_refuses_is_refused_and_what_it_allows_is_encoded() {
        for stage in [Stage::start().await, Stage::start_with_job().await] {
            let bad = [
                "a..b",
                "-x",
                "main.lock",
                "a b",
                "a~b",
                "a^b",
                "a:b",
                "a?b",
                "a*b",
                "a[b",
                "a\\b",
                "a//b",
                "@",
                "a@{b",
            ];
            for bad in bad {
                let answer = stage.alice().deploys("acme/web", bad).await.answer().await;
                assert!(answer.text().contains("Not a usable branch"), "{bad}: {}", answer.text());
            }
            assert_eq!(stage.circleci.requests().len(), 0);

            let branch = "a/%2E%2e;b!c#d";
            stage.circleci.change_project("acme/web", |project| {
                project.branches.insert(branch.to_owned(), "1".repeat(40));
            });
            let asked = stage.alice().deploys("acme/web", branch).await;
            asked.answer_when(|card| card.text().contains("is queued")).await;
            for request in stage.circleci.requests_to(Route::TriggerJob) {
                assert_eq!(request.raw, "/api/v1.1/project/github/acme/web/tree/a%2F%252E%252e%3Bb%21c%23d");
            }
            for request in stage.circleci.requests_to(Route::RunPipeline) {
                assert_eq!(request.json.unwrap()["checkout"]["branch"], branch);
            }
            stage.finish().await;
        }
    }
}

mod invariant_12_errors_help {
    use super::*;

    /// What only a programmer would say.
    const INSIDE: [&str; 12] =
        ["::", "Error(", "Err(", "Some(", "None)", "panicked", "unwrap", "sqlx", "reqwest", "hyper", "serde", "RUST"];

    /// What is no error.
    fn is_good(text: &str) -> bool {
        ["(thinking)", "is made", "is registered", "is queued", "is triggering"].iter().any(|good| text.contains(good))
    }

    #[tokio::test]
    async fn each_says_what_happened_why_and_what_next_and_none_shows_the_inside() {
        let stage = Stage::start_with_job().await;
        let faults = [
            Fault::DropBefore,
            Fault::Html502,
            Fault::Garbage,
            Fault::OddJson(json!([1])),
            Fault::Status(400, json!("odd")),
            Fault::Status(401, json!({})),
            Fault::Status(403, json!({})),
            Fault::Status(404, json!({})),
            Fault::Status(418, json!({})),
            Fault::Status(500, json!({})),
        ];
        for fault in faults {
            stage.circleci.fault(Route::TriggerJob, fault, 1);
            alice_deploys(&stage).await.answer_when(|card| !card.text().contains("is triggering")).await;
        }
        for call in [
            deploy("acme/none", "main"),
            deploy("acme", "main"),
            deploy("acme/web", "a..b"),
            deploy("acme/web", "main").string("environment", "none"),
            deploy("acme/web", "main").string("revision", "none"),
            deploy("acme/web", "main").string("parameters", "A"),
            grant(stage.bob().id, "deploy"),
            CommandCall::new("repo").sub("add").string("name", "acme/more"),
            CommandCall::new("permission").sub("revoke").string("id", "x"),
            CommandCall::new("help").string("command", "none"),
        ] {
            stage.alice().hears(call).await;
        }
        stage.database_fails_at("deploy", "TRUE").await;
        alice_deploys(&stage).await.answer().await;
        stage.database_recovers().await;

        let next =
            ["Check", "Look", "Ask", "Try", "Name", "Example", "/", "can be granted", "look", "Use", "sets", "needs"];
        let told = stage.everything_shown();
        assert!(told.len() > 20);
        for text in told.iter().map(support::discord::MessageView::text).filter(|text| !is_good(text)) {
            for inside in INSIDE {
                assert!(!text.contains(inside), "{inside} in {text}");
            }
            assert!(next.iter().any(|word| text.contains(word)), "no way out in {text}");
        }
        stage.finish().await;
    }
}
