//! The states of a deploy and which may follow which. Pure.

use std::fmt;
use std::str::FromStr;

use crate::circleci::Status;
use crate::invalid::Invalid;

/// How far a deploy is. The words are shown on cards and kept in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Recorded; waits for somebody to approve it.
    AwaitingApproval,
    /// Waits for its turn.
    Waiting,
    /// CircleCI is being asked, or was when Slipway stopped: it may or may not have been taken.
    Triggering,
    /// CircleCI has taken it.
    Queued,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// It was canceled, or never sent.
    Canceled,
    /// An approver said no.
    Rejected,
    /// CircleCI said no: nothing was started.
    Refused,
    /// Approval never came.
    Expired,
    /// It was looked for and not found: CircleCI may or may not have taken it.
    Unknown,
}

impl State {
    /// Every state.
    pub const ALL: [State; 12] = [
        State::AwaitingApproval,
        State::Waiting,
        State::Triggering,
        State::Queued,
        State::Running,
        State::Succeeded,
        State::Failed,
        State::Canceled,
        State::Rejected,
        State::Refused,
        State::Expired,
        State::Unknown,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::AwaitingApproval => "awaiting_approval",
            State::Waiting => "waiting",
            State::Triggering => "triggering",
            State::Queued => "queued",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Canceled => "canceled",
            State::Rejected => "rejected",
            State::Refused => "refused",
            State::Expired => "expired",
            State::Unknown => "unknown",
        }
    }

    /// Whether nothing can follow.
    pub fn is_final(self) -> bool {
        !matches!(self, State::AwaitingApproval | State::Waiting | State::Triggering | State::Queued | State::Running)
    }

    /// Whether `next` may follow this state.
    pub fn may_become(self, next: State) -> bool {
        use State::*;
        match self {
            AwaitingApproval => matches!(next, Waiting | Triggering | Canceled | Rejected | Expired),
            Waiting => matches!(next, Triggering | Canceled | Expired),
            Triggering => matches!(next, Queued | Running | Succeeded | Failed | Canceled | Refused | Unknown),
            Queued => matches!(next, Running | Succeeded | Failed | Canceled | Unknown),
            Running => matches!(next, Succeeded | Failed | Canceled | Unknown),
            Succeeded | Failed | Canceled | Rejected | Refused | Expired | Unknown => false,
        }
    }
}

impl From<Status> for State {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => State::Queued,
            Status::Running => State::Running,
            Status::Succeeded => State::Succeeded,
            Status::Failed => State::Failed,
            Status::Canceled => State::Canceled,
        }
    }
}

impl FromStr for State {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        State::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            Invalid::new("state", format!("A state is one of {}.", State::ALL.map(State::as_str).join(", ")), "running")
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn final_states_are_those_that_nothing_follows() {
        for state in State::ALL {
            let last = State::ALL.into_iter().all(|next| !state.may_become(next));
            assert_eq!(state.is_final(), last, "{state}");
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }

    proptest! {
        #[test]
        fn no_way_leads_back_to_triggering(steps in prop::collection::vec(0usize..12, 1..20)) {
            let mut state = State::Triggering;
            for next in steps.into_iter().map(|index| State::ALL[index]) {
                if state.may_become(next) {
                    state = next;
                }
                prop_assert!(state != State::Waiting && state != State::AwaitingApproval);
            }
        }
    }
}
