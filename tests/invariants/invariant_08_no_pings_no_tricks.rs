//! Invariant 8: text from people and from CircleCI is inert.

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
    trickster.hears(sub("check").user("user", &trickster).string("repo", "acme/web").string("branch", "main")).await;
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
    for url in ["javascript:alert(1)", "file:///etc/passwd", "https://me:secret@x.test/", "//x.test", "https://[/"] {
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
