//! The cards that a stop has left behind, when the next start can't find them at once. Alone in its file: it takes the
//! process's subscriber.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use std::io;
use std::sync::{Arc, Mutex};

use support::Stage;

#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logs {
    /// Waits until a line of the log says so.
    async fn until(&self, words: &str) {
        while !String::from_utf8_lossy(&self.0.lock().unwrap()).contains(words) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn they_are_looked_for_until_they_are_found() {
    let logs = Logs::default();
    let writer = logs.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let mut stage = Stage::start().await;
    let asked = stage.alice().deploys("acme/web", "main").await;
    asked.answer_when(|card| card.text().contains("is queued")).await;
    stage.kill_bot().await;
    stage
        .another_program_writes(
            "UPDATE deploy SET said = 'Changed at the last moment.', version = version + 1, followed = 0",
        )
        .await;
    // The database is in trouble: what tells which cards are stale can't be read.
    stage.another_program_writes("ALTER TABLE deploy RENAME COLUMN shown TO hidden").await;
    stage.start_bot_again().await;
    logs.until("The cards that a stop has left behind can't be found").await;
    stage.another_program_writes("ALTER TABLE deploy RENAME COLUMN hidden TO shown").await;

    asked.answer_when(|card| card.text().contains("Changed at the last moment.")).await;
    stage.finish().await;
}
