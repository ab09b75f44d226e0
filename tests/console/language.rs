//! Lines that are no command, and values that are no good.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_what_would_be_good_and_nothing_is_triggered() {
    let stage = Stage::new();
    let (shown, ended) = stage
        .types(
            r#"
            /deploy acme/web a..b
            /deploy acme/web -x
            /deploy acme/web main.lock
            /deploy acme/web "two words"
            /deploy ../../me main
            /deploy acme/nothing main
            /deploy acme/web main nowhere
            /deploy acme/web main parameters:API_TOKEN=x
            "#,
        )
        .await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @r#"
    > /deploy acme/web a..b
    Not a usable branch
      `a..b` can't be used as `branch`. A branch name can't hold `..`. Example: `feature/login`. Nothing was done.

    > /deploy acme/web -x
    Not a usable branch
      `-x` can't be used as `branch`. A branch name can't start with `-`. Example: `feature/login`. Nothing was done.

    > /deploy acme/web main.lock
    Not a usable branch
      `main.lock` can't be used as `branch`. No part of a branch name can end with `.lock`. Example: `feature/login`. Nothing was done.

    > /deploy acme/web "two words"
    Not a usable branch
      `two words` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    > /deploy ../../me main
    Not a usable repository
      `../../me` can't be used as `repo`. A part of a repository's name can't be `.` or `..`. Example: `acme/web`. Nothing was done.

    > /deploy acme/nothing main
    Not done
      `acme/nothing` is not registered here. `/repo list` shows what is; an admin can add it with `/repo add`.

    > /deploy acme/web main nowhere
    Not done
      `acme/web` has no environment `nowhere`. Name one of `production` as `environment`.

    > /deploy acme/web main parameters:API_TOKEN=x
    Not a usable parameter
      `API_TOKEN=x` can't be used as `parameters`. `API_TOKEN` looks like a secret, and everyone who sees the project in CircleCI can read a build's parameters. Define it in the project's settings on CircleCI instead. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.
    "#);
    assert_eq!(ended, Ended::WithFailures);
    assert!(!shown.contains("/pipelines/"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_no_command_is_answered_with_how_it_is_written() {
    let stage = Stage::new();
    let (shown, ended) = stage
        .types(
            r#"
            /depoly acme/web main
            /status
            /permission
            /repo lst
            /deploy acme/web
            /deploy acme/web main enviroment:staging
            /deploy acme/web main expires:8h
            /deploy acme/web main branch:main branch:develop
            /deploy acme/web main production 1234567 A=1 fixes the login
            /deploy acme/web "main
            /permission grant bob deploy
            /permission check @everyone acme/web
            /repo list page:0
            /as
            /as bob
            "#,
        )
        .await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @r#"
    > /depoly acme/web main
    Not understood
      There is no command `/depoly`. Did you mean `/deploy`? `/help` lists the commands. Nothing was done.

    > /status
    Not understood
      There is no command `/status`. Did you mean `/stats`? `/help` lists the commands. Nothing was done.

    > /permission
    Not understood
      `/permission` is a family of commands; say which one. Nothing was done.
      Usage: /permission grant who action [repo] [branch] [environment] [effect] [expires] [reason]
      Usage: /permission revoke id
      Usage: /permission list [who] [repo] [page:2]
      Usage: /permission check user repo [branch] [environment] [action]

    > /repo lst
    Not understood
      `/repo` has no subcommand `lst`. Did you mean `list`? Nothing was done.
      Usage: /repo add name [vcs] [job] [default_branch] [project]
      Usage: /repo list [page:2]
      Usage: /repo show name
      Usage: /repo edit name [vcs] [default_branch] [project]
      Usage: /repo remove name

    > /deploy acme/web
    Not understood
      The option `branch` is missing. Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web main enviroment:staging
    Not understood
      There is no option `enviroment` here. Did you mean `environment`? If it is text, put the whole of it in "quotes". Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web main expires:8h
    Not understood
      There is no option `expires` here. If it is text, put the whole of it in "quotes". Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web main branch:main branch:develop
    Not understood
      The option `branch` is given twice. Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web main production 1234567 A=1 fixes the login
    Not understood
      There is no option for `login` at this place. Put "quotes" round text that has spaces, as in reason:"two words". Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web "main
    Not understood
      A quote (") is opened after “/deploy acme/web” and never closed. Close it, or write \" inside quotes for the sign itself. Nothing was done.

    > /permission grant bob deploy
    Not understood
      `bob` is nobody for `who`: write `you`, `guest`, an id as on Discord, `<@175928847299117063>`, a role `<@&175928847299117063>`, or `@everyone`. Nothing was done.
      Usage: /permission grant who action [repo] [branch] [environment] [effect] [expires] [reason]

    > /permission check @everyone acme/web
    Not understood
      `@everyone` is nobody for `user`: write `you`, `guest`, an id as on Discord, `<@175928847299117063>`. Nothing was done.
      Usage: /permission check user repo [branch] [environment] [action]

    > /repo list page:0
    Not understood
      `0` is no page: a page is a number from 1 on. Nothing was done.
      Usage: /repo list [page:2]

    > /as
    Not understood
      Say who is to speak. Nothing was done.
      Usage: /as NAME

    > /as bob
    Not done
      Nobody here is called `bob`. There are `you` and `guest`.
    "#);
    assert_eq!(ended, Ended::WithFailures);
}
