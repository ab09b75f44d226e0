//! `/stats`: how the team deploys, in numbers and a picture.

use std::time::Duration;

use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape};
use crate::actor::Caller;
use crate::app::App;
use crate::permission::Action;
use crate::refusal::Refusal;
use crate::reply::{Attachment, Reply, Text, Tone};
use crate::stats::{Asked, Figures, Measured, chart};

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "stats",
    description: "Deploys a day, success rate, lead and recovery times, with a chart",
    shape: Shape::Single(Leaf {
        description: "Deploys a day, success rate, lead and recovery times, with a chart",
        needs: Needs::Holds(Action::View),
        options: &[
            OptionSpec::optional("repo", Kind::Completed(Completes::Repo), "Only of this repository: org/repo"),
            OptionSpec::optional("environment", Kind::Completed(Completes::Environment), "Only of this environment"),
            OptionSpec::optional("since", Kind::Text, "Since when: 7d, 2026-01-31; 30d unless said"),
        ],
        pages: false,
        pressed: false,
        in_lines: &[],
        asks: &[],
        example: "/stats acme/web production",
        parse: |arguments| Ok(Command::Private(Private::Stats(Stats::parse(arguments)?))),
    }),
};

#[derive(Debug)]
pub struct Stats(Asked);

impl Stats {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        Ok(Self(Asked {
            repo: arguments.optional("repo")?,
            environment: arguments.optional("environment")?,
            since: arguments.text("since").filter(|since| !since.is_empty()).map(str::to_owned),
        }))
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let measured = app.stats.measure(caller, &self.0).await?;
        let what = what(&self.0);
        let reply = shown(&measured, &what);
        let figures = measured.figures;
        let description = chart::description(&figures, &what);
        // A picture takes a few milliseconds of a processor, which others wait for here.
        let drawn = tokio::task::spawn_blocking(move || chart::png(&figures, &what)).await;
        Ok(match drawn {
            Ok(Ok(bytes)) => {
                reply.file(Attachment { name: "stats.png".to_owned(), bytes, description, is_shown: true })
            }
            Ok(Err(error)) => {
                tracing::error!("{error}");
                reply
            }
            Err(error) => {
                tracing::error!("Drawing a chart ended badly: {error}. This is a mistake in Slipway; please report it");
                reply
            }
        })
    }
}

/// Of what the numbers are.
pub fn what(asked: &Asked) -> String {
    match (&asked.repo, &asked.environment) {
        (None, None) => "everything".to_owned(),
        (Some(repo), None) => repo.to_string(),
        (None, Some(environment)) => environment.to_string(),
        (Some(repo), Some(environment)) => format!("{repo}, {environment}"),
    }
}

fn shown(measured: &Measured, what: &str) -> Reply {
    let figures = &measured.figures;
    let body = Text::of("Deploys that ended from ").time(measured.since).plain(" to ").time(measured.until).plain(".");
    let mut reply = Reply::new(Tone::Neutral, format!("Deploys of {what}")).body(body);
    for (name, value) in lines(figures) {
        reply = reply.field(name, Text::of(value));
    }
    reply
}

/// Each number with its name, in words.
pub fn lines(figures: &Figures) -> Vec<(&'static str, String)> {
    let rate = |rate: Option<f64>| rate.map_or("none ended".to_owned(), |rate| format!("{:.0} %", rate * 100.0));
    let time = |time: Option<Duration>| time.map_or("no data".to_owned(), lasting);
    let still = match figures.unrecovered {
        0 => String::new(),
        1 => ", and one place where the last one failed".to_owned(),
        places => format!(", and {places} places where the last one failed"),
    };
    vec![
        ("Deploys a day", format!("{:.2} ({} in {} days)", figures.a_day(), figures.succeeded, figures.days.len())),
        (
            "Success rate",
            format!("{} ({} succeeded, {} failed)", rate(figures.success_rate()), figures.succeeded, figures.failed),
        ),
        (
            "Change failure rate",
            format!(
                "{} ({} failed, {} rolled back)",
                rate(figures.change_failure_rate()),
                figures.failed,
                figures.rolled_back
            ),
        ),
        ("Median lead time", time(figures.lead)),
        ("Median time to recovery", format!("{}{still}", time(figures.recovery))),
    ]
}

/// `42 s`, `3 min 20 s`, `5 h 10 min`, `2 days 3 h`.
fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |(large, name): (u64, &str), (small, next): (u64, &str)| match seconds % large / small {
        0 => format!("{} {name}", seconds / large),
        rest => format!("{} {name} {rest} {next}", seconds / large),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => two((60, "min"), (1, "s")),
        3_600..86_400 => two((3_600, "h"), (60, "min")),
        _ => two((86_400, "days"), (3_600, "h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_two_units() {
        let told = [42, 200, 3_600, 18_600, 183_600].map(|seconds| lasting(Duration::from_secs(seconds)));
        assert_eq!(told, ["42 s", "3 min 20 s", "1 h", "5 h 10 min", "2 days 3 h"]);
    }
}
