//! The built binary as a process of its own: started in an empty environment, its lines read as they come, its end waited
//! for with a limit. It is killed when the test lets go of it. Knows nothing of what the lines say.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long a line or an end is waited for unless a test says: the machine may be busy with other tests.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// A running `slipway`.
pub struct Process {
    child: Child,
    stdout: Pipe,
    stderr: Pipe,
}

/// A `slipway` that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; none when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// What a process can be sent.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// What service managers send.
    Term,
    /// What Ctrl-C sends.
    Interrupt,
    /// What no process can answer: nothing is finished or recorded.
    Kill,
}

impl Process {
    /// Starts `slipway` with these arguments in `folder`. It sees these variables and no others.
    pub fn start(folder: &Path, arguments: &[&str], variables: &[(String, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Pipe::read(child.stdout.take().unwrap());
        let stderr = Pipe::read(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Term => "-TERM",
            Signal::Interrupt => "-INT",
            Signal::Kill => "-KILL",
        };
        // The standard library sends SIGKILL only.
        let sent = Command::new("kill").args([name, &self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {name}: {sent}");
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until a line of standard error holds `part`.
    pub async fn says(&self, part: &str) {
        self.says_times(part, 1).await;
    }

    /// Waits until `times` lines of standard error hold `part`.
    pub async fn says_times(&self, part: &str, times: usize) {
        let said = |seen: &Seen| seen.text.lines().filter(|line| line.contains(part)).count() >= times;
        let seen = self.stderr.until(WAIT_LIMIT, |seen| seen.closed || said(seen)).await;
        assert!(said(&seen), "it did not say {part:?} {times} times:\n{}", seen.text);
    }

    /// Waits until it has ended.
    pub async fn ends(self) -> Ended {
        self.ends_within(WAIT_LIMIT).await
    }

    /// Waits until it has ended, which may take no longer than `limit`.
    pub async fn ends_within(mut self, limit: Duration) -> Ended {
        let closed = async {
            (self.stdout.until(limit, |seen| seen.closed).await, self.stderr.until(limit, |seen| seen.closed).await)
        };
        let (stdout, stderr) = closed.await;
        assert!(stdout.closed && stderr.closed, "it did not end within {limit:?}:\n{}", stderr.text);
        // A process that has closed its pipes is at its end.
        Ended { code: self.child.wait().unwrap().code(), stdout: stdout.text, stderr: stderr.text }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One of a process's outputs, read as it comes on a thread that ends with the pipe.
struct Pipe(watch::Receiver<Seen>);

/// What came out of a pipe so far.
#[derive(Debug, Clone, Default)]
struct Seen {
    text: String,
    closed: bool,
}

impl Pipe {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                sender.send_modify(|seen| {
                    seen.text.push_str(&line);
                    seen.text.push('\n');
                });
            }
            sender.send_modify(|seen| seen.closed = true);
        });
        Self(seen)
    }

    /// Waits until what came is as wanted, or the limit is over, and returns what came.
    async fn until(&self, limit: Duration, wanted: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.0.clone();
        let _ = timeout(limit, seen.wait_for(wanted)).await;
        self.0.borrow().clone()
    }
}
