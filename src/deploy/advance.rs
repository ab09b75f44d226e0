//! What a deploy becomes by what CircleCI tells of its run, or by its silence. Pure.

use std::time::Duration;

use uuid::Uuid;

use super::act::What;
use super::report::{Failed, Report};
use super::{Deploy, Pace, State};
use crate::circleci::{Failure, Progress};
use crate::time::Timestamp;

/// The word for a pipeline with which CircleCI is done: what it runs, runs by now.
const CREATED: &str = "created";

/// What `deploy` becomes by what CircleCI tells of its run; nothing when it tells nothing new.
pub fn advance(deploy: &Deploy, progress: &Progress, pace: &Pace, now: Timestamp) -> Option<Deploy> {
    let mut next = deploy.clone();
    next.learn(&progress.run);
    next.report = Report::of(progress);
    let mut told = State::from(progress.run.status);
    if awaits_rerun(deploy, progress, pace, now) {
        (told, next.report.failed) = (State::Running, None);
    }
    if let Some((state, said)) = given_up(deploy, told, progress, pace, now) {
        next.enter(state, Some(said.to_owned()), now);
        next.followed = false;
    } else if deploy.state.may_become(told) {
        next.enter(told, None, now);
        next.ended_at = next.ended_at.map(|noticed| ended_at(deploy, progress).unwrap_or(noticed).min(noticed));
    }
    // What is unknown is asked about until something is known, and what failed once more, for what it was; the rest until its
    // end.
    next.followed &= !next.state.is_final() || matches!(next.state, State::Unknown | State::Failed);
    (differs(&next, deploy)).then_some(next)
}

/// When the run ended, by CircleCI's clock: what ended while nobody asked has its own time, by which it is known what is
/// live.
fn ended_at(deploy: &Deploy, progress: &Progress) -> Option<Timestamp> {
    progress.ended_at.map(|ended| ended.max(deploy.began_at()))
}

/// Whether jobs were made to run again, and CircleCI's list doesn't show the workflow in which they do yet.
fn awaits_rerun(deploy: &Deploy, progress: &Progress, pace: &Pace, now: Timestamp) -> bool {
    let Some(rerun) = deploy.acts.iter().rfind(|act| act.what == What::Rerun && act.counts()) else { return false };
    let shown = |id: Uuid| progress.workflows.iter().any(|workflow| workflow.id == id);
    let is_new = deploy.state == State::Running && now.since(rerun.time()) < pace.no_workflow;
    is_new && rerun.id.is_some_and(|id| !shown(id))
}

/// The end of a run of which CircleCI has told nothing more for too long.
fn given_up(
    deploy: &Deploy,
    told: State,
    progress: &Progress,
    pace: &Pace,
    now: Timestamp,
) -> Option<(State, &'static str)> {
    if told.is_final() {
        return None;
    }
    let is_pipeline = matches!(progress.run.id, crate::circleci::RunId::Pipeline { .. });
    let age = now.since(deploy.began_at());
    // While it is pending CircleCI still works on it, however long an incident there lasts.
    let none = is_pipeline && progress.workflows.is_empty() && progress.run.status_word == CREATED;
    if none && now.since(deploy.changed_at) >= pace.no_workflow && deploy.state.may_become(State::Failed) {
        return Some((
            State::Failed,
            "CircleCI made a pipeline and ran no workflow in it: no workflow's `when` fits these parameters, or the configuration has none.",
        ));
    }
    let too_long = |limit: Duration| age >= limit && deploy.state.may_become(State::Unknown);
    if told == State::Queued && too_long(pace.never_starts) {
        return Some((
            State::Unknown,
            "It has waited at CircleCI for a whole day without starting, so it is no longer followed. Look at it there, and cancel it before you deploy again.",
        ));
    }
    too_long(pace.never_ends).then_some((State::Unknown, "It has run for three months, so it is no longer followed."))
}

/// The same with what failed, where CircleCI tells: nothing more is asked.
pub fn with_failure(deploy: &Deploy, failure: Option<Failure>) -> Deploy {
    let mut next = deploy.clone();
    next.report.failed = failure.map(Failed::from);
    next.followed = false;
    next
}

/// CircleCI says that the run isn't there, or has had nothing to say for too long: it is asked no more.
pub fn vanished(deploy: &Deploy, now: Timestamp) -> Deploy {
    let mut next = deploy.clone();
    if next.state.may_become(State::Unknown) {
        let said = "CircleCI no longer knows the build: it was deleted, or the token may no longer see the project. How it ended can't be told. Look at the project on CircleCI, and at what runs, before you deploy again.";
        next.enter(State::Unknown, Some(said.to_owned()), now);
    }
    next.followed = false;
    next
}

/// CircleCI has been out of reach for long; it is asked all the same, and may tell more.
pub fn out_of_reach(deploy: &Deploy, error: &str, now: Timestamp) -> Option<Deploy> {
    deploy.state.may_become(State::Unknown).then(|| {
        let mut next = deploy.clone();
        let said = format!(
            "CircleCI has been out of reach for a while, so how far it is can't be told: {error} Slipway goes on asking, and this card changes when CircleCI answers again. Don't deploy again before you have looked at CircleCI."
        );
        next.enter(State::Unknown, Some(said), now);
        next
    })
}

fn differs(next: &Deploy, before: &Deploy) -> bool {
    next.state != before.state
        || next.followed != before.followed
        || next.report != before.report
        || next.revision != before.revision
        || next.subject != before.subject
        || next.url != before.url
        || next.run != before.run
}
