//! What failed, for a card: the job, the step and the last lines that it printed. Reads steps through API v1.1 by the
//! job's number, or through v3 where a project has no v1.1 name. Addresses of outputs are secrets that expire: they are
//! fetched, and neither kept, logged nor shown.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::address::{Slug, Version};
use super::budget::Lane;
use super::client::{Call, OUTPUT_BYTES_MAX};
use super::error::{About, ReadError, Refusal};
use super::lacking::Part;
use super::output;
use super::progress::{self, FailedJob, Failure, V3Output};
use super::v2::{self, Pipelines};
use super::{CircleCi, Project, RunId, Status, pipeline};

/// How much of an output is asked for through API v3, in bytes: more than the lines that are shown.
const V3_TAIL_BYTES: u64 = 64 * 1024;

/// How long the address of an output is waited for, from its start to the last byte.
pub(super) const OUTPUT_TIME_LIMIT: Duration = Duration::from_secs(10);

impl CircleCi {
    /// What failed of a run that ended badly: of the newest workflow that failed, the first job that did, its first failed
    /// step, and the last lines of that step's output. `None` when CircleCI doesn't tell of a job that failed.
    ///
    /// # Errors
    /// When the run or its jobs can't be read. That its steps can't is no error: the failure is then told without them.
    pub async fn failure(&self, project: &Project, run: &RunId) -> Result<Option<Failure>, ReadError> {
        match run {
            RunId::Build(number) => {
                let build = self.v1.followed(project, *number).await?;
                let url = self.v1.run(*number, &build).url;
                Ok(Some(self.of_build(progress::v1_job(&build), url, &build).await))
            }
            RunId::Pipeline { id, number } => self.of_pipeline(project, *id, *number).await,
        }
    }

    async fn of_pipeline(&self, project: &Project, id: Uuid, number: i64) -> Result<Option<Failure>, ReadError> {
        let slug = v2::slug(project).map_err(ReadError::Refused)?;
        let workflows = self.v2.workflows(project, id, Lane::Poll).await?;
        let newest = pipeline::newest(&workflows);
        let failed = newest
            .into_iter()
            .filter(|workflow| pipeline::workflow_status(pipeline::text(workflow, "status")) == Status::Failed);
        let failed = failed.max_by_key(|workflow| pipeline::created(workflow));
        let Some(workflow) = failed.and_then(|workflow| progress::id(workflow, "id")) else { return Ok(None) };
        let jobs = self.v2.jobs(project, workflow, Lane::Poll).await?;
        let Some(job) = progress::failed_job(&jobs) else { return Ok(None) };
        let url = match job.number {
            Some(job) => self.http.root.job_page(&slug, number, workflow, job),
            None => self.http.root.workflow_page(&slug, number, workflow),
        };
        if slug.is_opaque() {
            let (step, output) = self.v2.v3_failure(project, &slug, &job).await.unwrap_or_default();
            return Ok(Some(Failure {
                job: self.clean(job.name),
                step: step.map(|step| self.clean(step)),
                output,
                url: Some(url),
            }));
        }
        let build = match job.number {
            Some(number) => self.v1.followed(project, number).await.ok(),
            None => None,
        };
        let build = build.unwrap_or_default();
        Ok(Some(self.of_build(job.name, Some(url), &build).await))
    }

    /// What a v1.1 build tells of the failure of `job`.
    async fn of_build(&self, job: String, url: Option<String>, build: &Value) -> Failure {
        let step = progress::v1_step(build);
        let address = step.as_ref().and_then(|step| step.output.as_deref());
        let output = match address.and_then(|address| self.http.root.output(address)) {
            Some(address) => self.http.fetch_output(address).await.and_then(|raw| output::messages(&raw)),
            None => None,
        };
        let output = output.and_then(|raw| output::tail(&self.http.access.redact(raw)));
        Failure { job: self.clean(job), step: step.map(|step| self.clean(step.name)), output, url }
    }

    fn clean(&self, name: String) -> String {
        self.http.access.redact(name)
    }
}

impl Pipelines {
    /// The step of a job that failed, and the end of what it printed, by API v3.
    async fn v3_failure(
        &self,
        project: &Project,
        slug: &Slug,
        job: &FailedJob,
    ) -> Result<(Option<String>, Option<String>), ReadError> {
        let Some(id) = job.id.map(|id| id.to_string()) else { return Ok((None, None)) };
        let call = self.v3(project, vec!["jobs", &id], &[]);
        let told = self.unless_lacking(Part::V3, slug, self.http.get_json(&call)).await?;
        let Some(step) = progress::v3_step(&told) else { return Ok((None, None)) };
        let mut printed = None;
        if let Some(place) = &step.output {
            for stream in ["stdout", "stderr"] {
                printed = self.v3_output(project, &id, stream, place).await.ok().flatten();
                if printed.is_some() {
                    break;
                }
            }
        }
        Ok((Some(step.name), printed))
    }

    /// The end of one of a step's streams: raw bytes, or 204, 404 or 416 for none.
    async fn v3_output(
        &self,
        project: &Project,
        job: &str,
        stream: &'static str,
        place: &V3Output,
    ) -> Result<Option<String>, ReadError> {
        let size = if stream == "stdout" { place.stdout_bytes } else { place.stderr_bytes };
        if size == Some(0) {
            return Ok(None);
        }
        let (execution, step) = (place.execution.to_string(), place.step.to_string());
        let query = [("filter[execution]", execution.as_str()), ("filter[step_num]", step.as_str())];
        let mut call = self.v3(project, vec!["jobs", job, stream], &query);
        call.from_byte = size.and_then(|size| size.checked_sub(V3_TAIL_BYTES));
        let answer = self.http.get(&call).await?;
        if !answer.is_success() && !matches!(answer.status, 404 | 416) {
            let about = About { project, variable: super::access::USER_TOKEN, names: vec![] };
            let kind = super::client::refusal_kind(answer.status);
            return Err(ReadError::Refused(Refusal::new(kind, Some(answer.status), &about, None)));
        }
        if !answer.is_success() {
            return Ok(None);
        }
        let bytes = answer.bytes();
        let end = &bytes[bytes.len().saturating_sub(OUTPUT_BYTES_MAX)..];
        Ok(output::tail(&self.http.access.redact(String::from_utf8_lossy(end).into_owned())))
    }

    fn v3<'a>(&'a self, project: &'a Project, segments: Vec<&'a str>, query: &[(&'static str, &'a str)]) -> Call<'a> {
        Call::new(Version::V3, segments, query, self.http.access.user(), project).poll().of_the_cloud()
    }
}
