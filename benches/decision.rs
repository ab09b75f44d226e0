//! How long a decision takes that stands before an acknowledgement, and a completion from what is in the cache, by the number of rules
//! and of guilds: criterion's estimates for `docs/benchmarks.md`.
#![allow(clippy::unwrap_used, reason = "a benchmark that unwraps in vain has nothing to tell")]

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use slipway::actor::{Actor, ActorId, Caller};
use slipway::app::App;
use slipway::circleci::sandbox::{Plan, Sandbox};
use slipway::circleci::{Access, CircleCi, Patience};
use slipway::command::{Arguments, Value};
use slipway::complete::complete;
use slipway::db::{DatabaseUrl, Db};
use slipway::deploy::Pace;
use slipway::id::{GuildId, RoleId, UserId};
use slipway::permission::service::Grant;
use slipway::permission::{Action, Ask, Effect, Permissions, Scope, Subject};
use slipway::repo::{NewRepo, Repo, Vcs};
use slipway::time::Clock;
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The people and roles that rules are about.
const SUBJECTS: i64 = 500;
/// How many repositories a list is narrowed down from.
const REPOS: usize = 200;

fn url(folder: &tempfile::TempDir) -> DatabaseUrl {
    format!("sqlite://{}/bench.db", folder.path().display()).parse().unwrap()
}

/// A database in which each of `guilds` has `rules` rules about 500 subjects, half of them globs.
async fn with_rules(folder: &tempfile::TempDir, guilds: i64, rules: i64) -> Db {
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
    db
}

/// Slipway on that database with 200 repositories, beside a CircleCI that has told the branches of `acme/web`.
async fn app(db: Db, sandbox: &Sandbox) -> Arc<App> {
    let access = Access {
        url: sandbox.url().to_owned(),
        user_token: sandbox.token().to_owned().into(),
        project_token: None,
        project_tokens: HashMap::new(),
    };
    let clock = Clock::system();
    let circleci = CircleCi::new(access, Patience::default(), clock.clone()).unwrap();
    let never = CancellationToken::new();
    let app = App::new(db, circleci, Vec::new(), HashSet::new(), clock, Pace::default(), never).await.unwrap();
    let operator = Caller { guild: GuildId::from_row(1), channel: None, actor: Actor::cli("bench") };
    for number in 0..REPOS {
        let name = if number == 0 { "acme/web".to_owned() } else { format!("acme/web-{number}") };
        let repo = Repo { name: name.parse().unwrap(), vcs: Vcs::GitHub, project: None, default_branch: None };
        app.repos.add(&operator, NewRepo { repo, job: None }).await.unwrap();
    }
    let everyone_may_view = Grant {
        subject: Subject::everyone(operator.guild),
        effect: Effect::Allow,
        action: Action::View,
        scope: Scope::everywhere(),
        expires_at: None,
        reason: None,
    };
    app.permissions.grant(&operator, everyone_may_view).await.unwrap();
    app
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
        let db = runtime.block_on(with_rules(&folder, guilds, rules));
        let permissions = Permissions::new(db.clone(), Vec::new().into(), Clock::system());
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
        let sandbox = runtime.block_on(Sandbox::start(Plan::sandbox())).unwrap();
        let app = runtime.block_on(app(db, &sandbox));
        let path = ["deploy".to_owned()];
        let arguments = Arguments::default().with("repo", Value::Text("acme/web".to_owned()));
        for (option, typed) in [("repo", "acme/web"), ("branch", "m"), ("environment", "")] {
            let choices = || complete(&app, &alice, &path, &arguments, option, typed);
            // From here on the branches are in the cache.
            assert!(!runtime.block_on(choices()).is_empty(), "{option}");
            group.bench_function(BenchmarkId::new(format!("completion of {option}"), &label), |bencher| {
                bencher.to_async(&runtime).iter(|| async { black_box(choices().await) });
            });
        }
        runtime.block_on(sandbox.stop());
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
