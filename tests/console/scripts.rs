//! Lines that are piped in, and how the console ends.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_circleci_refuses_fails_the_script() {
    let stage = Stage::new();
    let (shown, ended) = stage.types("/repo add acme/api\n/deploy acme/api main").await;
    assert!(shown.contains("Deploy #1 is refused"), "{shown}");
    assert_eq!(ended, Ended::WithFailures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_cut_off_in_the_middle_is_looked_for_at_the_next_start_and_never_sent_again() {
    let stage = Stage::new();
    stage.types("/deploy acme/web main").await;
    stage.forgets_the_answer_to_deploy(1, None).await;
    let (shown, ended) = stage.types("").await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @"
    Deploy #1 was unfinished when the console stopped; it is followed.
    Deploy #1 is unknown
      CircleCI's answer to the trigger was not recorded. It was looked for and not found: CircleCI may or may not have taken it, and nothing was sent again. Look at the project on CircleCI before you deploy again.
      Repository   acme/web
      Branch       main
      Environment  production
      State        unknown
      Asked by     @you
      Asked at     2026-11-24 18:00:00 UTC (now)
      Took         0 s
      Commit       `COMMIT` A commit of Slipway's sandbox
      Parameters   `action=deploy` `environment=production` `revision=`
      Workflows    `deploy` success
      Retry: /deploys retry 1
    ");
    assert_eq!(ended, Ended::Well, "what was asked of this run was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_done_in_the_console_is_in_a_chain_that_holds() {
    let stage = Stage::new();
    stage.types("/as guest\n/deploy acme/web main\n/as you\n/deploy acme/web main").await;
    // A build as short as this may be over before it is seen running.
    let log = stage.audit_log().await.replace("you deploy.running allowed\n", "");
    insta::assert_snapshot!(log, @"
    Slipway permission.granted allowed
    cli:sandbox repo.added allowed
    cli:sandbox environment.set allowed
    guest deploy.denied denied
    you deploy.requested allowed
    you deploy.triggered allowed
    you deploy.finished succeeded
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_waits_for_a_line_ends_when_it_is_told_to() {
    let stage = Stage::new();
    let (nobody_writes, _writer) = std::io::pipe().unwrap();
    let lines = Lines::piped(BufReader::new(nobody_writes)).unwrap();
    let (console, screen, stop) =
        (stage.opens().await.unwrap(), Screen::new(Vec::new(), false), CancellationToken::new());
    stop.cancel();
    assert_eq!(console.run(lines, &screen, &stop).await, Ended::Well);
}

#[test]
fn the_exit_status_tells_a_script_what_became_of_it() {
    let stage = Stage::new();
    let good = stage.pipes(&["console"], "/deploy acme/web main\n/repo list\n");
    assert!(good.shown.contains("Deploy #1 is queued"), "{good:?}");
    assert_eq!(good.status, Some(0), "{good:?}");

    let refused = stage.pipes(&["console"], "/deploy acme/web a..b\n/repo list\n");
    assert!(refused.shown.contains("Not a usable branch") && refused.shown.contains("Repositories"), "{refused:?}");
    assert_eq!(refused.status, Some(1), "{refused:?}");

    let misuse = stage.pipes(&["console", "--guild", "7"], "");
    assert!(misuse.shown.is_empty() && misuse.complaint.contains("`--guild` means a guild"), "{misuse:?}");
    assert_eq!(misuse.status, Some(2), "{misuse:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_written_beside_the_others_and_the_answer_says_where() {
    let stage = Stage::new();
    let (shown, ended) = stage.types("/deploy acme/web main\n/stats acme/web\n/stats acme/web production 7d").await;
    assert!(shown.contains("Success rate") && shown.contains("  File: stats.png\n"), "{shown}");
    assert!(shown.contains("  File: stats-2.png\n"), "{shown}");
    assert_eq!(ended, Ended::Well);
}
