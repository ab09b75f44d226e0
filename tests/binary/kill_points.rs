//! A kill at each point of a deploy's way: whatever instant it is, at most one build comes of a request, nothing recorded is
//! lost, the card comes to its end, and the audit chain holds.

use crate::process::{Process, Signal};
use crate::support::Stage;
use crate::support::circleci::{Fault, Route};
use crate::support::database::HeldDatabase;
use crate::support::discord::{Fault as DiscordFault, Interaction, RouteKind};
use crate::{ready, slipway, stage};
use slipway::circleci::sandbox::timeline::Outcome;

/// Where the kill comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// Discord has the acknowledgement, and the database nothing yet.
    Acknowledged,
    /// The request is recorded, and CircleCI has not been asked.
    Recorded,
    /// CircleCI was sent the request, which it does not take.
    Sent,
    /// CircleCI has taken the request and not answered.
    Taken,
    /// CircleCI has answered, and the database has not got it.
    Answered,
    /// The build runs.
    Running,
    /// Discord has been sent an edit of the card, which it does not take.
    Editing,
    /// Discord has taken an edit of the card and not answered.
    Edited,
    /// The end is recorded, and the card does not show it.
    Ended,
}

const POINTS: [Point; 9] = [
    Point::Acknowledged,
    Point::Recorded,
    Point::Sent,
    Point::Taken,
    Point::Answered,
    Point::Running,
    Point::Editing,
    Point::Edited,
    Point::Ended,
];

impl Point {
    /// How many builds there are in the end.
    fn builds(self) -> usize {
        match self {
            Point::Acknowledged | Point::Recorded | Point::Sent => 0,
            _ => 1,
        }
    }

    /// How the deploy ends, if it was recorded.
    fn end(self) -> Option<&'static str> {
        match self {
            Point::Acknowledged => None,
            Point::Recorded | Point::Sent => Some("unknown"),
            _ => Some("succeeded"),
        }
    }

    /// Deploys, brings the bot to this point and kills it there.
    async fn kill(self, stage: &Stage, bot: Process) -> Interaction {
        let mut held: Option<HeldDatabase> = None;
        match self {
            Point::Acknowledged => held = Some(stage.hold_database().await),
            Point::Recorded => {
                stage.circleci.hold(Route::ReadProject);
            }
            Point::Sent => stage.circleci.fault(Route::RunPipeline, Fault::HangBefore, 1),
            Point::Taken | Point::Answered => stage.circleci.fault(Route::RunPipeline, Fault::HangAfter, 1),
            Point::Editing => stage.discord.fault(RouteKind::EditOriginal, DiscordFault::Hang, usize::MAX),
            Point::Edited => stage.discord.fault(RouteKind::EditOriginal, DiscordFault::HangAfter, usize::MAX),
            Point::Running | Point::Ended => {}
        }
        if self == Point::Answered {
            stage.circleci.clear_faults();
        }
        let gate = (self == Point::Answered).then(|| stage.circleci.hold(Route::RunPipeline));
        let asked = stage.alice().deploys("acme/web", "main").await;
        let shows = |state: &'static str| asked.answer_when(move |card| card.text().contains(state));
        match self {
            Point::Acknowledged => {
                asked.acknowledged().await;
            }
            Point::Recorded => asked_once(stage, Route::ReadProject).await,
            Point::Sent | Point::Taken => asked_once(stage, Route::RunPipeline).await,
            Point::Answered => {
                asked_once(stage, Route::RunPipeline).await;
                held = Some(stage.hold_database().await);
                gate.expect("it is held").open();
                stage.circleci.until_answered(Route::RunPipeline, 1).await;
            }
            Point::Editing | Point::Edited => stage.discord.requested(RouteKind::EditOriginal, EDITS_BEFORE + 1).await,
            Point::Running => drop(shows("is running").await),
            Point::Ended => {
                shows("is running").await;
                stage.discord.fault(RouteKind::EditOriginal, DiscordFault::Hang, usize::MAX);
                stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
                while stage.states().await != ["succeeded"] {
                    tokio::task::yield_now().await;
                }
            }
        }
        bot.signal(Signal::Kill);
        bot.ends().await;
        if let Some(held) = held {
            held.give_back().await;
        }
        stage.discord.disconnected().await;
        stage.circleci.clear_faults();
        stage.discord.clear_faults();
        asked
    }
}

/// The answers to what sets the stage are edits too.
const EDITS_BEFORE: usize = 2;

async fn asked_once(stage: &Stage, route: Route) {
    let what = format!("{route:?} was asked");
    stage.circleci.until(&what, |fake| !fake.requests_to(route).is_empty()).await;
}

async fn killed_at(point: Point) {
    let stage = stage().await;
    let bot = ready(&stage).await;
    let asked = point.kill(&stage, bot).await;

    let bot = slipway(&stage, &["run"]);
    bot.says("The commands are registered").await;

    if point.builds() == 1 {
        stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    }
    match point.end() {
        Some(end) => {
            let card = asked.answer_when(|card| card.text().contains(&format!("Deploy #1 is {end}"))).await;
            assert_eq!(card.buttons().iter().any(|button| button.label == "Retry"), end == "unknown", "{point:?}");
            assert_eq!(stage.states().await, [end], "{point:?}");
        }
        // Discord shows that it was never answered, and the person asks again.
        None => assert_eq!(stage.states().await, Vec::<String>::new(), "{point:?}"),
    }
    let sent = stage.circleci.requests_to(Route::RunPipeline).len();
    assert_eq!(stage.circleci.triggers(), point.builds(), "{point:?}");
    assert!(sent <= 1, "{point:?}: the trigger was sent {sent} times");
    assert!(stage.verify().await.holds(), "{point:?}");
    bot.signal(Signal::Term);
    assert_eq!(bot.ends().await.code, Some(0), "{point:?}");
    stage.discord.take_violations();
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_instant_of_a_kill_nothing_is_sent_twice_and_the_card_comes_to_its_end() {
    // Side by side: each waits for some seconds while a build that may have been lost is looked for.
    let deaths: Vec<_> = POINTS.into_iter().map(|point| (point, tokio::spawn(killed_at(point)))).collect();
    let mut failed = Vec::new();
    for (point, death) in deaths {
        if let Err(error) = death.await {
            failed.push(format!("{point:?}: {error}"));
        }
    }
    assert_eq!(failed, Vec::<String>::new());
}
