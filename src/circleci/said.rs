//! What CircleCI said, as text that can be shown: out of its JSON, without HTML and control characters, and short.
//! Everything here is hostile; nothing here knows what it means.

use serde_json::Value;

use crate::text;

/// How much of an answer is read for a message, in bytes: HTML is taken apart in more than linear time.
const READ_BYTES_MAX: usize = 16 * 1024;
/// How much of CircleCI's own words is shown, in UTF-16 units.
const SHOWN_UNITS_MAX: usize = 600;

/// The message in the body of an answer, whatever its form; `None` when it holds no word.
pub(super) fn message(body: &[u8]) -> Option<String> {
    let shown = match serde_json::from_slice::<Value>(body) {
        Ok(value) => in_json(&value)?,
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(READ_BYTES_MAX)]).into_owned(),
    };
    Some(clean(&shown)).filter(|message| !message.is_empty())
}

/// The message of a JSON answer: `message` (v1.1 and v2), `error` as text, or v3's error object.
pub(super) fn in_json(value: &Value) -> Option<String> {
    let own = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    match value {
        Value::String(text) => Some(text.clone()),
        _ => own("/message")
            .or_else(|| own("/error"))
            .or_else(|| own("/error/detail"))
            .or_else(|| own("/error/title"))
            .or_else(|| own("/error/message"))
            .or_else(|| own("/errors/0/message")),
    }
    .filter(|text| !text.trim().is_empty())
}

/// One line of plain text.
pub(super) fn clean(raw: &str) -> String {
    let raw = head(raw, READ_BYTES_MAX);
    let plain = if is_html(raw) { nanohtml2text::html2text(&unwrap_lines(raw)) } else { raw.to_owned() };
    let mut line = String::with_capacity(plain.len().min(READ_BYTES_MAX));
    for part in plain.split(['\n', '\r', '\u{2028}', '\u{2029}']) {
        let part = part.replace(char::is_control, " ");
        for (index, word) in part.split_whitespace().enumerate() {
            if !line.is_empty() {
                let goes_on = index > 0 || line.ends_with([':', '.', ';', ',', '!', '?']);
                line.push_str(if goes_on { " " } else { "; " });
            }
            line.push_str(word);
        }
    }
    text::clip(&text::one_line(&line), SHOWN_UNITS_MAX).into_owned()
}

/// A word or a name of CircleCI's, no longer than `units_max`.
pub(super) fn word(raw: &str, units_max: usize) -> String {
    text::clip(&clean(raw), units_max).into_owned()
}

/// Whether the text is marked up. `<< pipeline.parameters.x >>`, which is no markup, stays as it is.
fn is_html(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["<br", "<pre", "</", "<p>", "<html", "<!doctype", "<!--", "&lt;", "&gt;", "&amp;", "&quot;", "&#"]
        .iter()
        .any(|sign| lower.contains(sign))
}

/// Line breaks and `<pre>`, within which the converter would keep markup as text, as the plain lines that they mean.
fn unwrap_lines(html: &str) -> String {
    let mut plain = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        plain.push_str(&rest[..start]);
        let tag = &rest[start..];
        let end = tag.find('>').map_or(tag.len(), |end| end + 1);
        let name = tag[1..end].trim_start_matches('/').trim_end_matches(['>', '/', ' ']).to_ascii_lowercase();
        match name.as_str() {
            "br" | "pre" => plain.push_str("<br>"),
            _ => {
                plain.push('<');
                rest = &tag[1..];
                continue;
            }
        }
        rest = &tag[end..];
    }
    plain.push_str(rest);
    plain
}

/// The first bytes of `text`, without cutting a character in two.
fn head(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_becomes_one_line_of_text() {
        let said = "Your config file has errors and may not run correctly:<br/><pre>21 schema violations found<br/>  \
                    jobs: deploy: extraneous key [parameters] is not permitted<br/></pre>";
        insta::assert_snapshot!(clean(said), @"Your config file has errors and may not run correctly: 21 schema violations found; jobs: deploy: extraneous key [parameters] is not permitted");
        insta::assert_snapshot!(clean("<html><body><h1>502</h1><p>Bad &amp; broken</p></body></html>"), @"502; Bad & broken");
        insta::assert_snapshot!(clean("Unknown << pipeline.parameters.x >> if a < b"), @"Unknown << pipeline.parameters.x >> if a < b");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(clean("red \u{1b}[31m text\u{7}\r\nforged line \u{202e}x"), r"red [31m text; forged line \u{202e}x");
    }

    #[test]
    fn a_message_is_found_in_every_form_seen() {
        for body in [
            r#"{"message":"No."}"#,
            r#"{"error":"No."}"#,
            r#"{"error":{"id":"x","title":"T","detail":"No."}}"#,
            r#""No.""#,
            "No.",
            "<p>No.</p>",
        ] {
            assert_eq!(message(body.as_bytes()).as_deref(), Some("No."), "{body}");
        }
        for body in ["", "{}", "[]", "null", r#"{"message":7}"#, r#"{"message":"  "}"#, "\u{1}\u{2}"] {
            assert_eq!(message(body.as_bytes()), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_comes_out_long_or_unsafe(text in any::<String>()) {
            let clean = clean(&text);
            prop_assert!(clean.encode_utf16().count() <= SHOWN_UNITS_MAX);
            prop_assert!(!clean.contains(char::is_control));
        }

        #[test]
        fn no_markup_panics(text in "(<|>|/|br|pre|a|script|&|lt|;|\"|=|!--| |é){0,60}") {
            prop_assert!(!clean(&text).contains(char::is_control));
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = message(&body);
        }
    }
}
