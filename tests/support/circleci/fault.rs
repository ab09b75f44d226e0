//! The ways in which the fake CircleCI misbehaves when a test asks for it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// One way to misbehave. "Before" means that the request takes no effect, "after" that it does.
#[derive(Clone)]
pub enum Fault {
    /// This status with this JSON body; no effect.
    Status(u16, Value),
    /// The request takes effect, and this status with this JSON body is what the client gets.
    StatusAfter(u16, Value),
    /// A 502 with a page of HTML, as a load balancer answers; no effect.
    Html502,
    /// 429; no effect.
    RateLimited { retry_after: Option<RetryAfter> },
    /// The connection is reset; no effect.
    DropBefore,
    /// The request takes effect, and the connection is reset in the place of an answer.
    DropAfter,
    /// Never an answer; no effect.
    HangBefore,
    /// The request takes effect, and never gets an answer.
    HangAfter,
    /// The request takes effect and is answered 200 with what is not JSON.
    Garbage,
    /// The request takes effect and is answered 200 with this instead.
    OddJson(Value),
    /// The request is answered as usual, with these headers besides.
    Headers(&'static [(&'static str, &'static str)]),
    /// The request waits at the gate, and goes on as usual once it opens.
    Gate(Gate),
}

/// How a 429 says when to come again.
#[derive(Clone, Copy)]
pub enum RetryAfter {
    Seconds(u64),
    HttpDate(Timestamp),
}

/// Holds requests until the test opens it.
#[derive(Clone, Default)]
pub struct Gate(CancellationToken);

impl Gate {
    /// Lets through what waits and what is still to come.
    pub fn open(&self) {
        self.0.cancel();
    }

    pub(super) async fn passed(&self) {
        self.0.cancelled().await;
    }
}

pub(super) fn status(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a test names statuses that exist");
    (status, Json(body)).into_response()
}

pub(super) fn html_502() -> Response {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";
    (StatusCode::BAD_GATEWAY, [(header::CONTENT_TYPE, "text/html")], page).into_response()
}

pub(super) fn rate_limited(retry_after: Option<RetryAfter>) -> Response {
    let mut response = status(429, &json!({ "message": "Rate limit exceeded." }));
    let value = retry_after.map(|retry_after| match retry_after {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::HttpDate(at) => DateTimePrinter::new().timestamp_to_rfc9110_string(&at).expect("a date of our era"),
    });
    if let Some(value) = value {
        let value = HeaderValue::from_str(&value).expect("digits and dates are header text");
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

pub(super) fn garbage() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], "{\"build_num\": 4").into_response()
}
