//! The fake CircleCI of the tests: the sandbox's own server, plus faults and odd answers on demand, plus observation.
//! It judges what it is sent, and knows nothing of how Slipway decides to send it.
#![allow(unused_imports, dead_code)]

mod connection;
mod fault;
mod play;
mod route;
mod seen;
mod server;
pub mod webhook;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use jiff::{SignedDuration, Timestamp};
use serde_json::Map;
use slipway::circleci::sandbox::plan::{Clock, Edition, Plan, Project, V1Triggers};
use slipway::circleci::sandbox::router;
use slipway::circleci::sandbox::timeline::{Outcome, Timing};
use slipway::circleci::sandbox::world::{Build, Checkout, Pipeline, World};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use connection::{KillSwitch, KillableListener};
pub use fault::{Fault, Gate, RetryAfter};
pub use route::Route;
pub use seen::Seen;
use server::{Control, Planned, locked, observe};

/// Jobs stay queued until the test moves them on: nothing happens by the passing of time alone.
const HELD: Timing =
    Timing { pending: Duration::ZERO, queued: Duration::from_secs(3600), running: Duration::from_secs(3600) };

/// Jobs are over as soon as they are made.
pub const INSTANT: Timing = Timing { pending: Duration::ZERO, queued: Duration::ZERO, running: Duration::ZERO };

/// How long a test waits for something before it fails.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// How long the server's requests in hand get at `stop`.
const STOP_TIME_LIMIT: Duration = Duration::from_secs(2);

/// A CircleCI on a loopback port. Dropping it aborts its server.
pub struct FakeCircleCi {
    control: Arc<Control>,
    token: String,
    ahead_ms: Arc<AtomicI64>,
    server: JoinHandle<std::io::Result<()>>,
}

/// Making one, and setting it up.
impl FakeCircleCi {
    /// On the cloud, with `acme/web` as in the console's sandbox, and jobs that move only when told.
    pub async fn start() -> FakeCircleCi {
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let ahead = ahead_ms.clone();
        let now = move || Timestamp::now() + SignedDuration::from_millis(ahead.load(Ordering::SeqCst));
        let plan = Plan { timing: HELD, clock: Clock::new(now), ..Plan::sandbox() };
        let token = plan.token.clone();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let control = Arc::new(Control {
            world: Arc::new(World::new(plan, url)),
            faults: Mutex::default(),
            seen: Mutex::default(),
            changed: watch::Sender::new(0),
            closing: CancellationToken::new(),
        });
        let app = router(control.world.clone()).layer(from_fn_with_state(control.clone(), observe));
        let serve = axum::serve(KillableListener(listener), app.into_make_service_with_connect_info::<KillSwitch>())
            .with_graceful_shutdown(control.closing.clone().cancelled_owned());
        let server = tokio::spawn(serve.into_future());
        FakeCircleCi { control, token, ahead_ms, server }
    }

    /// Adds a project, in the place of one of the same name.
    pub fn with_project(self, project: Project) -> FakeCircleCi {
        let mut state = self.control.world.state();
        state.projects.retain(|other| other.slug() != project.slug());
        state.projects.push(project);
        drop(state);
        self
    }

    /// Changes a project that is there.
    pub fn change_project(&self, name: &str, change: impl FnOnce(&mut Project)) {
        let id = self.project(name).id;
        let mut state = self.control.world.state();
        change(state.projects.iter_mut().find(|p| p.id == id).expect("found just now"));
    }

    /// Makes it a server below 4.8; what only the cloud has answers `absent`, 404 or 500.
    pub fn on_server(self, absent: u16) -> FakeCircleCi {
        self.control.world.state().edition = Edition::Server { absent };
        self
    }

    /// As from 1 February 2027 on: v1.1's triggers answer 410.
    pub fn retire_v1_triggers(&self) {
        self.control.world.state().v1_triggers = V1Triggers::Retired;
    }

    /// How long stages last, for what is triggered from now on.
    pub fn with_timing(self, timing: Timing) -> FakeCircleCi {
        self.control.world.state().timing = timing;
        self
    }

    /// From now on no token but this one is the user's, as when one expires and is replaced.
    pub fn replace_token(&mut self, token: &str) {
        self.control.world.state().token = token.into();
        self.token = token.into();
    }

    /// The next `times` requests to `route` meet this fault. Faults of one route come in the order they were named.
    pub fn fault(&self, route: Route, fault: Fault, times: usize) {
        locked(&self.control.faults).push(Planned { route, fault, times_left: times });
    }

    /// Requests to `route` wait until the gate is opened.
    pub fn hold(&self, route: Route) -> Gate {
        let gate = Gate::default();
        self.fault(route, Fault::Gate(gate.clone()), usize::MAX);
        gate
    }

    /// No fault that is left happens.
    pub fn clear_faults(&self) {
        locked(&self.control.faults).clear();
    }

    /// Ends the server.
    pub async fn stop(mut self) {
        self.control.closing.cancel();
        match tokio::time::timeout(STOP_TIME_LIMIT, &mut self.server).await {
            Ok(ended) => ended.expect("the server does not panic").expect("the server does not fail"),
            Err(_) => self.server.abort(),
        }
    }
}

/// Looking at it.
impl FakeCircleCi {
    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.control.world.url()
    }

    /// The user's personal token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The state behind it, for what this page has no word for.
    pub fn world(&self) -> &World {
        &self.control.world
    }

    /// `org/repo`, as it is now.
    pub fn project(&self, name: &str) -> Project {
        let state = self.control.world.state();
        let found = state.projects.iter().find(|project| project.full_name() == name);
        found.unwrap_or_else(|| panic!("the fake CircleCI has no project {name}")).clone()
    }

    /// Every request so far, in their order.
    pub fn requests(&self) -> Vec<Seen> {
        locked(&self.control.seen).clone()
    }

    /// The requests to one route.
    pub fn requests_to(&self, route: Route) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| route.covers(seen.route)).collect()
    }

    /// How many triggers and reruns took effect.
    pub fn triggers(&self) -> usize {
        self.control.world.state().triggers
    }

    /// Every build, the jobs of pipelines too, oldest first.
    pub fn builds(&self) -> Vec<Build> {
        self.control.world.state().builds.clone()
    }

    /// Every pipeline with the parameters it was sent, oldest first.
    pub fn pipelines(&self) -> Vec<Pipeline> {
        self.control.world.state().pipelines.clone()
    }

    /// What requests did that a client of CircleCI must not do.
    pub fn violations(&self) -> Vec<String> {
        self.requests().iter().flat_map(Seen::violations).collect()
    }

    /// Waits until `condition` holds, looking again after every request; fails the test after ten seconds.
    pub async fn until(&self, what: &str, mut condition: impl FnMut(&FakeCircleCi) -> bool) {
        let mut changed = self.control.changed.subscribe();
        let wait = async {
            while !condition(self) {
                changed.changed().await.expect("the fake outlives its waiters");
            }
        };
        if tokio::time::timeout(WAIT_LIMIT, wait).await.is_err() {
            panic!("waited in vain until {what}; requests so far: {:#?}", self.requests());
        }
    }

    /// Waits until `route` was called `times` times and each call was answered.
    pub async fn until_answered(&self, route: Route, times: usize) {
        self.until(&format!("{route:?} was answered {times} times"), |fake| {
            fake.requests_to(route).iter().filter(|seen| seen.answered.is_some()).count() >= times
        })
        .await;
    }
}

/// Moving things on.
impl FakeCircleCi {
    /// Moves its clock on.
    pub fn advance(&self, by: Duration) {
        self.ahead_ms.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }

    /// Starts a queued build.
    pub fn begin(&self, repo: &str, build: u64) {
        let (project, now) = (self.project(repo).id, self.control.world.now());
        self.control.world.state().begin_build(project, build, now);
    }

    /// Ends a build.
    pub fn finish(&self, repo: &str, build: u64, outcome: Outcome) {
        let (project, now) = (self.project(repo).id, self.control.world.now());
        self.control.world.state().finish_build(project, build, outcome, now);
    }

    /// Starts all jobs of a pipeline.
    pub fn begin_pipeline(&self, repo: &str, number: u64) {
        let builds = self.expanded_jobs(repo, number);
        builds.into_iter().for_each(|build| self.begin(repo, build));
    }

    /// Ends all jobs of a pipeline.
    pub fn finish_pipeline(&self, repo: &str, number: u64, outcome: Outcome) {
        let builds = self.expanded_jobs(repo, number);
        builds.into_iter().for_each(|build| self.finish(repo, build, outcome));
    }

    /// Somebody else triggers a pipeline on a branch: `triggers()` does not count it.
    pub fn pipeline_by(&self, login: &str, repo: &str, branch: &str) -> Pipeline {
        let project = self.project(repo);
        let revision = project.branches.get(branch).expect("the branch is there").clone();
        let checkout = Checkout { branch: Some(branch.into()), tag: None, revision };
        let now = self.control.world.now();
        let mut state = self.control.world.state();
        state.start_pipeline(project.id, None, checkout, Map::new(), now).expect("the project is there");
        state.triggers -= 1;
        let pipeline = state.pipelines.last_mut().expect("made just now");
        pipeline.actor = login.into();
        pipeline.clone()
    }

    fn expanded_jobs(&self, repo: &str, number: u64) -> Vec<u64> {
        let (pipeline, now) = (self.pipeline_id(repo, number), self.control.world.now());
        let mut state = self.control.world.state();
        state.expand_pipeline(pipeline, now);
        state.workflows.iter().filter(|w| w.pipeline == pipeline).flat_map(|w| w.jobs.clone()).collect()
    }
}

impl Drop for FakeCircleCi {
    fn drop(&mut self) {
        self.control.closing.cancel();
        self.server.abort();
    }
}
