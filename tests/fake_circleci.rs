//! Stories about the sandbox CircleCI and the fake that the tests build on it, told with plain HTTP: if these hold,
//! what the other tests see is CircleCI's behaviour and not the fake's whim.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

#[path = "support/circleci/mod.rs"]
mod circleci;
#[path = "fake_circleci/faults.rs"]
mod faults;
#[path = "fake_circleci/jobs.rs"]
mod jobs;
#[path = "fake_circleci/pipelines.rs"]
mod pipelines;
#[path = "fake_circleci/plays.rs"]
mod plays;

use std::time::Duration;

use circleci::FakeCircleCi;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

const ON_MAIN: &str = "/api/v1.1/project/github/acme/web/tree/main";
const BUILDS: &str = "/api/v1.1/project/github/acme/web";
const PROJECT: &str = "/api/v2/project/gh/acme/web";
const RUN: &str = "/api/v2/project/github/acme/web/pipeline/run";
const CLASSIC: &str = "/api/v2/project/gh/acme/web/pipeline";

fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap()
}

/// A request as a good client sends it: the personal token, and JSON wanted.
fn request(fake: &FakeCircleCi, method: Method, path: &str) -> RequestBuilder {
    let request = client().request(method, format!("{}{path}", fake.url()));
    request.bearer_auth(fake.token()).header("Accept", "application/json")
}

async fn get(fake: &FakeCircleCi, path: &str) -> (StatusCode, Value) {
    answer(request(fake, Method::GET, path).send().await.unwrap()).await
}

async fn post(fake: &FakeCircleCi, path: &str, body: Value) -> (StatusCode, Value) {
    answer(request(fake, Method::POST, path).json(&body).send().await.unwrap()).await
}

async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, response.json().await.unwrap())
}

fn on_branch(branch: &str, parameters: Value) -> Value {
    let reference = json!({ "branch": branch });
    json!({ "config": reference, "checkout": reference, "parameters": parameters })
}

fn message(body: &Value) -> &str {
    body["message"].as_str().unwrap_or_default()
}
