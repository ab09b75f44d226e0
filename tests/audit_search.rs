//! Questions to the audit log: the database answers as a naive filter would, page by page and on the command line.

#![allow(clippy::unwrap_used, reason = "a test that fails here has found something")]

use std::io::{self, Write};

use clap::Parser;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use slipway::actor::{Actor, ActorId};
use slipway::audit::search::{Beyond, From, Oldest};
use slipway::audit::{self, Action, AsOf, Entry, Newest, Outcome, Query, Question, Row};
use slipway::cli::Exit;
use slipway::cli::audit::{Output, SearchArgs, VerifyArgs, search, verify};
use slipway::db::Db;
use slipway::id::{DeployId, GuildId, UserId};
use slipway::time::{Clock, Timestamp};

const ACME: GuildId = GuildId::PROCESS;
const HOUR: i64 = 3_600_000;

fn now() -> Timestamp {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

fn as_of() -> AsOf {
    AsOf::utc(now())
}

fn person(id: i64, name: &str) -> Actor {
    Actor { id: ActorId::User(UserId::from_row(id)), name: name.to_owned(), roles: Vec::new() }
}

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

    async fn append(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut tx = self.db.begin().await.unwrap();
        for entry in entries {
            audit::append(&mut tx, &entry).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn ask(&self, query: &str) -> Vec<i64> {
        self.page(&query.parse().unwrap(), None, 1_000).await.iter().map(|row| row.seq).collect()
    }

    async fn page(&self, query: &Query, before: Option<i64>, limit: usize) -> Vec<Row> {
        let question = Question { guild: ACME, query: query.clone(), as_of: as_of() };
        let from = before.map_or(From::Newest, From::Before);
        audit::search::page(self.db.pool(), &question, from, limit, None, &|_| true).await.unwrap().rows
    }

    /// `slipway audit search`: exit status, standard output, standard error.
    async fn search(&self, args: &[&str], width: Option<u16>) -> (Exit, String, String) {
        #[derive(Parser)]
        struct Command {
            #[command(flatten)]
            args: SearchArgs,
        }
        let args = Command::parse_from([&["search"], args].concat()).args;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output { out: &mut out, err: &mut err, width };
        let exit = search(&self.db, &args, None, &Clock::new(now), &mut output).await.unwrap();
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    /// `slipway audit verify`, likewise.
    async fn verify(&self, args: &[&str]) -> (Exit, String, String) {
        #[derive(Parser)]
        struct Command {
            #[command(flatten)]
            args: VerifyArgs,
        }
        let args = Command::parse_from([&["verify"], args].concat()).args;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output { out: &mut out, err: &mut err, width: None };
        let exit = verify(&self.db, &args, None, &mut output).await.unwrap();
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }
}

/// A week in which something of everything happened.
fn week() -> Vec<Entry> {
    let alice = person(175_928_847_299_117_063, "Alice");
    let bob = person(80_351_110_224_678_912, "bob");
    let ago = |hours: i64| Timestamp::from_millis(now().millis() - hours * HOUR);
    vec![
        Entry::new(ACME, ago(200), &Actor::cli("root"), Action::SlipwayStarted, Outcome::Allowed),
        Entry::new(ACME, ago(150), &Actor::cli("root"), Action::RepoAdded, Outcome::Allowed).repo("Acme/Web"),
        Entry::new(ACME, ago(100), &alice, Action::PermissionGranted, Outcome::Allowed).detail(json!({"rule": "#1"})),
        Entry::new(ACME, ago(48), &bob, Action::DeployDenied, Outcome::Denied)
            .repo("Acme/Web")
            .environment("staging")
            .branch("feature/50%_off")
            .reason(Some("nobody granted deploy")),
        Entry::new(ACME, ago(24), &alice, Action::DeployRequested, Outcome::Allowed)
            .repo("Acme/Web")
            .environment("production")
            .branch("main")
            .revision(Some("1dc6aa69429bff4806ad6afe58d3d8f57e25973e"))
            .deploy(DeployId(12))
            .reason(Some("Disk FULL, again")),
        Entry::new(ACME, ago(23), &alice, Action::DeployFinished, Outcome::Failed)
            .repo("Acme/Web")
            .environment("production")
            .deploy(DeployId(12)),
        Entry::new(ACME, ago(1), &person(5, "Alice"), Action::PermissionDenied, Outcome::Denied),
    ]
}

#[tokio::test]
async fn questions_an_auditor_asks() {
    let log = Log::new().await;
    log.append(week()).await;
    for (question, answer) in [
        ("", vec![7, 6, 5, 4, 3, 2, 1]),
        ("actor:@alice", vec![7, 6, 5, 3]),
        ("actor:175928847299117063", vec![6, 5, 3]),
        ("actor:<@80351110224678912>", vec![4]),
        ("actor:cli:root", vec![2, 1]),
        ("repo:acme/*", vec![6, 5, 4, 2]),
        ("action:permission", vec![7, 3]),
        ("action:*.denied,slipway.*", vec![7, 4, 1]),
        ("outcome:failed,error", vec![6]),
        ("-environment:staging repo:acme/web", vec![6, 5, 2]),
        ("environment:*", vec![6, 5, 4]),
        ("-environment:*", vec![7, 3, 2, 1]),
        (r"branch:feature/50%_off", vec![4]),
        (r"branch:feature/50__off", vec![]),
        ("revision:1dc6aa6*", vec![5]),
        ("deploy:#12", vec![6, 5]),
        ("-deploy:12 since:3d", vec![7, 4]),
        ("since:2026-01-31 until:2026-01-31", vec![6, 5]),
        ("until:2026-01-24", vec![1]),
        ("\"disk full\"", vec![5]),
        ("granted", vec![4]),
        ("#1", vec![3]),
        ("alice -action:deploy", vec![7, 3]),
        ("-alice -bob", vec![2, 1]),
        ("di?k*again", vec![5]),
    ] {
        assert_eq!(log.ask(question).await, answer, "{question}");
    }
}

/// Few enough signs that terms and entries meet.
const WORD: &str = r"[abAB%_\\,:é*? -]{0,5}";

fn entry() -> impl Strategy<Value = Entry> {
    let word = || prop::option::of(WORD);
    (
        (0..100_i64, 1..4_i64, WORD, prop::sample::select(Action::ALL), prop::sample::select(Outcome::ALL)),
        (word(), word(), word(), word(), word(), prop::option::of(1..5_i64), prop::option::of(WORD)),
    )
        .prop_map(
            |((hours, id, name, action, outcome), (repo, environment, branch, revision, reason, deploy, detail))| {
                let at = Timestamp::from_millis(now().millis() - hours * HOUR);
                let entry = Entry::new(ACME, at, &person(id, &name), action, outcome);
                Entry { repo, environment, branch, revision, detail: detail.map(|text| json!([text])), ..entry }
                    .reason(reason)
                    .deploy(deploy.map(DeployId))
            },
        )
}

fn query() -> impl Strategy<Value = Query> {
    let glob = r#"[abAB%_\\,:é*? "@<>1-]{1,5}"#;
    let keyed = (prop::sample::select(vec!["actor", "repo", "environment", "branch", "revision", "text"]), glob)
        .prop_map(|(key, value)| format!("{key}:{}", slipway::words::quote(&value)));
    let known = prop::sample::select(vec![
        "action:deploy",
        "action:*.denied",
        "action:repo.added,slipway",
        "outcome:denied",
        "outcome:*ed,error",
        "outcome:?rror",
        "deploy:#1",
        "deploy:2,3,4",
        "since:3d",
        "since:50h",
        "until:24h",
        "since:2026-01-30",
        "until:2026-01-30",
        "until:2026-01-31T12:00:00Z",
        "created:>2026-01-30",
        "created:<3d",
        "created:2026-01-29..50h",
        "is:denied,error",
        "is:redacted",
    ])
    .prop_map(str::to_owned);
    let free = glob.prop_map(|text| slipway::words::quote(&text));
    let term = (prop_oneof![keyed, known, free], any::<bool>())
        .prop_map(|(term, negated)| if negated { format!("-{term}") } else { term });
    prop::collection::vec(term, 0..4).prop_filter_map("not every text is a query", |terms| terms.join(" ").parse().ok())
}

#[test]
fn the_database_answers_as_a_naive_filter_would() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = runtime.block_on(Log::new());
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    let entries = prop::collection::vec(entry(), 150).new_tree(&mut runner).unwrap().current();
    let all = runtime.block_on(async {
        log.append(entries).await;
        log.page(&Query::default(), None, 1_000).await
    });
    assert_eq!(all.len(), 150);
    let asked = runner.run(&query(), |query| {
        let meant: Vec<&Row> = all.iter().filter(|row| query.matches(row, &as_of())).collect();
        let answered = runtime.block_on(log.page(&query, None, 1_000));
        prop_assert_eq!(answered.iter().collect::<Vec<_>>(), meant.clone(), "{}", query);
        prop_assert_eq!(query.to_string().parse::<Query>(), Ok(query.clone()), "{}", query);
        Ok(())
    });
    asked.unwrap();
    let mut meant_some = 0;
    for query in ["a", "-a", "actor:a*", "-repo:*a*", "text:_", r"text:\*"] {
        meant_some += all.iter().filter(|row| query.parse::<Query>().unwrap().matches(row, &as_of())).count();
    }
    assert!(meant_some > 50, "the log is too thin to tell: {meant_some}");
}

/// Long enough for several steps of a search, and for whole spans of times.
#[test]
fn a_long_log_is_answered_in_both_directions_as_a_naive_filter_would() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = runtime.block_on(Log::new());
    let mut runner = TestRunner::new(Config { cases: 20, failure_persistence: None, ..Config::default() });
    let some = prop::collection::vec(entry(), 150).new_tree(&mut runner).unwrap().current();
    let all = runtime.block_on(async {
        for round in 0..80 {
            // The clock goes forward, and back now and then.
            let at = |entry: &Entry| Timestamp::from_millis(entry.at.millis() - (80 - round) * HOUR);
            log.append(some.iter().map(|entry| Entry { at: at(entry), ..entry.clone() })).await;
        }
        let mut connection = log.db.reader().await.unwrap();
        audit::store::rows_after(&mut connection, ACME, 0, i64::MAX).await.unwrap()
    });
    assert_eq!(all.len(), 12_000);
    let pages = async |query: &Query, upwards: bool, limit: usize| {
        let question = Question { guild: ACME, query: query.clone(), as_of: as_of() };
        let mut from = if upwards { From::After(0) } else { From::Newest };
        let mut found: Vec<i64> = Vec::new();
        loop {
            let page = audit::search::page(log.db.pool(), &question, from, limit, None, &|_| true).await.unwrap();
            let seqs: Vec<i64> = page.rows.iter().map(|row| row.seq).collect();
            match (upwards, page.beyond) {
                (true, _) => found.extend(seqs.iter().rev()),
                (false, _) => found.extend(&seqs),
            }
            from = match (page.beyond, upwards) {
                (Beyond::Nothing, _) => return found,
                (_, true) => From::After(seqs[0]),
                (_, false) => From::Before(*seqs.last().unwrap()),
            };
        }
    };
    // What an export and the command line read, which goes on where it was.
    let streamed = async |query: &Query| {
        let question = Question { guild: ACME, query: query.clone(), as_of: as_of() };
        let (mut oldest, mut upwards) = (Oldest::new(log.db.pool(), question, i64::MAX), Vec::new());
        while let Some(rows) = oldest.next().await.unwrap() {
            upwards.extend(rows.iter().map(|row| row.seq));
        }
        let mut newest = Newest::new(log.db.pool(), vec![(ACME, From::Newest)], query, &as_of());
        let mut downwards = Vec::new();
        while let Some(row) = newest.next().await.unwrap() {
            downwards.push(row.seq);
        }
        (upwards, downwards)
    };
    let asked = runner.run(&(query(), 200..3_000_usize), |(query, limit)| {
        let mut meant: Vec<i64> = all.iter().filter(|row| query.matches(row, &as_of())).map(|row| row.seq).collect();
        let (upwards, downwards) = runtime.block_on(streamed(&query));
        prop_assert_eq!(&runtime.block_on(pages(&query, true, limit)), &meant, "{} upwards", query);
        prop_assert_eq!(upwards, meant.clone(), "{} as an export", query);
        meant.reverse();
        prop_assert_eq!(downwards, meant.clone(), "{} on the command line", query);
        prop_assert_eq!(runtime.block_on(pages(&query, false, limit)), meant, "{}", query);
        Ok(())
    });
    asked.unwrap();
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_input_panics_and_every_query_reads_back_as_it_was_printed(
        line in r#"((-?(action|actor|repo|deploy|outcome|since|until|created|is|text|x):)?("[^"]{0,6}"|[^"]{0,6}) ?){0,4}|.{0,40}"#
    ) {
        match line.parse::<Query>() {
            Ok(query) => {
                let _ = query.check(&as_of());
                prop_assert_eq!(query.to_string().parse::<Query>(), Ok(query));
            }
            Err(bad) => prop_assert!(!bad.to_string().is_empty()),
        }
    }
}

#[tokio::test]
async fn pages_are_stable_while_entries_arrive() {
    let log = Log::new().await;
    log.append(week()).await;
    let query = "alice".parse().unwrap();
    let first = log.page(&query, None, 2).await;
    log.append(week()).await;
    let second = log.page(&query, first.last().map(|row| row.seq), 2).await;
    let seqs: Vec<i64> = first.iter().chain(&second).map(|row| row.seq).collect();
    assert_eq!(seqs, [7, 6, 5, 3]);
}

#[tokio::test]
async fn all_guilds_together_are_newest_first_and_each_in_the_order_of_its_chain() {
    let log = Log::new().await;
    let mut entries = Vec::new();
    for number in 0..700 {
        let guild = GuildId::from_row(1 + number % 3);
        // The clock of guild 1 stands still, and once goes back.
        let at = if number % 3 == 0 { 1_000 - i64::from(number == 300) } else { number };
        let at = Timestamp::from_millis(at);
        entries.push(Entry::new(guild, at, &Actor::cli("root"), Action::SlipwayStarted, Outcome::Allowed));
    }
    log.append(entries).await;
    let mut found = Newest::new(
        log.db.pool(),
        (1..=3).map(|guild| (GuildId::from_row(guild), From::Newest)).collect(),
        &Query::default(),
        &as_of(),
    );
    let mut rows = Vec::new();
    while let Some(row) = found.next().await.unwrap() {
        rows.push(row);
    }
    assert_eq!(rows.len(), 700);
    for guild in 1..=3 {
        let seqs: Vec<i64> = rows.iter().filter(|row| row.guild_id == guild).map(|row| row.seq).collect();
        assert!(seqs.is_sorted_by(|a, b| a > b));
    }
    let others: Vec<i64> = rows.iter().filter(|row| row.guild_id != 1).map(|row| row.at).collect();
    assert!(others.is_sorted_by(|a, b| a > b));
}

#[tokio::test]
async fn the_table_is_for_people() {
    let log = Log::new().await;
    log.append(week()).await;
    for width in [80, 120] {
        let (exit, out, err) = log.search(&["--guild", "0"], Some(width)).await;
        assert_eq!((exit, err.as_str()), (Exit::Done, ""));
        println!("{out}");
        assert!(out.lines().all(|line| line.chars().count() <= usize::from(width)), "{out}");
        for whole in ["deploy.requested", "permission.granted", "denied", "#12"] {
            assert!(out.contains(whole), "{whole} is broken up:\n{out}");
        }
    }
    let (_, out, _) = log.search(&["--limit", "2", "repo:acme/web -environment:staging"], None).await;
    println!("{out}");
}

#[tokio::test]
async fn the_table_obeys_nobody_but_its_reader() {
    let log = Log::new().await;
    let hostile = Actor::cli("\u{1b}[2Jroot\nx\u{202e}");
    log.append([
        Entry::new(ACME, now(), &hostile, Action::SlipwayStarted, Outcome::Allowed).reason(Some("x".repeat(100_000)))
    ])
    .await;
    let (_, out, _) = log.search(&[], None).await;
    assert!(out.contains("\\u{1b}[2Jroot\\nx\\u{202e}"), "{out}");
    assert!(out.chars().count() < 2_000 && !out.contains(['\u{1b}', '\u{202e}']), "{out}");
}

#[tokio::test]
async fn json_is_one_array_with_the_columns_as_keys() {
    let log = Log::new().await;
    log.append(week()).await;
    let (exit, out, _) = log.search(&["actor:alice", "since:7d", "--format", "json"], None).await;
    assert_eq!(exit, Exit::Done);
    let entries: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(entries.len(), 4);
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info('audit_log') ORDER BY name")
        .fetch_all(log.db.pool())
        .await
        .unwrap();
    for entry in &entries {
        assert_eq!(entry.as_object().unwrap().keys().collect::<Vec<_>>(), columns.iter().collect::<Vec<_>>());
    }
    assert_eq!(entries[1]["actor_id"], "175928847299117063");
    assert_eq!(entries[1]["guild_id"], "0");
    assert_eq!(entries[3]["detail"], json!({"rule": "#1"}));
    assert_eq!(entries[3]["at"], now().millis() - 100 * HOUR);
}

#[tokio::test]
async fn nothing_found_is_said_on_standard_error_and_is_an_empty_array() {
    let log = Log::new().await;
    assert_eq!(
        log.search(&["nothing -action:audit"], None).await,
        (Exit::Done, String::new(), "No entry matches.\n".to_owned())
    );
    let (_, out, err) = log.search(&["nothing -action:audit", "--format", "json"], None).await;
    assert_eq!((serde_json::from_str(&out).ok(), err.as_str()), (Some(json!([])), ""));
}

#[tokio::test]
async fn asking_for_a_guild_that_was_never_here_begins_no_chain() {
    let log = Log::new().await;
    log.append(week()).await;
    let (exit, out, err) = log.search(&["--guild", "42", "--format", "json"], None).await;
    assert_eq!((exit, out.trim()), (Exit::Done, "[]"));
    assert_eq!(err, "Nothing is recorded of guild 42. There are: 0.\n");
    assert_eq!(audit::store::guilds(log.db.pool()).await.unwrap(), [GuildId::PROCESS]);
    assert_eq!(log.ask("action:audit.searched").await.len(), 1, "the process's own log has the question");
}

#[tokio::test]
async fn a_bad_query_is_misuse_and_says_what_is_possible() {
    let log = Log::new().await;
    let (exit, out, err) = log.search(&["since:7d outcom:\u{1b}"], None).await;
    assert_eq!((exit.status(), out.as_str()), (2, ""));
    let pointed = "since:7d outcom:?\n         ^^^^^^^^\nThere is no such term";
    assert!(err.starts_with(pointed), "{err}");
    assert!(err.contains("outcome:"), "{err}");
    let (exit, _, err) = log.search(&["since:2026-02-01 until:2026-01-01"], None).await;
    assert!(exit == Exit::Misuse && err.contains("ends before it begins"), "{err}");
}

#[tokio::test]
async fn a_reader_who_has_seen_enough_is_no_error() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::new().await;
    log.append(week()).await;
    for format in [slipway::cli::audit::Format::Table, slipway::cli::audit::Format::Json] {
        let mut output = Output { out: &mut Closed, err: &mut Vec::new(), width: None };
        let args = SearchArgs { terms: Vec::new(), format, limit: None, guild: None };
        assert_eq!(search(&log.db, &args, None, &Clock::new(now), &mut output).await.unwrap(), Exit::Done);
        let args = VerifyArgs { heads: vec!["0".repeat(64)], archives: vec![], indexes: false, format, guild: None };
        assert_eq!(verify(&log.db, &args, None, &mut output).await.unwrap(), Exit::Failed);
    }
}

#[tokio::test]
async fn verify_tells_whether_each_chain_holds_and_its_head() {
    let log = Log::new().await;
    assert_eq!(log.verify(&[]).await.1, "There are no entries.\n");
    log.append(week()).await;
    log.append([Entry::new(GuildId::from_row(7), now(), &Actor::cli("root"), Action::RepoAdded, Outcome::Allowed)])
        .await;
    let (exit, out, err) = log.verify(&[]).await;
    assert_eq!((exit, err.as_str()), (Exit::Done, ""));
    assert!(out.contains("Guild 0 (the process itself): 7 entries, the chain holds\n  head 7: "), "{out}");
    assert!(out.contains("Guild 7: 1 entry, the chain holds\n  head 1: "), "{out}");

    let head = out.lines().nth(1).unwrap().rsplit(' ').next().unwrap().to_owned();
    let (exit, out, _) = log.verify(&["--head", &head]).await;
    assert!(exit == Exit::Done && out.contains("the noted head is entry 7"), "{out}");
    let (exit, _, err) = log.verify(&["--head", &head, "--guild", "7"]).await;
    assert!(exit == Exit::Failed && err.contains(&head), "{err}");

    sqlx::query("DROP TRIGGER audit_log_is_never_changed").execute(log.db.pool()).await.unwrap();
    sqlx::query("UPDATE audit_log SET reason = 'no' WHERE seq = 4").execute(log.db.pool()).await.unwrap();
    let (exit, out, _) = log.verify(&[]).await;
    assert_eq!(exit.status(), 1);
    assert!(out.contains("THE CHAIN IS BROKEN\n  entry 4 was changed: its seal"), "{out}");
    let (exit, out, _) = log.verify(&["--format", "json"]).await;
    let chains: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &chains[0]["holds"], &chains[0]["broken"][0]["seq"]), (Exit::Failed, &json!(false), &json!(4)));
    assert_eq!(chains[1]["holds"], json!(true));
}
