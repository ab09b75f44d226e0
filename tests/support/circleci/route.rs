//! The calls of CircleCI's API by name, so that a test can say which one misbehaves.

use axum::http::Method;
use slipway::circleci::sandbox::wire::with_open_slug;

/// One call of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Every call, pages included.
    Any,
    /// v1.1 `GET /me`.
    V1Me,
    /// v1.1 `POST /project/…/tree/:branch` and `POST /project/…`.
    TriggerJob,
    /// v1.1 `POST /project/…/build`.
    TriggerBuild,
    /// v1.1 `GET /project/…/:build_num`.
    ReadBuild,
    /// v1.1 `GET /project/…`, `…/tree/:branch` and `/recent-builds`.
    ListBuilds,
    /// v1.1 `POST …/:build_num/cancel`.
    CancelBuild,
    /// v1.1 `POST …/:build_num/retry`.
    RetryBuild,
    /// v2 `GET /me`.
    Me,
    /// v2 `GET /project/{slug}`.
    ReadProject,
    /// v2 `GET /projects/{id}/pipeline-definitions`.
    Definitions,
    /// v2 `POST /project/…/pipeline/run`.
    RunPipeline,
    /// v2 `POST /project/{slug}/pipeline`.
    ClassicPipeline,
    /// v2 `GET /project/{slug}/pipeline`.
    ListPipelines,
    /// v2 `GET /pipeline/{id}` and `GET /project/{slug}/pipeline/{number}`.
    ReadPipeline,
    /// v2 `GET /pipeline/{id}/workflow`.
    PipelineWorkflows,
    /// v2 `GET /workflow/{id}`.
    ReadWorkflow,
    /// v2 `GET /workflow/{id}/job`.
    WorkflowJobs,
    /// v2 `POST /workflow/{id}/cancel`.
    CancelWorkflow,
    /// v2 `POST /workflow/{id}/rerun`.
    RerunWorkflow,
    /// v2 `POST /workflow/{id}/approve/{approval_request_id}`.
    Approve,
    /// v2 `GET /project/{slug}/job/{number}`.
    ReadJob,
    /// v2 `POST …/job/{number}/cancel` and `POST /jobs/{id}/cancel`.
    CancelJob,
    /// v2 `GET /insights/{slug}/branches`.
    Branches,
    /// v3 `GET /jobs/{id}`.
    V3Job,
    /// v3 `GET /jobs/{id}/stdout` and `…/stderr`.
    V3Output,
    /// The presigned address of a step's output, which is none of the API's.
    Output,
    /// Pages and paths that are none of the API's.
    Other,
}

impl Route {
    /// The call that a request makes, by its raw path.
    pub fn of(method: &Method, raw_path: &str) -> Route {
        let opened = with_open_slug(raw_path);
        let path = opened.as_deref().unwrap_or(raw_path);
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method.as_str(), &segments[..]) {
            ("GET", ["api", "v1.1", "me"]) => Route::V1Me,
            ("GET", ["api", "v1.1", "recent-builds"]) => Route::ListBuilds,
            (verb, ["api", "v1.1", "project", _, _, _, rest @ ..]) => Route::of_v1(verb, rest),
            ("GET", ["api", "v2", "me"]) => Route::Me,
            ("GET", ["api", "v2", "projects", _, "pipeline-definitions"]) => Route::Definitions,
            ("GET", ["api", "v2", "insights", _, _, _, "branches"]) => Route::Branches,
            // A slug that was wrongly sent as one segment is the same call, and gets its 404.
            ("POST", ["api", "v2", "project", .., "pipeline", "run"]) => Route::RunPipeline,
            (verb, ["api", "v2", "project", _, _, _, rest @ ..]) => Route::of_v2_project(verb, rest),
            ("GET", ["api", "v2", "pipeline", _]) => Route::ReadPipeline,
            ("GET", ["api", "v2", "pipeline", _, "workflow"]) => Route::PipelineWorkflows,
            ("GET", ["api", "v2", "workflow", _]) => Route::ReadWorkflow,
            ("GET", ["api", "v2", "workflow", _, "job"]) => Route::WorkflowJobs,
            ("POST", ["api", "v2", "workflow", _, "cancel"]) => Route::CancelWorkflow,
            ("POST", ["api", "v2", "workflow", _, "rerun"]) => Route::RerunWorkflow,
            ("POST", ["api", "v2", "workflow", _, "approve", _]) => Route::Approve,
            ("GET", ["api", "v3", "jobs", _]) => Route::V3Job,
            ("GET", ["api", "v3", "jobs", _, "stdout" | "stderr"]) => Route::V3Output,
            ("GET", ["storage", "output", ..]) => Route::Output,
            ("POST", ["api", "v2", "jobs", _, "cancel"]) => Route::CancelJob,
            _ => Route::Other,
        }
    }

    fn of_v1(verb: &str, rest: &[&str]) -> Route {
        match (verb, rest) {
            ("GET", [] | ["tree", _]) => Route::ListBuilds,
            ("POST", [] | ["tree", _]) => Route::TriggerJob,
            ("POST", ["build"]) => Route::TriggerBuild,
            ("GET", [_]) => Route::ReadBuild,
            ("POST", [_, "cancel"]) => Route::CancelBuild,
            ("POST", [_, "retry"]) => Route::RetryBuild,
            _ => Route::Other,
        }
    }

    fn of_v2_project(verb: &str, rest: &[&str]) -> Route {
        match (verb, rest) {
            ("GET", []) => Route::ReadProject,
            ("GET", ["pipeline"]) => Route::ListPipelines,
            ("POST", ["pipeline"]) => Route::ClassicPipeline,
            ("GET", ["pipeline", _]) => Route::ReadPipeline,
            ("GET", ["job", _]) => Route::ReadJob,
            ("POST", ["job", _, "cancel"]) => Route::CancelJob,
            _ => Route::Other,
        }
    }

    /// Whether this route, as a test named it, covers that of a request.
    pub fn covers(self, actual: Route) -> bool {
        self == Route::Any || self == actual
    }
}
