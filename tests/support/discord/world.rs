//! What the fake Discord knows at any moment, its clock, and how tests wait for it to change. It must not know how
//! requests or gateway payloads look on the wire.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::buckets::Buckets;
use super::fault::Faults;
use super::gateway::Gateway;
use super::people::People;
use super::rest::RecordedRequest;
use super::view::StoredMessage;

/// How long a test waits for something that should happen, before it fails and tells what happened instead.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Snowflakes count from here: the first second of 2015.
const DISCORD_EPOCH_MS: u64 = 1_420_070_400_000;
pub const APPLICATION_ID: u64 = 1_204_567_890_123_456_789;
/// Shaped like a bot token (the first part is the application's id), and openly not one.
pub const TOKEN: &str = "MTIwNDU2Nzg5MDEyMzQ1Njc4OQ.FaKe00.not-a-secret-only-for-loopback-tests";

/// The state behind one lock, shared by the REST server, the gateway and the test.
pub struct Shared {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
    /// The fake's own runtime: its timers do not depend on the test's runtime, which may be paused or frozen.
    pub runtime: Handle,
    pub rest_url: String,
    pub gateway_url: String,
    pub resume_url: String,
}

impl Shared {
    pub fn new(runtime: Handle, rest_url: String, gateway_url: String, resume_url: String) -> Self {
        Self {
            world: Mutex::new(World::new()),
            changed: watch::Sender::new(0),
            runtime,
            rest_url,
            gateway_url,
            resume_url,
        }
    }

    /// Looks at the world.
    pub fn read<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the world and wakes whoever waits for a change.
    pub fn change<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let result = act(&mut self.lock());
        self.changed.send_modify(|version| *version += 1);
        result
    }

    /// Waits until `look` finds something. Panics with what had happened when [`PATIENCE`] ends.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&World) -> Option<T>) -> T {
        self.until_found(what, || self.read(&mut look)).await
    }

    /// The same for who looks by other means than at the world itself.
    pub async fn until_found<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        let mut patience = AbortOnDrop(self.runtime.spawn(tokio::time::sleep(PATIENCE)));
        loop {
            changes.borrow_and_update();
            if let Some(found) = look() {
                return found;
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = &mut patience.0 => {
                    panic!("waited {PATIENCE:?} for {what}; what happened:\n{}", self.read(World::story));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        // A test that panics while it looks must not hide its own message behind a poisoned lock.
        self.world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Everything the fake knows.
pub struct World {
    started: Instant,
    started_at: Duration,
    skew: Duration,
    ids: u64,
    pub people: People,
    /// Registered commands by guild; `None` holds the global ones.
    pub commands: HashMap<Option<u64>, Vec<Value>>,
    pub messages: BTreeMap<u64, StoredMessage>,
    /// Nonces of posts that asked for `enforce_nonce`: the message made and when. They are the author's, whatever the channel
    /// (resources/message, "Create Message").
    pub nonces: HashMap<String, (u64, Duration)>,
    /// Channels whose history the bot may not read.
    pub hidden: HashSet<u64>,
    pub pins: Vec<(u64, u64)>,
    pub interactions: BTreeMap<u64, InteractionRecord>,
    pub gateway: Gateway,
    pub faults: Faults,
    pub buckets: Buckets,
    pub requests: Vec<RecordedRequest>,
    pub violations: Vec<String>,
    /// Answers 401, 403 and 429, which Discord counts against the address.
    pub invalid_answers: usize,
    pub unauthorized: usize,
}

impl World {
    fn new() -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            started: Instant::now(),
            started_at,
            skew: Duration::ZERO,
            ids: 0,
            people: People::new(),
            commands: HashMap::new(),
            messages: BTreeMap::new(),
            nonces: HashMap::new(),
            hidden: HashSet::new(),
            pins: Vec::new(),
            interactions: BTreeMap::new(),
            gateway: Gateway::default(),
            faults: Faults::default(),
            buckets: Buckets::default(),
            requests: Vec::new(),
            violations: Vec::new(),
            invalid_answers: 0,
            unauthorized: 0,
        }
    }

    /// The fake's clock: the time since it started, and what tests added.
    pub fn now(&self) -> Duration {
        self.started.elapsed() + self.skew
    }

    /// The fake's clock as time since 1970.
    pub fn wall(&self) -> Duration {
        self.started_at + self.now()
    }

    pub fn advance(&mut self, by: Duration) {
        self.skew += by;
    }

    /// A fresh snowflake of a thing made `ago` before now. Snowflakes tell when a thing was made, as Discord's do.
    pub fn snowflake(&mut self, ago: Duration) -> u64 {
        self.ids += 1;
        let made_ms = u64::try_from(self.wall().saturating_sub(ago).as_millis()).unwrap_or(0);
        (made_ms.saturating_sub(DISCORD_EPOCH_MS) << 22) | (self.ids & 0x3F_FFFF)
    }

    /// The fake's clock as Discord writes times.
    pub fn timestamp(&self) -> String {
        let millis = i64::try_from(self.wall().as_millis()).unwrap_or(0);
        jiff::Timestamp::from_millisecond(millis).map_or_else(|_| String::new(), |at| at.to_string())
    }

    /// The test meddled with the gateway: events in flight may come late or twice, through no fault of the bot's.
    pub fn excuse_unanswered(&mut self) {
        let unanswered = self.interactions.values_mut().filter(|record| record.ack.is_none());
        unanswered.for_each(|record| record.excused = true);
    }

    pub fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// What happened so far, for the message of a test that fails.
    pub fn story(&self) -> String {
        let mut lines: Vec<String> = self.requests.iter().map(RecordedRequest::line).collect();
        let skipped = lines.len().saturating_sub(40);
        lines.drain(..skipped);
        lines.push(self.gateway.story());
        lines.extend(self.violations.iter().map(|v| format!("violation: {v}")));
        lines.join("\n")
    }
}

/// One interaction as Discord keeps it.
pub struct InteractionRecord {
    pub id: u64,
    pub token: String,
    /// 2 command, 3 component, 4 autocomplete, 5 modal submit.
    pub kind: u8,
    /// The event's data, for delivering it again.
    pub event: Value,
    pub channel_id: u64,
    pub user_id: u64,
    pub name: String,
    pub dispatched_at: Duration,
    /// What the test added to its age.
    pub extra_age: Duration,
    /// The test meddled (late, twice, faults): what the bot then does late or twice is no fault of its own.
    pub excused: bool,
    pub ack: Option<Ack>,
    pub ephemeral: bool,
    /// A deferral, of an answer or of an update, whose answer has not come yet.
    pub deferred: bool,
    /// The message that `@original` means.
    pub original: Option<u64>,
    /// The message whose component was used.
    pub source: Option<u64>,
    pub followups: Vec<u64>,
    pub choices: Vec<Value>,
    pub modal: Option<Value>,
    /// The webhook answered 404, so that a bot must not call it again.
    pub told_gone: bool,
}

impl InteractionRecord {
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.dispatched_at) + self.extra_age
    }
}

/// The first answer to an interaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// 4 message, 5 deferred, 6 deferred update, 7 update, 8 choices, 9 modal.
    pub kind: u8,
    pub ephemeral: bool,
    /// When, on the fake's clock.
    pub at: Duration,
    /// How long after the event.
    pub after: Duration,
}
