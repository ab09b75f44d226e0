//! The REST server: takes a request in, lets faults and limits have their way with it, asks for its effect, and answers with
//! Discord's headers. It must not know what any single route does.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use serde_json::{Value, json};

use super::buckets::Refusal;
use super::fault::{Cut, CuttableListener, Fault, RouteKind};
use super::form::FormErrors;
use super::route::Route;
use super::upload::{self, File};
use super::world::{Shared, TOKEN, World};
use super::{channels, respond};

/// What the proxy in front of Discord says when Discord does not.
const HTML: &str = "<html><head><title>Error</title></head><body><center><h1>Error</h1></center>\
                    <hr><center>cloudflare</center></body></html>";

/// A request that reached the fake.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    pub method: String,
    /// The path and the query.
    pub path: String,
    pub route: RouteKind,
    pub body: Value,
    /// When it came, on the fake's clock.
    pub at: Duration,
    /// How it was answered; nothing as long as it was not, or when its connection was cut.
    pub status: Option<u16>,
}

impl RecordedRequest {
    /// The request in one line, without the secrets in its path.
    pub fn line(&self) -> String {
        let status = self.status.map_or("no answer".to_owned(), |status| status.to_string());
        format!("{:>6} ms {:?} {}: {status}", self.at.as_millis(), self.route, self.method)
    }
}

/// What the fake answers.
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    pub fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    pub fn no_content() -> Self {
        Self { status: 204, body: Value::Null }
    }

    /// A refusal with Discord's own code.
    pub fn refused(status: u16, code: u64, message: &str) -> Self {
        Self { status, body: json!({"message": message, "code": code}) }
    }

    /// A body that breaks Discord's rules: refused, and a violation.
    pub fn bad_form(world: &mut World, what: &str, errors: &FormErrors) -> Self {
        world.violation(format!("{what}: Invalid Form Body: {}", errors.summary()));
        Self { status: 400, body: errors.to_json() }
    }
}

/// Serves until the fake's runtime ends.
pub async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let app = Router::new().fallback(handle).layer(DefaultBodyLimit::disable()).with_state(shared);
    let service = app.into_make_service_with_connect_info::<Cut>();
    // Serving only ends with the runtime that owns it.
    let _ = axum::serve(CuttableListener(listener), service).await;
}

/// A request, read.
pub struct Request {
    pub route: Route,
    pub query: String,
    pub body: Value,
    /// The body is JSON, or there is none.
    pub is_readable: bool,
    /// The files beside it.
    pub files: Vec<File>,
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response<Body> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("").to_owned();
    let (payload, files) = match upload::read(&content_type, &bytes).await {
        Some(upload) => upload,
        None => (bytes.to_vec(), Vec::new()),
    };
    let request = Request {
        route: Route::parse(method.as_str(), uri.path()),
        query: uri.query().unwrap_or("").to_owned(),
        body: serde_json::from_slice(&payload).unwrap_or(Value::Null),
        is_readable: payload.is_empty() || serde_json::from_slice::<Value>(&payload).is_ok(),
        files,
    };
    let kind = request.route.kind();
    let (number, fault) = shared.change(|world| {
        let number = record(world, &request, &method, &uri);
        check_manners(world, &request.route, &headers, &bytes);
        let fault = world.faults.take(kind);
        if fault.is_some() {
            excuse(world, &request.route);
        }
        (number, fault)
    });
    match &fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::DropBefore) => return cut(&connection),
        _ => {}
    }
    let authorization = headers.get(header::AUTHORIZATION).cloned();
    let effect = take_effect(shared.clone(), request, authorization, fault.clone());
    // A task of its own: a delayed request takes effect even when the client has given up waiting.
    let (answer, extra) = tokio::spawn(effect).await.expect("the effect of a request does not panic");
    match &fault {
        Some(Fault::DelayAnswer(time)) => tokio::time::sleep(*time).await,
        Some(Fault::HangAfter) => std::future::pending().await,
        Some(Fault::DropAfter) => return cut(&connection),
        _ => {}
    }
    shared.change(|world| {
        world.requests[number].status = Some(answer.status);
        world.invalid_answers += usize::from(matches!(answer.status, 401 | 403 | 429));
    });
    respond_with(answer, extra, fault.as_ref())
}

async fn take_effect(
    shared: Arc<Shared>,
    request: Request,
    authorization: Option<HeaderValue>,
    fault: Option<Fault>,
) -> (Answer, Headers) {
    if let Some(Fault::Delay(time)) = &fault {
        tokio::time::sleep(*time).await;
    }
    let authorization = authorization.as_ref().map(HeaderValue::as_bytes);
    shared.change(|world| decide(&shared, world, &request, authorization, fault.as_ref()))
}

type Headers = Vec<(&'static str, String)>;

/// Faults that answer by themselves come first, then authorization, limits, and the route's effect.
fn decide(
    shared: &Shared,
    world: &mut World,
    request: &Request,
    authorization: Option<&[u8]>,
    fault: Option<&Fault>,
) -> (Answer, Headers) {
    let (kind, resource) = (request.route.kind(), request.route.resource());
    match fault {
        Some(Fault::Status(status)) => {
            return (Answer { status: *status, body: Value::Null }, Headers::new());
        }
        Some(Fault::Refused(status, code, message)) => {
            return (Answer::refused(*status, *code, message), Headers::new());
        }
        Some(Fault::RateLimited(time, scope)) => {
            let until = world.now() + *time;
            world.buckets.forbid(kind, &resource, until, *scope);
            let refusal = Refusal { retry_after: *time, scope: *scope, told: false };
            return (Answer { status: 429, body: refusal.body() }, refusal.headers());
        }
        _ => {}
    }
    let expected = format!("Bot {TOKEN}");
    if request.route.wants_bot() && authorization != Some(expected.as_bytes()) {
        world.unauthorized += 1;
        if world.unauthorized > 1 {
            world.violation("went on with a bot token that was answered 401");
        }
        return (Answer::refused(401, 0, "401: Unauthorized"), Headers::new());
    }
    let verdict = world.buckets.take(kind, &resource, world.now(), world.wall());
    let mut headers = verdict.headers;
    if let Some(refusal) = verdict.refusal {
        if refusal.told {
            world.violation(format!(
                "{kind:?} sent {:?} before a limit it knew of would end (scope {})",
                refusal.retry_after,
                refusal.scope.name()
            ));
        }
        headers.extend(refusal.headers());
        return (Answer { status: 429, body: refusal.body() }, headers);
    }
    if !request.is_readable {
        world.violation("sent a body that is not JSON");
        return (Answer::refused(400, 50109, "The request body contains invalid JSON."), headers);
    }
    if let Some(refusal) = upload::refuse(world, request) {
        return (refusal, headers);
    }
    let answer = if request.route.token().is_some() {
        respond::answer(world, request)
    } else {
        channels::answer(shared, world, request)
    };
    (answer, headers)
}

fn record(world: &mut World, request: &Request, method: &Method, uri: &Uri) -> usize {
    world.requests.push(RecordedRequest {
        method: method.to_string(),
        path: uri.path_and_query().map_or_else(String::new, ToString::to_string),
        route: request.route.kind(),
        body: request.body.clone(),
        at: world.now(),
        status: None,
    });
    world.requests.len() - 1
}

/// What Discord asks of every client (reference: user agent, content type), and what this fake does not model.
fn check_manners(world: &mut World, route: &Route, headers: &HeaderMap, bytes: &Bytes) {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    if !text(header::USER_AGENT).starts_with("DiscordBot (") {
        world.violation("sent no User-Agent of the form \"DiscordBot (url, version)\"");
    }
    let kind = text(header::CONTENT_TYPE);
    if !bytes.is_empty() && !kind.starts_with("application/json") && !kind.starts_with("multipart/form-data; boundary=")
    {
        world
            .violation("sent a body that is neither application/json nor multipart/form-data; the fake knows no other");
    }
    if *route == Route::Unknown {
        world.violation("called a route that the fake does not know");
    }
}

/// What follows from a fault laid by the test is no violation of the bot's.
fn excuse(world: &mut World, route: &Route) {
    let Some(token) = route.token() else { return };
    for record in world.interactions.values_mut().filter(|record| record.token == token) {
        record.excused = true;
    }
}

fn cut(connection: &Cut) -> Response<Body> {
    connection.cut();
    Response::new(Body::empty())
}

fn respond_with(answer: Answer, headers: Headers, fault: Option<&Fault>) -> Response<Body> {
    let (kind, body) = match (fault, answer.status) {
        (Some(Fault::Status(_)), _) => ("text/html", HTML.to_owned()),
        (_, 204) => ("text/html; charset=utf-8", String::new()),
        _ => ("application/json", answer.body.to_string()),
    };
    let mut response =
        Response::builder().status(answer.status).header(header::CONTENT_TYPE, kind).header("via", "1.1 google");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).expect("status and headers are valid")
}
