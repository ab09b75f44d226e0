//! CircleCI's outbound webhooks, as its documentation describes them: what is sent, how it is signed, and that it is sent
//! again until it is taken. Knows nothing of who takes them.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use slipway::circleci::sandbox::plan::{Project, Provider};
use slipway::circleci::sandbox::timeline::Outcome;
use slipway::circleci::sandbox::wire::iso;
use slipway::circleci::sandbox::world::{Build, Pipeline, State, Workflow};
use uuid::Uuid;

use super::FakeCircleCi;

/// CircleCI gives up on a delivery after this long.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How often a delivery is tried before the fake gives up on it; CircleCI doesn't tell its own number.
const TRIES_MAX: usize = 5;

/// One event, ready to be delivered; each delivery of it is the same.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub event_type: &'static str,
    pub body: String,
}

/// A webhook as it is set up in a project's settings.
pub struct Outbound {
    url: String,
    secret: Option<String>,
    client: reqwest::Client,
}

impl Outbound {
    pub fn new(url: &str, secret: Option<&str>) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(TIME_LIMIT).build().unwrap();
        Self { url: url.to_owned(), secret: secret.map(str::to_owned), client }
    }

    /// Delivers it once; the status that was answered, none where nothing was.
    pub async fn send(&self, webhook: &Webhook) -> Option<u16> {
        let mut request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("user-agent", "CircleCI-Webhook/1.0")
            .header("circleci-event-type", webhook.event_type);
        if let Some(secret) = &self.secret {
            request = request.header("circleci-signature", format!("v1={}", signature(secret, &webhook.body)));
        }
        let answer = request.body(webhook.body.clone()).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Delivers it until it is taken: anything but 2xx is tried again. What was answered each time.
    pub async fn deliver(&self, webhook: &Webhook, pause: Duration) -> Vec<Option<u16>> {
        let mut answers = Vec::new();
        while answers.len() < TRIES_MAX {
            let answer = self.send(webhook).await;
            answers.push(answer);
            if answer.is_some_and(|status| (200..300).contains(&status)) {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        answers
    }
}

/// Lower-case hexadecimal HMAC-SHA256 of the raw body.
pub fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

impl FakeCircleCi {
    /// What is sent when a workflow has ended.
    pub fn workflow_completed(&self, workflow: Uuid) -> Webhook {
        let now = self.control.world.now();
        let state = self.control.world.state();
        let workflow = state.workflow(workflow).expect("the workflow is there");
        let outcomes: Vec<Outcome> = state
            .jobs(workflow)
            .map(|job| job.timeline.phase(now).outcome().expect("a webhook tells of a workflow that has ended"))
            .collect();
        let status = match () {
            () if outcomes.contains(&Outcome::Canceled) => "canceled",
            () if outcomes.iter().all(|outcome| *outcome == Outcome::Success) => "success",
            () => "failed",
        };
        let mut body = envelope(&state, workflow, "workflow-completed", &workflow.id.to_string());
        body["workflow"]["status"] = json!(status);
        body["workflow"]["stopped_at"] = json!(iso(now));
        body["happened_at"] = json!(iso(now));
        Webhook { event_type: "workflow-completed", body: body.to_string() }
    }

    /// What is sent when a job of a workflow has ended.
    pub fn job_completed(&self, repo: &str, number: u64) -> Webhook {
        let project = self.project(repo).id;
        let now = self.control.world.now();
        let state = self.control.world.state();
        let build = state.build(project, number).expect("the build is there");
        let workflow = build.workflow.and_then(|id| state.workflow(id)).expect("the job belongs to a workflow");
        let mut body = envelope(&state, workflow, "job-completed", &build.job_id.to_string());
        body["job"] = job(build, now);
        body["happened_at"] = json!(iso(now));
        Webhook { event_type: "job-completed", body: body.to_string() }
    }

    /// The workflows of a pipeline.
    pub fn workflows(&self, repo: &str, number: u64) -> Vec<Uuid> {
        let project = self.project(repo).id;
        let state = self.control.world.state();
        let pipeline =
            state.pipelines.iter().find(|p| p.project == project && p.number == number).expect("it is there");
        state.workflows.iter().filter(|w| w.pipeline == pipeline.id).map(|w| w.id).collect()
    }
}

/// The abbreviated payload of the button "Test Ping Event".
pub fn test_ping() -> Webhook {
    let body = json!({ "type": "ping", "id": Uuid::now_v7().to_string(), "webhook": { "name": "slipway" } });
    Webhook { event_type: "ping", body: body.to_string() }
}

/// What every event has. Its id is the same for each delivery.
fn envelope(state: &State, workflow: &Workflow, event: &str, about: &str) -> Value {
    let pipeline = state.pipeline(workflow.pipeline).expect("a workflow has a pipeline");
    let project = state.project_by_id(pipeline.project).expect("a pipeline has a project");
    let long = format!("{}/{}", project.provider.long(), project.full_name());
    json!({
        "id": id_of(event, about).to_string(),
        "type": event,
        "webhook": { "id": id_of("webhook", &long).to_string(), "name": "slipway" },
        "project": { "id": project.id.to_string(), "name": project.repo, "slug": long },
        "organization": { "id": project.org_id.to_string(), "name": project.org },
        "workflow": {
            "id": workflow.id.to_string(),
            "name": workflow.name,
            "created_at": iso(workflow.created_at),
            "url": format!("https://app.circleci.com/pipelines/{long}/{}/workflows/{}", pipeline.number, workflow.id),
        },
        "pipeline": pipeline_of(project, pipeline),
    })
}

/// OAuth projects tell their `vcs`, those of the GitHub App and GitLab their `trigger_parameters`.
fn pipeline_of(project: &Project, pipeline: &Pipeline) -> Value {
    let mut told = json!({
        "id": pipeline.id.to_string(),
        "number": pipeline.number,
        "created_at": iso(pipeline.created_at),
        "trigger": { "type": "api" },
    });
    let (name, place) = match (&pipeline.branch, &pipeline.tag) {
        (_, Some(tag)) => ("tag", tag.clone()),
        (branch, None) => ("branch", branch.clone().unwrap_or_default()),
    };
    if project.provider == Provider::CircleCi {
        let mut git = json!({ "checkout_sha": pipeline.revision, "checkout_url": "git@example.com:acme/web.git", "ref": format!("refs/heads/{place}") });
        git[name] = json!(place);
        told["trigger_parameters"] = json!({
            "circleci": { "event_time": iso(pipeline.created_at), "event_type": "api", "trigger_type": "api" },
            "git": git,
        });
        return told;
    }
    let url = format!("https://{}.com/{}", project.provider.long(), project.full_name());
    let person = json!({ "name": "Author Name", "email": "author.email@example.com" });
    let mut vcs = json!({
        "provider_name": project.provider.long(),
        "origin_repository_url": url,
        "target_repository_url": url,
        "revision": pipeline.revision,
        "commit": {
            "subject": "Description of change", "body": "More details about the change",
            "author": person, "authored_at": iso(pipeline.created_at),
            "committer": person, "committed_at": iso(pipeline.created_at),
        },
    });
    vcs[name] = json!(place);
    told["vcs"] = vcs;
    told
}

fn job(build: &Build, now: jiff::Timestamp) -> Value {
    let status = match build.timeline.phase(now).outcome().expect("a webhook tells of a job that has ended") {
        Outcome::Success => "success",
        Outcome::Canceled => "canceled",
        // Only four words are documented for webhooks.
        Outcome::Failed | Outcome::TimedOut | Outcome::InfrastructureFail => "failed",
    };
    json!({
        "id": build.job_id.to_string(),
        "number": build.num,
        "name": build.job,
        "status": status,
        "started_at": build.timeline.started_at(now).map(iso),
        "stopped_at": build.timeline.stopped_at(now).map(iso),
    })
}

/// An id made of what it names.
fn id_of(kind: &str, name: &str) -> Uuid {
    let hash = Sha256::digest(format!("{kind} {name}"));
    Uuid::from_slice(&hash[..16]).unwrap()
}
