//! `POST /webhooks/circleci`: believes a webhook or not, and hands its event over. Knows neither deploys nor what an event
//! leads to.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

use super::body::{self, Unread};
use super::refused::Refused;
use crate::circleci::webhook::{self, Event, Kind, SIGNATURE_HEADER, Unsigned};
use crate::metrics::{Metrics, Webhook};
use crate::time::Clock;

/// The largest body that is read; CircleCI's have a few kilobytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long a body may take to come. CircleCI gives up after 10 s in all.
pub const BODY_WITHIN: Duration = Duration::from_secs(5);
/// How many bodies may be on their way at once: the memory that those who know no secret can take is this many times the
/// largest body.
const BODIES_MAX: usize = 32;
/// How many ids are remembered, so that an event delivered again is not handed over again.
const REMEMBERED_MAX: usize = 200;

/// What webhooks need: whoever has this takes them.
pub struct Webhooks {
    /// With which CircleCI signs them.
    pub secret: SecretString,
    /// Where their events go. When it is full, CircleCI is asked to come again.
    pub events: Sender<Event>,
}

/// The room in which webhooks are received.
pub(super) struct Receiver {
    webhooks: Webhooks,
    bodies: Semaphore,
    remembered: Mutex<VecDeque<String>>,
    metrics: Metrics,
    clock: Clock,
    pub(super) refused: Refused,
}

/// What is answered.
type Answer = (StatusCode, &'static str);

impl Receiver {
    pub(super) fn new(webhooks: Webhooks, metrics: Metrics, clock: Clock) -> Self {
        Self {
            webhooks,
            bodies: Semaphore::new(BODIES_MAX),
            remembered: Mutex::default(),
            metrics,
            clock,
            refused: Refused::default(),
        }
    }

    /// Receives one, and answers at once when its body is there: what follows from it is others' work.
    pub(super) async fn receive(&self, headers: &HeaderMap, body: Body) -> Answer {
        let (result, answer) = self.judge(headers, body).await;
        if let Some(result) = result {
            self.metrics.webhook(result);
        }
        answer
    }

    async fn judge(&self, headers: &HeaderMap, body: Body) -> (Option<Webhook>, Answer) {
        let Ok(_place) = self.bodies.try_acquire() else { return busy() };
        let body = match body::read(headers, body, BODY_BYTES_MAX, BODY_WITHIN).await {
            Ok(body) => body,
            Err(unread) => return refused_body(unread),
        };
        if let Err(why) = webhook::verify(signature(headers).as_deref(), &body, &self.webhooks.secret) {
            return self.refuse(why);
        }
        let event = match webhook::parse(&body) {
            Ok(event) => event,
            Err(why) => {
                tracing::warn!("A signed webhook of CircleCI's was not understood: {why}");
                return (Some(Webhook::NotUnderstood), (StatusCode::BAD_REQUEST, "Not a JSON object.\n"));
            }
        };
        self.hand_over(event)
    }

    /// Why exactly is for the operator's eyes.
    fn refuse(&self, why: Unsigned) -> (Option<Webhook>, Answer) {
        self.refused.count(why, self.clock.now());
        let text = "The signature is missing or does not fit.\n";
        (Some(Webhook::Unsigned), (StatusCode::UNAUTHORIZED, text))
    }

    /// Hands an event over unless that was done before. An event that found no room is not remembered: it comes again.
    fn hand_over(&self, event: Event) -> (Option<Webhook>, Answer) {
        if event.kind == Kind::Other {
            tracing::info!(
                "A signed webhook of CircleCI's arrived of a kind that Slipway has no use for, such as a test"
            );
            return (Some(Webhook::Ignored), (StatusCode::OK, "Received; of no use here.\n"));
        }
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let id = event.id.clone();
        if !id.is_empty() && remembered.contains(&id) {
            return (Some(Webhook::Duplicate), (StatusCode::OK, "Received before.\n"));
        }
        if self.webhooks.events.try_send(event).is_err() {
            return busy();
        }
        if !id.is_empty() {
            if remembered.len() == REMEMBERED_MAX {
                remembered.pop_front();
            }
            remembered.push_back(id);
        }
        (Some(Webhook::Accepted), (StatusCode::OK, "Received.\n"))
    }
}

/// The header's value; several of that name are one list, as everywhere in HTTP. One that is no text is no signature.
fn signature(headers: &HeaderMap) -> Option<String> {
    let values: Vec<&str> =
        headers.get_all(SIGNATURE_HEADER).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn busy() -> (Option<Webhook>, Answer) {
    (Some(Webhook::Busy), (StatusCode::SERVICE_UNAVAILABLE, "Too much at once; send it again later.\n"))
}

fn refused_body(unread: Unread) -> (Option<Webhook>, Answer) {
    match unread {
        Unread::TooLarge => (Some(Webhook::TooLarge), (StatusCode::PAYLOAD_TOO_LARGE, "At most 256 KiB are taken.\n")),
        Unread::TooSlow => (Some(Webhook::TooSlow), (StatusCode::REQUEST_TIMEOUT, "The body did not come in time.\n")),
        Unread::Broken => (None, (StatusCode::BAD_REQUEST, "The body ended early.\n")),
    }
}
