//! The middleware in front of the sandbox's router: it records every request and lets the fault that is due happen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use slipway::circleci::sandbox::world::World;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::KillSwitch;
use super::fault::{self, Fault};
use super::route::Route;
use super::seen::Seen;

const BODY_BYTES_MAX: usize = 1024 * 1024;

pub(super) struct Control {
    pub(super) world: Arc<World>,
    pub(super) faults: Mutex<Vec<Planned>>,
    pub(super) seen: Mutex<Vec<Seen>>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) closing: CancellationToken,
}

pub(super) struct Planned {
    pub(super) route: Route,
    pub(super) fault: Fault,
    pub(super) times_left: usize,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    fn record(&self, seen: Seen) -> usize {
        let mut all = locked(&self.seen);
        all.push(seen);
        let index = all.len() - 1;
        drop(all);
        self.changed.send_modify(|changes| *changes += 1);
        index
    }

    fn answered(&self, index: usize, status: u16) {
        locked(&self.seen)[index].answered = Some(status);
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn next_fault(&self, actual: Route) -> Option<Fault> {
        let mut faults = locked(&self.faults);
        let planned = faults.iter_mut().find(|planned| planned.times_left > 0 && planned.route.covers(actual))?;
        planned.times_left -= 1;
        Some(planned.fault.clone())
    }
}

/// Records a request, and lets the fault that is due happen to it.
pub(super) async fn observe(
    State(control): State<Arc<Control>>,
    ConnectInfo(switch): ConnectInfo<KillSwitch>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let seen = Seen::new(&control.world, &parts, &body);
    let route = seen.route;
    let index = control.record(seen);
    let request = Request::from_parts(parts, Body::from(body));

    let answer = match control.next_fault(route) {
        None => Some(next.run(request).await),
        Some(fault) => misbehave(&control, fault, request, next).await,
    };
    match answer {
        Some(answer) => {
            control.answered(index, answer.status().as_u16());
            answer
        }
        None => {
            // Whatever is returned meets the cut on its way out.
            switch.cut();
            control.changed.send_modify(|changes| *changes += 1);
            ().into_response()
        }
    }
}

/// The answer that a fault makes, or none when the connection is to be cut.
async fn misbehave(control: &Control, fault: Fault, request: Request, next: Next) -> Option<Response> {
    match fault {
        Fault::Status(status, body) => Some(fault::status(status, &body)),
        Fault::StatusAfter(status, body) => {
            next.run(request).await;
            Some(fault::status(status, &body))
        }
        Fault::Html502 => Some(fault::html_502()),
        Fault::RateLimited { retry_after } => Some(fault::rate_limited(retry_after)),
        Fault::DropBefore => None,
        Fault::DropAfter => {
            next.run(request).await;
            None
        }
        Fault::HangBefore => {
            control.closing.cancelled().await;
            None
        }
        Fault::HangAfter => {
            next.run(request).await;
            control.changed.send_modify(|changes| *changes += 1);
            control.closing.cancelled().await;
            None
        }
        Fault::Garbage => {
            next.run(request).await;
            Some(fault::garbage())
        }
        Fault::OddJson(value) => {
            next.run(request).await;
            Some(fault::status(200, &value))
        }
        Fault::Headers(headers) => {
            let mut answer = next.run(request).await;
            let headers = headers.iter().map(|(name, value)| (*name, HeaderValue::from_static(value)));
            headers.for_each(|(name, value)| _ = answer.headers_mut().insert(name, value));
            Some(answer)
        }
        Fault::Gate(gate) => {
            tokio::select! {
                () = gate.passed() => Some(next.run(request).await),
                () = control.closing.cancelled() => None,
            }
        }
    }
}
