//! The audit log as an auditor would test it: appended to by many, tampered with in every way, and found out each time.

#![allow(clippy::unwrap_used, reason = "a test that fails here has found something")]

use std::collections::BTreeSet;

use serde_json::json;
use slipway::actor::{Actor, ActorId};
use slipway::audit::chain::{SALT_BYTES, link};
use slipway::audit::search::{From, page};
use slipway::audit::{self, Action, AsOf, Checked, Entry, Fault, Head, Outcome, Query, Question};
use slipway::db::Db;
use slipway::id::{ChannelId, DeployId, GuildId, UserId};
use slipway::time::Timestamp;
use sqlx::AssertSqlSafe;

const ACME: GuildId = GuildId::PROCESS;

fn guild(number: i64) -> GuildId {
    GuildId::from_row(number)
}

fn alice() -> Actor {
    Actor { id: ActorId::User(UserId::from_row(175_928_847_299_117_063)), name: "alice".into(), roles: Vec::new() }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_764_000_000_000 + millis)
}

/// An entry with every column filled.
fn deploy(guild: GuildId, number: i64) -> Entry {
    Entry::new(guild, at(number), &alice(), Action::DeployRequested, Outcome::Allowed)
        .channel(ChannelId::from_row(41_771_983_423_143_937))
        .repo("acme/web")
        .environment("production")
        .branch("main")
        .revision(Some("1dc6aa6"))
        .deploy(DeployId(number))
        .reason(Some("fix the login"))
        .detail(json!({"rule": "#3", "parameters": {"b": 1, "a": "x"}}))
}

/// A log in a file of its own.
struct Log {
    db: Db,
    _folder: tempfile::TempDir,
}

impl Log {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/slipway.db", folder.path().display()).parse().unwrap();
        Self { db: Db::open(&url).await.unwrap(), _folder: folder }
    }

    async fn with_five_entries() -> Self {
        let log = Self::new().await;
        for number in 1..=5 {
            // The fourth has nothing but what every entry has.
            match number {
                4 => {
                    log.append(&Entry::new(ACME, at(4), &Actor::cli("root"), Action::SlipwayStarted, Outcome::Allowed))
                        .await
                }
                number => log.append(&deploy(ACME, number)).await,
            };
        }
        log
    }

    async fn append(&self, entry: &Entry) -> Head {
        let mut tx = self.db.begin().await.unwrap();
        let appended = audit::append(&mut tx, entry).await.unwrap();
        tx.commit().await.unwrap();
        appended
    }

    async fn tamper(&self, sql: &str) -> Result<u64, String> {
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(self.db.pool()).await;
        done.map(|done| done.rows_affected()).map_err(|error| error.to_string())
    }

    async fn without_triggers(self) -> Self {
        let triggers: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'audit_log'")
                .fetch_all(self.db.pool())
                .await
                .unwrap();
        assert_eq!(triggers.len(), 5);
        // The two that note what is appended stay: they refuse nothing.
        for trigger in triggers.iter().filter(|trigger| !trigger.contains("_has_")) {
            self.tamper(&format!("DROP TRIGGER {trigger}")).await.unwrap();
        }
        self.tamper("CREATE TABLE kept AS SELECT * FROM audit_log").await.unwrap();
        self
    }

    async fn restore(&self) {
        self.tamper("DELETE FROM audit_log").await.unwrap();
        self.tamper("DELETE FROM audit_head").await.unwrap();
        self.tamper("INSERT INTO audit_log SELECT * FROM kept ORDER BY seq").await.unwrap();
        assert!(self.verify(&[]).await.holds());
    }

    async fn verify(&self, noted: &[String]) -> Checked {
        audit::verify(self.db.pool(), ACME, noted).await.unwrap()
    }

    /// The breaks of the chain, as people read them.
    async fn breaks(&self) -> Vec<String> {
        self.verify(&[]).await.broken.iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_or_remove_entries() {
    let log = Log::with_five_entries().await;
    let columns = "guild_id, seq, format, at, action, outcome, seal, prev_hash, hash";
    let values = |seq: i64| {
        format!(
            "SELECT guild_id, {seq}, format, at, action, outcome, seal, prev_hash, hash FROM audit_log WHERE seq = 5"
        )
    };
    for attempt in [
        "UPDATE audit_log SET reason = 'another' WHERE seq = 3".to_owned(),
        "UPDATE OR REPLACE audit_log SET seq = 2 WHERE seq = 3".to_owned(),
        "DELETE FROM audit_log WHERE seq = 5".to_owned(),
        "DELETE FROM audit_log".to_owned(),
        format!("INSERT OR REPLACE INTO audit_log ({columns}) {}", values(3)),
        format!("INSERT OR IGNORE INTO audit_log ({columns}) {}", values(5)),
        format!("INSERT INTO audit_log ({columns}) {} ON CONFLICT DO UPDATE SET reason = 'another'", values(3)),
        format!("INSERT INTO audit_log ({columns}) {}", values(7)),
        format!("INSERT INTO audit_log ({columns}) {}", values(0)),
    ] {
        let refused = log.tamper(&attempt).await.unwrap_err();
        assert!(refused.contains("audit_log is append-only"), "{attempt}: {refused}");
    }
    // An entry's rowid would be a way to replace it with one that is in its place: there is none.
    let by_rowid = format!("INSERT OR REPLACE INTO audit_log (rowid, {columns}) SELECT 2, * FROM ({})", values(6));
    assert!(log.tamper(&by_rowid).await.unwrap_err().contains("no column named rowid"));
    assert_eq!(log.verify(&[]).await.entries, 5);
    assert!(log.verify(&[]).await.holds());
}

#[tokio::test]
async fn a_change_to_any_column_is_found_and_located() {
    let log = Log::with_five_entries().await.without_triggers().await;
    let columns: Vec<(String, String, i64)> =
        sqlx::query_as(r#"SELECT name, type, "notnull" FROM pragma_table_info('audit_log')"#)
            .fetch_all(log.db.pool())
            .await
            .unwrap();
    assert_eq!(columns.len(), 20);
    for (column, kind, required) in columns {
        let mut values = match kind.as_str() {
            "INTEGER" => vec![format!("COALESCE({column}, 0) + 1000"), format!("-1 - COALESCE({column}, 0)")],
            "TEXT" => vec![
                format!("COALESCE({column}, '') || 'x'"),
                format!("COALESCE({column}, '') || ' '"),
                format!("COALESCE({column}, '') || char(0)"),
                format!("COALESCE({column}, '') || CAST(x'ff' AS TEXT)"),
                format!("CASE {column} WHEN upper({column}) THEN 'x' ELSE COALESCE(upper({column}), 'x') END"),
                "''".to_owned(),
            ],
            other => panic!("a column of type {other}: extend this test"),
        };
        if required == 0 {
            values.push("NULL".to_owned());
        }
        // The third has every column filled, the fourth as few as can be.
        for seq in [3, 4] {
            for value in &values {
                let change =
                    format!("UPDATE audit_log SET {column} = {value} WHERE seq = {seq} AND {column} IS NOT {value}");
                if log.tamper(&change).await.unwrap() == 0 {
                    continue;
                }
                let breaks = log.breaks().await;
                let what = format!("{column} = {value} of entry {seq}: {breaks:?}");
                assert!(!breaks.is_empty(), "not found: {what}");
                // A number below 1 shows first, wherever it was taken from.
                let located = breaks.iter().any(|broken| broken.starts_with(&format!("entry {seq} ")));
                assert!(located, "not located: {what}");
                log.restore().await;
            }
        }
    }
}

#[tokio::test]
async fn removal_insertion_and_reordering_are_found_and_located() {
    let log = Log::with_five_entries().await.without_triggers().await;
    let renumber = |from: i64, by: i64| {
        // By way of negative numbers, so that no two are ever the same.
        [
            format!("UPDATE audit_log SET seq = -(seq + {by}) WHERE seq >= {from}"),
            "UPDATE audit_log SET seq = -seq WHERE seq < 0".to_owned(),
        ]
    };
    let copy = "guild_id, {}, format, at, channel_id, actor_id, actor_name, action, repo, environment, branch, revision, deploy_id,
                outcome, reason, detail, salt, seal, prev_hash, hash";
    let insert = format!("INSERT INTO audit_log SELECT {} FROM kept WHERE seq = 1", copy.replace("{}", "3"));
    let remove = "DELETE FROM audit_log WHERE seq = 3".to_owned();
    let swap = "UPDATE audit_log SET seq = CASE seq WHEN 2 THEN -3 ELSE -2 END WHERE seq IN (2, 3)".to_owned();

    for (deed, statements, finding) in [
        ("removal", vec![remove.clone()], "entry 3 is missing"),
        ("removal of two", vec!["DELETE FROM audit_log WHERE seq IN (2, 3)".to_owned()], "entries 2 to 3 are missing"),
        ("removal of the oldest", vec!["DELETE FROM audit_log WHERE seq = 1".to_owned()], "entry 1 is missing"),
        ("removal and renumbering", [vec![remove], renumber(4, -1).to_vec()].concat(), "entry 3 doesn't follow"),
        ("insertion", [renumber(3, 1).to_vec(), vec![insert]].concat(), "entry 3 doesn't follow"),
        (
            "insertion before the first",
            vec![format!("INSERT INTO audit_log SELECT {} FROM kept WHERE seq = 1", copy.replace("{}", "0"))],
            "entry 0 stands where none can be",
        ),
        (
            "reordering",
            vec![swap, "UPDATE audit_log SET seq = -seq WHERE seq < 0".to_owned()],
            "entry 2 doesn't follow",
        ),
    ] {
        for statement in statements {
            log.tamper(&statement).await.unwrap();
        }
        let breaks = log.breaks().await;
        assert!(breaks.first().is_some_and(|first| first.starts_with(finding)), "{deed}: {breaks:?}");
        log.restore().await;
    }
}

#[tokio::test]
async fn cutting_off_the_newest_entries_shows_against_the_note_beside_the_log() {
    let log = Log::with_five_entries().await.without_triggers().await;
    log.tamper("DELETE FROM audit_log WHERE seq > 3").await.unwrap();
    assert_eq!(log.breaks().await, ["entries 4 to 5 were cut off: audit_head has noted 5 as the newest one"]);
    log.tamper("DELETE FROM audit_log").await.unwrap();
    assert_eq!(log.breaks().await, ["entries 1 to 5 were cut off: audit_head has noted 5 as the newest one"]);
    assert_eq!(audit::store::guilds(log.db.pool()).await.unwrap(), [ACME], "an emptied chain is still asked about");
    log.restore().await;
    log.tamper("DELETE FROM audit_head").await.unwrap();
    assert_eq!(log.breaks().await, ["entry 5 is the newest, and the row of audit_head that says so is gone"]);
}

#[tokio::test]
async fn a_broken_chain_is_gone_on_from_as_it_stands_and_says_so_for_ever() {
    let log = Log::with_five_entries().await.without_triggers().await;
    log.tamper("DELETE FROM audit_log WHERE seq > 3").await.unwrap();
    assert_eq!(log.append(&deploy(ACME, 6)).await.seq, 5, "after the entry that tells of the break");
    assert_eq!(log.append(&deploy(ACME, 7)).await.seq, 6, "which is told once");
    let recorded = ["entry 4 records that what stood before it had been cut off or changed: its reason says what"];
    assert_eq!(log.breaks().await, recorded);
    let mut connection = log.db.reader().await.unwrap();
    let entry = audit::store::entry(&mut connection, ACME, 4).await.unwrap().unwrap();
    let why = "The newest entry was #5, and now is #3: what came after it was cut off.";
    assert_eq!((entry.action.as_str(), entry.reason.as_deref()), ("audit.broken", Some(why)));
}

#[tokio::test]
async fn cutting_off_the_newest_entries_and_their_note_shows_against_a_noted_head() {
    let log = Log::with_five_entries().await.without_triggers().await;
    let noted = vec![log.verify(&[]).await.head.hash];
    assert_eq!(log.verify(&noted).await.found, [Head { seq: 5, hash: noted[0].clone() }]);
    log.append(&deploy(ACME, 6)).await;
    assert_eq!(log.verify(&noted).await.found.len(), 1, "a head stays in its chain while that grows");

    let renote = "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1)";
    log.tamper("DELETE FROM audit_log WHERE seq > 4").await.unwrap();
    log.tamper(renote).await.unwrap();
    let checked = log.verify(&noted).await;
    assert!(checked.holds() && checked.found.is_empty(), "what is left is a chain, and the head is not in it");

    log.append(&deploy(ACME, 5)).await;
    let rebuilt = log.verify(&noted).await;
    assert!(rebuilt.holds() && rebuilt.entries == 5 && rebuilt.found.is_empty(), "nor when it was rebuilt from there");

    log.tamper("DELETE FROM audit_log").await.unwrap();
    log.tamper("DELETE FROM audit_head").await.unwrap();
    let emptied = log.verify(&noted).await;
    assert!(emptied.holds() && emptied.found.is_empty(), "nor when all is gone");
}

#[tokio::test]
async fn a_break_is_told_once_and_what_follows_is_still_checked() {
    let log = Log::with_five_entries().await.without_triggers().await;
    log.tamper("UPDATE audit_log SET reason = 'another' WHERE seq = 2").await.unwrap();
    log.tamper("UPDATE audit_log SET branch = 'another' WHERE seq = 5").await.unwrap();
    let checked = log.verify(&[]).await;
    let found: Vec<_> = checked.broken.iter().map(|broken| (broken.seq, broken.fault.clone())).collect();
    assert_eq!(found, [(2, Fault::Seal), (5, Fault::Hash)]);
}

#[tokio::test]
async fn eight_at_once_never_fork_a_chain_and_each_guild_has_its_own() {
    let log = Log::new().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let db = log.db.clone();
        writers.spawn(async move {
            for number in 0..25 {
                let mut tx = db.begin().await.unwrap();
                audit::append(&mut tx, &deploy(guild(1 + number % 2), writer * 100 + number)).await.unwrap();
                tx.commit().await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let mut heads = BTreeSet::new();
    for (number, entries) in [(1, 8 * 13), (2, 8 * 12)] {
        let checked = audit::verify(log.db.pool(), guild(number), &[]).await.unwrap();
        assert!(checked.holds(), "{:?}", checked.broken);
        assert_eq!((checked.entries, checked.head.seq), (entries, entries as i64));
        heads.insert(checked.head.hash);
    }
    assert_eq!(heads.len(), 2);
    assert_eq!(audit::store::guilds(log.db.pool()).await.unwrap(), [guild(1), guild(2)]);
}

#[tokio::test]
async fn what_is_rolled_back_leaves_no_entry_and_no_gap() {
    let log = Log::new().await;
    log.append(&deploy(ACME, 1)).await;
    let mut tx = log.db.begin().await.unwrap();
    audit::append(&mut tx, &deploy(ACME, 2)).await.unwrap();
    drop(tx);
    assert_eq!(log.append(&deploy(ACME, 3)).await.seq, 2);
    assert!(log.verify(&[]).await.holds());
}

#[tokio::test]
async fn two_entries_of_one_transaction_follow_each_other() {
    let log = Log::new().await;
    let mut tx = log.db.begin().await.unwrap();
    let first = audit::append(&mut tx, &deploy(ACME, 1)).await.unwrap();
    let second = audit::append(&mut tx, &deploy(ACME, 1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((first.seq, second.seq), (1, 2));
    let checked = log.verify(&[first.hash]).await;
    assert!(checked.holds() && checked.found.len() == 1 && checked.head.hash == second.hash);
}

#[tokio::test]
async fn hostile_text_is_kept_and_breaks_nothing() {
    let log = Log::new().await;
    let hostile = [
        "\0".to_owned(),
        "a\0b".to_owned(),
        "\u{1b}[2J\r\n\t\u{7f}\u{85}".to_owned(),
        "\u{202e}\u{200b}\u{feff}\u{fffe}\u{10ffff}".to_owned(),
        "'; DROP TABLE audit_log; --".to_owned(),
        r#"{"actor_name":null} \" \\ \u0000"#.to_owned(),
        "x".repeat(100_000),
        "😀".repeat(25_000),
    ];
    for text in &hostile {
        let actor = Actor { id: ActorId::Cli(text.clone()), name: text.clone(), roles: Vec::new() };
        let entry = Entry::new(ACME, at(0), &actor, Action::RepoDenied, Outcome::Denied)
            .repo(text)
            .environment(text)
            .branch(text)
            .revision(Some(text))
            .reason(Some(text))
            .detail(json!({ text: [text, null, 1.5e300, -0.0] }));
        log.append(&entry).await;
    }
    let checked = log.verify(&[]).await;
    assert!(checked.holds(), "{:?}", checked.broken);
    let question = Question { guild: ACME, query: Query::default(), as_of: AsOf::utc(at(0)) };
    let rows = page(log.db.pool(), &question, From::Newest, 100, None, &|_| true).await.unwrap().rows;
    for (row, text) in rows.iter().rev().zip(&hostile) {
        assert_eq!(row.reason, Some(text.replace('\0', "\u{fffd}")));
        let detail: serde_json::Value = serde_json::from_str(row.detail.as_ref().unwrap()).unwrap();
        assert_eq!(&detail[text][0], text);
    }
}

#[test]
fn the_worked_example_of_the_docs_is_true() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
    let salt: [u8; SALT_BYTES] = std::array::from_fn(|index| index as u8);
    let first = Entry::new(guild(197_038_439_483_310_086), at(0), &alice(), Action::DeployRequested, Outcome::Allowed)
        .channel(ChannelId::from_row(41_771_983_423_143_937))
        .repo("acme/web")
        .environment("production")
        .branch("main")
        .deploy(DeployId(12))
        .reason(Some("fix the \"login\""))
        .detail(json!({"rules": [3]}));
    let first = link(&first, &Head::beginning(), salt);
    let second =
        Entry::new(guild(197_038_439_483_310_086), at(73_500), &alice(), Action::DeployFinished, Outcome::Succeeded)
            .repo("acme/web")
            .deploy(DeployId(12));
    let second = link(&second, &first.head(), salt.map(|byte| 0xff - byte));
    for row in [first, second] {
        let salt = row.salt.clone().unwrap();
        for bytes in [
            format!("{salt}{}", row.sealed_json()),
            row.seal.clone(),
            format!("{}{}", row.prev_hash, row.hashed_json()),
            row.hash.clone(),
        ] {
            assert!(docs.lines().any(|line| line == bytes), "docs/audit.md should have the line\n{bytes}");
        }
    }
}

#[test]
fn the_docs_name_every_word_of_the_log() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
    let actions = Action::ALL.iter().map(|action| format!("`{action}`"));
    let outcomes = Outcome::ALL.iter().map(|outcome| format!("`{outcome}`"));
    let keys = audit::query::KEYS.iter().map(|key| format!("| `{}:", key.word));
    for word in actions.chain(outcomes).chain(keys) {
        assert!(docs.contains(&word), "docs/audit.md should have {word}");
    }
}
