//! What is noted of the blocks of a long audit log lets searches pass them by: they find everything all the same, and whoever changes
//! the notes to hide something is found out.

#![allow(clippy::unwrap_used, reason = "a test that fails here has found something")]

use serde_json::json;
use slipway::actor::{Actor, ActorId};
use slipway::audit::archive::archive;
use slipway::audit::redact::redact;
use slipway::audit::search::{Beyond, From, page};
use slipway::audit::{self, Action, AsOf, Entry, Outcome, Query, Question, Row};
use slipway::db::Db;
use slipway::id::{GuildId, UserId};
use slipway::time::{Clock, Timestamp};
use tempfile::TempDir;
use tokio::sync::OnceCell;

const ACME: GuildId = GuildId::PROCESS;
/// Three whole blocks and a bit.
const ENTRIES: i64 = 12_500;
const MINUTE: i64 = 60_000;
const FIRST: i64 = 1_764_547_200_000; // 2025-12-01

struct Log {
    db: Db,
    folder: TempDir,
}

/// Alice and bob act all the time, the one in `acme/web`, the other in `acme/api`; in the middle alice did once what bob does.
fn entry(number: i64) -> Entry {
    let is_alice = number % 2 == 0 || number == 9_001;
    let (id, name, repo) = if is_alice { (1, "Alice", "acme/web") } else { (2, "Bob", "acme/api") };
    let repo = if number == 9_001 { "acme/api" } else { repo };
    let who = Actor { id: ActorId::User(UserId::from_row(id)), name: name.into(), roles: Vec::new() };
    let (action, outcome) = match number % 8 {
        0 => (Action::DeployDenied, Outcome::Denied),
        1 | 2 => (Action::DeployRequested, Outcome::Allowed),
        _ => (Action::DeployFinished, Outcome::Succeeded),
    };
    Entry::new(ACME, Timestamp::from_millis(FIRST + number * MINUTE), &who, action, outcome)
        .repo(repo)
        .environment(if number < 6_000 { "staging" } else { "production" })
        .branch(if is_alice { "main" } else { "trunk" })
        .detail(json!({}))
}

async fn open(folder: &TempDir) -> Db {
    Db::open(&format!("sqlite://{}/slipway.db", folder.path().display()).parse().unwrap()).await.unwrap()
}

impl Log {
    /// A copy of one that is made once: that takes a while.
    async fn new() -> Self {
        static MADE: OnceCell<TempDir> = OnceCell::const_new();
        let made = MADE.get_or_init(Self::make).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(made.path().join("slipway.db"), folder.path().join("slipway.db")).unwrap();
        Self { db: open(&folder).await, folder }
    }

    async fn make() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let db = open(&folder).await;
        let mut tx = db.begin().await.unwrap();
        for number in 1..=ENTRIES {
            audit::append(&mut tx, &entry(number)).await.unwrap();
        }
        tx.commit().await.unwrap();
        db.close().await;
        folder
    }

    fn question(query: &str) -> Question {
        let now = Timestamp::from_millis(FIRST + ENTRIES * MINUTE);
        Question { guild: ACME, query: query.parse::<Query>().unwrap(), as_of: AsOf::utc(now) }
    }

    /// The numbers of all entries that are meant, page by page.
    async fn found(&self, query: &str, upwards: bool) -> Vec<i64> {
        let (mut from, mut found) = (if upwards { From::After(0) } else { From::Newest }, Vec::new());
        loop {
            let page = page(self.db.pool(), &Self::question(query), from, 900, None, &|_| true).await.unwrap();
            let mut seqs: Vec<i64> = page.rows.iter().map(|row| row.seq).collect();
            if upwards {
                seqs.reverse();
            }
            found.extend(&seqs);
            match (page.beyond, seqs.last()) {
                (Beyond::Nothing, _) | (_, None) => return found,
                (_, Some(last)) => from = if upwards { From::After(*last) } else { From::Before(*last) },
            }
        }
    }

    async fn rows(&self) -> Vec<Row> {
        audit::store::rows_after(&mut self.db.reader().await.unwrap(), ACME, 0, i64::MAX).await.unwrap()
    }

    async fn tamper(&self, sql: &'static str) {
        assert!(sqlx::query(sql).execute(self.db.pool()).await.unwrap().rows_affected() > 0, "{sql}");
    }

    async fn breaks(&self) -> Vec<String> {
        let checked = audit::verify(self.db.pool(), ACME, &[]).await.unwrap();
        checked.broken.iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn what_is_passed_by_holds_nothing_that_is_meant() {
    let log = Log::new().await;
    let rows = log.rows().await;
    for query in [
        "actor:@alice repo:acme/api",
        "actor:1 repo:ACME/API",
        "actor:@bob repo:acme/web",
        "actor:alice,bob repo:acme/api",
        "environment:staging branch:trunk action:deploy.denied",
        "environment:staging outcome:denied",
        "environment:stag* branch:ma*",
        "action:deploy repo:acme/web branch:trunk",
        "outcome:denied branch:trunk",
        "actor:@alice -repo:acme/web",
        "repo:acme/* environment:staging actor:@bob action:deploy.requested",
        "actor:@alice actor:1",
        "actor:al* actor:1",
        "action:deploy action:deploy.denied repo:acme/web",
        "actor:@alice repo:acme/api since:2025-12-06 until:2025-12-08",
    ] {
        let question = Log::question(query);
        let mut meant: Vec<i64> =
            rows.iter().filter(|row| question.query.matches(row, &question.as_of)).map(|row| row.seq).collect();
        assert_eq!(log.found(query, true).await, meant, "{query}");
        meant.reverse();
        assert_eq!(log.found(query, false).await, meant, "{query}");
    }
    assert_eq!(log.found("actor:@alice repo:acme/api", false).await, [9_001]);
    assert_eq!(log.breaks().await, Vec::<String>::new());
}

#[tokio::test]
async fn whoever_hides_entries_from_searches_is_found_out() {
    let log = Log::new().await;
    let (asked, alone) = ("actor:@alice repo:acme/api", [9_001]);
    assert_eq!(log.found(asked, false).await, alone);

    let all = log.found("actor:@alice repo:acme/web", false).await.len();
    let tampers = |sql| sqlx::query(sql).execute(log.db.pool());
    tampers("CREATE TABLE kept AS SELECT * FROM audit_met").await.unwrap();
    // Values that met are noted not to have met.
    log.tamper("UPDATE audit_met SET pairs = zeroblob(64)").await;
    assert!(log.found("actor:@alice repo:acme/web", false).await.len() < all);
    let hidden =
        |seq| format!("entry {seq} is hidden from searches: what audit_met notes of its block was changed or removed");
    assert_eq!(log.breaks().await, [hidden(1), hidden(4096), hidden(8192)]);
    log.tamper("DELETE FROM audit_met").await;
    assert_eq!((log.found(asked, false).await.as_slice(), log.breaks().await.len()), (&alone[..], 0));
    log.tamper("INSERT INTO audit_met SELECT * FROM kept").await;

    for (changed, tells) in [
        ("UPDATE audit_span SET at_max = at_max - 60000 WHERE block = 3", "entry 4095 is hidden"),
        ("UPDATE audit_span SET at_min = at_max WHERE block = 8", "entry 8192 is hidden"),
        ("DELETE FROM audit_span WHERE block = 8", "entry 8192 is hidden"),
        ("INSERT INTO audit_span VALUES (0, 90, 0, 1)", "entry 12500 is hidden"),
        ("INSERT INTO audit_span VALUES (0, 12, 0, 1)", "entry 12288 is hidden"),
    ] {
        tampers("CREATE TABLE spans AS SELECT * FROM audit_span").await.unwrap();
        log.tamper(changed).await;
        let breaks = log.breaks().await;
        assert!(breaks.len() == 1 && breaks[0].starts_with(tells) && breaks[0].contains("audit_span"), "{breaks:?}");
        log.tamper("DELETE FROM audit_span").await;
        log.tamper("INSERT INTO audit_span SELECT * FROM spans").await;
        tampers("DROP TABLE spans").await.unwrap();
    }
    assert_eq!(log.breaks().await, Vec::<String>::new());
}

#[tokio::test]
async fn entries_that_take_the_place_of_some_that_were_cut_off_are_found() {
    let log = Log::new().await;
    sqlx::query("DROP TRIGGER audit_log_is_never_shortened").execute(log.db.pool()).await.unwrap();
    log.tamper("DELETE FROM audit_log WHERE seq > 8100").await;
    let late = Timestamp::from_millis(FIRST + 100 * 24 * 60 * MINUTE);
    let mut tx = log.db.begin().await.unwrap();
    audit::append(&mut tx, &Entry { at: late, ..entry(9_001) }).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(log.found("actor:@alice repo:acme/api", true).await, [8_102]);
    assert_eq!(log.found("created:>=2026-01-01", false).await, [8_102, 8_101]);
    let breaks = log.breaks().await;
    assert!(breaks.len() == 1 && breaks[0].starts_with("entry 8101 records"), "{breaks:?}");
}

#[tokio::test]
async fn an_entry_with_the_last_number_there_is_stops_no_search_and_is_found_out() {
    let log = Log::new().await;
    sqlx::query("DROP TRIGGER audit_log_only_grows_at_its_end").execute(log.db.pool()).await.unwrap();
    log.tamper(
        "INSERT INTO audit_log SELECT guild_id, 9223372036854775807, format, at, channel_id, actor_id, actor_name, action, repo,
         environment, branch, revision, deploy_id, outcome, reason, detail, salt, seal, prev_hash, hash FROM audit_log WHERE seq = 1",
    )
    .await;
    assert_eq!(log.found("actor:@alice repo:acme/api", false).await, [9_001]);
    assert_eq!(log.found("actor:@alice repo:acme/api since:2025-12-06", true).await, [9_001]);
    let breaks = log.breaks().await;
    let is_told = breaks.iter().any(|told| told.starts_with("entries 12501 to 9223372036854775806 are missing"));
    assert!(is_told, "{breaks:?}");
    let mut tx = log.db.begin().await.unwrap();
    let refused = audit::append(&mut tx, &entry(1)).await;
    assert!(refused.is_err(), "nothing can follow it: {refused:?}");
}

#[tokio::test]
async fn an_erased_name_is_erased_from_the_notes_and_archived_blocks_have_none() {
    let log = Log::new().await;
    let (root, now) = (Actor::cli("root"), Timestamp::from_millis(FIRST + (ENTRIES + 1) * MINUTE));
    let notes = async || -> Vec<(i64, Vec<u8>)> {
        let notes = sqlx::query_as("SELECT block, pairs FROM audit_met ORDER BY block, kind").fetch_all(log.db.pool());
        notes.await.unwrap()
    };
    let before = notes().await;
    redact(&log.db, &root, ACME, 9_001, "a name", now).await.unwrap();
    assert_eq!(log.found("actor:@alice repo:acme/api", false).await, Vec::<i64>::new());
    assert_eq!(log.found("actor:1 repo:acme/api", false).await, [9_001]);
    let after = notes().await;
    let changed: Vec<i64> = before.iter().zip(&after).filter(|(old, new)| old != new).map(|(old, _)| old.0).collect();
    // Of each block one note for each two columns; the name stood beside values of five others, and its own id.
    assert_eq!((before.len(), changed.iter().all(|block| *block == 2)), (3 * 21, true));
    assert!((1..=6).contains(&changed.len()), "{changed:?}");

    let (path, clock) = (log.folder.path().join("old.jsonl"), Clock::new(|| Timestamp::from_millis(FIRST * 2)));
    let half = Timestamp::from_millis(FIRST + 8_500 * MINUTE);
    archive(&log.db, &root, ACME, half, &path, &clock).await.unwrap();
    assert!(notes().await.iter().all(|note| note.0 == 2));
    assert_eq!(log.found("actor:1 repo:acme/api", true).await, [9_001]);
    assert_eq!(log.breaks().await, Vec::<String>::new());
}
