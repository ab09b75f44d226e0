//! What bad input gets: a clear refusal that only the person who asked sees, an audit entry, and nothing sent to CircleCI.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use support::Stage;
use support::discord::{CommandCall, MessageView};
use support::stage::deploy;

/// The card as a reader sees it, its hidden characters made visible.
fn shown(stage: &Stage, answer: &MessageView) -> String {
    stage.tidy(answer).replace('\u{200b}', "·")
}

/// Alice runs a command that must be refused; what she is told.
async fn refused(stage: &Stage, call: CommandCall) -> String {
    let before = stage.audit().await.len();
    let asked = stage.alice().runs(call).await;
    let (acknowledged, answer) = (asked.acknowledged().await, asked.answer().await);
    assert!(acknowledged.ephemeral && answer.ephemeral, "{}", answer.text());
    assert_eq!(answer.pings, [""; 0]);

    let log = stage.audit().await;
    let entry = log.last().unwrap();
    assert_eq!((log.len(), entry.action.as_str(), entry.outcome.as_str()), (before + 1, "deploy.denied", "denied"));
    assert_eq!(entry.actor, "alice");
    assert!(entry.detail.to_string().len() < 1_000, "{}", entry.detail);

    assert_eq!(stage.circleci.requests().len(), 0, "nothing is sent to CircleCI");
    assert_eq!(stage.states().await, [""; 0]);
    shown(stage, &answer)
}

/// The answers to a table of inputs, one after the other.
async fn answers(calls: Vec<(String, CommandCall)>) -> String {
    let stage = Stage::start().await;
    let mut story = String::new();
    for (input, call) in calls {
        let input: String = input.chars().take(40).collect();
        let told = refused(&stage, call).await.replace("(only you can see this)\n", "");
        story.push_str(&format!("{input:?}\n{told}\n\n"));
    }
    stage.finish().await;
    story
}

fn named(inputs: &[&str], call: impl Fn(&str) -> CommandCall) -> Vec<(String, CommandCall)> {
    inputs.iter().map(|input| ((*input).to_owned(), call(input))).collect()
}

const TRICKS: [&str; 7] =
    ["@everyone", "<@1>", "<@&2>", "**bold**", "[x](https://evil.test)", "`code`", "https://evil.test"];

#[tokio::test]
async fn repositories() {
    let inputs =
        [&["acme/unknown", "acme", "../../me", "acme/web/..", "acme/we b", "acme/..", "é/x"][..], &TRICKS].concat();
    insta::assert_snapshot!(answers(named(&inputs, |input| deploy(input, "main"))).await, @r#"
    "acme/unknown"
    # Not done
    `acme/unknown` is not registered here. `/repo list` shows what is; an admin can add it with `/repo add`.

    "acme"
    # Not a usable repository
    `acme` can't be used as `repo`. A repository is written as organisation, a slash and its name. Example: `acme/web`. Nothing was done.

    "../../me"
    # Not a usable repository
    `../../me` can't be used as `repo`. A part of a repository's name can't be `.` or `..`. Example: `acme/web`. Nothing was done.

    "acme/web/.."
    # Not a usable repository
    `acme/web/..` can't be used as `repo`. A repository's name has only letters, digits, `-`, `_` and `.` on both sides of one slash. Example: `acme/web`. Nothing was done.

    "acme/we b"
    # Not a usable repository
    `acme/we b` can't be used as `repo`. A repository's name has only letters, digits, `-`, `_` and `.` on both sides of one slash. Example: `acme/web`. Nothing was done.

    "acme/.."
    # Not a usable repository
    `acme/..` can't be used as `repo`. A part of a repository's name can't be `.` or `..`. Example: `acme/web`. Nothing was done.

    "é/x"
    # Not a usable repository
    `é/x` can't be used as `repo`. A repository's name has only letters, digits, `-`, `_` and `.` on both sides of one slash. Example: `acme/web`. Nothing was done.

    "@everyone"
    # Not a usable repository
    `@·everyone` can't be used as `repo`. A repository is written as organisation, a slash and its name. Example: `acme/web`. Nothing was done.

    "<@1>"
    # Not a usable repository
    `@somebody` can't be used as `repo`. A repository is written as organisation, a slash and its name. Example: `acme/web`. Nothing was done.

    "<@&2>"
    # Not a usable repository
    `@somebody` can't be used as `repo`. A repository is written as organisation, a slash and its name. Example: `acme/web`. Nothing was done.

    "**bold**"
    # Not a usable repository
    `**bold**` can't be used as `repo`. A repository is written as organisation, a slash and its name. Example: `acme/web`. Nothing was done.

    "[x](https://evil.test)"
    # Not a usable repository
    `[x](https://evil.test)` can't be used as `repo`. A repository's name has only letters, digits, `-`, `_` and `.` on both sides of one slash. Example: `acme/web`. Nothing was done.

    "`code`"
    # Not a usable repository
    `ˋcodeˋ` can't be used as `repo`. A repository is written as organisation, a slash and its name. Example: `acme/web`. Nothing was done.

    "https://evil.test"
    # Not a usable repository
    `https://evil.test` can't be used as `repo`. A repository's name has only letters, digits, `-`, `_` and `.` on both sides of one slash. Example: `acme/web`. Nothing was done.
    "#);
}

#[tokio::test]
async fn branches() {
    let odd = [
        "a..b",
        "-x",
        "main.lock",
        "a b",
        "a\tb",
        "a\u{7}b",
        "a\u{1b}[31mb",
        "a@{1}",
        "/a",
        "a/",
        "HEAD",
        "@",
        "a\u{7f}",
    ];
    let long = "b".repeat(245);
    let inputs = [&odd[..], &[&long], &TRICKS, &["feature/@everyone", "a||b||"]].concat();
    insta::assert_snapshot!(answers(named(&inputs, |input| deploy("acme/web", input))).await, @r#"
    "a..b"
    # Not a usable branch
    `a..b` can't be used as `branch`. A branch name can't hold `..`. Example: `feature/login`. Nothing was done.

    "-x"
    # Not a usable branch
    `-x` can't be used as `branch`. A branch name can't start with `-`. Example: `feature/login`. Nothing was done.

    "main.lock"
    # Not a usable branch
    `main.lock` can't be used as `branch`. No part of a branch name can end with `.lock`. Example: `feature/login`. Nothing was done.

    "a b"
    # Not a usable branch
    `a b` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    "a\tb"
    # Not a usable branch
    `a�b` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    "a\u{7}b"
    # Not a usable branch
    `a�b` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    "a\u{1b}[31mb"
    # Not a usable branch
    `a�[31mb` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    "a@{1}"
    # Not a usable branch
    `a@·{1}` can't be used as `branch`. A branch name can't hold `@·{`. Example: `feature/login`. Nothing was done.

    "/a"
    # Not a usable branch
    `/a` can't be used as `branch`. A branch name can't start or end with a slash or hold two in a row. Example: `feature/login`. Nothing was done.

    "a/"
    # Not a usable branch
    `a/` can't be used as `branch`. A branch name can't start or end with a slash or hold two in a row. Example: `feature/login`. Nothing was done.

    "HEAD"
    # Not a usable branch
    `HEAD` can't be used as `branch`. `HEAD` and `@·` mean the present commit and can't be a branch name. Example: `feature/login`. Nothing was done.

    "@"
    # Not a usable branch
    `@·` can't be used as `branch`. `HEAD` and `@·` mean the present commit and can't be a branch name. Example: `feature/login`. Nothing was done.

    "a\u{7f}"
    # Not a usable branch
    `a�` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    # Not a usable branch
    `bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb…` can't be used as `branch`. A branch name has at most 244 bytes. Example: `feature/login`. Nothing was done.

    "@everyone"
    # Not a usable branch
    `@·everyone` can't be used as `branch`. Git allows that name, but Discord reads it as a mention or as formatting, so Slipway doesn't deploy it. Example: `feature/login`. Nothing was done.

    "<@1>"
    # Not a usable branch
    `@somebody` can't be used as `branch`. Git allows that name, but Discord reads it as a mention or as formatting, so Slipway doesn't deploy it. Example: `feature/login`. Nothing was done.

    "<@&2>"
    # Not a usable branch
    `@somebody` can't be used as `branch`. Git allows that name, but Discord reads it as a mention or as formatting, so Slipway doesn't deploy it. Example: `feature/login`. Nothing was done.

    "**bold**"
    # Not a usable branch
    `**bold**` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    "[x](https://evil.test)"
    # Not a usable branch
    `[x](https://evil.test)` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    "`code`"
    # Not a usable branch
    `ˋcodeˋ` can't be used as `branch`. Git allows that name, but Discord reads it as a mention or as formatting, so Slipway doesn't deploy it. Example: `feature/login`. Nothing was done.

    "https://evil.test"
    # Not a usable branch
    `https://evil.test` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    "feature/@everyone"
    # Not a usable branch
    `feature/@·everyone` can't be used as `branch`. Git allows that name, but Discord reads it as a mention or as formatting, so Slipway doesn't deploy it. Example: `feature/login`. Nothing was done.

    "a||b||"
    # Not a usable branch
    `a||b||` can't be used as `branch`. Git allows that name, but Discord reads it as a mention or as formatting, so Slipway doesn't deploy it. Example: `feature/login`. Nothing was done.
    "#);
}

#[tokio::test]
async fn environments() {
    let inputs = [&["staging", "a b", "..", "-x"][..], &TRICKS].concat();
    let call = |input: &str| deploy("acme/web", "main").string("environment", input);
    insta::assert_snapshot!(answers(named(&inputs, call)).await, @r#"
    "staging"
    # Not done
    `acme/web` has no environment `staging`. Name one of `production` as `environment`.

    "a b"
    # Not a usable environment
    `a b` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.

    ".."
    # Not a usable environment
    `..` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.

    "-x"
    # Not a usable environment
    `-x` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.

    "@everyone"
    # Not a usable environment
    `@·everyone` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.

    "<@1>"
    # Not a usable environment
    `@somebody` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.

    "<@&2>"
    # Not a usable environment
    `@somebody` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.

    "**bold**"
    # Not a usable environment
    `**bold**` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.

    "[x](https://evil.test)"
    # Not a usable environment
    `[x](https://evil.test)` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.

    "`code`"
    # Not a usable environment
    `ˋcodeˋ` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.

    "https://evil.test"
    # Not a usable environment
    `https://evil.test` can't be used as `environment`. An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit. Example: `production`. Nothing was done.
    "#);
}

#[tokio::test]
async fn revisions() {
    let inputs = ["main", "123456", "12345g7", "--all", "1234567"];
    let call = |input: &str| deploy("acme/web", "main").string("revision", input);
    insta::assert_snapshot!(answers(named(&inputs, call)).await, @r#"
    "main"
    # Not a usable revision
    `main` can't be used as `revision`. A revision is a commit's 40 hexadecimal digits, or the first 7 or more of them. Example: `a-commit`. Nothing was done.

    "123456"
    # Not a usable revision
    `123456` can't be used as `revision`. A revision is a commit's 40 hexadecimal digits, or the first 7 or more of them. Example: `a-commit`. Nothing was done.

    "12345g7"
    # Not a usable revision
    `12345g7` can't be used as `revision`. A revision is a commit's 40 hexadecimal digits, or the first 7 or more of them. Example: `a-commit`. Nothing was done.

    "--all"
    # Not a usable revision
    `--all` can't be used as `revision`. A revision is a commit's 40 hexadecimal digits, or the first 7 or more of them. Example: `a-commit`. Nothing was done.

    "1234567"
    # Not done
    A pipeline runs the newest commit of its branch and can't be pinned to another. Leave `revision` out, or pass it on: put `{revision}` into the environment's parameters and let the configuration check it out (docs/circleci.md shows how). Nothing was done.
    "#);
}

#[tokio::test]
async fn reasons() {
    let long = "r".repeat(10_000);
    let inputs = [long.as_str(), "   ", "a\u{1b}[31mb"];
    let call = |input: &str| deploy("acme/web", "main").string("reason", input).unchecked();
    insta::assert_snapshot!(answers(named(&inputs, call)).await, @r#"
    "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"
    # Not a usable reason
    `rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr…` can't be used as `reason`. A reason has at most 500 characters; this one has 10000. Example: `fixes the login page`. Nothing was done.

    "   "
    # Not a usable reason
    ` ` can't be used as `reason`. A reason can't be empty. Example: `fixes the login page`. Nothing was done.

    "a\u{1b}[31mb"
    # Not a usable reason
    `a�[31mb` can't be used as `reason`. A reason can't hold control characters. Example: `fixes the login page`. Nothing was done.
    "#);
}

#[tokio::test]
async fn parameters() {
    let unclosed = format!("A={} \"x", "a".repeat(2_000));
    let inputs = [
        "CIRCLE_JOB=x",
        "circle_job=x",
        "SLIPWAY_DEPLOY_ID=x",
        "API_TOKEN=hunter2-hunter2",
        "DB_PASSWORD=hunter2-hunter2",
        "awsSecret=hunter2-hunter2",
        "SSH_KEYS=hunter2-hunter2",
        "A",
        "=x",
        "1A=x",
        "A-B=x",
        "A=1 A=2",
        "A=\"x",
        unclosed.as_str(),
        "@everyone=x",
        "A=a\u{1b}[31mb",
    ];
    let call = |input: &str| deploy("acme/web", "main").string("parameters", input);
    insta::assert_snapshot!(answers(named(&inputs, call)).await, @r#"
    "CIRCLE_JOB=x"
    # Not a usable parameter
    `CIRCLE_JOB=x` can't be used as `parameters`. `CIRCLE_JOB` is reserved: names that begin with `CIRCLE_` or `SLIPWAY_` are set by the services themselves. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "circle_job=x"
    # Not a usable parameter
    `circle_job=x` can't be used as `parameters`. `circle_job` is reserved: names that begin with `CIRCLE_` or `SLIPWAY_` are set by the services themselves. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "SLIPWAY_DEPLOY_ID=x"
    # Not a usable parameter
    `SLIPWAY_DEPLOY_ID=x` can't be used as `parameters`. `SLIPWAY_DEPLOY_ID` is reserved: names that begin with `CIRCLE_` or `SLIPWAY_` are set by the services themselves. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "API_TOKEN=hunter2-hunter2"
    # Not a usable parameter
    `API_TOKEN=hunter2-hunter2` can't be used as `parameters`. `API_TOKEN` looks like a secret, and everyone who sees the project in CircleCI can read a build's parameters. Define it in the project's settings on CircleCI instead. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "DB_PASSWORD=hunter2-hunter2"
    # Not a usable parameter
    `DB_PASSWORD=hunter2-hunter2` can't be used as `parameters`. `DB_PASSWORD` looks like a secret, and everyone who sees the project in CircleCI can read a build's parameters. Define it in the project's settings on CircleCI instead. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "awsSecret=hunter2-hunter2"
    # Not a usable parameter
    `awsSecret=hunter2-hunter2` can't be used as `parameters`. `awsSecret` looks like a secret, and everyone who sees the project in CircleCI can read a build's parameters. Define it in the project's settings on CircleCI instead. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "SSH_KEYS=hunter2-hunter2"
    # Not a usable parameter
    `SSH_KEYS=hunter2-hunter2` can't be used as `parameters`. `SSH_KEYS` looks like a secret, and everyone who sees the project in CircleCI can read a build's parameters. Define it in the project's settings on CircleCI instead. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "A"
    # Not a usable parameter
    `A` can't be used as `parameters`. Every parameter is a name, `=` and a value, with spaces between parameters. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "=x"
    # Not a usable parameter
    `=x` can't be used as `parameters`. A parameter's name has letters, digits and `_` only, doesn't begin with a digit, and has at most 128 characters. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "1A=x"
    # Not a usable parameter
    `1A=x` can't be used as `parameters`. A parameter's name has letters, digits and `_` only, doesn't begin with a digit, and has at most 128 characters. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "A-B=x"
    # Not a usable parameter
    `A-B=x` can't be used as `parameters`. A parameter's name has letters, digits and `_` only, doesn't begin with a digit, and has at most 128 characters. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "A=1 A=2"
    # Not a usable parameter
    `A=1 A=2` can't be used as `parameters`. `A` is given twice. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "A=\"x"
    # Not a usable parameter
    `A="x` can't be used as `parameters`. A quote (") is opened and never closed. Close it, or write \\" inside quotes for the sign itself. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "A=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    # Not a usable parameter
    `A=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` can't be used as `parameters`. A quote (") is opened and never closed. Close it, or write \\" inside quotes for the sign itself. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "@everyone=x"
    # Not a usable parameter
    `@·everyone=x` can't be used as `parameters`. A parameter's name has letters, digits and `_` only, doesn't begin with a digit, and has at most 128 characters. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.

    "A=a\u{1b}[31mb"
    # Not a usable parameter
    `A=a�[31mb` can't be used as `parameters`. The value of `A` holds a control character. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.
    "#);
}

#[tokio::test]
async fn a_secret_given_by_mistake_is_not_kept() {
    let stage = Stage::start().await;

    refused(&stage, deploy("acme/web", "main").string("parameters", "TARGET=eu API_TOKEN=hunter2-hunter2")).await;
    refused(&stage, deploy("acme/web", "main").string("parameters", "API_TOKEN=hunter2-hunter2 \"x")).await;

    for entry in stage.audit().await {
        assert!(!entry.detail.to_string().contains("hunter2"), "{}", entry.detail);
    }
    stage.finish().await;
}

#[tokio::test]
async fn who_may_not_even_see_a_repository_is_not_told_whether_it_is_there() {
    let stage = Stage::start().await;
    stage.root().hears(CommandCall::new("permission").sub("revoke").string("id", "#1")).await;

    let there = stage.bob().deploys("acme/web", "main").await.answer().await.text();
    let not_there = stage.bob().deploys("acme/other", "main").await.answer().await.text();
    let no_environment = deploy("acme/web", "main").string("environment", "eu");
    let no_environment = stage.bob().hears(no_environment).await.text();

    insta::assert_snapshot!(there.split(" It can be").next().unwrap(), @r"
    (only you can see this)
    # Not permitted
    You need the permission `view` for `acme/web`, and no rule gives it to you.
    ");
    assert_eq!(not_there.replace("acme/other", "acme/web"), there);
    assert_eq!(no_environment, there);
    stage.finish().await;
}
