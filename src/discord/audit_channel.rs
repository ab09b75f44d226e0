//! Delivers each entry of the audit log to its guild's audit channel, and the head once a day, from the database alone, so that a
//! restart misses nothing and repeats nothing. Knows nothing of what entries say.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serenity::builder::CreateMessage;
use serenity::model::channel::{MessageFlags, Nonce};
use serenity::model::id::{ChannelId, MessageId as DiscordMessageId, UserId};
use tokio::sync::OnceCell;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::render;
use super::rest::{Rest, RestError};
use crate::audit::delivery::{Deliveries, Delivery, Line, Message, Next, Sending};
use crate::db::DbError;
use crate::guild::Settings;
use crate::id::{self, GuildId, MessageId};
use crate::time::Timestamp;

/// For a message, or a look for one: Discord's limits and its bad moments are waited for.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// Entries that come within this time go into one message.
const GATHER: Duration = Duration::from_secs(1);
/// How often is looked without being told: for what another program has written, and for a new day.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Between two tries where nothing arrives, at first and at last.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(600);
/// How long is still delivered when Slipway stops; the next start delivers the rest.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// How far Discord's clock may be behind ours, where no message of ours tells behind which one to look.
const SKEW: Duration = Duration::from_secs(24 * 3_600);
/// The longest text of a message, and of a line where there is room for others, in UTF-16 units.
const TEXT_MAX: usize = 2_000;
const LINE_MAX: usize = 600;

/// 1 January 2015 in milliseconds since 1970: what the times in Discord's ids count from (reference, "Snowflakes").
const EPOCH: i64 = 1_420_070_400_000;
/// A message that isn't there, told to whoever may read the channel's history (topics/opcodes-and-status-codes).
const UNKNOWN_MESSAGE: u64 = 10008;

/// The audit channels of every guild; clones share them.
#[derive(Clone)]
pub struct AuditChannels {
    rest: Rest,
    deliveries: Deliveries,
    settings: Settings,
    me: Arc<OnceCell<UserId>>,
    /// Channels that were seen to belong to their guilds.
    known: Arc<Mutex<HashSet<(GuildId, id::ChannelId)>>>,
}

/// What has stopped a delivery.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("{0}")]
    Discord(#[from] RestError),
    #[error("{0}")]
    Database(#[from] DbError),
    #[error("The channel is not one of this server: name one that is with `/settings set audit_channel`")]
    Elsewhere,
}

impl Stopped {
    /// Whether it stays so until somebody does something.
    fn needs_somebody(&self) -> bool {
        match self {
            Stopped::Discord(error) => {
                matches!(error, RestError::Forbidden { .. } | RestError::NotFound { .. } | RestError::Refused { .. })
            }
            Stopped::Database(DbError::Corrupt(_)) | Stopped::Elsewhere => true,
            Stopped::Database(_) => false,
        }
    }
}

/// What is known of the guilds' deliveries while the bot runs.
#[derive(Default)]
struct Rounds {
    /// Whether any guild has a channel.
    some: bool,
    under_way: JoinSet<(GuildId, bool)>,
    busy: HashMap<GuildId, task::Id>,
    /// Those that were to be looked at while they were busy.
    missed: HashSet<GuildId>,
    /// When a guild's delivery is tried again, and how long the pause before that was.
    pauses: HashMap<GuildId, (Instant, Duration)>,
}

impl AuditChannels {
    /// Channels written to through `rest`.
    pub fn new(rest: Rest, deliveries: Deliveries, settings: Settings) -> Self {
        Self { rest, deliveries, settings, me: Arc::default(), known: Arc::default() }
    }

    /// Delivers until `stopping`, and then for a moment. A message that is under way then is found out about at the next start.
    pub async fn keep(&self, stopping: &CancellationToken) {
        let mut rounds = Rounds::default();
        self.look(&mut rounds).await;
        loop {
            let again = rounds.again();
            tokio::select! {
                () = stopping.cancelled() => break,
                Some(ended) = rounds.under_way.join_next() => {
                    if !rounds.ends(ended) {
                        continue;
                    }
                }
                () = self.settings.changed() => rounds.pauses.clear(),
                // Where no guild has a channel, what is written is nobody's affair.
                () = self.deliveries.written(), if rounds.some => tokio::select! {
                    () = sleep(GATHER) => {}
                    () = stopping.cancelled() => {}
                },
                () = sleep_until(again), if rounds.some => {}
            }
            self.look(&mut rounds).await;
        }
        let drained = async {
            self.look(&mut rounds).await;
            while let Some(ended) = rounds.under_way.join_next().await {
                if rounds.ends(ended) {
                    self.look(&mut rounds).await;
                }
            }
        };
        let _ = timeout(DRAIN_WITHIN, drained).await;
    }

    /// Begins to deliver where that isn't under way and nothing has to be waited for. No channel waits for another one.
    async fn look(&self, rounds: &mut Rounds) {
        let guilds = match self.deliveries.guilds().await {
            Ok(guilds) => guilds,
            Err(error) => {
                tracing::warn!("What is to be delivered to the audit channels can't be read: {error}");
                rounds.some = true;
                return;
            }
        };
        rounds.some = !guilds.is_empty();
        rounds.pauses.retain(|guild, _| guilds.contains(guild));
        for guild in guilds {
            if rounds.pauses.get(&guild).is_some_and(|(at, _)| *at > Instant::now()) {
                continue;
            }
            if rounds.busy.contains_key(&guild) {
                rounds.missed.insert(guild);
                continue;
            }
            let (this, is_first) = (self.clone(), !rounds.pauses.contains_key(&guild));
            let task = rounds.under_way.spawn(async move { (guild, this.deliver(guild, is_first).await) });
            rounds.busy.insert(guild, task.id());
        }
    }

    /// Delivers to one channel until nothing is left; whether it got so far. What stands still is told at the first try.
    async fn deliver(&self, guild: GuildId, is_first: bool) -> bool {
        loop {
            let delivery = match self.deliveries.of(guild).await {
                Ok(Some(delivery)) => delivery,
                Ok(None) => return true,
                Err(error) => {
                    tracing::warn!(guild = %guild, "How far the audit channel has come can't be read: {error}");
                    return false;
                }
            };
            match self.step(&delivery).await {
                Ok(true) => {}
                Ok(false) => return true,
                Err(stopped) => {
                    if self.stops(&delivery, &stopped, is_first).await {
                        return false;
                    }
                }
            }
        }
    }

    /// Tells what has stopped a delivery; whether it is to be tried again.
    async fn stops(&self, delivery: &Delivery, stopped: &Stopped, is_first: bool) -> bool {
        let why = stopped.to_string();
        let recorded = match (stopped.needs_somebody(), delivery.ends) {
            // Nobody mends a channel that was turned off.
            (true, Some(_)) => self.deliveries.ended(delivery).await.map(|()| false),
            (true, None) => self.deliveries.failed(delivery, why.trim_end_matches('.')).await,
            (false, _) => Ok(false),
        };
        if is_first || recorded.as_ref().is_ok_and(|is_new| *is_new) {
            tracing::warn!(guild = %delivery.guild, channel = %delivery.channel, "The audit log stands still at #{} in its channel: {why}", delivery.delivered);
        }
        if let Err(error) = &recorded {
            tracing::warn!(guild = %delivery.guild, "That the audit log stands still could not be recorded: {error}");
        }
        recorded.is_err() || delivery.ends.is_none() || !stopped.needs_somebody()
    }

    /// Takes a delivery one step further; whether there may be more to do.
    async fn step(&self, delivery: &Delivery) -> Result<bool, Stopped> {
        if let Some(sending) = delivery.sending {
            return self.find_out(delivery, sending).await.map(|()| true);
        }
        let (message, text) = match self.deliveries.next(delivery).await? {
            Next::Entries(lines) => {
                let lines = &lines[..fitting(&lines)];
                let Some(last) = lines.last() else { return Ok(false) };
                (Message::Entries(last.last), text(lines))
            }
            Next::Head(seq) => {
                (Message::Head(seq), render::text(&self.deliveries.head(delivery, seq).await?, TEXT_MAX))
            }
            Next::Nothing => return Ok(false),
            Next::Ended => {
                self.deliveries.ended(delivery).await?;
                return Ok(false);
            }
        };
        self.check(delivery).await?;
        let after = delivery.message.unwrap_or_else(|| made_at(self.deliveries.now().minus(SKEW)));
        // Something else may have come in between.
        let Some(sending) = self.deliveries.note(delivery, message, after).await? else { return Ok(true) };
        self.send(delivery, sending, text).await?;
        Ok(true)
    }

    /// Finds out what became of a message: it is in its channel, or is sent once more where that is still the channel.
    async fn find_out(&self, delivery: &Delivery, sending: Sending) -> Result<(), Stopped> {
        let is_present = sending.channel == delivery.channel;
        match self.look_for(delivery, &sending).await {
            Ok(Some(found)) => return self.note_arrived(delivery, &sending, found).await,
            Ok(None) if is_present => {}
            // What a channel that was left doesn't show, the present one does.
            Ok(None) => return Ok(self.deliveries.withdrawn(delivery).await?),
            Err(RestError::Forbidden { .. } | RestError::NotFound { .. }) if !is_present => {
                return Ok(self.deliveries.withdrawn(delivery).await?);
            }
            Err(error) => return Err(error.into()),
        }
        let text = match sending.message {
            Message::Entries(last) => text(&self.deliveries.lines(delivery, last).await?),
            Message::Head(seq) => render::text(&self.deliveries.head(delivery, seq).await?, TEXT_MAX),
        };
        self.send(delivery, sending, text).await
    }

    /// Sends a message that was noted. Whatever goes wrong, the note stays, and what became of it is found out.
    async fn send(&self, delivery: &Delivery, sending: Sending, text: String) -> Result<(), Stopped> {
        let nonce = Nonce::String(sending.nonce(delivery.guild));
        let message = CreateMessage::new().content(text).nonce(nonce).enforce_nonce(true);
        let message = message.flags(MessageFlags::SUPPRESS_EMBEDS);
        let posted = self.rest.create_message(channel(sending.channel), &message, Instant::now() + SEND_WITHIN).await?;
        match posted.message.and_then(|message| MessageId::new(message.get())) {
            Some(posted) => self.note_arrived(delivery, &sending, posted).await,
            // The answer broke off: the next step looks for it.
            None => Ok(()),
        }
    }

    async fn note_arrived(&self, delivery: &Delivery, sending: &Sending, posted: MessageId) -> Result<(), Stopped> {
        if self.deliveries.arrived(delivery, sending, posted).await? {
            tracing::info!(guild = %delivery.guild, "The audit log is delivered to its channel again");
        }
        Ok(())
    }

    /// Refuses a channel of another guild, and one whose history is hidden from us, before anything is sent there.
    async fn check(&self, delivery: &Delivery) -> Result<(), Stopped> {
        let key = (delivery.guild, delivery.channel);
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Ok(());
        }
        let guild = self.rest.guild_of(channel(delivery.channel), Instant::now() + SEND_WITHIN).await?;
        if guild.map(|guild| guild.get()) != Some(delivery.guild.get()) {
            return Err(Stopped::Elsewhere);
        }
        self.check_history(channel(delivery.channel), made_at(self.deliveries.now())).await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        Ok(())
    }

    /// Fails where the history of a channel may not be read: its messages are then listed as none at all (resources/message, "Get
    /// Channel Messages"), while a single one is refused.
    async fn check_history(&self, channel: ChannelId, message: MessageId) -> Result<(), RestError> {
        let message = DiscordMessageId::new(message.get().max(1));
        match self.rest.read_message(channel, message, Instant::now() + SEND_WITHIN).await {
            Err(RestError::NotFound { code: UNKNOWN_MESSAGE, .. }) => Ok(()),
            read => read,
        }
    }

    /// The message of ours that was being sent, where it has come into its channel.
    async fn look_for(&self, delivery: &Delivery, sending: &Sending) -> Result<Option<MessageId>, RestError> {
        let me = *self.me.get_or_try_init(|| self.rest.me(Instant::now() + SEND_WITHIN)).await?;
        let mark = render::text(&sending.message.mark(delivery.first()), LINE_MAX);
        let (channel, mut after, mut is_read) = (channel(sending.channel), sending.after.get(), false);
        loop {
            let page = self.rest.messages_after(channel, after, Instant::now() + SEND_WITHIN).await?;
            let found = page.iter().find(|seen| seen.author == me && seen.content.starts_with(&mark));
            if let Some(found) = found.and_then(|found| MessageId::new(found.id)) {
                return Ok(Some(found));
            }
            match page.iter().map(|seen| seen.id).max() {
                Some(last) => (after, is_read) = (last, true),
                None if is_read => return Ok(None),
                None => return self.check_history(channel, sending.after).await.map(|()| None),
            }
        }
    }
}

impl Rounds {
    /// When to look again without being told.
    fn again(&self) -> Instant {
        let pauses = self.pauses.iter().filter(|(guild, _)| !self.busy.contains_key(guild));
        pauses.map(|(_, (at, _))| *at).chain([Instant::now() + LOOK_EVERY]).min().expect("there is one at least")
    }

    /// Takes the end of a delivery; whether to look again at once.
    fn ends(&mut self, ended: Result<(GuildId, bool), JoinError>) -> bool {
        let (guild, is_done) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(
                    "A delivery to an audit channel ended badly: {error}. This is a mistake in Slipway; please report it"
                );
                let guild = self.busy.iter().find(|(_, task)| **task == error.id()).map(|(guild, _)| *guild);
                let Some(guild) = guild else { return false };
                (guild, false)
            }
        };
        self.busy.remove(&guild);
        let is_missed = self.missed.remove(&guild);
        if is_done {
            self.pauses.remove(&guild);
            return is_missed;
        }
        let pause = self.pauses.get(&guild).map_or(AGAIN_AFTER, |(_, pause)| (*pause * 2).min(AGAIN_AFTER_MAX));
        self.pauses.insert(guild, (Instant::now() + pause, pause));
        false
    }
}

/// How many lines fit one message; always one.
fn fitting(lines: &[Line]) -> usize {
    let mut units = 0;
    let fits = |line: &&Line| {
        units += render::text(&line.text, LINE_MAX).encode_utf16().count() + 1;
        units <= TEXT_MAX
    };
    lines.iter().take_while(fits).count()
}

/// The lines as the text of one message. Were they to have become longer since it was seen that they fit, they are cut.
fn text(lines: &[Line]) -> String {
    let max = if fitting(lines) == lines.len() { LINE_MAX } else { TEXT_MAX / lines.len() - 1 };
    let lines: Vec<String> = lines.iter().map(|line| render::text(&line.text, max)).collect();
    lines.join("\n")
}

fn channel(id: id::ChannelId) -> ChannelId {
    ChannelId::new(id.get())
}

/// The least id of what was made then.
fn made_at(at: Timestamp) -> MessageId {
    MessageId::from_row(at.millis().saturating_sub(EPOCH).max(0).saturating_mul(1 << 22))
}
