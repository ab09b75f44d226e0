//! What both API generations share on the wire: answers and refusals, percent and form encoding, request bodies and
//! slugs. It knows nothing of projects.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// An answer other than success: `{"message": …}`, as both generations have it.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

impl Refusal {
    /// Any status with this message.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }

    /// 400: the request is at fault.
    pub fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404: what the path names is not there.
    pub fn not_found(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, message)
    }

    /// Also the answer to a token that may not see the project.
    pub fn no_project() -> Refusal {
        Refusal::not_found("Project not found")
    }

    /// A path or method that is none of the API's.
    pub fn no_such_path() -> Refusal {
        Refusal::not_found("Not found.")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "message": self.message }))).into_response()
    }
}

/// What a handler answers.
pub type Answer = Result<(StatusCode, Json<Value>), Refusal>;

/// 200 with this body.
pub fn ok(body: Value) -> Answer {
    Ok((StatusCode::OK, Json(body)))
}

/// 201 with this body.
pub fn created(body: Value) -> Answer {
    Ok((StatusCode::CREATED, Json(body)))
}

/// 202 with this body.
pub fn accepted(body: Value) -> Answer {
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// A time as CircleCI writes it: `2026-11-24T10:20:30.456Z`.
pub fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The media type of the body, without its parameters.
pub fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or(value);
    Some(media_type.trim().to_ascii_lowercase())
}

/// The body as v2 reads it: a JSON object. Without `Content-Type: application/json` the body is *ignored*
/// (CircleCI's api-preview-docs issue 46), which for a trigger means the default branch.
pub fn json_members(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() || content_type(headers).as_deref() != Some("application/json") {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null) => Ok(Map::new()),
        _ => Err(Refusal::bad_request("Unexpected request body provided.")),
    }
}

/// The body as v1.1 reads it: JSON, or a form whose `a[b]=c` means `{"a": {"b": "c"}}`.
pub fn json_or_form_members(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    if content_type(headers).as_deref() != Some("application/x-www-form-urlencoded") {
        return json_members(headers, body);
    }
    let mut members = Map::new();
    for (name, value) in form_pairs(&String::from_utf8_lossy(body)) {
        match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((outer, inner)) => {
                let nested = members.entry(outer).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(nested) = nested {
                    nested.insert(inner.into(), value.into());
                }
            }
            None => {
                members.insert(name, value.into());
            }
        }
    }
    Ok(members)
}

/// The pairs of a query string or a form body, decoded, in their order.
pub fn form_pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(&name.replace('+', " ")), percent_decoded(&value.replace('+', " ")))
        })
        .collect()
}

/// One value of a query string.
pub fn query_value(uri: &Uri, name: &str) -> Option<String> {
    let pairs = form_pairs(uri.query().unwrap_or_default());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The text with `%XX` resolved; what is no such escape stays.
pub fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The path with a slug's `%2F` opened into slashes: the v2 specification allows `gh%2Facme%2Fweb` wherever a slug
/// stands, save in `pipeline/run`, which takes three segments and answers 404 to it.
pub fn with_open_slug(path: &str) -> Option<String> {
    if path.ends_with("/pipeline/run") {
        return None;
    }
    let prefix = ["/api/v2/project/", "/api/v2/insights/"].into_iter().find(|prefix| path.starts_with(prefix))?;
    let rest = &path[prefix.len()..];
    let end = rest.find('/').unwrap_or(rest.len());
    let (slug, tail) = rest.split_at(end);
    let opened = slug.replace("%2F", "/").replace("%2f", "/");
    (opened != slug).then(|| format!("{prefix}{opened}{tail}"))
}

/// Opens the slug of a request before it is routed.
pub async fn open_slug(mut request: Request) -> Request {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Some(path) = with_open_slug(request.uri().path())
        && let Ok(uri) = format!("{path}{query}").parse()
    {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_and_stray_percents_stay() {
        assert_eq!(percent_decoded("feature%2Flogin"), "feature/login");
        assert_eq!(percent_decoded("100%, %zz, %4"), "100%, %zz, %4");
        assert_eq!(percent_decoded("%C3%A9é"), "éé");
    }

    #[test]
    fn an_escaped_slug_is_opened_except_in_pipeline_run() {
        assert_eq!(
            with_open_slug("/api/v2/project/gh%2Facme%2fweb/pipeline").as_deref(),
            Some("/api/v2/project/gh/acme/web/pipeline")
        );
        assert_eq!(with_open_slug("/api/v2/project/gh%2Facme%2Fweb/pipeline/run"), None);
        assert_eq!(with_open_slug("/api/v2/project/gh/acme/web"), None);
    }
}
