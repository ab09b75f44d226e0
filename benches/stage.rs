//! The benchmark that `docs/benchmarks.md` describes: Slipway, two minimal bots on other libraries and one that only
//! acknowledges take turns on the tests' stage, each as a process of its own, and are measured from outside. It prints
//! figures, ratios and the goals beside them; being slow fails nothing, breaking a rule of Discord's or CircleCI's does.
#![allow(clippy::unwrap_used, reason = "a benchmark that unwraps in vain has nothing to tell")]

#[path = "peers/ack_only.rs"]
mod ack_only;
#[path = "stage/contestant.rs"]
mod contestant;
#[path = "stage/figures.rs"]
mod figures;
#[path = "stage/process.rs"]
mod process;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "stage/table.rs"]
mod table;

use std::time::{Duration, Instant};

use contestant::Contestant;
use figures::{Figures, LOADS};
use process::Process;
use support::Stage;
use support::circleci::{FakeCircleCi, INSTANT};
use support::discord::{Interaction, Member};
use support::stage::deploy;

/// How often each bot has its turn, unless `--rounds` says.
const ROUNDS: usize = 3;
/// Deploys before anything is measured, so that just-in-time compilers and connections are warm.
const WARM_UP: usize = 20;
/// A bot that is connected and does nothing for this long is idle.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// How often the stage looks whether everybody has been answered: seldom enough to leave the processors to the bots.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A wave that is not over by then is lost.
const WAVE_WITHIN: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    if arguments.first().is_some_and(|first| first == contestant::ACK_ONLY) {
        let alone = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        alone.block_on(ack_only::run()).unwrap();
        return;
    }
    let value = |name: &str| arguments.iter().skip_while(|argument| *argument != name).nth(1);
    let rounds = value("--rounds").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut contestants = Contestant::all(value("--only").map(String::as_str));
    contestants.retain(|contestant| match contestant.missing() {
        None => true,
        Some(how) => {
            println!("{} is left out: {how}\n", contestant.name());
            false
        }
    });
    let mut figures: Vec<(Contestant, Figures)> =
        contestants.into_iter().map(|contestant| (contestant, Figures::default())).collect();
    let count = figures.len();
    for round in 0..rounds {
        // Another one begins each round: what one leaves behind, on the disk above all, meets not always the same next.
        for place in 0..count {
            let (contestant, figures) = &mut figures[(round + place) % count];
            eprintln!("round {} of {rounds}: {}", round + 1, contestant.name());
            runtime.block_on(turn(*contestant, figures));
        }
    }
    print!("{}", table::render(&figures, rounds));
}

/// One bot's turn on a stage of its own, from its start to its end.
async fn turn(contestant: Contestant, figures: &mut Figures) {
    let circleci = FakeCircleCi::start().await.with_timing(INSTANT);
    let stage = Stage::before_curtain(circleci, &[]).await;
    if !contestant.registers_commands() {
        contestant::register_for(&stage).await;
    }

    let spawned = Instant::now();
    let process = contestant.start(&stage);
    stage.discord.ready().await;
    figures.ready.push(spawned.elapsed());

    stage.discord.registered().await;
    tokio::time::sleep(IDLE_AFTER).await;
    figures.idle.push(process.memory());

    let people = contestant.prepare(&stage, LOADS.iter().map(|load| load.people).max().unwrap_or(1)).await;
    for _ in 0..WARM_UP {
        wave(&stage, contestant, &people[..1]).await;
    }
    let mut deploys = WARM_UP;
    let (cpu, stage_cpu) = (process.cpu(), Process::own_cpu());
    for (load, acknowledged) in LOADS.iter().zip(&mut figures.acknowledged) {
        for _ in 0..load.waves {
            acknowledged.extend(wave(&stage, contestant, &people[..load.people]).await);
        }
        deploys += load.people * load.waves;
    }
    figures.cpu += process.cpu() - cpu;
    figures.stage_cpu += Process::own_cpu() - stage_cpu;
    figures.deploys += deploys - WARM_UP;
    figures.after.push(process.memory());

    if contestant.deploys() {
        assert_eq!(stage.circleci.triggers(), deploys, "every deploy of {} is triggered once", contestant.name());
    }
    process.stop();
    if contestant.is_slipway() {
        assert_eq!(stage.discord.violations(), Vec::<String>::new(), "{}", stage.discord.story());
        assert_eq!(stage.circleci.violations(), Vec::<String>::new());
    }
}

/// Everybody deploys in the same moment; the next wave comes when all of this one are through. How long each waited for
/// the acknowledgement, from the event's dispatch to the callback's arrival.
async fn wave(stage: &Stage, contestant: Contestant, people: &[Member]) -> Vec<Duration> {
    let interactions: Vec<Interaction> =
        people.iter().map(|who| stage.discord.interact_now(who, deploy("acme/web", "main"))).collect();
    let is_through = |interaction: &Interaction| match interaction.original() {
        Some(message) => !contestant.deploys() || !message.is_loading(),
        None => false,
    };
    let begun = Instant::now();
    while !interactions.iter().all(is_through) {
        assert!(begun.elapsed() < WAVE_WITHIN, "{} is stuck: {}", contestant.name(), stage.discord.story());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let mut acknowledged = Vec::with_capacity(people.len());
    for interaction in interactions {
        acknowledged.push(interaction.acknowledged().await.after);
    }
    acknowledged
}
