//! `slipway audit redact`.

use super::log::{Log, entry};

const SECRET: &str = "hunter2-is-the-password";

#[tokio::test]
async fn what_is_redacted_is_gone_from_the_files_and_the_chain_still_proves_the_rest() {
    let log = Log::of(2).await;
    log.append(&entry(3, SECRET)).await;
    log.append(&entry(4, SECRET)).await;
    let noted = log.column("SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1").await.remove(0);
    assert!(log.holds_bytes(SECRET));

    let said = log.audit(&["redact", "3", "--reason", "a password"]).done().out;
    assert!(said.starts_with("Entry #3 is redacted") && said.contains("The same reason stands in #4"), "{said}");
    log.audit(&["redact", "4", "--reason", "the same"]).done();

    assert!(!log.holds_bytes(SECRET), "it is still somewhere in the files");
    let verified = log.audit(&["verify", "--head", &noted]).done().out;
    assert!(verified.contains("6 entries, 2 of them erased, the chain holds"), "{verified}");
    assert!(verified.contains("the noted head is entry 4"), "{verified}");
    let shown = log.audit(&["show", "3"]).done().out;
    assert!(shown.contains("Reason         erased: this entry was redacted"), "{shown}");
    let listed = log.audit(&["search", "is:redacted"]).done().out;
    assert_eq!(listed.lines().filter(|line| line.contains("redacted")).count(), 2, "{listed}");
    let exported = log.audit(&["export", "--format", "jsonl", "--output", "log.jsonl"]);
    assert_eq!(exported.status, 0);
    log.python_says("log.jsonl", Ok("8 entries hold"));
    log.audit(&["redact", "3", "--reason", "again"]).refused("has been redacted already");
    log.audit(&["redact", "99", "--reason", "none"]).refused("There is no entry #99");
    assert_eq!(log.audit(&["redact", "3"]).status, 2, "a reason is required");
}

#[tokio::test]
async fn a_reason_that_stands_in_many_entries_is_not_said_to_stand_in_a_few() {
    let log = Log::of(1).await;
    for number in 2..=22 {
        log.append(&entry(number, SECRET)).await;
    }
    let said = log.audit(&["redact", "2", "--reason", "a password"]).done().out;
    assert!(said.contains("The same reason stands in #3, #4,") && said.contains("#22 and perhaps more. "), "{said}");
    let said = log.audit(&["redact", "3", "--reason", "the same"]).done().out;
    assert!(said.contains(", #21, #22. Redact them too"), "{said}");
}

#[tokio::test]
async fn an_erased_seal_without_a_recorded_redaction_is_tampering() {
    let log = Log::of(3).await;
    log.tamper("DROP TRIGGER audit_log_is_never_changed").await;
    log.tamper("UPDATE audit_log SET actor_name = NULL, reason = NULL, detail = NULL, salt = NULL WHERE seq = 2").await;
    let verified = log.audit(&["verify"]);
    assert!(verified.out.contains("entry 2 has lost its salt, and no redaction is recorded"), "{verified:?}");
    assert_eq!(verified.status, 1);
}

#[tokio::test]
async fn the_record_of_a_redaction_can_be_redacted_itself() {
    let log = Log::of(2).await;
    log.audit(&["redact", "1", "--reason", SECRET]).done();
    log.audit(&["redact", "3", "--reason", "the reason named what was erased"]).done();
    assert!(!log.holds_bytes(SECRET));
    let verified = log.audit(&["verify"]).done().out;
    assert!(verified.contains("2 of them erased, the chain holds"), "{verified}");
}
