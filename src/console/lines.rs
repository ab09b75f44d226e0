//! Where lines come from: a terminal with editing, history and completion, or anything piped in. Reading blocks, so it has
//! a thread of its own, which reads a line only when it is asked for one. Knows nothing of what lines mean.

use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;

use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History as _};
use rustyline::{CompletionType, Config, Editor};
use tokio::sync::mpsc;

use super::completion::Completion;

/// How many lines the history keeps.
const HISTORY_LINES_MAX: usize = 1_000;
/// What the name of a value looks like that should not lie about in a file.
const SECRET_WORDS: [&str; 6] = ["TOKEN", "PASSW", "PASSPHRASE", "SECRET", "KEY", "CREDENTIAL"];
/// How CircleCI's own tokens begin.
const TOKEN_BEGINNINGS: [&str; 2] = ["CCIPAT_", "CCIPRJ_"];

/// What was read.
#[derive(Debug)]
pub enum Read {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C: the line is thrown away.
    Interrupted,
    /// Nothing more comes.
    End,
    /// Reading failed, and why.
    Failed(String),
}

/// Lines, one at a time.
pub struct Lines {
    ask: blocking::Sender<String>,
    read: mpsc::UnboundedReceiver<Read>,
    thread: JoinHandle<()>,
    is_reading: bool,
    has_ended: bool,
    is_terminal: bool,
}

/// What a terminal's lines are kept in.
pub struct Kept {
    /// The file of the history.
    pub file: PathBuf,
    /// What must never be written there.
    pub secrets: Vec<String>,
}

impl Lines {
    /// The lines of `reader`.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn piped(mut reader: impl BufRead + Send + 'static) -> io::Result<Self> {
        Self::start(false, move |_| {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => Read::End,
                Ok(_) => Read::Line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()),
                Err(error) => Read::Failed(error.to_string()),
            }
        })
    }

    /// What a person types at the terminal.
    ///
    /// # Errors
    /// When the system has no thread for it, or the terminal can't be used.
    pub fn terminal(completion: Completion, kept: Kept) -> io::Result<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)
            .map_err(io::Error::other)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::<Completion, FileHistory>::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(completion));
        if let Err(error) = editor.load_history(&kept.file)
            && kept.file.exists()
        {
            tracing::warn!("The history {} can't be read: {error}", kept.file.display());
        }
        Self::start(true, move |prompt| match editor.readline(prompt) {
            Ok(line) => {
                keep(&mut editor, &kept, &line);
                Read::Line(line)
            }
            Err(ReadlineError::Interrupted) => Read::Interrupted,
            Err(ReadlineError::Eof) => Read::End,
            Err(error) => Read::Failed(error.to_string()),
        })
    }

    /// Whether a person types them and sees what they type.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The next line, asked for with `prompt`.
    pub async fn next(&mut self, prompt: &str) -> Read {
        if self.has_ended {
            return Read::End;
        }
        // A thread that is gone shows at once in what comes back.
        self.is_reading = self.ask.send(prompt.to_owned()).is_ok();
        let read = self.read.recv().await;
        self.is_reading = false;
        let read = read.unwrap_or_else(|| Read::Failed("the thread that reads them ended unexpectedly".to_owned()));
        self.has_ended = matches!(read, Read::End | Read::Failed(_));
        read
    }

    /// Ends the reading. A thread that waits for a line can't be called back: it ends with the process.
    pub fn close(self) {
        let Self { ask, read, thread, is_reading, .. } = self;
        drop((ask, read));
        if !is_reading && thread.join().is_err() {
            tracing::error!("The thread that reads the console's lines panicked");
        }
    }

    fn start(is_terminal: bool, mut read_line: impl FnMut(&str) -> Read + Send + 'static) -> io::Result<Self> {
        let (ask, asked) = blocking::channel::<String>();
        let (tell, read) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("console-lines".to_owned()).spawn(move || {
            while let Ok(prompt) = asked.recv() {
                let read = read_line(&prompt);
                let is_last = matches!(read, Read::End | Read::Failed(_));
                if tell.send(read).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self { ask, read, thread, is_reading: false, has_ended: false, is_terminal })
    }
}

fn keep(editor: &mut Editor<Completion, FileHistory>, kept: &Kept, line: &str) {
    if line.trim().is_empty() || looks_secret(line, &kept.secrets) {
        return;
    }
    let added = editor.add_history_entry(line);
    if let Err(error) = added.and_then(|_| editor.history_mut().append(&kept.file)) {
        tracing::debug!("The history {} can't be written: {error}", kept.file.display());
    }
}

/// Whether a line holds something that should not be kept: rather once too often.
fn looks_secret(line: &str, secrets: &[String]) -> bool {
    let upper = line.to_uppercase();
    let names = upper.split(|c: char| c.is_whitespace() || c == '"').filter_map(|word| Some(word.split_once('=')?.0));
    secrets.iter().any(|secret| line.contains(secret))
        || TOKEN_BEGINNINGS.iter().any(|beginning| upper.contains(beginning))
        || names.into_iter().any(|name| SECRET_WORDS.iter().any(|word| name.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_kept() {
        let secrets = ["hush".to_owned()];
        for secret in [
            "/deploy acme/web main reason:hush",
            "/deploy acme/web main parameters:\"TAG=1 API_TOKEN=x\"",
            "/deploy acme/web main reason:ccipat_abc",
        ] {
            assert!(looks_secret(secret, &secrets), "{secret}");
        }
        assert!(!looks_secret("/deploy acme/web main parameters:TAG=1 reason:\"new key\"", &secrets));
    }

    #[tokio::test]
    async fn piped_lines_come_one_by_one_whatever_their_bytes() {
        let mut lines = Lines::piped(&b"one\r\ntwo \xff\n\nlast"[..]).unwrap();
        for expected in ["one", "two \u{fffd}", "", "last"] {
            assert!(matches!(lines.next("").await, Read::Line(line) if line == expected), "{expected}");
        }
        assert!(matches!(lines.next("").await, Read::End));
        assert!(matches!(lines.next("").await, Read::End));
        lines.close();
    }
}
