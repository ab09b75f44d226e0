//! The relay between serenity's gateway client and Discord: a WebSocket server on loopback that
//! serenity takes for Discord. It connects to Discord before it answers serenity, so that serenity
//! waits instead of failing, and it ends each of serenity's connections with a close code that makes
//! serenity do the right thing next. It knows no interaction.

mod door;
mod frame;
mod pace;
mod pump;
mod upstream;

use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::door::Door;
use self::pace::{Backoff, Identifies};
use self::pump::{Ended, Pump};
use self::upstream::{Address, Connected, Failure};
use super::gateway::{Fatal, Limits, Meaning};
use crate::health::Health;

/// Waits for an identify that are worth a line in the log.
const NOTABLE_WAIT: Duration = Duration::from_secs(10);

/// A buffer's size; most messages are a few kilobytes.
const BUFFER_BYTES: usize = 16 * 1024;

/// Why [`Relay::serve`] ended, when not for ever.
#[derive(Debug, PartialEq, Eq)]
pub enum Served {
    /// It was cut.
    Cut,
    /// The client did not come back in time.
    Absent,
}

pub struct Relay {
    door: Door,
    line: Line,
}

impl Relay {
    /// Opens the loopback port for a relay to the gateway at `url`.
    ///
    /// # Errors
    /// When `url` is no WebSocket address, or there is no port.
    pub async fn bind(url: &str, limits: &Limits, health: Health) -> Result<Self, Fatal> {
        let origin = Address::parse(url).ok_or_else(|| Fatal::Address { url: url.to_owned() })?;
        let door = Door::open(limits.connect).await.map_err(Fatal::Loopback)?;
        Ok(Self { door, line: Line::new(origin, limits, health) })
    }

    /// Refuses the clients so far and returns the address for the next one.
    ///
    /// # Errors
    /// When the system no longer knows the port.
    pub fn change_key(&mut self) -> std::io::Result<String> {
        self.door.change_key()
    }

    /// Connects the client to Discord, again and again, until `cut`, which closes the connection to
    /// Discord: for good when `stop` is cancelled too, else so that the session could go on.
    ///
    /// # Errors
    /// When Discord says never to come back.
    pub async fn serve(&mut self, cut: &CancellationToken, stop: &CancellationToken) -> Result<Served, Fatal> {
        let limits = self.line.limits.clone();
        let mut waiting = None;
        // The last connection stays open after our close frame until the client is back: closed too
        // early, unread data in it would turn the close frame into a reset.
        let mut last: Option<Client> = None;
        loop {
            let client = match waiting.take() {
                Some(client) => client,
                None => tokio::select! {
                    client = self.door.next() => client,
                    () = cut.cancelled() => return Ok(Served::Cut),
                    () = sleep(limits.absence) => return Ok(Served::Absent),
                },
            };
            drop(last.take());
            let superseded = cut.child_token();
            let mut link = pin!(self.line.link(client, &superseded, stop));
            let ended = tokio::select! {
                ended = &mut link => ended,
                // serenity opens the next connection before it lets go of the last, and has one.
                next = self.door.next() => {
                    waiting = Some(next);
                    superseded.cancel();
                    timeout(limits.farewell, link).await.unwrap_or(Ok(None))
                }
                () = cut.cancelled() => {
                    return timeout(limits.farewell, link)
                        .await
                        .unwrap_or(Ok(None))
                        .map(|_| Served::Cut);
                }
            };
            last = ended?;
        }
    }
}

/// serenity's end of the relay.
type Client = WebSocketStream<TcpStream>;

/// What outlives a single connection to Discord.
struct Line {
    limits: Limits,
    /// Told when a session is open, and when its connection has ended.
    health: Health,
    origin: Address,
    /// Where to resume the session that the client holds, as far as we can tell.
    session: Option<Session>,
    identifies: Identifies,
    backoff: Backoff,
    not_before: Instant,
}

/// The client's session, as far as the relay needs it.
struct Session {
    /// Discord's address for resuming.
    address: Option<Address>,
    /// That one could not be reached: try the first address, which is for everybody.
    at_origin: bool,
}

impl Line {
    fn new(origin: Address, limits: &Limits, health: Health) -> Self {
        Self {
            limits: limits.clone(),
            health,
            origin,
            session: None,
            identifies: Identifies::new(limits),
            backoff: Backoff::new(limits),
            not_before: Instant::now(),
        }
    }

    /// One connection of the client from its wait to its end. Returns the client's end if it should
    /// stay open a little.
    async fn link(
        &mut self,
        client: TcpStream,
        cut: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<Option<Client>, Fatal> {
        let connected = tokio::select! {
            connected = self.reach() => connected?,
            () = cut.cancelled() => return Ok(None),
        };
        let _ended = LostWhenDropped(self.health.clone());
        let since = Instant::now();
        let handshake = accept_async_with_config(client, Some(socket_config(&self.limits)));
        let Ok(Ok(client)) = timeout(self.limits.connect, handshake).await else {
            debug!("The gateway client left before it was connected");
            return Ok(None);
        };
        let mut pump = Pump::new(self, client, connected);
        let ended = pump.run(cut, stop).await;
        let client = pump.into_client();
        if since.elapsed() < self.limits.short_lived {
            self.not_before = Instant::now() + self.backoff.next();
        } else {
            self.backoff.reset();
        }
        match ended {
            Ended::Never(fatal) => Err(fatal),
            Ended::Closed => Ok(Some(client)),
            Ended::Left => Ok(None),
        }
    }

    /// Connects to Discord, however long it takes. Each failed try is logged once, here.
    async fn reach(&mut self) -> Result<Connected, Fatal> {
        loop {
            sleep_until(self.not_before).await;
            if self.session.is_none() {
                self.identify_turn().await;
            }
            let address = self.address().clone();
            let failure = match upstream::connect(&address, &self.limits).await {
                Ok(connected) => return Ok(connected),
                Err(failure) => failure,
            };
            if let Failure::Closed { code, .. } = &failure
                && let Meaning::Never(fatal) = Meaning::of(*code)
            {
                return Err(fatal);
            }
            let pause = self.backoff.next();
            self.not_before = Instant::now() + pause;
            warn!(
                gateway.host = address.host(),
                gateway.retry_in_ms = pause.as_millis(),
                error = %failure,
                "Discord's gateway could not be reached; trying again"
            );
            if let Some(session) = &mut self.session {
                session.at_origin = !session.at_origin;
            }
        }
    }

    /// Waits until another identify is allowed.
    async fn identify_turn(&self) {
        let wait = self.identifies.wait(Instant::now());
        if wait > NOTABLE_WAIT {
            warn!(
                gateway.wait_s = wait.as_secs(),
                "Slipway has begun so many sessions with Discord in 24 hours that it waits before the next; \
                 is DISCORD_TOKEN used by another program?"
            );
        }
        sleep(wait).await;
    }

    /// Where to connect next.
    fn address(&self) -> &Address {
        let session = self.session.as_ref().filter(|session| !session.at_origin);
        session.and_then(|session| session.address.as_ref()).unwrap_or(&self.origin)
    }

    /// A session began that can be resumed at that address.
    fn began(&mut self, resume: Option<&str>) {
        let address = resume
            .and_then(Address::parse)
            // The token goes there: never unencrypted if it was encrypted before.
            .filter(|address| address.is_encrypted() || !self.origin.is_encrypted());
        self.session = Some(Session { address, at_origin: false });
    }

    fn resumed(&mut self) {
        if let Some(session) = &mut self.session {
            session.at_origin = false;
        }
    }
}

/// Tells that the connection has ended, however it did.
struct LostWhenDropped(Health);

impl Drop for LostWhenDropped {
    fn drop(&mut self) {
        self.0.gateway_lost();
    }
}

fn socket_config(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(limits.message_bytes_max))
        .max_frame_size(Some(limits.message_bytes_max))
}
