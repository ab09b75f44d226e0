//! How far the audit log has come into each guild's audit channel: in order, none lost and none twice, whatever is killed in between.
//! Knows nothing of Discord.
//!
//! What is about to be sent is noted first; whoever finds such a note finds out whether it arrived before anything else is sent.

pub mod store;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::chain::Row;
use super::entry::{Action, Entry, Outcome};
use super::{append, card};
use crate::actor::Actor;
use crate::db::{Db, DbError};
use crate::id::{ChannelId, GuildId, MessageId};
use crate::reply::Text;
use crate::time::{Clock, Timestamp};

/// Entries of one message at most.
const ENTRIES_MAX: i64 = 25;
/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// How far one guild's log has come.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The guild.
    pub guild: GuildId,
    /// The channel.
    pub channel: ChannelId,
    /// The last entry that has arrived.
    pub delivered: i64,
    /// The last message that has arrived in this channel.
    pub message: Option<MessageId>,
    /// What was about to be sent when that was noted.
    pub sending: Option<Sending>,
    /// The last day whose head has arrived, counted from 1970, and the number of that head.
    pub head: (i64, i64),
    /// The entry with which the channel was turned off: nothing comes behind it.
    pub ends: Option<i64>,
    /// Whether it is told already that nothing arrives.
    pub failing: bool,
}

impl Delivery {
    /// The first entry that has not arrived.
    pub fn first(&self) -> i64 {
        self.delivered + 1
    }
}

/// A message on its way, which may or may not have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// The message.
    pub message: Message,
    /// The channel it was meant for, perhaps not the present one.
    pub channel: ChannelId,
    /// It can only stand behind this message.
    pub after: MessageId,
    /// When it was noted.
    pub since: Timestamp,
}

impl Sending {
    /// 24 characters by which a chat tells that a message is sent once more; no other message of any guild has them.
    pub fn nonce(&self, guild: GuildId) -> String {
        let what = format!("{guild} {} {:?} {}", self.channel, self.message, self.since.millis());
        hex::encode(&Sha256::digest(what)[..12])
    }
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The entries behind the last delivered one, up to this one.
    Entries(i64),
    /// The head of the day: this entry's hash.
    Head(i64),
}

impl Message {
    /// What the message begins with, and none of ours but this one: `first` is the first entry that has not arrived.
    pub fn mark(self, first: i64) -> Text {
        match self {
            Message::Entries(_) => number(first),
            Message::Head(seq) => Text::of("Head of the audit log: ").then(number(seq)),
        }
    }
}

/// What may come next.
#[derive(Debug)]
pub enum Next {
    /// These entries, or the first ones of them.
    Entries(Vec<Line>),
    /// The head of the day.
    Head(i64),
    /// Nothing: all has arrived.
    Nothing,
    /// Nothing ever: the channel was turned off.
    Ended,
}

/// An entry as it is shown, or several that are not there any more.
#[derive(Debug)]
pub struct Line {
    /// The number of the entry, of several the last.
    pub last: i64,
    /// What is shown.
    pub text: Text,
}

/// The deliveries of every guild.
#[derive(Clone)]
pub struct Deliveries {
    db: Db,
    clock: Clock,
}

impl Deliveries {
    /// Deliveries noted in `db`.
    pub fn new(db: Db, clock: Clock) -> Self {
        Self { db, clock }
    }

    /// Waits until something was written.
    pub async fn written(&self) {
        self.db.written().await;
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The guilds that have an audit channel.
    pub async fn guilds(&self) -> Result<Vec<GuildId>, DbError> {
        store::guilds(self.db.pool()).await
    }

    /// How far the log of `guild` has come, where it has an audit channel.
    pub async fn of(&self, guild: GuildId) -> Result<Option<Delivery>, DbError> {
        store::of(self.db.pool(), guild).await
    }

    /// What comes next.
    pub async fn next(&self, of: &Delivery) -> Result<Next, DbError> {
        let lines = self.lines(of, of.ends.unwrap_or(i64::MAX)).await?;
        let today = self.clock.now().millis().div_euclid(DAY);
        Ok(match (lines.is_empty(), of.ends) {
            (false, _) => Next::Entries(lines),
            (true, Some(_)) => Next::Ended,
            (true, None) if of.head.0 < today && of.head.1 < of.delivered => Next::Head(of.delivered),
            (true, None) => Next::Nothing,
        })
    }

    /// The lines of the entries behind the last delivered one up to `last`, the oldest first; the first one always begins with the number
    /// of the first entry that has not arrived. An entry stands there as it is at this moment.
    pub async fn lines(&self, of: &Delivery, last: i64) -> Result<Vec<Line>, DbError> {
        let mut reader = self.db.reader().await?;
        let rows = super::store::rows_after(&mut reader, of.guild, of.delivered, ENTRIES_MAX).await?;
        let gone_to = match rows.first() {
            Some(row) => last.min(row.seq - 1),
            None if of.ends == Some(last) || of.sending.is_some() => last,
            None => of.delivered,
        };
        let gone = (gone_to >= of.first()).then(|| Line { last: gone_to, text: gone(of.first(), gone_to) });
        let there = rows.iter().filter(|row| row.seq <= last).map(|row| Line { last: row.seq, text: card::line(row) });
        Ok(gone.into_iter().chain(there).collect())
    }

    /// The line of the head of the day.
    pub async fn head(&self, of: &Delivery, seq: i64) -> Result<Text, DbError> {
        let row = super::store::entry(&mut *self.db.reader().await?, of.guild, seq).await?;
        Ok(head(seq, row.as_ref()))
    }

    /// Notes `message` as being sent, to be looked for behind `after`; nothing when something else has come in between.
    pub async fn note(&self, of: &Delivery, message: Message, after: MessageId) -> Result<Option<Sending>, DbError> {
        let sending = Sending { message, channel: of.channel, after, since: self.clock.now() };
        let mut tx = self.db.begin().await?;
        let noted = store::note_sending(&mut tx, of, &sending).await?;
        tx.commit().await?;
        Ok(noted.then_some(sending))
    }

    /// Notes that what was being sent stands in its channel as `posted`; whether nothing had arrived for a while.
    pub async fn arrived(&self, of: &Delivery, sending: &Sending, posted: MessageId) -> Result<bool, DbError> {
        let mut tx = self.db.begin().await?;
        store::note_arrived(&mut tx, of.guild, sending, posted, sending.since.millis().div_euclid(DAY)).await?;
        tx.commit().await?;
        Ok(of.failing)
    }

    /// Notes that what was being sent didn't arrive and isn't sent to that channel any more.
    pub async fn withdrawn(&self, of: &Delivery) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        store::note_withdrawn(&mut tx, of.guild).await?;
        tx.commit().await
    }

    /// Forgets a channel that was turned off.
    pub async fn ended(&self, of: &Delivery) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        store::remove_ended(&mut tx, of.guild).await?;
        tx.commit().await
    }

    /// Records, once until something arrives again, that nothing does; whether that is new.
    pub async fn failed(&self, of: &Delivery, why: &str) -> Result<bool, DbError> {
        let mut tx = self.db.begin().await?;
        let is_new = store::note_failing(&mut tx, of, why).await?;
        if is_new {
            let (now, slipway) = (self.clock.now(), Actor::slipway());
            let entry = Entry::new(of.guild, now, &slipway, Action::AuditUndelivered, Outcome::Error)
                .channel(of.channel)
                .reason(Some(why))
                .detail(json!({ "delivered": format!("#{}", of.delivered) }));
            append(&mut tx, &entry).await?;
        }
        tx.commit().await?;
        Ok(is_new)
    }
}

fn number(seq: i64) -> Text {
    Text::default().code(format!("#{seq}"))
}

/// The line of entries that can't be shown any more.
fn gone(first: i64, last: i64) -> Text {
    let line = number(first);
    let line = if first < last { line.plain(" to ").then(number(last)) } else { line };
    line.plain(" had been archived before it could be sent here")
}

/// The line that anchors the chain outside the operator's reach.
fn head(seq: i64, row: Option<&Row>) -> Text {
    let line = Message::Head(seq).mark(seq).plain(" ");
    match row {
        Some(row) => line
            .code(&row.hash)
            .plain(" — to check that nothing up to here was changed or cut off: ")
            .code(format!("slipway audit verify --head {}", row.hash)),
        None => line.plain("was archived"),
    }
}
