//! SIGTERM and Ctrl-C, by which a process is asked to stop. Knows nothing of what stops.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears them from when it is made, in place of their own effect.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to hear them.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
