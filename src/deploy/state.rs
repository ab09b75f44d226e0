//! The states of a deploy and which may follow which. Pure.

use crate::circleci::Status;
use crate::vocabulary::vocabulary;

vocabulary! {
    /// How far a deploy is. The words are shown on cards and kept in the audit log.
    State, "state", "running" {
        /// Recorded; waits for somebody to approve it.
        AwaitingApproval = "awaiting_approval",
        /// Waits for its turn.
        Waiting = "waiting",
        /// CircleCI is being asked, or was when Slipway stopped: it may or may not have been taken.
        Triggering = "triggering",
        /// CircleCI has taken it.
        Queued = "queued",
        /// It runs.
        Running = "running",
        /// It ended well.
        Succeeded = "succeeded",
        /// It ended badly.
        Failed = "failed",
        /// It was canceled, or never sent.
        Canceled = "canceled",
        /// An approver said no.
        Rejected = "rejected",
        /// CircleCI said no: nothing was started.
        Refused = "refused",
        /// Approval never came.
        Expired = "expired",
        /// It was looked for and not found: CircleCI may or may not have taken it.
        Unknown = "unknown",
    }
}

impl State {
    /// Whether nothing follows by itself. Only of what is unknown CircleCI may tell more one day.
    pub fn is_final(self) -> bool {
        !matches!(self, State::AwaitingApproval | State::Waiting | State::Triggering | State::Queued | State::Running)
    }

    /// Whether somebody may have it run again in the same pipeline, from where it failed: by that act alone it is running
    /// once more.
    pub fn may_run_again(self) -> bool {
        self == State::Failed
    }

    /// Whether `next` may follow this state by itself.
    pub fn may_become(self, next: State) -> bool {
        use State::*;
        match self {
            AwaitingApproval => matches!(next, Waiting | Triggering | Canceled | Rejected | Expired),
            Waiting => matches!(next, Triggering | Canceled | Expired),
            Triggering => matches!(next, Queued | Running | Succeeded | Failed | Canceled | Refused | Unknown),
            Queued => matches!(next, Running | Succeeded | Failed | Canceled | Unknown),
            Running => matches!(next, Succeeded | Failed | Canceled | Unknown),
            Unknown => matches!(next, Queued | Running | Succeeded | Failed | Canceled),
            Succeeded | Failed | Canceled | Rejected | Refused | Expired => false,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn final_states_are_those_that_nothing_follows_but_what_is_unknown_may_be_told() {
        for state in State::ALL.iter().copied() {
            let last = State::ALL.iter().copied().all(|next| !state.may_become(next));
            assert_eq!(state.is_final(), last || state == State::Unknown, "{state}");
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }

    #[test]
    fn only_what_failed_runs_again_and_never_by_itself() {
        for state in State::ALL.iter().copied().filter(|state| state.may_run_again()) {
            assert_eq!(state, State::Failed);
            assert!(!state.may_become(State::Running));
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
