//! `slipway audit verify --indexes`.

use super::log::Log;

#[tokio::test]
async fn an_index_that_passes_an_entry_by_is_found() {
    let log = Log::of(5).await;
    log.audit(&["verify", "--indexes"]).done();
    // An index of all entries but the third, whose definition says that it is one of all.
    let mut connection = log.db.pool().acquire().await.unwrap();
    for sql in [
        "DROP INDEX audit_log_by_deploy",
        "CREATE INDEX audit_log_by_deploy ON audit_log (guild_id, deploy_id, seq) WHERE deploy_id IS NOT NULL AND seq <> 3",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = REPLACE(sql, ' AND seq <> 3', '') WHERE name = 'audit_log_by_deploy'",
        "PRAGMA writable_schema = RESET",
    ] {
        sqlx::query(sql).execute(&mut *connection).await.unwrap();
    }
    drop(connection);
    assert_eq!(log.audit(&["search", "deploy:#3"]).done().out, "", "it is hidden");
    log.audit(&["verify"]).done();
    log.audit(&["verify", "--indexes"])
        .refused("THE INDEXES DON'T FIT THE ENTRIES, so searches may pass some by: row 3 missing");
    log.tamper("REINDEX").await;
    log.audit(&["verify", "--indexes"]).done();
    assert!(log.audit(&["search", "deploy:#3"]).done().out.contains("deploy.requested"));
}
