//! How far the audit log has come into each guild's audit channel: in order, none lost and none twice, whatever is killed in between.
//! Knows nothing of Discord.
//!
//! What is about to be sent is noted first; whoever finds such a note after a restart finds out whether it arrived before anything
//! else is sent.

pub mod store;

use serde_json::json;

use super::chain::Row;
use super::entry::{Action, Entry, Outcome};
use super::{append, card};
use crate::actor::Actor;
use crate::db::{Db, DbError};
use crate::id::{ChannelId, GuildId};
use crate::reply::Text;
use crate::time::{Clock, Timestamp};

/// Entries of one message: what fits the text of one.
const LINES_MAX: i64 = 5;
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
    /// What was about to be sent when it was noted, and when that was.
    pub sending: Option<(Message, Timestamp)>,
    /// The last day whose head has arrived, counted from 1970, and the number of that head.
    pub head: (i64, i64),
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
    /// What Discord knows a message by that is sent twice.
    pub fn nonce(self) -> String {
        match self {
            Message::Entries(last) => format!("audit-{last}"),
            Message::Head(seq) => format!("audit-head-{seq}"),
        }
    }
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

    /// The guilds that have an audit channel.
    pub async fn all(&self) -> Result<Vec<Delivery>, DbError> {
        store::all(self.db.pool()).await
    }

    /// What comes next, noted as being sent; nothing when all has arrived.
    pub async fn next(&self, delivery: &Delivery) -> Result<Option<Message>, DbError> {
        let next = match delivery.sending {
            Some((message, _)) => return Ok(Some(message)),
            None => {
                let mut reader = self.db.reader().await?;
                let rows = super::store::rows_after(&mut reader, delivery.guild, delivery.delivered, LINES_MAX).await?;
                let today = self.clock.now().millis().div_euclid(DAY);
                match rows.last() {
                    Some(row) => Message::Entries(row.seq),
                    None if delivery.head.0 < today && delivery.head.1 < delivery.delivered => {
                        Message::Head(delivery.delivered)
                    }
                    None => return Ok(None),
                }
            }
        };
        let mut tx = self.db.begin().await?;
        let noted = store::note_sending(&mut tx, delivery, next, self.clock.now()).await?;
        tx.commit().await?;
        Ok(noted.then_some(next))
    }

    /// The lines of a message, the oldest first. What is gone meanwhile was archived, and is told so.
    pub async fn lines(&self, delivery: &Delivery, message: Message) -> Result<Vec<Text>, DbError> {
        let mut reader = self.db.reader().await?;
        match message {
            Message::Entries(last) => {
                let rows = super::store::rows_after(&mut reader, delivery.guild, delivery.delivered, LINES_MAX).await?;
                let lines: Vec<Text> = rows.iter().filter(|row| row.seq <= last).map(card::line).collect();
                let gone = || Text::default().code(format!("#{last}")).plain(" and what came before it was archived");
                Ok(if lines.is_empty() { vec![gone()] } else { lines })
            }
            Message::Head(seq) => {
                let row = super::store::entry(&mut reader, delivery.guild, seq).await?;
                Ok(vec![head(seq, row.as_ref())])
            }
        }
    }

    /// Notes that a message has arrived.
    pub async fn arrived(&self, delivery: &Delivery, message: Message) -> Result<(), DbError> {
        let today = self.clock.now().millis().div_euclid(DAY);
        let mut tx = self.db.begin().await?;
        store::note_arrived(&mut tx, delivery, message, today).await?;
        tx.commit().await
    }

    /// Records, once until something arrives again, that nothing does.
    pub async fn failed(&self, delivery: &Delivery, why: &str) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        if store::note_failing(&mut tx, delivery).await? {
            let entry = Entry::new(
                delivery.guild,
                self.clock.now(),
                &Actor::slipway(),
                Action::AuditUndelivered,
                Outcome::Error,
            )
            .channel(delivery.channel)
            .reason(Some(why))
            .detail(json!({ "delivered": format!("#{}", delivery.delivered) }));
            append(&mut tx, &entry).await?;
        }
        tx.commit().await
    }
}

/// The line that anchors the chain outside the operator's reach.
fn head(seq: i64, row: Option<&Row>) -> Text {
    let line = Text::of("Head of the audit log: ").code(format!("#{seq}")).plain(" ");
    match row {
        Some(row) => line
            .code(&row.hash)
            .plain(" — to check that nothing up to here was changed or cut off: ")
            .code(format!("slipway audit verify --head {}", row.hash)),
        None => line.plain("was archived"),
    }
}
