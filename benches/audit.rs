//! How the audit log answers, proves itself, is exported and grows, by the number of its entries: `docs/benchmarks.md`.
//!
//! `cargo bench --bench audit -- --entries 10000,1000000` (these unless said; 10000000 takes about half an hour and 7 GB of disk, in
//! `--folder`, or the system's for temporary files).
#![allow(clippy::unwrap_used, reason = "a benchmark that unwraps in vain has nothing to tell")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use slipway::actor::{Actor, ActorId};
use slipway::audit::archive::archive;
use slipway::audit::chain::{Head, link};
use slipway::audit::export::{FileFormat, Lines};
use slipway::audit::search::{Beyond, From, Oldest, page};
use slipway::audit::{self, Action, AsOf, Entry, Outcome, Query, Question};
use slipway::db::Db;
use slipway::id::{ChannelId, DeployId, GuildId, UserId};
use slipway::time::{Clock, Timestamp};
use sqlx::{AnyConnection, Connection, Executor, Row as _};
use tokio::runtime::Runtime;

const GUILD: GuildId = GuildId::from_row(1);
/// 1 January 2024.
const BEGINNING: i64 = 1_704_067_200_000;
/// Between two entries, on average: ten million are a bit more than three years.
const APART_MS: i64 = 10_000;
const REPOS: usize = 120;
const PEOPLE: usize = 200;
/// A person who deploys much, and a repository that many deploy: but never that person.
const NEVER_MET: (usize, usize) = (3, 2);
const RUNS: usize = 15;

/// What is asked: none of it is rare by chance, and each is asked of logs of every size.
const QUESTIONS: &[&str] = &[
    "",
    "actor:@user0",
    "actor:@user150",
    "repo:acme/svc90",
    "repo:acme/*",
    "action:deploy.denied",
    "action:deploy",
    "outcome:failed",
    "environment:preview",
    "branch:feature/12*",
    "revision:abcd*",
    "deploy:#123",
    "actor:@user50 action:deploy.denied",
    "actor:@user50 repo:acme/svc90",
    "repo:acme/svc90 outcome:failed",
    "repo:acme/svc1* outcome:denied",
    "action:permission environment:preview",
    "action:deploy.requested outcome:denied",
    "actor:@user7 outcome:error",
    "actor:@user3 repo:acme/svc2",
    "created:2024-01-01",
    "repo:acme/svc90 created:2024-01-01",
    "actor:@nobody",
    "repo:*svc90",
    "\"because of ticket 77\"",
    "nothing-has-this-text",
];

fn main() {
    let mut entries = vec![10_000, 1_000_000];
    let mut folder = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--entries" => {
                let list = arguments.next().unwrap();
                entries = list.split(',').map(|number| number.parse().unwrap()).collect();
            }
            "--folder" => folder = arguments.next().map(PathBuf::from),
            "--make" => {
                let (path, entries) = (arguments.next().unwrap(), arguments.next().unwrap());
                return Runtime::new().unwrap().block_on(generate(Path::new(&path), entries.parse().unwrap()));
            }
            _ => {}
        }
    }
    let runtime = Runtime::new().unwrap();
    for entries in entries {
        let place = match &folder {
            Some(folder) => tempfile::tempdir_in(folder).unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        runtime.block_on(measure(&place.path().join("bench.db"), entries));
    }
}

async fn measure(path: &Path, entries: i64) {
    let begun = Instant::now();
    // By another process, so that its memory isn't counted.
    let mut maker = Command::new(std::env::current_exe().unwrap());
    assert!(maker.arg("--make").args([path.as_os_str(), entries.to_string().as_ref()]).status().unwrap().success());
    let size = std::fs::metadata(path).unwrap().len();
    println!("\n== {entries} entries, {} MB, made in {:.0} s", size / 1_000_000, begun.elapsed().as_secs_f64());
    let db = open(path).await;
    answer(&db, entries).await;
    prove(&db, entries).await;
    append(&db).await;
    keep(&db, entries, &path.with_file_name("archive.jsonl")).await;
    db.close().await;
}

async fn open(path: &Path) -> Db {
    Db::open(&format!("sqlite://{}", path.display()).parse().unwrap()).await.unwrap()
}

/// A log in which some repositories, people and outcomes are much more common than others.
async fn generate(path: &Path, entries: i64) {
    open(path).await.close().await;
    let mut connection = AnyConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    // Only while it is made.
    connection.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000").await.unwrap();
    let mut random = SmallRng::seed_from_u64(7);
    let weights = |count: usize| (0..count).map(|rank| (rank, 1.0 / (rank + 1) as f64)).collect::<Vec<_>>();
    let (repos, people) = (weights(REPOS), weights(PEOPLE));
    let mut head = Head::beginning();
    let (mut deploys, mut at) = (0, BEGINNING);
    while head.seq < entries {
        let mut tx = connection.begin().await.unwrap();
        for _ in 0..20_000 {
            let pick = |of: &[(usize, f64)], random: &mut SmallRng| of.choose_weighted(random, |one| one.1).unwrap().0;
            let (person, mut repo) = (pick(&people, &mut random), pick(&repos, &mut random));
            if (person, repo) == NEVER_MET {
                repo += 1;
            }
            at += random.random_range(0..2 * 3 * APART_MS);
            let chance: f64 = random.random();
            let events: &[(Action, Outcome)] = match chance {
                ..0.05 => &[(Action::DeployDenied, Outcome::Denied)],
                ..0.06 => &[(Action::PermissionGranted, Outcome::Allowed)],
                ..0.15 => &[
                    (Action::DeployRequested, Outcome::Allowed),
                    (Action::DeployTriggered, Outcome::Allowed),
                    (Action::DeployFinished, Outcome::Failed),
                ],
                _ => &[
                    (Action::DeployRequested, Outcome::Allowed),
                    (Action::DeployTriggered, Outcome::Allowed),
                    (Action::DeployFinished, Outcome::Succeeded),
                ],
            };
            deploys += i64::from(events.len() > 1);
            let who = Actor {
                id: ActorId::User(UserId::from_row(100_000_000_000_000_000 + person as i64)),
                name: format!("user{person}"),
                roles: Vec::new(),
            };
            let environment = ["production", "production", "staging", "preview"][random.random_range(0..4)];
            let branch =
                if chance < 0.6 { "main".to_owned() } else { format!("feature/{}", random.random_range(0..5_000)) };
            let revision = (chance > 0.5).then(|| hex::encode(random.random::<[u8; 20]>()));
            let reason = (chance > 0.7).then(|| format!("because of ticket {}", random.random_range(0..1_000_000)));
            for (step, (action, outcome)) in events.iter().enumerate() {
                let entry = Entry::new(GUILD, Timestamp::from_millis(at + step as i64 * 30_000), &who, *action, *outcome)
                    .channel(ChannelId::from_row(555))
                    .repo(format_args!("acme/svc{repo}"))
                    .environment(environment)
                    .branch(&branch)
                    .revision(revision.as_ref())
                    .deploy((events.len() > 1).then_some(DeployId(deploys)))
                    .reason(reason.as_ref())
                    .detail(json!({ "rules": [person % 50], "url": "https://app.circleci.com/pipelines/github/acme/web/12345" }));
                let row = link(&entry, &head, random.random());
                head = row.head();
                audit::store::insert_row(&mut tx, row).await.unwrap();
            }
            if head.seq >= entries {
                break;
            }
        }
        tx.commit().await.unwrap();
    }
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    connection.close().await.unwrap();
}

/// The first page of each question: the first time it is asked, and the median and worst of the times after that.
async fn answer(db: &Db, entries: i64) {
    println!("{:<45} {:>9} {:>9} {:>9}  found", "first page of", "first ms", "median", "worst");
    let now = Timestamp::from_millis(BEGINNING + entries * APART_MS);
    for query in QUESTIONS {
        let question = Question { guild: GUILD, query: query.parse::<Query>().unwrap(), as_of: AsOf::utc(now) };
        let mut took = Vec::new();
        let mut found = String::new();
        for _ in 0..RUNS {
            let begun = Instant::now();
            let patience = Some(Duration::from_secs(1));
            let page = page(db.pool(), &question, From::Newest, 10, patience, &|_| true).await.unwrap();
            took.push(begun.elapsed());
            found = match page.beyond {
                Beyond::Unknown(seq) => format!("{}, looked through as far as #{seq}", page.rows.len()),
                _ => page.rows.len().to_string(),
            };
            if took[0] > Duration::from_millis(900) && took.len() >= 3 {
                break;
            }
        }
        let first = took.remove(0);
        took.sort_unstable();
        let ms = |took: Duration| took.as_secs_f64() * 1_000.0;
        let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
        println!("{query:<45} {:>9.2} {:>9.2} {:>9.2}  {found}", ms(first), ms(median), ms(worst));
    }
}

/// How fast the chain is checked and exported beside sqlx alone, which streams the same rows and reads their columns.
async fn prove(db: &Db, entries: i64) {
    let rate = |begun: Instant| entries as f64 / begun.elapsed().as_secs_f64();
    // Whatever comes first would pay for what is not in the memory yet.
    stream(db).await;
    let memory = Memory::begin();
    let begun = Instant::now();
    assert!(stream(db).await >= entries);
    let alone = rate(begun);
    println!("sqlx alone streams {alone:.0} entries/s, {memory}");
    let memory = Memory::begin();
    let begun = Instant::now();
    let checked = audit::verify(db.pool(), GUILD, &[]).await.unwrap();
    assert!(checked.holds() && checked.entries as i64 >= entries, "{:?}", checked.broken);
    let verified = rate(begun);
    println!("verify checks {verified:.0} entries/s, {:.2} x sqlx alone, {memory}", verified / alone);
    for format in [FileFormat::Jsonl, FileFormat::Csv] {
        let memory = Memory::begin();
        let begun = Instant::now();
        let everything =
            Question { guild: GUILD, query: Query::default(), as_of: AsOf::utc(Timestamp::from_millis(0)) };
        let mut left = Oldest::new(db.pool(), everything, i64::MAX);
        let mut lines = Lines::new(format, std::io::BufWriter::new(std::io::sink())).unwrap();
        while let Some(rows) = left.next().await.unwrap() {
            rows.iter().for_each(|row| lines.write(row).unwrap());
        }
        lines.finish().unwrap();
        let exported = rate(begun);
        println!(
            "export as {} writes {exported:.0} entries/s, {:.2} x sqlx alone, {memory}",
            format.as_str(),
            exported / alone
        );
    }
}

/// Every column of every entry, through the driver that Slipway uses.
async fn stream(db: &Db) -> i64 {
    let mut rows = sqlx::query(
        "SELECT guild_id, seq, format, at, channel_id, actor_id, actor_name, action, repo, environment, branch, revision, deploy_id,
                outcome, reason, detail, salt, seal, prev_hash, hash
         FROM audit_log WHERE guild_id = $1 ORDER BY seq",
    )
    .bind(GUILD.row())
    .fetch(db.pool());
    let mut count = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        for column in [0, 1, 2, 3] {
            std::hint::black_box(row.get::<i64, _>(column));
        }
        for column in [4, 12] {
            std::hint::black_box(row.get::<Option<i64>, _>(column));
        }
        for column in [5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19] {
            std::hint::black_box(row.get::<Option<String>, _>(column));
        }
        count += 1;
    }
    count
}

/// An entry and its commit, one after the other.
async fn append(db: &Db) {
    let mut took = Vec::new();
    for _ in 0..300 {
        took.push(append_one(db).await);
    }
    took.sort_unstable();
    let many = Instant::now();
    let mut tx = db.begin().await.unwrap();
    for _ in 0..2_000 {
        audit::append(&mut tx, &another()).await.unwrap();
    }
    tx.commit().await.unwrap();
    println!(
        "append with its commit: median {:.3} ms; 2,000 in one transaction: {:.3} ms each",
        took[took.len() / 2].as_secs_f64() * 1_000.0,
        many.elapsed().as_secs_f64() * 1_000.0 / 2_000.0
    );
}

/// The most memory that the process has had since a moment.
struct Memory;

impl Memory {
    fn begin() -> Self {
        // Linux counts the highest from here on: proc(5), clear_refs.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let highest = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes: u64 = highest.and_then(|text| text.trim().split(' ').next()?.parse().ok()).unwrap_or(0);
        write!(f, "at most {} MB of memory", kilobytes / 1_000)
    }
}

fn another() -> Entry {
    let at = Timestamp::from_millis(BEGINNING);
    Entry::new(GUILD, at, &Actor::cli("root"), Action::RepoAdded, Outcome::Allowed).repo("acme/web")
}

async fn append_one(db: &Db) -> Duration {
    let begun = Instant::now();
    let mut tx = db.begin().await.unwrap();
    audit::append(&mut tx, &another()).await.unwrap();
    tx.commit().await.unwrap();
    begun.elapsed()
}

/// How fast a tenth of the log is archived, and how long an entry that is written meanwhile waits.
async fn keep(db: &Db, entries: i64, file: &Path) {
    let tenth = audit::store::entry(&mut db.reader().await.unwrap(), GUILD, entries / 10).await.unwrap().unwrap();
    let archived = Arc::new(AtomicBool::new(false));
    let appends = tokio::spawn({
        let (db, archived) = (db.clone(), archived.clone());
        async move {
            let mut longest = Duration::ZERO;
            while !archived.load(Ordering::Relaxed) {
                longest = longest.max(append_one(&db).await);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            longest
        }
    });
    let memory = Memory::begin();
    let begun = Instant::now();
    let before = Timestamp::from_millis(tenth.at);
    let archive = archive(db, &Actor::cli("root"), GUILD, before, file, &Clock::system()).await.unwrap();
    let rate = archive.entries as f64 / begun.elapsed().as_secs_f64();
    archived.store(true, Ordering::Relaxed);
    let longest = appends.await.unwrap().as_secs_f64() * 1_000.0;
    println!(
        "archive of a tenth: {rate:.0} entries/s, {memory}; an entry written meanwhile takes at most {longest:.0} ms"
    );
}
