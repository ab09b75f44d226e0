//! The console's loop: a line is read, carried out and answered before the next one is read.

use std::collections::HashMap;
use std::io::Write;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::chat::{Conversation, Screen};
use super::lines::{Lines, Read};
use super::parse::{self, Line};
use super::people::People;
use crate::actor::Caller;
use crate::app::{App, Handled, Request};
use crate::command::{self, Arguments, Kind, Path};
use crate::db::DbError;
use crate::deploy::card::card;
use crate::deploy::{Deploy, Report, State};
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
    /// The deploys of this console, as they were last shown.
    pub followed: Mutex<HashMap<Uuid, Shown>>,
}

/// A deploy of this console, as it was last shown.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    state: State,
    report: Report,
    /// Whether there is more to be told of it.
    followed: bool,
    /// Whether an earlier run of the console has asked for it.
    is_left: bool,
}

impl Shown {
    fn of(deploy: &Deploy, is_left: bool) -> Self {
        Self { state: deploy.state, report: deploy.report.clone(), followed: deploy.followed, is_left }
    }

    /// Whether a person would read nothing new.
    fn tells_the_same(&self, deploy: &Deploy) -> bool {
        let Report { waiting, failed, .. } = &self.report;
        self.state == deploy.state && *waiting == deploy.report.waiting && *failed == deploy.report.failed
    }

    /// Whether a person would rather wait for the next change than read the whole card now.
    fn comes_to_more(&self) -> bool {
        match self.state {
            State::Failed => self.followed,
            state => !state.is_final() && self.report.waiting.is_empty(),
        }
    }

    /// Whether nothing more is told of it; what CircleCI can't be asked about isn't waited for.
    fn is_over(&self) -> bool {
        self.state.is_final() && (!self.followed || self.state == State::Unknown)
    }
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
        let changed = self.app.deploys.changed();
        let (mut failed, mut interrupted) = (false, false);
        while !self.screen.is_gone() {
            let prompt = format!("{}> ", text::one_line(&self.caller().actor.name));
            let read = {
                let mut next = pin!(lines.next(&prompt));
                loop {
                    tokio::select! {
                        read = &mut next => break Some(read),
                        changed = changed.next() => self.show_changed(changed.into_keys()).await,
                        () = self.app.requests.changed() => self.show_requests().await,
                        () = self.stop.cancelled() => break None,
                    }
                }
            };
            let Some(read) = read else { break };
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
            let outcome = self.carry_out(&line).await;
            // In their order with what is asked next.
            self.show_changed(changed.take().into_keys()).await;
            self.show_requests().await;
            match outcome {
                Outcome::Done => {}
                // A person at the terminal has seen it.
                Outcome::Failed => failed |= !lines.is_terminal(),
                Outcome::Quit => break,
            }
            if self.stop.is_cancelled() {
                break;
            }
        }
        if !lines.is_terminal() {
            failed |= !self.all_end_well().await;
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

    /// Shows what has become of the deploys of this console that the last one has left behind. Those that were asked for on
    /// Discord have a card there, which only the bot can keep.
    async fn take_up(&self) {
        let (unfinished, not_shown) = match (self.app.deploys.unfinished().await, self.app.deploys.not_shown().await) {
            (Ok(unfinished), Ok(not_shown)) => (unfinished, not_shown),
            (Err(error), _) | (_, Err(error)) => {
                return self.screen.say(&format!("What earlier deploys have become can't be read: {error}"));
            }
        };
        let mut others = 0;
        for uuid in unfinished {
            match self.ours(uuid).await {
                Some(deploy) => {
                    self.screen
                        .say(&format!("Deploy {} was unfinished when the console stopped; it is followed.", deploy.id));
                    self.followed().insert(uuid, Shown::of(&deploy, true));
                }
                None => others += 1,
            }
        }
        if others > 0 {
            self.screen
                .say(&format!("Unfinished deploys of other chats: {others}. `slipway run` keeps their cards.\n\n"));
        }
        self.show_changed(not_shown).await;
    }

    /// A deploy that was asked for in a console of this guild.
    async fn ours(&self, uuid: Uuid) -> Option<Deploy> {
        match self.app.deploys.get(uuid).await {
            Ok(deploy) => deploy.filter(|deploy| deploy.guild == self.guild && deploy.channel.is_none()),
            Err(error) => {
                self.screen.say(&format!("A deploy can't be read: {error}"));
                None
            }
        }
    }

    /// Shows deploys of this console that have changed: in full at first and at their end, in a line between.
    async fn show_changed(&self, changed: impl IntoIterator<Item = Uuid>) {
        for uuid in changed {
            let Some(deploy) = self.ours(uuid).await else { continue };
            let before = self.followed().get(&uuid).cloned();
            let is_left = before.as_ref().is_some_and(|before| before.is_left);
            self.followed().insert(uuid, Shown::of(&deploy, is_left));
            match before {
                Some(before) if before.tells_the_same(&deploy) => {}
                // The whole card comes with what failed, or with what waits.
                Some(_) if Shown::of(&deploy, is_left).comes_to_more() => {
                    self.screen.say(&format!("Deploy {} is {}", deploy.id, deploy.state));
                }
                _ => self.show(&card(&deploy)),
            }
            if let Err(error) = self.app.deploys.note_shown(&HashMap::from([(deploy.uuid, deploy.version)])).await {
                tracing::warn!("It could not be noted that a deploy was shown: {error}");
            }
        }
    }

    /// Shows the requests for access of this console that have changed.
    async fn show_requests(&self) {
        let shown = async {
            for request in self.app.requests.not_shown().await? {
                if request.guild == self.guild && request.channel.is_none() {
                    self.show(&self.app.requests.card(&request).await?);
                    self.app.requests.note_shown(&request).await?;
                }
            }
            Ok::<_, DbError>(())
        };
        if let Err(error) = shown.await {
            self.screen.say(&format!("The requests for access can't be shown: {error}"));
        }
    }

    /// Waits until the deploys of this console have ended; whether all that it has asked for succeeded.
    async fn all_end_well(&self) -> bool {
        let changed = self.app.deploys.changed();
        while self.followed().values().any(|shown| !shown.is_over()) {
            if self.followed().values().all(|shown| shown.is_over() || !shown.report.waiting.is_empty()) {
                self.screen.say("What is left waits for an approval, and no line is left that could give one. Builds go on at CircleCI without the console, and its next start tells how they are; the sandbox ends with it.");
                return false;
            }
            tokio::select! {
                changed = changed.next() => self.show_changed(changed.into_keys()).await,
                () = self.stop.cancelled() => break,
            }
        }
        self.followed().values().all(|shown| shown.is_left || shown.state == State::Succeeded)
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<Uuid, Shown>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, reply: &Reply) {
        self.screen.show(reply, self.people, &self.app.clock);
    }

    fn caller(&self) -> Caller {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
