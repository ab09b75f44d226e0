//! What people did to a deploy after it was asked for: canceled it, approved what waited, had it run again. Kept as JSON
//! beside the deploy. Pure.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Reason;
use crate::actor::{ActorId, Caller};
use crate::circleci::ActError;
use crate::time::Timestamp;

/// How many acts of a deploy are kept.
const ACTS_MAX: usize = 50;

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// What was done.
    pub what: What,
    /// Who did it, as [`ActorId`] writes it.
    pub by: String,
    /// What they were called then.
    pub name: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The job that was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// CircleCI's id of the approval, or of the workflow that runs again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// What CircleCI answered.
    pub answered: Answered,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// CircleCI was asked to stop it.
    Cancel,
    /// A job that waited was approved.
    Approve,
    /// The failed jobs were run again in the same pipeline.
    Rerun,
}

/// What CircleCI answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// Nothing yet; or Slipway was stopped before it could be recorded.
    Nothing,
    /// It does it.
    Taken,
    /// Nothing has changed.
    Refused,
    /// There was nothing yet to do it to: it is done as soon as there is.
    Waits,
    /// It may have done it.
    Uncertain,
}

impl What {
    /// The word for it in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            What::Cancel => "cancel",
            What::Approve => "approve",
            What::Rerun => "rerun",
        }
    }
}

impl Act {
    /// What `caller` does at `now`.
    pub fn new(what: What, caller: &Caller, reason: Option<&Reason>, now: Timestamp) -> Self {
        Self {
            what,
            by: caller.actor.id.to_string(),
            name: caller.actor.name.clone(),
            at: now.millis(),
            reason: reason.map(ToString::to_string),
            job: None,
            id: None,
            answered: Answered::Nothing,
        }
    }

    /// Who did it.
    pub fn actor(&self) -> ActorId {
        ActorId::from(self.by.as_str())
    }

    /// When.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }

    /// Whether it has had its effect, or is going to, as far as is known.
    pub fn counts(&self) -> bool {
        matches!(self.answered, Answered::Taken | Answered::Uncertain | Answered::Waits)
    }

    fn is_same(&self, other: &Act) -> bool {
        (self.what, self.at, &self.by, self.id) == (other.what, other.at, &other.by, other.id)
    }
}

impl Answered {
    /// The short form of an answer.
    pub fn of<T>(answer: &Result<T, ActError>) -> Self {
        match answer {
            Ok(_) => Answered::Taken,
            Err(ActError::Refused(_) | ActError::NotSent { .. }) => Answered::Refused,
            Err(ActError::Uncertain { .. }) => Answered::Uncertain,
        }
    }
}

/// Adds an act; the oldest makes room.
pub fn add(acts: &mut Vec<Act>, act: Act) {
    acts.push(act);
    if acts.len() > ACTS_MAX {
        acts.remove(0);
    }
}

/// Notes what came of `act`, and of those of its kind that waited for the same.
pub fn answer(acts: &mut [Act], act: &Act, answered: Answered, id: Option<Uuid>) {
    for known in acts.iter_mut().filter(|known| known.what == act.what && known.answered == Answered::Waits) {
        known.answered = answered;
    }
    if let Some(known) = acts.iter_mut().rev().find(|known| known.is_same(act)) {
        known.answered = answered;
        known.id = id.or(known.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(at: i64) -> Act {
        let (by, name) = ("7".to_owned(), "alice".to_owned());
        Act { what: What::Cancel, by, name, at, reason: None, job: None, id: None, answered: Answered::Nothing }
    }

    #[test]
    fn an_answer_is_noted_at_its_act_and_the_oldest_makes_room() {
        let mut acts = Vec::new();
        (0..60).for_each(|at| add(&mut acts, act(at)));
        answer(&mut acts, &act(20), Answered::Taken, None);
        assert_eq!((acts.len(), acts[0].at), (ACTS_MAX, 10));
        assert_eq!(acts.iter().filter(|act| act.counts()).map(|act| act.at).collect::<Vec<_>>(), [20]);
        let text = serde_json::to_string(&acts).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Act>>(&text).unwrap(), acts);
    }
}
