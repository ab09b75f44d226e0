//! The report: one table of figures, and the goals with what was reached. It must not know how anything was measured.

use std::fmt::Write as _;

use super::contestant::Contestant;
use super::figures::{Figures, LOADS};

/// A row of the table.
struct Row {
    name: String,
    /// For each bot; nothing where it isn't measured.
    values: Vec<Option<f64>>,
}

/// The report of a run.
pub fn render(figures: &[(Contestant, Figures)], rounds: usize) -> String {
    let mut report = String::new();
    let rows = rows(figures);
    let names: Vec<&str> = figures.iter().map(|(contestant, _)| contestant.name()).collect();
    let _ = writeln!(report, "| {rounds} rounds | {} | slipway ÷ better peer |", names.join(" | "));
    let _ = writeln!(report, "|---|{}", "---:|".repeat(names.len() + 1));
    let column = |wanted: Contestant| figures.iter().position(|(contestant, _)| *contestant == wanted);
    for row in &rows {
        let cells: Vec<String> = row.values.iter().map(|value| cell(*value)).collect();
        let _ = writeln!(report, "| {} | {} | {} |", row.name, cells.join(" | "), cell(row.against_peers(&column)));
    }
    for (contestant, figures) in figures {
        let (name, own, stage) = (contestant.name(), figures.cpu_ms(), figures.stage_cpu_ms());
        let _ = writeln!(
            report,
            "\n{name}: {own:.2} ms of the bot's and {stage:.2} ms of the stage's processor time a deploy."
        );
    }
    let _ = writeln!(report, "\n| goal | reached | |\n|---|---:|---|");
    for (goal, reached, limit) in goals(&rows, &column) {
        if let Some(reached) = reached {
            let verdict = if reached <= limit { "pass" } else { "MISS" };
            let _ = writeln!(report, "| {goal} | {reached:.2} | {verdict} |");
        }
    }
    report
}

fn rows(figures: &[(Contestant, Figures)]) -> Vec<Row> {
    let row = |name: String, value: &dyn Fn(Contestant, &Figures) -> Option<f64>| Row {
        name,
        values: figures.iter().map(|(contestant, figures)| value(*contestant, figures)).collect(),
    };
    let mut rows = Vec::new();
    for (index, load) in LOADS.iter().enumerate() {
        let people = load.people;
        let who = if people == 1 { "1 person".to_owned() } else { format!("{people} people") };
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            rows.push(row(format!("acknowledgement {name}, {who} (ms)"), &|_, figures| {
                Some(figures.acknowledged_ms(index, share))
            }));
        }
    }
    rows.push(row(CPU.to_owned(), &|contestant, figures| contestant.deploys().then(|| figures.cpu_ms())));
    rows.push(row(IDLE.to_owned(), &|_, figures| Some(figures.idle_rss_mb())));
    rows.push(row("idle memory, proportional (MB)".to_owned(), &|_, figures| Some(figures.idle_pss_mb())));
    rows.push(row("memory after the deploys (MB)".to_owned(), &|_, figures| Some(figures.after_rss_mb())));
    rows.push(row(READY.to_owned(), &|_, figures| Some(figures.ready_ms())));
    rows.push(row(BINARY.to_owned(), &|contestant, _| {
        let size = std::fs::metadata(env!("CARGO_BIN_EXE_slipway")).unwrap().len();
        (contestant == Contestant::Slipway).then_some(size as f64 / 1_000_000.0)
    }));
    rows
}

const CPU: &str = "processor time a deploy (ms)";
const IDLE: &str = "idle memory, resident (MB)";
const READY: &str = "start to ready (ms)";
const BINARY: &str = "stripped binary (MB)";

impl Row {
    fn of(&self, contestant: Contestant, column: &dyn Fn(Contestant) -> Option<usize>) -> Option<f64> {
        self.values[column(contestant)?]
    }

    /// Slipway's figure divided by that of the peer which does better here.
    fn against_peers(&self, column: &dyn Fn(Contestant) -> Option<usize>) -> Option<f64> {
        let peers = [Contestant::DiscordJs, Contestant::DiscordPy].map(|peer| self.of(peer, column));
        let better = peers.into_iter().flatten().reduce(f64::min)?;
        Some(self.of(Contestant::Slipway, column)? / better)
    }

    /// What Slipway takes beyond the bot that only acknowledges.
    fn beyond_ack_only(&self, column: &dyn Fn(Contestant) -> Option<usize>) -> Option<f64> {
        Some(self.of(Contestant::Slipway, column)? - self.of(Contestant::AckOnly, column)?)
    }
}

/// Each goal in words, what was reached, and the most that is allowed.
fn goals(rows: &[Row], column: &dyn Fn(Contestant) -> Option<usize>) -> Vec<(String, Option<f64>, f64)> {
    let row = |name: &str| rows.iter().find(|row| row.name.starts_with(name)).unwrap();
    let own = |name: &str| row(name).of(Contestant::Slipway, column);
    let mut goals = Vec::new();
    for who in ["1 person", "50 people"] {
        for (name, limit) in [("p50", 1.0), ("p99", 5.0)] {
            let reached = row(&format!("acknowledgement {name}, {who}")).beyond_ack_only(column);
            goals.push((format!("acknowledgement {name}, {who}: ≤ {limit} ms beyond ack-only"), reached, limit));
        }
    }
    let ratios = [
        ("acknowledgement p50, 1 person", 1.1),
        ("acknowledgement p99, 1 person", 1.1),
        ("acknowledgement p99, 20 people", 1.0),
        (CPU, 1.0),
        (IDLE, 0.5),
        (READY, 0.5),
    ];
    for (name, limit) in ratios {
        goals.push((format!("{name}: ≤ {limit} × the better peer"), row(name).against_peers(column), limit));
    }
    for (name, limit) in [(READY, 100.0), (IDLE, 20.0), (BINARY, 15.0)] {
        goals.push((format!("{name}: ≤ {limit}"), own(name), limit));
    }
    goals
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}
