//! What the sandbox remembers: its projects and the builds, pipelines and workflows that came to be. Every change
//! is one method here; HTTP's words for it are in `v1` and `v2`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::hold::Hold;
use super::plan::{Clock, Edition, HoldConfig, Plan, Project, Provider, User, V1Triggers, WorkflowConfig, random_hex};
use super::play::{self, Play, Step};
use super::timeline::{Outcome, Timeline, Timing};

/// One run of one job: v1.1's build, and the job of a v2 workflow, which share their numbers.
#[derive(Clone, Debug)]
pub struct Build {
    pub project: Uuid,
    /// `build_num` in v1.1, `job_number` in v2.
    pub num: u64,
    pub job_id: Uuid,
    pub job: String,
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub revision: String,
    pub parameters: BTreeMap<String, String>,
    pub why: &'static str,
    pub retry_of: Option<u64>,
    pub workflow: Option<Uuid>,
    pub timeline: Timeline,
    /// Its own step, which carries its outcome, and what that prints should it fail.
    pub failing: Step,
}

/// One pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub project: Uuid,
    pub id: Uuid,
    pub number: u64,
    /// The login of whoever triggered it.
    pub actor: String,
    pub definition: Option<Uuid>,
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub revision: String,
    /// As they were sent, defaults not filled in.
    pub parameters: Map<String, Value>,
    pub created_at: Timestamp,
    /// From when on its workflows exist.
    pub expands_at: Timestamp,
    /// Why it ended `errored`, when it did.
    pub error: Option<String>,
    /// What started it, as `trigger.type` has it: `api`, `webhook`, `explicit`.
    pub trigger: &'static str,
}

/// One workflow of a pipeline. Its jobs are builds.
#[derive(Clone, Debug)]
pub struct Workflow {
    pub id: Uuid,
    pub pipeline: Uuid,
    pub name: String,
    pub created_at: Timestamp,
    pub jobs: Vec<u64>,
    /// What some of its jobs wait for.
    pub hold: Option<Hold>,
    pub canceled_by: Option<Uuid>,
    /// A status that its jobs do not tell: `unauthorized`, or a word that nobody knows yet.
    pub word: Option<String>,
}

/// What a trigger asks to be checked out.
#[derive(Clone, Debug)]
pub struct Checkout {
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub revision: String,
}

impl Checkout {
    /// The branch or tag, by which outcomes are decided.
    pub fn name(&self) -> &str {
        self.branch.as_deref().or(self.tag.as_deref()).unwrap_or_default()
    }
}

/// A build to be made.
pub struct NewBuild {
    pub project: Uuid,
    pub job: String,
    pub checkout: Checkout,
    pub parameters: BTreeMap<String, String>,
    pub why: &'static str,
    pub retry_of: Option<u64>,
}

/// The state behind the lock.
pub struct State {
    pub user: User,
    pub token: String,
    pub projects: Vec<Project>,
    pub timing: Timing,
    pub edition: Edition,
    pub v1_triggers: V1Triggers,
    pub builds: Vec<Build>,
    pub pipelines: Vec<Pipeline>,
    pub workflows: Vec<Workflow>,
    /// How many triggers and reruns took effect.
    pub triggers: usize,
}

/// The sandbox's state and its clock, shared by all requests.
pub struct World {
    url: String,
    /// What presigned addresses are signed with.
    signing_key: String,
    clock: Clock,
    state: Mutex<State>,
}

impl World {
    /// The world as `plan` has it, served at `url` (`http://127.0.0.1:PORT`).
    pub fn new(plan: Plan, url: String) -> World {
        let state = State {
            user: plan.user,
            token: plan.token,
            projects: plan.projects,
            timing: plan.timing,
            edition: plan.edition,
            v1_triggers: plan.v1_triggers,
            builds: Vec::new(),
            pipelines: Vec::new(),
            workflows: Vec::new(),
            triggers: 0,
        };
        World { url, signing_key: random_hex(), clock: plan.clock, state: Mutex::new(state) }
    }

    pub(super) fn signing_key(&self) -> &str {
        &self.signing_key
    }

    /// Where it is served, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The sandbox's now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The state, locked; never held across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves at worst one half-made build, which a sandbox survives.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The project of a slug.
    pub fn project(&self, provider: Provider, org: &str, repo: &str) -> Option<&Project> {
        self.projects.iter().find(|p| p.provider == provider && p.org == org && p.repo == repo)
    }

    /// The project with this id.
    pub fn project_by_id(&self, id: Uuid) -> Option<&Project> {
        self.projects.iter().find(|p| p.id == id)
    }

    /// A build by its number in its project.
    pub fn build(&self, project: Uuid, num: u64) -> Option<&Build> {
        self.builds.iter().find(|b| b.project == project && b.num == num)
    }

    /// The pipeline with this id.
    pub fn pipeline(&self, id: Uuid) -> Option<&Pipeline> {
        self.pipelines.iter().find(|p| p.id == id)
    }

    /// The workflow with this id.
    pub fn workflow(&self, id: Uuid) -> Option<&Workflow> {
        self.workflows.iter().find(|w| w.id == id)
    }

    /// A workflow's jobs, as builds.
    pub fn jobs(&self, workflow: &Workflow) -> impl Iterator<Item = &Build> {
        self.builds.iter().filter(move |b| b.workflow == Some(workflow.id))
    }

    /// The builds of a project that exist by `now`, newest first.
    pub fn builds_of(&self, project: Uuid, now: Timestamp) -> impl Iterator<Item = &Build> {
        self.builds.iter().rev().filter(move |b| b.project == project && b.timeline.queued_at <= now)
    }

    /// The workflows of a pipeline that exist by `now`, newest first.
    pub fn workflows_of(&self, pipeline: Uuid, now: Timestamp) -> impl Iterator<Item = &Workflow> {
        self.workflows.iter().rev().filter(move |w| w.pipeline == pipeline && w.created_at <= now)
    }

    /// Queues a single job, as v1.1 does, and counts the trigger.
    pub fn start_job(&mut self, new: NewBuild, now: Timestamp) -> Option<u64> {
        let num = self.add_build(new, None, now)?;
        self.triggers += 1;
        Some(num)
    }

    /// Creates a pipeline and the workflows that the configuration picks for its parameters.
    pub fn start_pipeline(
        &mut self,
        project_id: Uuid,
        definition: Option<Uuid>,
        checkout: Checkout,
        parameters: Map<String, Value>,
        now: Timestamp,
    ) -> Option<Pipeline> {
        let project = self.project_by_id(project_id)?.clone();
        let error = missing_parameters(&project, &parameters);
        let pipeline = Pipeline {
            project: project_id,
            id: Uuid::now_v7(),
            number: 1 + self.pipelines.iter().filter(|p| p.project == project_id).count() as u64,
            actor: self.user.login.clone(),
            definition,
            branch: checkout.branch.clone(),
            tag: checkout.tag.clone(),
            revision: checkout.revision.clone(),
            parameters,
            created_at: now,
            expands_at: now + self.timing.pending,
            error,
            trigger: "api",
        };
        self.pipelines.push(pipeline.clone());
        self.triggers += 1;
        if pipeline.error.is_none() {
            for config in chosen_workflows(&project, &pipeline) {
                self.add_workflow(&pipeline, &config, pipeline.expands_at);
            }
        }
        Some(pipeline)
    }

    /// Runs these jobs of a workflow again, as a new workflow of the same pipeline.
    pub fn rerun(&mut self, workflow: Uuid, jobs: &[String], now: Timestamp) -> Option<Uuid> {
        let old = self.workflow(workflow)?.clone();
        let pipeline = self.pipeline(old.pipeline)?.clone();
        self.triggers += 1;
        let config = WorkflowConfig { name: old.name, jobs: jobs.to_vec(), hold: None, when: None };
        Some(self.add_workflow(&pipeline, &config, now))
    }

    /// Cancels what has not ended of a workflow.
    pub fn cancel_workflow(&mut self, id: Uuid, now: Timestamp) {
        let user = self.user.id;
        let mut canceled = false;
        for build in self.builds.iter_mut().filter(|b| b.workflow == Some(id)) {
            canceled |= build.timeline.finish(now, Outcome::Canceled);
        }
        for workflow in self.workflows.iter_mut().filter(|w| w.id == id) {
            if let Some(hold) = workflow.hold.as_mut().filter(|hold| hold.approved_at.is_none()) {
                canceled |= !std::mem::replace(&mut hold.canceled, true);
            }
            if canceled {
                workflow.canceled_by = Some(user);
            }
        }
    }

    /// Starts a queued build now.
    pub fn begin_build(&mut self, project: Uuid, num: u64, now: Timestamp) {
        if let Some(build) = self.build_mut(project, num) {
            build.timeline.begin(now);
        }
    }

    /// Ends a build now; one that has ended stays as it is.
    pub fn finish_build(&mut self, project: Uuid, num: u64, outcome: Outcome, now: Timestamp) {
        if let Some(build) = self.build_mut(project, num) {
            build.timeline.finish(now, outcome);
        }
    }

    /// Makes a pipeline's workflows exist now.
    pub fn expand_pipeline(&mut self, id: Uuid, now: Timestamp) {
        for pipeline in self.pipelines.iter_mut().filter(|p| p.id == id) {
            pipeline.expands_at = pipeline.expands_at.min(now);
        }
        for workflow in self.workflows.iter_mut().filter(|w| w.pipeline == id) {
            workflow.created_at = workflow.created_at.min(now);
        }
    }

    fn build_mut(&mut self, project: Uuid, num: u64) -> Option<&mut Build> {
        self.builds.iter_mut().find(|b| b.project == project && b.num == num)
    }

    fn add_workflow(&mut self, pipeline: &Pipeline, config: &WorkflowConfig, at: Timestamp) -> Uuid {
        let id = Uuid::now_v7();
        let mut nums = Vec::new();
        for job in &config.jobs {
            nums.extend(self.add_job(pipeline, id, job, Uuid::now_v7(), at));
        }
        let hold = config.hold.as_ref().map(|hold| Hold {
            id: Uuid::now_v7(),
            name: hold.name.clone(),
            after: hold.after.iter().map(|job| (job.clone(), Uuid::now_v7())).collect(),
            approved_at: None,
            canceled: false,
        });
        self.workflows.push(Workflow {
            id,
            pipeline: pipeline.id,
            name: config.name.clone(),
            created_at: at,
            jobs: nums,
            hold,
            canceled_by: None,
            word: None,
        });
        id
    }

    /// Adds a job of a workflow, and tells its number.
    pub(super) fn add_job(
        &mut self,
        pipeline: &Pipeline,
        workflow: Uuid,
        job: &str,
        id: Uuid,
        at: Timestamp,
    ) -> Option<u64> {
        // The names of the parameters decide how the jobs end, but pipeline parameters are not build parameters.
        let names = pipeline.parameters.iter().filter(|(_, value)| **value != Value::Bool(false));
        let new = NewBuild {
            project: pipeline.project,
            job: job.into(),
            checkout: Checkout {
                branch: pipeline.branch.clone(),
                tag: pipeline.tag.clone(),
                revision: pipeline.revision.clone(),
            },
            parameters: names.map(|(name, _)| (name.clone(), String::new())).collect(),
            why: "api",
            retry_of: None,
        };
        let num = self.add_build(new, Some(workflow), at)?;
        let build = self.builds.last_mut()?;
        build.job_id = id;
        Some(num)
    }

    fn add_build(&mut self, new: NewBuild, workflow: Option<Uuid>, at: Timestamp) -> Option<u64> {
        let project = self.project_by_id(new.project)?;
        let names = new.parameters.iter().filter(|(_, value)| *value != "false").map(|(name, _)| name.as_str());
        let play = Play::of(new.checkout.name());
        let mut ends = project.outcome(new.checkout.name(), names.chain([new.job.as_str()]));
        let ran_before = |b: &Build| b.project == new.project && b.branch == new.checkout.branch && b.job == new.job;
        if play == Play::Flaky && !self.builds.iter().any(ran_before) {
            ends = Outcome::Failed;
        }
        let timing = Timing { running: play.running(self.timing.running), ..self.timing };
        let num = 1 + self.builds.iter().filter(|b| b.project == new.project).count() as u64;
        self.builds.push(Build {
            project: new.project,
            num,
            job_id: Uuid::now_v7(),
            failing: play::failing_step(&new.job, new.checkout.branch.as_deref()),
            job: new.job,
            branch: new.checkout.branch,
            tag: new.checkout.tag,
            revision: new.checkout.revision,
            parameters: if workflow.is_some() { BTreeMap::new() } else { new.parameters },
            why: new.why,
            retry_of: new.retry_of,
            workflow,
            timeline: Timeline::new(at, timing, ends),
        });
        Some(num)
    }
}

/// A pipeline whose configuration declares a parameter without default needs a value for it.
fn missing_parameters(project: &Project, given: &Map<String, Value>) -> Option<String> {
    let declared = project.config.parameters.iter();
    let missing: Vec<&str> = declared
        .filter(|(name, parameter)| parameter.default.is_none() && !given.contains_key(*name))
        .map(|(name, _)| name.as_str())
        .collect();
    (!missing.is_empty()).then(|| format!("Missing required argument(s): {}", missing.join(", ")))
}

/// The workflows whose `when` holds; a configuration without any runs its job `build`, as CircleCI does. On a branch that
/// plays it, each waits for an approval first.
fn chosen_workflows(project: &Project, pipeline: &Pipeline) -> Vec<WorkflowConfig> {
    let config = &project.config;
    let value_of = |name: &String| {
        let default = || config.parameters.get(name).and_then(|p| p.default.as_ref());
        pipeline.parameters.get(name).or_else(default)
    };
    let holds = |(name, value): &(String, Value)| value_of(name) == Some(value);
    let chosen = config.workflows.iter().filter(|workflow| workflow.when.as_ref().is_none_or(holds));
    let mut chosen: Vec<WorkflowConfig> = chosen.cloned().collect();
    if config.workflows.is_empty() {
        chosen.push(WorkflowConfig { name: "workflow".into(), jobs: vec!["build".into()], hold: None, when: None });
    }
    if pipeline.branch.as_deref().map(Play::of) == Some(Play::Hold) {
        for workflow in chosen.iter_mut().filter(|workflow| workflow.hold.is_none()) {
            let after = std::mem::take(&mut workflow.jobs);
            workflow.hold = Some(HoldConfig { name: "approve".into(), after });
        }
    }
    chosen
}
