//! How long a decision takes that stands before an acknowledgement, by the number of rules and of guilds: criterion's estimates for
//! `docs/benchmarks.md`.
#![allow(clippy::unwrap_used, reason = "a benchmark that unwraps in vain has nothing to tell")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use slipway::actor::{Actor, ActorId, Caller};
use slipway::db::{DatabaseUrl, Db};
use slipway::id::{GuildId, RoleId, UserId};
use slipway::permission::{Action, Ask, Permissions};
use slipway::time::Clock;
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::Runtime;

/// The people and roles that rules are about.
const SUBJECTS: i64 = 500;
/// How many repositories a list is narrowed down from.
const REPOS: usize = 200;

fn url(folder: &tempfile::TempDir) -> DatabaseUrl {
    format!("sqlite://{}/bench.db", folder.path().display()).parse().unwrap()
}

/// A database in which each of `guilds` has `rules` rules about 500 subjects, half of them globs.
async fn with_rules(folder: &tempfile::TempDir, guilds: i64, rules: i64) -> Permissions {
    let db = Db::open(&url(folder)).await.unwrap();
    let path = format!("sqlite://{}/bench.db", folder.path().display());
    let mut connection = SqliteConnection::connect(&path).await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    for guild in 1..=guilds {
        sqlx::query("INSERT INTO guild (guild_id, rules_made, deploys_made, seen_at) VALUES (?, ?, 0, 0)")
            .bind(guild)
            .bind(rules)
            .execute(&mut *tx)
            .await
            .unwrap();
        for number in 1..=rules {
            let (repo, branch) = if number % 2 == 0 { ("acme/w*", "release/*") } else { ("acme/web", "*") };
            let kind = if number % 10 == 0 { "role" } else { "user" };
            sqlx::query(
                "INSERT INTO rule (guild_id, number, subject_kind, subject_id, effect, action, repo, branch, environment,
                                   made_by, made_by_name, made_at)
                 VALUES (?, ?, ?, ?, 'allow', ?, ?, ?, '*', '1', 'root', 0)",
            )
            .bind(guild)
            .bind(number)
            .bind(kind)
            .bind(1_000 + number % SUBJECTS)
            .bind(if number % 4 == 0 { "view" } else { "deploy" })
            .bind(repo)
            .bind(branch)
            .execute(&mut *tx)
            .await
            .unwrap();
        }
    }
    tx.commit().await.unwrap();
    Permissions::new(db, Vec::new().into(), Clock::system())
}

fn caller(user: i64) -> Caller {
    let roles = vec![RoleId::from_row(1_010)];
    let actor = Actor { id: ActorId::User(UserId::from_row(user)), name: "alice".into(), roles };
    Caller { guild: GuildId::from_row(1), channel: None, actor }
}

const ASK: Ask<'_> = Ask { repo: Some("acme/web"), branch: Some("main"), environment: Some("production") };

fn whole<'a>(repo: &'a &str) -> Ask<'a> {
    Ask { repo: Some(repo), ..Ask::default() }
}

fn decisions(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("decision");
    for (guilds, rules) in [(1, 100), (1, 1_000), (1, 10_000), (1, 100_000), (100, 1_000)] {
        let folder = tempfile::tempdir().unwrap();
        let permissions = runtime.block_on(with_rules(&folder, guilds, rules));
        let label = format!("{rules} rules in each of {guilds} guilds");
        let alice = caller(1_001);
        group.bench_function(BenchmarkId::new("allowed or not", &label), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let decided = permissions.check(&alice, &alice.actor, Action::Deploy, ASK).await;
                assert!(black_box(decided).unwrap().0.is_allowed());
            });
        });
        let names: Vec<String> = (0..REPOS).map(|number| format!("acme/web-{number}")).collect();
        group.bench_function(BenchmarkId::new("200 repositories narrowed down", &label), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let seen = permissions
                    .only_permitted(&alice, Action::View, names.iter().map(String::as_str).collect(), whole)
                    .await;
                black_box(seen).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
