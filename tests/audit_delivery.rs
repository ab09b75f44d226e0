//! How far the audit log has come into a channel, without a bot and with a clock that the test holds: what comes next, and how a message
//! is known again.

#![allow(clippy::unwrap_used, reason = "a test that fails here has found something")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use slipway::actor::Actor;
use slipway::audit;
use slipway::audit::delivery::{self, Deliveries, Delivery, Message, Next, Sending};
use slipway::db::Db;
use slipway::guild;
use slipway::id::{ChannelId, GuildId, MessageId};
use slipway::reply::Text;
use slipway::time::{Clock, Timestamp};

/// How far a guild's log has come, without a bot: entries of a guild whose channel is 7, and a clock that the test holds.
struct Held {
    _folder: tempfile::TempDir,
    db: Db,
    now: Arc<AtomicI64>,
    deliveries: Deliveries,
}

const GUILD: GuildId = GuildId::from_row(5);
const DAY: i64 = 86_400_000;

impl Held {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&format!("sqlite://{}/slipway.db", folder.path().display()).parse().unwrap()).await.unwrap();
        let now = Arc::new(AtomicI64::new(20_000 * DAY));
        let clock = Clock::new({
            let now = Arc::clone(&now);
            move || Timestamp::from_millis(now.load(Ordering::SeqCst))
        });
        let deliveries = Deliveries::new(db.clone(), clock);
        let held = Self { _folder: folder, db, now, deliveries };
        let mut tx = held.db.begin().await.unwrap();
        guild::store::first_seen(&mut tx, GUILD, held.deliveries.now()).await.unwrap();
        delivery::store::set_channel(&mut tx, GUILD, ChannelId::from_row(7), 1).await.unwrap();
        tx.commit().await.unwrap();
        held
    }

    async fn append(&self, count: usize) {
        for _ in 0..count {
            let (now, root) = (self.deliveries.now(), Actor::cli("root"));
            let mut tx = self.db.begin().await.unwrap();
            let entry = audit::Entry::new(GUILD, now, &root, audit::Action::DeployDenied, audit::Outcome::Denied);
            audit::append(&mut tx, &entry).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    async fn of(&self) -> Delivery {
        self.deliveries.of(GUILD).await.unwrap().unwrap()
    }

    /// What comes next, in a word.
    async fn next(&self) -> String {
        match self.deliveries.next(&self.of().await).await.unwrap() {
            Next::Entries(lines) => format!("entries to {}", lines.last().unwrap().last),
            Next::Head(seq) => format!("head {seq}"),
            Next::Nothing => "nothing".to_owned(),
            Next::Ended => "ended".to_owned(),
        }
    }

    async fn note(&self, message: Message) -> Sending {
        self.deliveries.note(&self.of().await, message, MessageId::from_row(1)).await.unwrap().unwrap()
    }

    async fn arrive(&self, sending: &Sending) {
        self.deliveries.arrived(&self.of().await, sending, MessageId::from_row(2)).await.unwrap();
    }

    fn passes(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_head_belongs_to_the_day_on_which_it_was_sent_and_comes_where_there_is_something_new() {
    let held = Held::new().await;
    held.append(3).await;
    assert_eq!(held.next().await, "entries to 3");
    held.arrive(&held.note(Message::Entries(3)).await).await;
    assert_eq!(held.next().await, "head 3");
    held.arrive(&held.note(Message::Head(3)).await).await;
    assert_eq!(held.next().await, "nothing");
    held.passes(DAY);
    assert_eq!(held.next().await, "nothing", "there is nothing new");
    held.append(1).await;
    assert_eq!(held.next().await, "entries to 4");
    held.arrive(&held.note(Message::Entries(4)).await).await;
    // Sent a moment before midnight, known to have arrived after it.
    held.passes(DAY - 1);
    let sending = held.note(Message::Head(4)).await;
    held.passes(2);
    held.arrive(&sending).await;
    held.append(1).await;
    held.arrive(&held.note(Message::Entries(5)).await).await;
    assert_eq!(held.next().await, "head 5", "the new day has one of its own");
}

#[tokio::test]
async fn what_was_archived_before_it_was_sent_is_told_so() {
    let held = Held::new().await;
    held.append(6).await;
    let mut tx = held.db.begin().await.unwrap();
    sqlx::query("DROP TRIGGER audit_log_is_never_shortened").execute(&mut *tx).await.unwrap();
    sqlx::query("DELETE FROM audit_log WHERE seq <= 4").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let lines = held.deliveries.lines(&held.of().await, 6).await.unwrap();
    assert_eq!(lines.iter().map(|line| line.last).collect::<Vec<_>>(), [4, 5, 6]);
    let expected = Text::default().code("#1").plain(" to ").code("#4");
    assert_eq!(lines[0].text, expected.plain(" had been archived before it could be sent here"));
    // What was on its way when it was archived still begins with the number by which it is looked for.
    held.note(Message::Entries(3)).await;
    let lines = held.deliveries.lines(&held.of().await, 3).await.unwrap();
    assert!(lines.len() == 1 && lines[0].last == 3, "{lines:?}");
    assert!(lines[0].text.0.starts_with(&Message::Entries(3).mark(1).0));
}

#[tokio::test]
async fn no_two_messages_are_taken_for_one() {
    let held = Held::new().await;
    held.append(2).await;
    let sending = held.note(Message::Entries(2)).await;
    let others = [
        Sending { channel: ChannelId::from_row(8), ..sending },
        Sending { message: Message::Head(2), ..sending },
        Sending { since: sending.since.plus(Duration::from_millis(1)), ..sending },
    ];
    let nonce = sending.nonce(GUILD);
    assert!(nonce.len() <= 25, "Discord takes no longer one");
    assert!(others.iter().all(|other| other.nonce(GUILD) != nonce) && sending.nonce(GuildId::from_row(6)) != nonce);
    assert_eq!(held.of().await.sending, Some(sending), "after a restart it has the same");
}
