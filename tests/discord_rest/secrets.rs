//! Neither tokens nor addresses are shown, whatever happens.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::util::SubscriberInitExt;

use crate::server::{Server, Step, answer, answer_with, too_many};
use crate::{BOT_TOKEN, TOKEN, call_back, edit, post, within};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An error and all its sources, in both ways of printing.
fn everything(error: &(dyn std::error::Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(|error| format!("{error} {error:?}\n")).collect()
}

#[tokio::test]
async fn no_token_and_no_address_is_in_an_error_or_in_the_log_at_its_loudest() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process, so that what comes through the `log` crate is heard, too.
    subscriber.init();
    tracing::trace!("the log is heard");

    let server = Server::start().await;
    let leak = format!("you sent {TOKEN} and {BOT_TOKEN}");
    let refused = json!({ "code": 50035, "message": leak, "errors":
        { "content": { "_errors": [{ "code": "X", "message": leak }] } } });
    let mut shown = String::new();
    let rest = server.rest();
    for step in [
        answer(400, &refused),
        answer(403, &refused),
        answer(404, &refused),
        Step::Drop,
        Step::Hang,
        answer(500, ""),
        too_many("user", 60.0),
    ] {
        server.on("callback", step.clone()).on("@original", step.clone());
        // A channel's route has no interaction's token to repeat.
        let step = match step {
            Step::Answer { status, headers, body } => answer_with(status, &headers, body.replace(TOKEN, "")),
            step => step,
        };
        server.on("channels", step);
        shown += &everything(&call_back(&rest, within(150)).await.unwrap_err());
        shown += &everything(&edit(&rest, within(150)).await.unwrap_err());
        shown += &everything(&post(&rest, json!({}), within(150)).await.unwrap_err());
    }
    drop(server);
    shown += &everything(&call_back(&rest, within(150)).await.unwrap_err());
    shown += &everything(&edit(&rest, within(150)).await.unwrap_err());
    shown += &format!("{rest:?}");

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the log is heard"));
    for text in [&shown, &log] {
        assert!(!text.contains(TOKEN) && !text.contains(BOT_TOKEN), "{text}");
    }
    assert!(!shown.contains("/api/v10"), "{shown}");
}
