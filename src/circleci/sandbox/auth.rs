//! Who calls: the three ways to send a token that CircleCI still takes, and what each kind of token may do. A token in
//! the query string is on its way out at CircleCI and is no token here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::wire::Refusal;
use super::world::World;

/// How a token came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthKind {
    Bearer,
    CircleToken,
    /// The token as user name; the password is not looked at.
    Basic,
}

/// Whose token it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The user, by a personal token.
    Personal,
    /// A project token: v1.1 only, and only for that project.
    Project(Uuid),
}

/// The token of a request, and how it came.
pub fn credentials(headers: &HeaderMap) -> Option<(AuthKind, String)> {
    if let Some(token) = headers.get("circle-token").and_then(|value| value.to_str().ok()) {
        return Some((AuthKind::CircleToken, token.into()));
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some((AuthKind::Bearer, rest.trim().into())),
        "basic" => {
            let pair = String::from_utf8(base64_decoded(rest.trim())?).ok()?;
            let (user, _password) = pair.split_once(':').unwrap_or((&pair, ""));
            Some((AuthKind::Basic, user.into()))
        }
        _ => None,
    }
}

/// Who holds this token, if anybody does.
pub fn caller(world: &World, token: &str) -> Option<Caller> {
    let state = world.state();
    if token == state.token {
        return Some(Caller::Personal);
    }
    let project = state.projects.iter().find(|p| p.project_token.as_deref() == Some(token))?;
    Some(Caller::Project(project.id))
}

/// Lets only known tokens through, and tells the handler whose it was.
pub(super) async fn authenticate(State(world): State<Arc<World>>, mut request: Request, next: Next) -> Response {
    let known = credentials(request.headers()).and_then(|(_, token)| caller(&world, &token));
    let Some(caller) = known else {
        return Refusal::new(StatusCode::UNAUTHORIZED, "You must log in first.").into_response();
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// API v2 knows no project tokens and says so as if the project were not there.
pub(super) async fn personal_only(request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(Caller::Personal) => next.run(request).await,
        _ => Refusal::no_project().into_response(),
    }
}

/// Standard base64, padded or not; `None` for anything else.
fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for symbol in text.trim_end_matches('=').bytes() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            decoded.push((bits >> held & 0xFF) as u8);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn basic_credentials_are_read_like_curl_sends_them() {
        let mut headers = HeaderMap::new();
        // `curl -u abc123: …`
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic YWJjMTIzOg=="));
        assert_eq!(credentials(&headers), Some((AuthKind::Basic, "abc123".into())));
    }

    #[test]
    fn what_is_not_base64_is_no_token() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic ???"));
        assert_eq!(credentials(&headers), None);
    }
}
