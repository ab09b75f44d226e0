//! The benchmark of following that `docs/benchmarks.md` describes: a thousand deploys a minute, each followed to its end on
//! its card, then a start that takes up a thousand unfinished ones; or, with `--long`, how often a build of ten minutes is read.
//! It prints figures and the goals beside them; losing a deploy fails it, being slow does not.
#![allow(clippy::unwrap_used, reason = "a benchmark that unwraps in vain has nothing to tell")]

#[path = "peers/ack_only.rs"]
mod ack_only;
#[path = "stage/contestant.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod contestant;
#[path = "stage/figures.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod figures;
#[path = "stage/process.rs"]
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod process;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use contestant::Contestant;
use figures::{milliseconds, quantile};
use slipway::circleci::sandbox::timeline::{Outcome, Timing};
use support::Stage;
use support::circleci::webhook::Outbound;
use support::circleci::{FakeCircleCi, Route};
use support::discord::{Interaction, Member};
use support::stage::deploy;

/// Deploys in a minute.
const RATE: u32 = 1_000;
/// How long, unless `--minutes` says.
const MINUTES: u32 = 5;
/// How many people take turns.
const PEOPLE: usize = 50;
/// How long a build waits and runs.
const BUILD: Timing =
    Timing { pending: Duration::ZERO, queued: Duration::from_secs(1), running: Duration::from_secs(10) };
/// A build that is over when somebody looks, and one that isn't for as long as anything here lasts.
const ENDLESS: Timing =
    Timing { pending: Duration::ZERO, queued: Duration::ZERO, running: Duration::from_secs(36_000) };
/// A build of which people ask how often it is read.
const LONG: Timing =
    Timing { pending: Duration::ZERO, queued: Duration::from_secs(5), running: Duration::from_secs(600) };
/// How many unfinished deploys a start takes up.
const UNFINISHED: usize = 1_000;
/// What the reads of a start are compared with: `Patience::reads_per_second` and `reads_burst`, for five seconds.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(5);
/// The last cards may take this long after the last deploy.
const ENDED_WITHIN: Duration = Duration::from_secs(900);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == contestant::ACK_ONLY) {
        let alone = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        alone.block_on(ack_only::run()).unwrap();
        return;
    }
    let value = |name: &str| arguments.iter().skip_while(|argument| *argument != name).nth(1);
    let minutes = value("--minutes").map_or(MINUTES, |minutes| minutes.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    if arguments.iter().any(|argument| argument == "--long") {
        let (without, with) = runtime.block_on(async { tokio::join!(long_build(false), long_build(true)) });
        println!("| reads of a build of {} minutes | figure | goal |", LONG.running.as_secs() / 60);
        println!("|---|---:|---:|");
        println!("| without webhooks | {without} | 40 |");
        println!("| beside webhooks | {with} | 10 |");
        return;
    }
    runtime.block_on(async {
        let floor = load(Contestant::AckOnly, RATE).await;
        let load = load(Contestant::Slipway, RATE * minutes).await;
        let restart = restart().await;
        println!("| {RATE} deploys a minute, {minutes} minutes | ack-only | slipway |");
        println!("|---|---:|---:|");
        for share in [0.5, 0.99] {
            let of = |load: &Load| milliseconds(quantile(&load.acknowledged, share));
            println!("| acknowledgement p{:.0} (ms) | {:.2} | {:.2} |", share * 100.0, of(&floor), of(&load));
        }
        println!("| resident memory at most (MB) | {:.1} | {:.1} |", megabytes(floor.memory), megabytes(load.memory));
        println!(
            "| processor time a deploy (ms) | – | {:.2} |",
            milliseconds(load.cpu) / load.acknowledged.len() as f64
        );
        println!("| cards at their end, of {} | – | {} |", load.acknowledged.len(), load.ended);
        println!("| after the last deploy until the last card's end (s) | – | {:.1} |", load.after.as_secs_f64());
        println!("| reads at CircleCI for a deploy | – | {:.2} |", load.reads as f64 / load.acknowledged.len() as f64);
        println!("| reads in the 5 s after a start with {UNFINISHED} unfinished deploys | – | {} |", restart.reads);
        println!("| … of which for different deploys | – | {} |", restart.different);
        println!("| start to ready with them (ms) | – | {:.0} |", milliseconds(restart.ready));
    });
}

struct Load {
    acknowledged: Vec<Duration>,
    memory: u64,
    cpu: Duration,
    ended: usize,
    after: Duration,
    reads: usize,
}

/// So many deploys, evenly spread, by people who take turns.
async fn load(contestant: Contestant, deploys: u32) -> Load {
    let stage = Stage::before_curtain(FakeCircleCi::start().await.with_timing(BUILD), &[]).await;
    if !contestant.registers_commands() {
        contestant::register_for(&stage).await;
    }
    let process = contestant.start(&stage);
    stage.discord.ready().await;
    stage.discord.registered().await;
    let people = contestant.prepare(&stage, PEOPLE).await;
    let (begun, cpu, mut memory) = (Instant::now(), process.cpu(), 0);
    let asked = ask(&stage, &people, deploys, || memory = memory.max(process.memory().rss)).await;
    let last = Instant::now();
    eprintln!("{}: {deploys} deploys in {:.0} s", contestant.name(), begun.elapsed().as_secs_f64());
    let has_ended = |asked: &Interaction| {
        asked
            .original()
            .is_some_and(|card| card.text().lines().next().is_some_and(|line| line.ends_with("is succeeded")))
    };
    let mut ended = 0;
    if contestant.deploys() {
        for asked in &asked {
            while !has_ended(asked) {
                assert!(
                    last.elapsed() < ENDED_WITHIN,
                    "a card does not come to its end: {:?}",
                    asked.original().map(|c| c.text())
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
                memory = memory.max(process.memory().rss);
            }
            ended += 1;
        }
        assert_eq!(stage.circleci.triggers(), asked.len(), "every deploy is triggered once");
    }
    let (after, cpu) = (last.elapsed(), process.cpu() - cpu);
    let mut acknowledged = Vec::new();
    for asked in &asked {
        acknowledged.push(asked.acknowledged().await.after);
    }
    process.stop();
    assert_eq!(stage.circleci.violations(), Vec::<String>::new());
    Load { acknowledged, memory, cpu, ended, after, reads: reads(&stage) }
}

/// Deploys at [`RATE`]; `each_second` looks on.
async fn ask(stage: &Stage, people: &[Member], deploys: u32, mut each_second: impl FnMut()) -> Vec<Interaction> {
    let mut ticks = tokio::time::interval(Duration::from_secs(60) / RATE);
    let mut asked = Vec::new();
    for number in 0..deploys as usize {
        ticks.tick().await;
        asked.push(stage.discord.interact_now(&people[number % people.len()], deploy("acme/web", "main")));
        if number % (RATE as usize / 60) == 0 {
            each_second();
        }
    }
    asked
}

struct Restart {
    ready: Duration,
    reads: usize,
    different: usize,
}

/// A start that finds unfinished deploys.
async fn restart() -> Restart {
    let stage = Stage::before_curtain(FakeCircleCi::start().await.with_timing(ENDLESS), &[]).await;
    let process = Contestant::Slipway.start(&stage);
    stage.discord.ready().await;
    stage.discord.registered().await;
    let people = Contestant::Slipway.prepare(&stage, PEOPLE).await;
    ask(&stage, &people, UNFINISHED as u32, || {}).await;
    stage.circleci.until("all are taken", |fake| fake.triggers() == UNFINISHED).await;
    drop(process);
    stage.discord.disconnected().await;

    let (before, identified, begun) =
        (stage.circleci.requests().len(), stage.discord.identifies().len(), Instant::now());
    let process = Contestant::Slipway.start(&stage);
    stage.discord.identified(identified + 1).await;
    stage.discord.ready().await;
    let ready = begun.elapsed();
    tokio::time::sleep(TAKEN_UP_WITHIN.saturating_sub(begun.elapsed())).await;
    let requests = stage.circleci.requests().split_off(before);
    let paths: std::collections::HashSet<&str> = requests.iter().map(|seen| seen.path.as_str()).collect();
    let restart = Restart { ready, reads: requests.len(), different: paths.len() };
    process.stop();
    restart
}

/// How often one long build is read until its card has come to its end.
async fn long_build(webhooks: bool) -> usize {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let addr = format!("127.0.0.1:{port}");
    let settings = [("SLIPWAY_HTTP_ADDR", addr.as_str()), ("CIRCLECI_WEBHOOK_SECRET", "secret")];
    let circleci = FakeCircleCi::start().await.with_timing(LONG);
    let stage = Stage::before_curtain(circleci, if webhooks { &settings } else { &[] }).await;
    let process = Contestant::Slipway.start(&stage);
    stage.discord.ready().await;
    stage.discord.registered().await;
    let people = Contestant::Slipway.prepare(&stage, 1).await;
    let outbound = Outbound::new(&format!("http://{addr}/webhooks/circleci"), Some("secret"));
    if webhooks {
        // The project is known to send them since an earlier build.
        let earlier = stage.circleci.pipeline_by("somebody", "acme/web", "main");
        stage.circleci.finish_pipeline("acme/web", earlier.number, Outcome::Success);
        let workflow = stage.circleci.workflows("acme/web", earlier.number)[0];
        outbound.deliver(&stage.circleci.workflow_completed(workflow), Duration::from_millis(10)).await;
    }
    let asked = stage.discord.interact_now(&people[0], deploy("acme/web", "main"));
    tokio::time::sleep(LONG.queued + LONG.running + Duration::from_secs(1)).await;
    if webhooks {
        let number = stage.circleci.pipelines().last().unwrap().number;
        let workflow = stage.circleci.workflows("acme/web", number)[0];
        outbound.deliver(&stage.circleci.workflow_completed(workflow), Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    while !asked.original().is_some_and(|card| card.text().contains("is succeeded")) {
        assert!(begun.elapsed() < ENDED_WITHIN, "the card does not come to its end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    process.stop();
    reads(&stage)
}

fn reads(stage: &Stage) -> usize {
    let routes = [Route::ReadPipeline, Route::PipelineWorkflows, Route::WorkflowJobs];
    routes.into_iter().map(|route| stage.circleci.requests_to(route).len()).sum()
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}
