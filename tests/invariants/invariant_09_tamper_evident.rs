//! Invariant 9: what is done to the audit log shows.

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
