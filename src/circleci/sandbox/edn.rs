//! How v1.1 chooses the form of its answers: compact JSON for `Accept: application/json`, pretty JSON for `text/plain`,
//! and Clojure's EDN for everything else, as the real one does to whoever forgets the header.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;

/// More than the longest list that v1.1 answers here.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Turns the handlers' JSON into what the request accepts.
pub(super) async fn negotiate(request: Request, next: Next) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let accept = accept.unwrap_or_default().to_ascii_lowercase();
    let response = next.run(request).await;
    if accept.contains("application/json") {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap_or_default();
    let Ok(value) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    let (text, content_type) = if accept.contains("text/plain") {
        (format!("{value:#}"), "text/plain; charset=utf-8")
    } else {
        (edn(&value), "application/edn")
    };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}

/// JSON as EDN: keys become keywords, null becomes nil, commas go.
fn edn(value: &Value) -> String {
    match value {
        Value::Null => "nil".into(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(edn).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(key, value)| format!(":{key} {}", edn(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reads_as_clojure_data() {
        let value = serde_json::json!({ "message": "no", "build": null, "list": [1, true] });
        assert_eq!(edn(&value), r#"{:build nil, :list [1 true], :message "no"}"#);
    }
}
