//! `slipway audit archive`.

use std::time::Duration;

use serde_json::json;
use slipway::actor::Actor;
use slipway::audit::archive::{ArchiveError, archive};
use slipway::audit::{self, Action, Entry, Outcome};
use slipway::time::{Clock, Timestamp};

use super::log::{DAY, FIRST, Log, acme, entry};

#[tokio::test]
async fn the_oldest_entries_go_to_a_file_and_the_chain_is_proved_from_its_head() {
    let log = Log::of(30).await;
    let noted = log.column("SELECT hash FROM audit_log WHERE seq = 5").await.remove(0);
    log.audit(&["redact", "2", "--reason", "a name"]).done();
    let said = log.audit(&["archive", "--before", "2025-12-11", "old.jsonl"]).done().out;
    assert!(said.starts_with("The archive old.jsonl has 10 entries, #1 to #10: removed from the database."), "{said}");
    assert_eq!(log.column("SELECT CAST(MIN(seq) AS TEXT) FROM audit_log").await, ["11"]);

    let verified = log.audit(&["verify"]).done().out;
    assert!(verified.contains("22 entries, and #1 to #10 archived, the chain holds"), "{verified}");
    let whole = log.audit(&["verify", "--archive", "old.jsonl", "--head", &noted]).done().out;
    assert!(whole.contains("32 entries, 1 of them erased") && whole.contains("the noted head is entry 5"), "{whole}");
    log.audit(&["verify", "--head", &noted]).refused("it was archived (`--archive FILE`)");
    log.python_says("old.jsonl", Ok("10 entries hold"));
    let head = log.column("SELECT prev_hash FROM audit_log WHERE seq = 11").await.remove(0);
    log.audit(&["verify", "--head", &head]).done();

    log.audit(&["show", "3"]).refused("It was archived: the log here begins after #10");
    log.audit(&["redact", "3", "--reason", "x"]).refused("was archived");
    let record =
        log.column("SELECT CAST(MAX(seq) AS TEXT) FROM audit_log WHERE action = 'audit.archived'").await.remove(0);
    log.audit(&["redact", &record, "--reason", "x"]).refused("records an archive");

    // The next one goes on from there, and all three parts together are the whole chain.
    log.audit(&["archive", "--before", "2025-12-21", "newer.jsonl"]).done();
    let whole = log.audit(&["verify", "--archive", "old.jsonl", "--archive", "newer.jsonl"]).done().out;
    assert!(whole.contains("the chain holds"), "{whole}");
    let wrong = log.audit(&["verify", "--archive", "newer.jsonl", "--archive", "old.jsonl"]);
    assert_eq!(wrong.status, 1, "in the wrong order: {wrong:?}");
}

#[tokio::test]
async fn a_redaction_that_was_archived_itself_still_accounts_for_what_it_erased() {
    let log = Log::of(10).await;
    log.audit(&["redact", "2", "--reason", "a name"]).done();
    log.audit(&["archive", "--before", "2025-12-06", "entry.jsonl"]).done();
    log.audit(&["archive", "--before", "2100-01-01", "record.jsonl"]).done();
    let whole = log.audit(&["verify", "--archive", "entry.jsonl", "--archive", "record.jsonl"]).done().out;
    assert!(whole.contains("1 of them erased") && whole.contains("the chain holds"), "{whole}");

    let text = std::fs::read_to_string(log.path("record.jsonl")).unwrap();
    let unrecorded = text.replace(r#"{\"redacted\":[2]}"#, r#"{\"redacted\":[3]}"#);
    assert_ne!(unrecorded, text);
    std::fs::write(log.path("record.jsonl"), unrecorded).unwrap();
    let tampered = log.audit(&["verify", "--archive", "entry.jsonl", "--archive", "record.jsonl"]);
    assert!(tampered.status == 1 && tampered.out.contains("entry 2 has lost its salt"), "{tampered:?}");
    assert!(tampered.out.contains("entry 11 was changed: its seal"), "{tampered:?}");
}

#[tokio::test]
async fn a_changed_archive_and_one_that_is_cut_off_are_found() {
    let log = Log::of(10).await;
    log.audit(&["archive", "--before", "2025-12-06", "old.jsonl"]).done();
    let text = std::fs::read_to_string(log.path("old.jsonl")).unwrap();
    std::fs::write(log.path("forged.jsonl"), text.replace("reason 3", "reason 4")).unwrap();
    let forged = log.audit(&["verify", "--archive", "forged.jsonl"]);
    assert!(forged.status == 1 && forged.out.contains("entry 3 was changed: its seal"), "{forged:?}");
    let shorter: String = text.lines().take(4).map(|line| format!("{line}\n")).collect();
    std::fs::write(log.path("shorter.jsonl"), shorter).unwrap();
    let shorter = log.audit(&["verify", "--archive", "shorter.jsonl"]);
    assert!(shorter.status == 1 && shorter.out.contains("entry 5 is missing"), "{shorter:?}");
    std::fs::write(log.path("torn.jsonl"), &text[..text.len() - 20]).unwrap();
    log.audit(&["verify", "--archive", "torn.jsonl"]).refused("line 5 is no entry");
    log.audit(&["verify", "--archive", "none.jsonl"])
        .refused("none.jsonl is not checked: it can't be read: No such file");
}

#[tokio::test]
async fn nothing_is_removed_before_the_file_proves_itself() {
    let log = Log::of(10).await;
    let count = || log.column("SELECT CAST(COUNT(*) AS TEXT) FROM audit_log WHERE deploy_id IS NOT NULL");
    std::fs::write(log.path("old.jsonl"), "something else").unwrap();
    log.audit(&["archive", "--before", "2025-12-06", "old.jsonl"]).refused("is there already");
    assert_eq!(std::fs::read_to_string(log.path("old.jsonl")).unwrap(), "something else");
    log.audit(&["archive", "--before", "2025-12-06", "nowhere/old.jsonl"]).refused("can't be written");
    assert_eq!(log.audit(&["archive", "--before", "2025-02-30", "x.jsonl"]).status, 2);
    let none = log.audit(&["archive", "--before", "2025-11-01", "none.jsonl"]).done().out;
    assert!(none.contains("No entry is older"), "{none}");
    log.tamper("DROP TRIGGER audit_log_is_never_changed").await;
    log.tamper("UPDATE audit_log SET branch = 'other' WHERE seq = 3").await;
    log.audit(&["archive", "--before", "2025-12-06", "broken.jsonl"]).refused("The chain is broken: entry 3");
    assert_eq!((count().await, log.files()), (vec!["10".to_owned()], vec!["old.jsonl".to_owned()]));
}

#[tokio::test]
async fn what_is_redacted_while_the_file_is_written_is_not_removed_as_if_the_file_were_true() {
    let log = Log::of(10).await;
    let (root, path) = (Actor::cli("root"), log.path("old.jsonl"));
    let before = Timestamp::from_millis(FIRST + 5 * DAY);
    // It is erased already, and not yet for others.
    let mut tx = log.db.begin().await.unwrap();
    let record = Entry::new(acme(), before, &root, Action::AuditRedacted, Outcome::Allowed);
    audit::append(&mut tx, &record.detail(json!({ "redacted": [3] }))).await.unwrap();
    audit::store::erase(&mut tx, acme(), 3).await.unwrap();
    let archives = tokio::spawn({
        let (db, path) = (log.db.clone(), path.clone());
        async move { archive(&db, &root, acme(), before, &path, &Clock::system()).await }
    });
    let written = async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), written).await.expect("a file");
    tx.commit().await.unwrap();
    let archived = archives.await.unwrap();
    assert!(matches!(archived, Err(ArchiveError::Redacted(_))), "{archived:?}");
    assert_eq!(log.column("SELECT CAST(COUNT(*) AS TEXT) FROM audit_log WHERE seq <= 10").await, ["10"]);
}

#[tokio::test]
async fn the_oldest_entries_gone_without_a_recorded_archive_are_tampering() {
    let log = Log::of(10).await;
    log.audit(&["archive", "--before", "2025-12-06", "old.jsonl"]).done();
    log.append(&entry(11, "later")).await;
    log.tamper("DROP TRIGGER audit_log_is_never_shortened").await;
    log.tamper("DELETE FROM audit_log WHERE seq <= 7").await;
    let verified = log.audit(&["verify"]);
    assert!(verified.out.contains("entries 6 to 7 are missing"), "{verified:?}");
}

#[tokio::test]
async fn an_archive_that_was_stopped_while_it_removed_is_whole_and_gone_on_with() {
    let log = Log::of(10).await;
    log.audit(&["archive", "--before", "2025-12-08", "old.jsonl"]).done();
    // As if it had been killed after the first of them.
    let row = std::fs::read_to_string(log.path("old.jsonl")).unwrap();
    let last = slipway::audit::export::read_line(row.lines().last().unwrap()).unwrap();
    log.tamper("DROP TRIGGER audit_log_only_grows_at_its_end").await;
    log.tamper("DROP TRIGGER audit_log_has_a_head").await;
    sqlx::query(
        "INSERT INTO audit_log SELECT guild_id, $1, format, $2, channel_id, actor_id, actor_name, action, repo, environment, branch,
         revision, $1, outcome, $3, $4, $5, $6, $7, $8 FROM audit_log WHERE seq = 8",
    )
    .bind(last.seq)
    .bind(last.at)
    .bind(&last.reason)
    .bind(&last.detail)
    .bind(&last.salt)
    .bind(&last.seal)
    .bind(&last.prev_hash)
    .bind(&last.hash)
    .execute(log.db.pool())
    .await
    .unwrap();
    let verified = log.audit(&["verify"]).done().out;
    assert!(verified.contains("the chain holds"), "{verified}");
    log.audit(&["archive", "--before", "2025-12-08", "again.jsonl"]).done();
    assert_eq!(log.column("SELECT CAST(MIN(seq) AS TEXT) FROM audit_log").await, ["8"]);
}

#[tokio::test]
async fn the_database_finds_what_allows_a_removal_or_an_erasure_without_reading_the_log() {
    let mut costs = Vec::new();
    for entries in [1_000, 20_000] {
        let log = Log::of(1).await;
        log.grow_to(entries).await;
        let root = Actor::cli("root");
        for (action, detail) in [
            (Action::AuditRedacted, json!({ "redacted": [1] })),
            (Action::AuditArchived, json!({ "last": 1, "head": "its hash" })),
        ] {
            let record = Entry::new(acme(), Timestamp::from_millis(FIRST), &root, action, Outcome::Allowed);
            log.append(&record.detail(detail)).await;
        }
        let first = "WHERE guild_id = 197038439483310086 AND seq = 1";
        let erased = "actor_name = NULL, reason = NULL, detail = NULL, salt = NULL";
        let erase = log.steps(&format!("UPDATE audit_log SET {erased} {first}")).await;
        costs.push((erase, log.steps(&format!("DELETE FROM audit_log {first}")).await));
    }
    let [few, many] = costs[..] else { panic!("two logs") };
    assert!(many.0 < 2 * few.0 && many.1 < 2 * few.1, "a log that is 20 times as long: {few:?}, {many:?}");
}
