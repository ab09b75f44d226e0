//! Where logs go: standard error, one line each, with no secret in them and nothing that a terminal would obey.

use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// What is shorter is no secret that anybody gave out, and would take every other word away with it.
const SECRET_BYTES_MIN: usize = 6;

/// Starts logging by `filter` (as tracing-subscriber reads `RUST_LOG`); none of `secrets` can come into a line.
///
/// # Errors
/// What is wrong with the filter.
pub fn start(filter: &str, secrets: Vec<String>) -> Result<(), String> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| format!("RUST_LOG can't be read: {error}. Example: RUST_LOG=info"))?;
    // Its TRACE lines are whole frames, the bot's token among them.
    let filter = ["tungstenite=debug", "tokio_tungstenite=debug"].into_iter().fold(filter, |filter, directive| {
        filter.add_directive(directive.parse().expect("the directive is well-formed"))
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Scrubbing {
            secrets: secrets.into_iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect(),
        })
        .with_ansi(false)
        .with_target(false)
        .try_init()
        .map_err(|error| format!("Logging could not be started: {error}."))
}

/// Writers that scrub each line before it goes out.
#[derive(Clone)]
struct Scrubbing {
    secrets: Arc<[String]>,
}

impl<'a> MakeWriter<'a> for Scrubbing {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { secrets: Arc::clone(&self.secrets), bytes: Vec::new() }
    }
}

/// One event, written out whole when it is dropped.
struct Line {
    secrets: Arc<[String]>,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut text = scrub(&String::from_utf8_lossy(&self.bytes), &self.secrets);
        text.push('\n');
        // At once, so that it stays whole beside what others write there. A log that can't be written can't be complained about
        // either.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

/// The event in one line, without `secrets` and without the tokens of interactions, which libraries print with their
/// payloads and addresses.
fn scrub(text: &str, secrets: &[String]) -> String {
    let mut line = crate::text::one_line(text.trim_end_matches('\n')).into_owned();
    for secret in secrets {
        if line.contains(secret.as_str()) {
            line = line.replace(secret.as_str(), REDACTED);
        }
    }
    for (before, end) in [("\"token\":\"", '"'), ("\\\"token\\\":\\\"", '\\'), ("token: \"", '"')] {
        if line.contains(before) {
            line = scrub_between(&line, before, |c| c == end);
        }
    }
    for before in ["/webhooks/", "/interactions/"] {
        if line.contains(before) {
            line = scrub_second_segment(&line, before);
        }
    }
    line
}

fn scrub_between(line: &str, before: &str, ends: impl Fn(char) -> bool) -> String {
    let mut scrubbed = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(before) {
        let (kept, tail) = rest.split_at(at + before.len());
        scrubbed.push_str(kept);
        scrubbed.push_str(REDACTED);
        rest = tail.find(&ends).map_or("", |end| &tail[end..]);
    }
    scrubbed + rest
}

/// `/webhooks/1/TOKEN/…` and `/interactions/1/TOKEN/…`.
fn scrub_second_segment(line: &str, before: &str) -> String {
    let mut scrubbed = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(before) {
        let (kept, tail) = rest.split_at(at + before.len());
        scrubbed.push_str(kept);
        rest = tail;
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        if digits > 0 && tail[digits..].starts_with('/') {
            scrubbed.push_str(&tail[..=digits]);
            scrubbed.push_str(REDACTED);
            let token = &tail[digits + 1..];
            rest = &token
                [token.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.%".contains(c)).unwrap_or(token.len())..];
        }
    }
    scrubbed + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_reaches_a_line() {
        let line = scrub(
            "a secret-1 {\"id\":\"5\",\"token\":\"aW50\",\"x\":1} Request { token: \"zzz\" } POST /api/v10/webhooks/12/aW50.x-_/messages/@original /interactions/7/tok\n",
            &["secret-1".to_owned()],
        );
        assert_eq!(
            line,
            "a [redacted] {\"id\":\"5\",\"token\":\"[redacted]\",\"x\":1} Request { token: \"[redacted]\" } POST /api/v10/webhooks/12/[redacted]/messages/@original /interactions/7/[redacted]"
        );
    }

    #[test]
    fn an_event_is_one_line_without_escape_sequences() {
        assert_eq!(scrub("a\u{1b}[31mb\nc\n", &[]), "a\\u{1b}[31mb\\nc");
    }
}
