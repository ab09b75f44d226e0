//! The console's loop: a line is read, carried out and answered before the next one is read.

use std::io::Write;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::chat::{Conversation, Screen};
use super::lines::{Lines, Read};
use super::parse::{self, Line};
use super::people::People;
use crate::actor::Caller;
use crate::app::{App, Handled, Request};
use crate::command::{self, Arguments, Kind, Path};
use crate::deploy::card::card;
use crate::id::GuildId;
use crate::reply::{Reply, Text, Tone};
use crate::text;

/// How long a command under way may still take once the console is to end.
const FINISH_LIMIT: Duration = Duration::from_secs(8);

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was asked was done; or a person was there to see what was not.
    Well,
    /// Something was refused or failed.
    WithFailures,
}

/// What a session works with.
pub(super) struct Session<'a, W> {
    pub app: &'a Arc<App>,
    pub guild: GuildId,
    pub people: &'a People,
    /// Who is speaking.
    pub caller: &'a Mutex<Caller>,
    /// Whether `/as` may change that.
    pub may_change_speaker: bool,
    pub screen: &'a Screen<W>,
    pub stop: &'a CancellationToken,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Failed,
    Quit,
}

impl<W: Write + Send> Session<'_, W> {
    /// Carries out the lines until they end, `/quit`, or the console is stopped.
    pub async fn run(&self, lines: &mut Lines) -> Ended {
        self.take_up().await;
        let (mut failed, mut interrupted) = (false, false);
        while !self.screen.is_gone() {
            let prompt = format!("{}> ", text::one_line(&self.caller().actor.name));
            let read = tokio::select! {
                read = lines.next(&prompt) => read,
                () = self.stop.cancelled() => break,
            };
            let line = match read {
                Read::Line(line) => line,
                Read::End => break,
                Read::Interrupted if interrupted => break,
                Read::Interrupted => {
                    interrupted = true;
                    self.screen.say("Ctrl-C again, Ctrl-D or /quit ends the console.");
                    continue;
                }
                Read::Failed(why) => {
                    self.screen.say(&format!("The console's lines can't be read: {}", text::one_line(&why)));
                    failed = true;
                    break;
                }
            };
            interrupted = false;
            if !lines.is_terminal() && !matches!(line.trim_start().chars().next(), None | Some('#')) {
                self.screen.say(&format!("> {}", text::one_line(&line)));
            }
            match self.carry_out(&line).await {
                Outcome::Done => {}
                // A person at the terminal has seen it.
                Outcome::Failed => failed |= !lines.is_terminal(),
                Outcome::Quit => break,
            }
            if self.stop.is_cancelled() {
                break;
            }
        }
        if failed || self.screen.is_gone() { Ended::WithFailures } else { Ended::Well }
    }

    async fn carry_out(&self, line: &str) -> Outcome {
        match parse::parse(line, self.people) {
            Ok(Line::Nothing) => Outcome::Done,
            Ok(Line::Quit) => Outcome::Quit,
            Ok(Line::As(name)) => self.speak_as(&name),
            Ok(Line::Command { path, arguments }) => self.command(path, arguments).await,
            Err(misread) => {
                self.show(&misread.reply());
                Outcome::Failed
            }
        }
    }

    async fn command(&self, path: Path, arguments: Arguments) -> Outcome {
        let request = Request { interaction: None, path, arguments, caller: self.caller() };
        let conversation = Conversation::new(self.screen, self.people, &self.app.clock);
        let mut handling = pin!(self.app.handle(&request, &conversation));
        let handled = tokio::select! {
            handled = &mut handling => Some(handled),
            () = self.stop.cancelled() => {
                self.screen.say("Stopping; what is under way is finished first.");
                timeout(FINISH_LIMIT, handling).await.ok()
            }
        };
        let Some(handled) = handled else {
            self.screen
                .say("It takes too long. What was recorded is looked for at the next start; nothing is sent twice.");
            return Outcome::Failed;
        };
        if handled == Handled::Done {
            self.add_notes(&request);
        }
        if handled == Handled::Done && !conversation.went_wrong() { Outcome::Done } else { Outcome::Failed }
    }

    /// What the console alone has to say beside an answer.
    fn add_notes(&self, request: &Request) {
        if request.path == ["help"] && request.arguments.text("command").is_none() {
            let speakers = if self.may_change_speaker { "/as NAME changes who is speaking; " } else { "" };
            self.screen.say(&format!("In this console too: {speakers}/quit or Ctrl-D ends.\n\n"));
        }
        let is_stranger = |name| request.arguments.user(name).is_ok_and(|user| self.people.named(&user.name).is_none());
        let options = command::find(&request.path).map_or(&[][..], |leaf| leaf.options);
        if options.iter().any(|option| matches!(option.kind, Kind::User) && is_stranger(option.name)) {
            self.screen.say(
                "The console doesn't know which roles somebody holds on Discord: only rules about the person and about \
                 everyone counted here.\n\n",
            );
        }
    }

    fn speak_as(&self, name: &str) -> Outcome {
        let refuse = |why: Text| {
            self.show(&Reply::new(Tone::Bad, "Not done").body(why));
            Outcome::Failed
        };
        if !self.may_change_speaker {
            return refuse(Text::default().sentence(
                "On a real CircleCI the console speaks as whoever runs it, so that the audit log is true. `/as` is for the sandbox.",
            ));
        }
        let Some(actor) = self.people.named(name) else {
            let names = self.people.names().map(|name| Text::default().code(name));
            let why = Text::of("Nobody here is called ").code(text::clip(name, 100)).plain(". There are ");
            return refuse(why.then(Text::join(names, &Text::of(" and "))).plain("."));
        };
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).actor = actor.clone();
        self.show(&Reply::new(Tone::Good, format!("You speak as {} now", actor.name)));
        Outcome::Done
    }

    /// Looks for the deploys of this console that were being sent when it last stopped, and shows what became of them.
    /// Those that were asked for on Discord have a card there, which only the bot can keep.
    async fn take_up(&self) {
        let unfinished = match self.app.deploys.unfinished().await {
            Ok(unfinished) => unfinished,
            Err(error) => return self.screen.say(&format!("The unfinished deploys can't be read: {error}")),
        };
        let is_ours = |deploy: &crate::deploy::Deploy| deploy.guild == self.guild && deploy.channel.is_none();
        let (ours, others): (Vec<_>, Vec<_>) = unfinished.into_iter().partition(is_ours);
        if !others.is_empty() {
            self.screen
                .say(&format!("Unfinished deploys of other chats: {}. `slipway run` takes them up.\n\n", others.len()));
        }
        let mut looking = JoinSet::new();
        for deploy in ours {
            self.screen
                .say(&format!("Deploy {} was being sent when the console stopped; it is looked for.", deploy.id));
            let app = Arc::clone(self.app);
            looking.spawn(async move { app.deploys.take_up(deploy).await });
        }
        loop {
            let found = tokio::select! {
                found = looking.join_next() => found,
                () = self.stop.cancelled() => return,
            };
            match found {
                Some(Ok(Ok(deploy))) => self.show(&card(&deploy)),
                Some(Ok(Err(not_yet))) => self.screen.say(&format!(
                    "Deploy {} can't be looked for yet: {} The next start tries again.\n",
                    not_yet.deploy.id, not_yet.why
                )),
                Some(Err(error)) => tracing::error!("Looking for a deploy failed: {error}"),
                None => return,
            }
        }
    }

    fn show(&self, reply: &Reply) {
        self.screen.show(reply, self.people, &self.app.clock);
    }

    fn caller(&self) -> Caller {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
