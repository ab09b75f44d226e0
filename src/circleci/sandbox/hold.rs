//! A workflow that waits: an approval job after some jobs and before others. The others come to be when somebody
//! approves.

use jiff::Timestamp;
use uuid::Uuid;

use super::timeline::Outcome;
use super::world::{State, Workflow};

/// The approval of a workflow, and what waits for it.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The id of the approval job, by which it is approved.
    pub id: Uuid,
    /// The approval job's name.
    pub name: String,
    /// The names and ids of the jobs after it.
    pub after: Vec<(String, Uuid)>,
    pub approved_at: Option<Timestamp>,
    pub canceled: bool,
}

/// Where an approval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldPhase {
    /// Jobs before it are not over, or ended badly.
    Blocked,
    OnHold,
    Approved,
    Canceled,
}

impl HoldPhase {
    /// v2's word for the approval job.
    pub fn word(self) -> &'static str {
        match self {
            HoldPhase::Blocked => "blocked",
            HoldPhase::OnHold => "on_hold",
            HoldPhase::Approved => "success",
            HoldPhase::Canceled => "canceled",
        }
    }
}

/// Why an approval is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotApproved {
    Unknown,
    NotWaiting,
}

impl State {
    /// Where the approval of a workflow is, if it has one.
    pub fn hold_phase(&self, workflow: &Workflow, now: Timestamp) -> Option<HoldPhase> {
        let hold = workflow.hold.as_ref()?;
        let before_are_over =
            || self.jobs(workflow).all(|build| build.timeline.phase(now).outcome() == Some(Outcome::Success));
        Some(match hold {
            Hold { canceled: true, .. } => HoldPhase::Canceled,
            Hold { approved_at: Some(_), .. } => HoldPhase::Approved,
            _ if before_are_over() => HoldPhase::OnHold,
            _ => HoldPhase::Blocked,
        })
    }

    /// Approves what waits, and lets the jobs after it begin.
    pub fn approve(&mut self, workflow: Uuid, approval: Uuid, now: Timestamp) -> Result<(), NotApproved> {
        let found = self.workflow(workflow).ok_or(NotApproved::Unknown)?;
        let Some(hold) = found.hold.clone().filter(|hold| hold.id == approval) else {
            return Err(NotApproved::Unknown);
        };
        if self.hold_phase(found, now) != Some(HoldPhase::OnHold) {
            return Err(NotApproved::NotWaiting);
        }
        let pipeline = self.pipeline(found.pipeline).ok_or(NotApproved::Unknown)?.clone();
        let mut nums = Vec::new();
        for (job, id) in &hold.after {
            nums.extend(self.add_job(&pipeline, workflow, job, *id, now));
        }
        for workflow in self.workflows.iter_mut().filter(|other| other.id == workflow) {
            workflow.jobs.append(&mut nums);
            if let Some(hold) = &mut workflow.hold {
                hold.approved_at = Some(now);
            }
        }
        Ok(())
    }
}
