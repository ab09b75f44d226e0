//! The terminal as a chat: it sees everything at once, and answers are printed one below the other. Knows no command.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::files;
use super::people::People;
use super::render::{Look, render};
use crate::access::AccessRequest;
use crate::app::{Chat, Seen, Unseen, Visibility};
use crate::deploy::Deploy;
use crate::reply::{Form, Reply, Tone};
use crate::time::Clock;

/// Where answers are printed.
pub struct Screen<W> {
    out: Mutex<W>,
    colour: bool,
    gone: AtomicBool,
    /// Where the files of answers go.
    folder: OnceLock<PathBuf>,
}

impl<W: Write> Screen<W> {
    /// Prints to `out`, in colour where the person can see it and wants it.
    pub fn new(out: W, colour: bool) -> Self {
        Self { out: Mutex::new(out), colour, gone: AtomicBool::new(false), folder: OnceLock::new() }
    }

    /// Saves the files of answers in `folder` from now on, and not where the process runs; the first to say so is heeded.
    pub fn saves_in(&self, folder: &Path) {
        let _ = self.folder.set(folder.to_owned());
    }

    /// Prints lines, whose text must be harmless already.
    pub fn say(&self, lines: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let end = if lines.ends_with('\n') { "" } else { "\n" };
        if let Err(error) = write!(out, "{lines}{end}").and_then(|()| out.flush()) {
            // Told once: whoever reads has closed the pipe.
            if !self.gone.swap(true, Ordering::Relaxed) {
                tracing::warn!("Nothing can be printed any more: {error}");
            }
        }
    }

    /// Prints an answer, and an empty line after it.
    pub fn show(&self, reply: &Reply, people: &People, clock: &Clock) {
        let look = Look { people, now: clock.now(), colour: self.colour };
        let folder = self.folder.get().map_or(Path::new("."), PathBuf::as_path);
        let files = files::save_all(folder, &reply.files);
        self.say(&format!("{}{files}\n", render(reply, look)));
    }

    /// Whether nobody reads what is printed.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// What it printed to.
    pub fn into_inner(self) -> W {
        self.out.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One command's conversation.
pub struct Conversation<'a, W> {
    screen: &'a Screen<W>,
    people: &'a People,
    clock: &'a Clock,
    is_deploy: AtomicBool,
    went_wrong: AtomicBool,
}

impl<'a, W: Write> Conversation<'a, W> {
    /// A conversation on `screen`.
    pub fn new(screen: &'a Screen<W>, people: &'a People, clock: &'a Clock) -> Self {
        Self { screen, people, clock, is_deploy: AtomicBool::new(false), went_wrong: AtomicBool::new(false) }
    }

    /// Whether what was done in public came to a bad end: CircleCI refused it, or nobody knows whether it took it.
    pub fn went_wrong(&self) -> bool {
        self.is_deploy.load(Ordering::Relaxed) && self.went_wrong.load(Ordering::Relaxed)
    }
}

impl<W: Write + Send> Chat for Conversation<'_, W> {
    async fn acknowledge(&self, visibility: Visibility) -> Result<Seen, Unseen> {
        if self.screen.is_gone() {
            return Err(Unseen::Nobody);
        }
        if visibility == Visibility::Public {
            self.is_deploy.store(true, Ordering::Relaxed);
        }
        Ok(Seen::default())
    }

    fn becomes_card(&self, _: &Deploy) {
        // The session shows every deploy of this console whenever it has changed.
    }

    fn becomes_request(&self, _: &AccessRequest) {
        // The session shows every request of this console whenever it has changed.
    }

    async fn ask(&self, form: &Form) -> Result<(), Unseen> {
        self.screen.show(&form.as_line(), self.people, self.clock);
        Ok(())
    }

    async fn answer(&self, reply: &Reply) {
        self.went_wrong.store(matches!(reply.tone, Tone::Bad | Tone::Warning), Ordering::Relaxed);
        self.screen.show(reply, self.people, self.clock);
    }
}
