//! What CircleCI tells of a deploy's parts: its workflows, what waits for approval, what failed. Kept as JSON beside the
//! deploy. Pure.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::circleci::{Failure, Hold, Progress};

/// What CircleCI tells of a deploy's parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The newest workflow of each name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workflows: Vec<Workflow>,
    /// The jobs that wait for an approval.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// The pipeline's own errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
}

/// One workflow: its name, and CircleCI's word for how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    pub name: String,
    pub word: String,
}

/// A job that waits for an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub job: String,
    pub workflow: Uuid,
    pub approval: Uuid,
}

/// What failed: a job, its step, the tail of what that wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub job: String,
    pub step: Option<String>,
    pub output: Option<String>,
}

impl Report {
    /// The report that `progress` makes; what failed is told by another question.
    pub fn of(progress: &Progress) -> Self {
        let workflow =
            |line: &crate::circleci::WorkflowLine| Workflow { name: line.name.clone(), word: line.word.clone() };
        let waiting =
            |hold: &Hold| Waiting { job: hold.name.clone(), workflow: hold.workflow, approval: hold.approval };
        // Two buttons of one name would be none.
        let mut unique: Vec<&Hold> = progress.holds.iter().collect();
        let mut seen = std::collections::HashSet::new();
        unique.retain(|hold| seen.insert(hold.approval));
        Self {
            workflows: progress.workflows.iter().map(workflow).collect(),
            waiting: unique.iter().copied().map(waiting).collect(),
            messages: progress.messages.clone(),
            failed: None,
        }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { job: failure.job, step: failure.step, output: failure.output }
    }
}

impl Waiting {
    /// As CircleCI's client takes it.
    pub fn hold(&self) -> Hold {
        Hold { workflow: self.workflow, approval: self.approval, name: self.job.clone() }
    }
}
