//! Keeps Discord's rate limits: a request waits here for its place and leaves with a permit.
//! Knows buckets and time, but neither tokens nor what a request says.
//!
//! Each bucket (a route, or the routes that Discord says share one, for one channel, guild or
//! interaction) has a queue of its own, so a slow or exhausted one holds up nobody else.

mod headers;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Queue, Notify};
use tokio::time::{Instant, sleep_until, timeout_at};

pub use headers::{Budget, RateHeaders, Refusal, Scope, WAIT_MAX};
pub use window::{GLOBAL_LIMIT, GLOBAL_WINDOW, GlobalWindow, Turn, Window};

/// An interaction's token lives this long (interactions/receiving-and-responding); a bucket that
/// was not used since then is of no more use.
const INTERACTION_LIFE: Duration = Duration::from_secs(15 * 60);
/// Buckets that need not be remembered are looked for at least this often, when new ones come.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Below this many buckets only [`SWEEP_EVERY`] counts.
const SWEEP_BUCKETS_MIN: usize = 512;

/// The limits of one bot.
#[derive(Debug)]
pub struct Limiter {
    buckets: Mutex<Buckets>,
    global: Global,
}

/// What a request counts against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Method and path template: one name for each kind of request.
    pub endpoint: &'static str,
    /// The part of the path that has budgets of its own.
    pub major: Major,
    /// Whether the bot's global limit counts it.
    pub reach: Reach,
}

/// Discord's "top-level resources": each has its own budget on the same route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Major {
    /// The route has none.
    None,
    /// A channel's id.
    Channel(u64),
    /// A guild's id.
    Guild(u64),
    /// An interaction, by a hash of its token, so that the token is kept nowhere.
    Interaction(u64),
}

/// Which limits hold beside the bucket's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// A route that needs the bot's token: the global limit counts it.
    Bot,
    /// An interaction endpoint: exempt from the global limit.
    Interaction,
}

/// The request could not be let go before its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Discord's rate limit lasts longer than this request may wait")]
pub struct TooSlow;

#[derive(Debug)]
struct Buckets {
    by_key: HashMap<Key, Arc<Bucket>>,
    /// What answers told about an endpoint, whatever its major parameter.
    endpoints: HashMap<&'static str, Endpoint>,
    sweep_at: Instant,
    sweep_from: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    name: Name,
    major: Major,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    /// Until Discord names the bucket.
    Endpoint(&'static str),
    Told(Arc<str>),
}

#[derive(Debug)]
struct Endpoint {
    name: Name,
    limit: Option<u32>,
}

#[derive(Debug)]
struct Bucket {
    /// Who holds it is next; tokio's mutex is fair, so the order of arrival is kept, and a
    /// caller that is dropped leaves the queue.
    queue: Queue<()>,
    ended: Notify,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Global {
    queue: Queue<()>,
    window: Mutex<GlobalWindow>,
}

impl Limiter {
    /// A limiter that knows nothing yet.
    pub fn new() -> Self {
        Self {
            buckets: Mutex::new(Buckets {
                by_key: HashMap::new(),
                endpoints: HashMap::new(),
                sweep_at: Instant::now() + SWEEP_EVERY,
                sweep_from: SWEEP_BUCKETS_MIN,
            }),
            global: Global::default(),
        }
    }

    /// Waits for a place. [`TooSlow`] comes as soon as it is clear that there is none before the
    /// deadline. A caller that is dropped while it waits, or drops its permit before
    /// [`Permit::send`], gives its place back.
    pub async fn acquire(&self, target: &Target, deadline: Instant) -> Result<Permit, TooSlow> {
        let permit = loop {
            let (key, bucket) = lock(&self.buckets).of(target);
            let turn = timeout_at(deadline, bucket.queue.lock()).await;
            let _turn = turn.map_err(|_| TooSlow)?;
            // While this one stood in the queue, an answer may have told that the route's
            // budget is another's too.
            let (_, current) = lock(&self.buckets).of(target);
            if Arc::ptr_eq(&bucket, &current) {
                bucket.place(deadline).await?;
                break Permit { endpoint: target.endpoint, key, bucket: Arc::clone(&bucket), place: Place::Unused };
            }
        };
        if target.reach == Reach::Bot {
            self.global.place(deadline).await?;
        }
        Ok(permit)
    }

    /// The request was answered: learns from the headers.
    pub fn answered(&self, permit: Permit, headers: &RateHeaders) {
        let now = Instant::now();
        let bucket = lock(&self.buckets).learn(&permit, headers);
        let mut permit = permit;
        let mut window = lock(&bucket.window);
        if Arc::ptr_eq(&bucket, &permit.bucket) {
            // In one step with what was told, or the next in the queue could go in between.
            window.end();
            permit.place = Place::Ended;
        }
        window.told(headers.budget, now);
        drop(window);
        bucket.ended.notify_one();
    }

    /// The request was refused with a 429: its bucket, or with a global scope every bot route,
    /// waits for `pause`.
    pub fn refused(&self, permit: Permit, headers: &RateHeaders, scope: Scope, reach: Reach, pause: Duration) {
        let until = Instant::now() + pause;
        if scope == Scope::Global && reach == Reach::Bot {
            lock(&self.global.window).block(until);
        } else {
            let bucket = lock(&self.buckets).learn(&permit, headers);
            lock(&bucket.window).block(until);
        }
        drop(permit);
    }

    /// How many buckets are remembered because forgetting them would lose something.
    pub fn buckets(&self) -> usize {
        let mut buckets = lock(&self.buckets);
        buckets.sweep(Instant::now());
        buckets.by_key.len()
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

/// The right to send one request. Dropped before [`Permit::send`], the place is given back;
/// afterwards it counts as used, answered or not.
#[derive(Debug)]
pub struct Permit {
    endpoint: &'static str,
    key: Key,
    bucket: Arc<Bucket>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Unused,
    Sent,
    Ended,
}

impl Permit {
    /// The request goes out now: from here on Discord may count it.
    pub fn send(&mut self) {
        self.place = Place::Sent;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.place {
            Place::Unused => lock(&self.bucket.window).give_back(),
            Place::Sent => lock(&self.bucket.window).end(),
            Place::Ended => {}
        }
        self.bucket.ended.notify_one();
    }
}

impl Bucket {
    /// Takes a place for the one who holds the queue's head.
    async fn place(&self, deadline: Instant) -> Result<(), TooSlow> {
        loop {
            let turn = lock(&self.window).take(Instant::now());
            match turn {
                Turn::Go => return Ok(()),
                Turn::At(at) if at > deadline => return Err(TooSlow),
                // An answer may tell of another end than the one that is waited for.
                Turn::At(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.ended.notified() => {}
                },
                Turn::OnAnswer => timeout_at(deadline, self.ended.notified()).await.map_err(|_| TooSlow)?,
            }
        }
    }
}

impl Global {
    async fn place(&self, deadline: Instant) -> Result<(), TooSlow> {
        let turn = timeout_at(deadline, self.queue.lock()).await;
        let _turn = turn.map_err(|_| TooSlow)?;
        loop {
            let turn = lock(&self.window).take(Instant::now());
            match turn {
                Turn::Go => return Ok(()),
                Turn::At(at) if at <= deadline => sleep_until(at).await,
                Turn::At(_) | Turn::OnAnswer => return Err(TooSlow),
            }
        }
    }
}

impl Buckets {
    /// The bucket that a request counts against as far as is known now.
    fn of(&mut self, target: &Target) -> (Key, Arc<Bucket>) {
        let endpoint = self.endpoints.get(target.endpoint);
        let key = Key {
            name: endpoint.map_or(Name::Endpoint(target.endpoint), |known| known.name.clone()),
            major: target.major,
        };
        if let Some(bucket) = self.by_key.get(&key) {
            return (key, Arc::clone(bucket));
        }
        let now = Instant::now();
        let window = match endpoint {
            Some(known) => Window::expected(known.limit, now),
            None => Window::unknown(now),
        };
        let bucket = Arc::new(Bucket { queue: Queue::new(()), ended: Notify::new(), window: Mutex::new(window) });
        if now >= self.sweep_at || self.by_key.len() >= self.sweep_from {
            self.sweep(now);
        }
        self.by_key.insert(key.clone(), Arc::clone(&bucket));
        (key, bucket)
    }

    /// Remembers what an answer told about the endpoint; returns the bucket it told about.
    fn learn(&mut self, permit: &Permit, headers: &RateHeaders) -> Arc<Bucket> {
        let name = match &headers.bucket {
            Some(name) => Name::Told(Arc::from(name.as_str())),
            None => permit.key.name.clone(),
        };
        let limit = headers.budget.map(|budget| budget.limit);
        let known = self.endpoints.entry(permit.endpoint).or_insert(Endpoint { name: name.clone(), limit });
        known.name = name.clone();
        known.limit = limit.or(known.limit);

        let key = Key { name, major: permit.key.major };
        if let Some(bucket) = self.by_key.get(&key) {
            return Arc::clone(bucket);
        }
        // Those who wait in the bucket stay in it, in their order, under its new name.
        let former = self.by_key.get(&permit.key);
        if former.is_some_and(|bucket| Arc::ptr_eq(bucket, &permit.bucket)) {
            self.by_key.remove(&permit.key);
        }
        self.by_key.insert(key, Arc::clone(&permit.bucket));
        Arc::clone(&permit.bucket)
    }

    /// Forgets the buckets that nobody uses and that are full again, and those whose
    /// interaction is over.
    fn sweep(&mut self, now: Instant) {
        self.by_key.retain(|key, bucket| {
            let in_use = Arc::strong_count(bucket) > 1;
            let window = lock(&bucket.window);
            let over = matches!(key.major, Major::Interaction(_)) && window.used_at() + INTERACTION_LIFE <= now;
            in_use || !(over || window.is_idle(now))
        });
        self.sweep_at = now + SWEEP_EVERY;
        self.sweep_from = (self.by_key.len() * 2).max(SWEEP_BUCKETS_MIN);
    }
}

/// No code panics between a lock and its release in a way that leaves half a change, so a
/// poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
