//! A thread with a runtime of its own under a watchdog: somebody outside learns when that runtime no
//! longer turns. It knows nothing about what runs there.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

/// What can happen to a watched thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its runtime no longer turns: something there blocks or spins.
    Stalled,
    /// Its work returned or panicked.
    Ended,
}

/// A thread whose current-thread runtime does one piece of work until that ends or is stopped.
/// Dropping this asks it to stop and does not wait.
pub struct WatchedThread {
    pulse: Arc<AtomicU64>,
    beat: Duration,
    beats_missed: u32,
    stop: CancellationToken,
    ended: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl WatchedThread {
    /// Starts the thread; `work` is called on it. The runtime shows every `beat` that it turns;
    /// `beats_missed` looks in a row without a beat are a stall.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start<W, F>(name: &str, beat: Duration, beats_missed: u32, work: W) -> io::Result<Self>
    where
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let pulse = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let ended = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let body = {
            let (pulse, stop, ended) = (Arc::clone(&pulse), stop.clone(), ended.clone());
            move || {
                let _ended = ended.drop_guard();
                runtime.block_on(async {
                    tokio::select! {
                        () = work() => {}
                        () = beats(&pulse, beat) => {}
                        () = stop.cancelled() => {}
                    }
                });
                runtime.shutdown_background();
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Self { pulse, beat, beats_missed, stop, ended, thread: Some(thread) })
    }

    /// Waits until the runtime no longer turns or the thread has ended. Cancel-safe.
    pub async fn fault(&self) -> Fault {
        tokio::select! {
            () = self.ended.cancelled() => Fault::Ended,
            () = self.stalled() => Fault::Stalled,
        }
    }

    /// Counts looks and not time: after the whole process, or the machine, was asleep, both sides
    /// missed the same time and nothing is wrong.
    async fn stalled(&self) {
        let mut last = self.pulse.load(Ordering::Relaxed);
        let mut missed = 0;
        while missed < self.beats_missed {
            sleep(self.beat).await;
            let now = self.pulse.load(Ordering::Relaxed);
            missed = if now == last { missed + 1 } else { 0 };
            last = now;
        }
    }

    /// Asks the thread to end and joins it, or abandons it after `patience`: a thread cannot be
    /// killed. Returns whether it was joined.
    pub async fn end(mut self, patience: Duration) -> bool {
        self.stop.cancel();
        if timeout(patience, self.ended.cancelled()).await.is_err() {
            return false;
        }
        // The thread's last act was to say that it ended; this does not wait.
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            error!("A watched thread panicked");
        }
        true
    }
}

impl Drop for WatchedThread {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn beats(pulse: &AtomicU64, beat: Duration) {
    loop {
        pulse.fetch_add(1, Ordering::Relaxed);
        sleep(beat).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const BEAT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_blocked_runtime_is_noticed_and_abandoned() {
        let (release, blocked) = mpsc::channel::<()>();
        let thread = WatchedThread::start("blocked", BEAT, 5, async move || {
            let _ = blocked.recv();
        })
        .unwrap();
        assert_eq!(thread.fault().await, Fault::Stalled);
        assert!(!thread.end(BEAT).await);
        drop(release);
    }

    #[tokio::test]
    async fn a_runtime_that_turns_is_left_alone_and_joined() {
        let thread = WatchedThread::start("turning", BEAT, 5, std::future::pending::<()>).unwrap();
        assert!(timeout(BEAT * 20, thread.fault()).await.is_err());
        assert!(thread.end(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn work_that_returns_is_noticed() {
        let thread = WatchedThread::start("short", BEAT, 5, async || {}).unwrap();
        assert_eq!(thread.fault().await, Fault::Ended);
    }
}
