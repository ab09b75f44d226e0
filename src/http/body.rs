//! A request's body, read within limits of size and time. Knows nothing of what it says.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

/// How much of a body that nobody wants is read all the same, and for how long: who is still sending would not hear the
/// answer, because closing a connection with unread data resets it.
const UNWANTED_BYTES_MAX: usize = 1024 * 1024;
const UNWANTED_WITHIN: Duration = Duration::from_millis(500);

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    TooLarge,
    TooSlow,
    /// Whoever sent it went away.
    Broken,
}

/// Reads a body of at most `max` bytes that comes within `within`.
pub(super) async fn read(headers: &HeaderMap, body: Body, max: usize, within: Duration) -> Result<Vec<u8>, Unread> {
    let until = Instant::now() + within;
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut parts = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut is_too_large = announced.is_some_and(|announced| announced > max);
    while !is_too_large {
        match timeout_at(until, parts.next()).await {
            Ok(Some(Ok(part))) if bytes.len() + part.len() <= max => bytes.extend_from_slice(&part),
            Ok(Some(Ok(_))) => is_too_large = true,
            Ok(Some(Err(_))) => return Err(Unread::Broken),
            Ok(None) => return Ok(bytes),
            Err(_) => return Err(Unread::TooSlow),
        }
    }
    drop(bytes);
    let until = Instant::now() + UNWANTED_WITHIN;
    let mut unwanted = 0;
    while let Ok(Some(Ok(part))) = timeout_at(until, parts.next()).await
        && unwanted < UNWANTED_BYTES_MAX
    {
        unwanted += part.len();
    }
    Err(Unread::TooLarge)
}
