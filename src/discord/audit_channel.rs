//! Delivers each entry of the audit log to its guild's audit channel, and the head once a day, from the database alone, so that a
//! restart misses nothing and repeats nothing. Knows nothing of what entries say.

use std::collections::HashMap;
use std::time::Duration;

use serenity::builder::CreateMessage;
use serenity::model::channel::{MessageFlags, Nonce};
use serenity::model::id::ChannelId;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::render;
use super::rest::{Rest, RestError};
use crate::audit::delivery::{Deliveries, Delivery, Message};
use crate::db::DbError;
use crate::guild::Settings;
use crate::id::GuildId;
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
/// How far Discord's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(300);
/// Pages of messages that are looked through for a lost one.
const PAGES_MAX: usize = 50;
/// The longest text of a message, in UTF-16 units.
const TEXT_MAX: usize = 2_000;

/// 1 January 2015 in milliseconds since 1970: what the times in Discord's ids count from (reference, "Snowflakes").
const EPOCH: i64 = 1_420_070_400_000;

/// The audit channels of every guild.
pub struct AuditChannels {
    rest: Rest,
    deliveries: Deliveries,
    settings: Settings,
}

/// What has stopped a delivery.
enum Stopped {
    Discord(RestError),
    Database(DbError),
}

impl From<RestError> for Stopped {
    fn from(error: RestError) -> Self {
        Stopped::Discord(error)
    }
}

impl From<DbError> for Stopped {
    fn from(error: DbError) -> Self {
        Stopped::Database(error)
    }
}

/// When a guild's delivery is tried again, and how long the pause after that is.
type Pauses = HashMap<GuildId, (Instant, Duration)>;

impl AuditChannels {
    /// Channels written to through `rest`.
    pub fn new(rest: Rest, deliveries: Deliveries, settings: Settings) -> Self {
        Self { rest, deliveries, settings }
    }

    /// Delivers until `stopping`, and then for a moment.
    pub async fn keep(&self, stopping: &CancellationToken) {
        let mut pauses = Pauses::new();
        loop {
            let some = self.deliver_all(&mut pauses).await;
            let again = pauses.values().map(|(at, _)| *at).min().unwrap_or_else(|| Instant::now() + LOOK_EVERY);
            tokio::select! {
                () = stopping.cancelled() => break,
                () = self.settings.changed() => {}
                // Where no guild has a channel, what is written is nobody's affair.
                () = self.deliveries.written(), if some => sleep(GATHER).await,
                () = tokio::time::sleep_until(again.min(Instant::now() + LOOK_EVERY)), if some => {}
            }
        }
        let _ = timeout(DRAIN_WITHIN, self.deliver_all(&mut pauses)).await;
    }

    /// Delivers what is there to every channel; whether there is any.
    async fn deliver_all(&self, pauses: &mut Pauses) -> bool {
        let all = match self.deliveries.all().await {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!("What is to be delivered to the audit channels can't be read: {error}");
                return true;
            }
        };
        let some = !all.is_empty();
        for delivery in all {
            let guild = delivery.guild;
            if pauses.get(&guild).is_some_and(|(at, _)| *at > Instant::now()) {
                continue;
            }
            match self.deliver(delivery).await {
                Ok(()) => drop(pauses.remove(&guild)),
                Err(()) => {
                    let pause = pauses.get(&guild).map_or(AGAIN_AFTER, |(_, pause)| (*pause * 2).min(AGAIN_AFTER_MAX));
                    pauses.insert(guild, (Instant::now() + pause, pause));
                }
            }
        }
        some
    }

    /// Delivers to one channel until nothing is left; whether it got so far.
    async fn deliver(&self, mut delivery: Delivery) -> Result<(), ()> {
        loop {
            match self.deliver_one(&delivery).await {
                Ok(Some(Message::Entries(last))) => (delivery.delivered, delivery.sending) = (last, None),
                Ok(Some(Message::Head(seq))) => (delivery.head, delivery.sending) = ((i64::MAX, seq), None),
                Ok(None) => return Ok(()),
                Err(stopped) => {
                    let (why, for_good) = match &stopped {
                        Stopped::Discord(error) => (
                            error.to_string(),
                            matches!(error, RestError::Forbidden { .. } | RestError::NotFound { .. }),
                        ),
                        Stopped::Database(error) => (error.to_string(), false),
                    };
                    tracing::warn!(guild = %delivery.guild, "The audit log stands still at #{} in its channel: {why}", delivery.delivered);
                    if for_good && let Err(error) = self.deliveries.failed(&delivery, &why).await {
                        tracing::warn!("That could not be recorded: {error}");
                    }
                    return Err(());
                }
            }
        }
    }

    /// Delivers the next message; which it was.
    async fn deliver_one(&self, delivery: &Delivery) -> Result<Option<Message>, Stopped> {
        let Some(message) = self.deliveries.next(delivery).await? else { return Ok(None) };
        let lines = self.deliveries.lines(delivery, message).await?;
        let lines: Vec<String> = lines.iter().map(|line| render::text(line, TEXT_MAX / lines.len() - 1)).collect();
        let text = lines.join("\n");
        let before = delivery.sending.map(|(_, since)| since);
        let is_there = match before {
            Some(since) => self.is_there(delivery, &lines[0], since).await?,
            None => false,
        };
        if !is_there {
            let nonce = Nonce::String(message.nonce());
            let message = CreateMessage::new().content(&text).nonce(nonce).enforce_nonce(true);
            let message = message.flags(MessageFlags::SUPPRESS_EMBEDS);
            self.rest.create_message(channel(delivery), &message, Instant::now() + SEND_WITHIN).await?;
        }
        self.deliveries.arrived(delivery, message).await?;
        Ok(Some(message))
    }

    /// Whether a message of ours that begins with `first` has come into the channel since then.
    async fn is_there(&self, delivery: &Delivery, first: &str, since: Timestamp) -> Result<bool, RestError> {
        // What is still on its way arrives, or its nonce is spent, before it is looked for.
        let mark = first.split(' ').take(if first.starts_with('`') { 1 } else { 6 }).collect::<Vec<_>>().join(" ");
        let from = since.minus(SKEW).millis().saturating_sub(EPOCH).max(0);
        let mut after = u64::try_from(from << 22).unwrap_or(0);
        for _ in 0..PAGES_MAX {
            let page = self.rest.messages_after(channel(delivery), after, Instant::now() + SEND_WITHIN).await?;
            if page.iter().any(|seen| seen.is_bot && seen.content.starts_with(&mark)) {
                return Ok(true);
            }
            let Some(last) = page.iter().map(|seen| seen.id).max() else { return Ok(false) };
            after = last;
        }
        Ok(false)
    }
}

fn channel(delivery: &Delivery) -> ChannelId {
    ChannelId::new(delivery.channel.get())
}
