//! What came of sending or looking for a deploy, and the words for it. Pure.

use super::{Deploy, State};
use crate::circleci::{Found, Refusal, Run, RunId};
use crate::time::Timestamp;

/// What is known of a deploy that was not found.
const MAY_HAVE: &str = "CircleCI may or may not have taken it, and nothing was sent again. Look at the project on CircleCI before you deploy again.";
/// What to do while it isn't known.
const NOT_AGAIN: &str = "Nothing was sent again: look at the project on CircleCI before you deploy again.";
/// What to do when it isn't clear which of several it is.
const NEXT: &str = "Nothing was sent again. Look at them on CircleCI before you deploy again.";

/// What came of sending or looking for a deploy.
pub(super) struct Settled {
    state: State,
    said: Option<String>,
    run: Option<Run>,
    /// Whether the run was found afterwards rather than answered.
    pub adopted: bool,
    /// Whether CircleCI may still tell more.
    followed: bool,
}

impl Settled {
    /// CircleCI has taken it and said so.
    pub fn taken(run: Run) -> Self {
        let state = State::from(run.status);
        Self { state, said: None, followed: true, run: Some(run), adopted: false }
    }

    /// CircleCI has said no.
    pub fn refused(refusal: &Refusal) -> Self {
        let said = match &refusal.said {
            Some(said) => format!("{refusal} CircleCI said: “{said}”"),
            None => refusal.to_string(),
        };
        Self::end(State::Refused, said)
    }

    /// It never reached CircleCI.
    pub fn not_sent(why: &str) -> Self {
        Self::end(State::Canceled, format!("{why} Ask for it again once that is mended."))
    }

    /// What looking for it has found, after its answer was lost because of `why`.
    pub fn looked_for(found: Found, why: &str) -> Self {
        match found {
            Found::One(run) | Found::Likely(run) => Self {
                state: run.status.into(),
                said: Some(format!("{why} The build was found by looking for it.")),
                run: Some(run),
                adopted: true,
                followed: true,
            },
            Found::None => Self::end(State::Unknown, format!("{why} It was looked for and not found: {MAY_HAVE}")),
            Found::Several(runs) => {
                let pages: Vec<String> = runs.iter().map(describe).collect();
                let pages = pages.join(", ");
                Self::end(
                    State::Unknown,
                    format!("{why} It was looked for, and any of these may be it: {pages}. {NEXT}"),
                )
            }
        }
    }

    /// CircleCI is out of reach, so it could not be looked for yet.
    pub fn out_of_reach(why: &str, error: &str) -> Self {
        let said = format!(
            "{why} It could not be looked for yet: {error} Slipway goes on looking, and this card changes when CircleCI answers again. {NOT_AGAIN}"
        );
        Self { followed: true, ..Self::end(State::Unknown, said) }
    }

    /// What was found is another deploy's.
    pub fn of_another(page: &str) -> Self {
        Self::end(State::Unknown, format!("{page} was found, but it belongs to another deploy: {MAY_HAVE}"))
    }

    fn end(state: State, said: String) -> Self {
        Self { state, said: Some(said), run: None, adopted: false, followed: false }
    }

    /// Makes `deploy` what has come of it; whether that is anything new.
    pub fn apply(&self, deploy: &mut Deploy, now: Timestamp) -> bool {
        if deploy.state == self.state && deploy.said == self.said && self.run.is_none() {
            let new = deploy.followed != self.followed;
            deploy.followed = self.followed;
            return new;
        }
        if let Some(run) = &self.run {
            deploy.learn(run);
        }
        if deploy.state == self.state {
            deploy.said.clone_from(&self.said);
        } else {
            deploy.enter(self.state, self.said.clone(), now);
        }
        // One that has ended already is asked about once more: what failed, for one.
        deploy.followed = self.followed;
        true
    }
}

fn describe(run: &Run) -> String {
    match (&run.url, &run.id) {
        (Some(url), _) => url.clone(),
        (None, RunId::Build(number)) => format!("build {number}"),
        (None, RunId::Pipeline { number, .. }) => format!("pipeline {number}"),
    }
}
