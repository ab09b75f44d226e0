//! What a test can make happen to the runs of the fake CircleCI, beside starting and ending them: failures with an output,
//! approvals, ends that no job tells.

use slipway::circleci::sandbox::play::Step;
use slipway::circleci::sandbox::timeline::Outcome;
use slipway::circleci::sandbox::world::Build;
use uuid::Uuid;

use super::FakeCircleCi;

impl FakeCircleCi {
    /// Ends a build as failed in this step, which printed this.
    pub fn fail_with_output(&self, repo: &str, build: u64, step: &str, output: &str) {
        let project = self.project(repo).id;
        let mut state = self.control.world.state();
        let found = state.builds.iter_mut().find(|b| b.project == project && b.num == build);
        found.unwrap_or_else(|| panic!("{repo} has no build {build}")).failing = Step::new(step, output);
        drop(state);
        self.finish(repo, build, Outcome::Failed);
    }

    /// Ends the jobs of a pipeline as failed in this step, which printed this.
    pub fn fail_pipeline_with_output(&self, repo: &str, number: u64, step: &str, output: &str) {
        for build in self.expanded_jobs(repo, number) {
            self.fail_with_output(repo, build, step, output);
        }
    }

    /// The build of a pipeline's job, the newest of that name.
    pub fn job(&self, repo: &str, number: u64, job: &str) -> Build {
        let numbers = self.expanded_jobs(repo, number);
        let project = self.project(repo).id;
        let builds = self.builds();
        let found = builds.iter().rev().find(|b| b.project == project && b.job == job && numbers.contains(&b.num));
        found.unwrap_or_else(|| panic!("pipeline {number} of {repo} has no job {job}")).clone()
    }

    /// The user pushes a commit, which starts a pipeline.
    pub fn pushed(&self, repo: &str, branch: &str) {
        let login = self.control.world.state().user.login.clone();
        let id = self.pipeline_by(&login, repo, branch).id;
        let mut state = self.control.world.state();
        state.pipelines.iter_mut().filter(|p| p.id == id).for_each(|p| p.trigger = "webhook");
    }

    /// Somebody approves, on CircleCI's page, what a pipeline waits for.
    pub fn approve(&self, repo: &str, number: u64) {
        let pipeline = self.pipeline_id(repo, number);
        let now = self.control.world.now();
        let mut state = self.control.world.state();
        let holds = state.workflows.iter().filter(|w| w.pipeline == pipeline);
        let holds: Vec<(Uuid, Uuid)> = holds.filter_map(|w| Some((w.id, w.hold.as_ref()?.id))).collect();
        let approved = holds.iter().filter(|(workflow, hold)| state.approve(*workflow, *hold, now).is_ok()).count();
        assert!(approved > 0, "pipeline {number} of {repo} waits for nothing");
    }

    /// Every workflow of a pipeline shows this status from now on: `unauthorized`, or a word that nobody knows yet.
    pub fn workflows_say(&self, repo: &str, number: u64, word: &str) {
        let pipeline = self.pipeline_id(repo, number);
        let mut state = self.control.world.state();
        state.workflows.iter_mut().filter(|w| w.pipeline == pipeline).for_each(|w| w.word = Some(word.into()));
    }

    /// A pipeline turns out to be errored: it has no workflows and never gets any.
    pub fn error_pipeline(&self, repo: &str, number: u64, message: &str) {
        let pipeline = self.pipeline_id(repo, number);
        let mut state = self.control.world.state();
        state.workflows.retain(|w| w.pipeline != pipeline);
        state.pipelines.iter_mut().filter(|p| p.id == pipeline).for_each(|p| p.error = Some(message.into()));
    }

    /// No workflow of a pipeline's configuration is to run.
    pub fn no_workflows(&self, repo: &str, number: u64) {
        let pipeline = self.pipeline_id(repo, number);
        self.control.world.state().workflows.retain(|w| w.pipeline != pipeline);
    }

    pub(super) fn pipeline_id(&self, repo: &str, number: u64) -> Uuid {
        let project = self.project(repo).id;
        let state = self.control.world.state();
        let found = state.pipelines.iter().find(|p| p.project == project && p.number == number);
        found.unwrap_or_else(|| panic!("{repo} has no pipeline {number}")).id
    }
}
