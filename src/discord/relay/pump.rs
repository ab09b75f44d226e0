//! One connection of serenity's, paired with one to Discord: passes messages both ways, notices when
//! Discord is gone, and closes serenity's end with the code that makes serenity do the right thing.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::frame::{self, op};
use super::upstream::{Connected, Upstream, close};
use super::{Client, Line, Meaning};
use crate::discord::gateway::Fatal;

/// Tells serenity to resume its session, or to identify anew; tells Discord that we will be back
/// (every code but 1000 and 1001 keeps the session: events/gateway, initiating a disconnect).
const RESUME: u16 = 4000;
const IDENTIFY: u16 = 4009;
/// Tells Discord that the session is over.
const GOODBYE: u16 = 1000;
/// How many messages are written at once: the rest waits until they are through.
const BATCH_MAX: usize = 32;
/// serenity looks at its heartbeats every half second, so one may be that late.
const QUIET_MARGIN: Duration = Duration::from_secs(2);

/// How a pair of connections ended.
pub(super) enum Ended {
    /// serenity was told what to do next.
    Closed,
    /// serenity left, or has to.
    Left,
    Never(Fatal),
}

pub(super) struct Pump<'a> {
    line: &'a mut Line,
    client: Client,
    discord: Upstream,
    hello: Utf8Bytes,
    heartbeat: Duration,
    /// When serenity sent the heartbeat that Discord has not answered.
    unanswered: Option<Instant>,
    /// When Discord last sent anything.
    heard: Instant,
    /// When READY or RESUMED must have come; `None` once it has.
    session_by: Option<Instant>,
}

/// What ends the pumping.
enum Stop {
    /// Discord closed, with a code or without one.
    ClosedByDiscord {
        code: Option<u16>,
        reason: String,
    },
    /// The connection to Discord broke, or Discord is silent.
    Lost(String),
    /// The session cannot go on.
    Unusable(&'static str),
    ClientLeft,
    Cut,
}

impl From<tungstenite::Error> for Stop {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            // Resuming would bring it again.
            tungstenite::Error::Capacity(_) => Self::Unusable("Discord sent a message that is too large"),
            error => Self::Lost(error.to_string()),
        }
    }
}

impl<'a> Pump<'a> {
    pub(super) fn new(line: &'a mut Line, client: Client, connected: Connected) -> Self {
        let now = Instant::now();
        Self {
            client,
            discord: connected.socket,
            hello: connected.hello,
            heartbeat: connected.heartbeat,
            unanswered: None,
            heard: now,
            session_by: Some(now + line.limits.session),
            line,
        }
    }

    /// Pumps until either end is gone or `cut`; then both ends have been told.
    pub(super) async fn run(&mut self, cut: &CancellationToken, stop: &CancellationToken) -> Ended {
        match self.pump(cut).await {
            Stop::ClosedByDiscord { code, reason } => self.closed_by_discord(code, &reason).await,
            Stop::Lost(error) => {
                let next = self.next_step(RESUME);
                warn!(error, "The connection to Discord's gateway was lost; {next}");
                self.farewell(RESUME).await;
                self.tell_client(RESUME).await
            }
            Stop::Unusable(why) => {
                let next = self.next_step(IDENTIFY);
                warn!(reason = why, "The session with Discord's gateway cannot go on; {next}");
                self.farewell(RESUME).await;
                self.tell_client(IDENTIFY).await
            }
            Stop::ClientLeft => {
                debug!("The gateway client left its connection");
                self.farewell(RESUME).await;
                Ended::Left
            }
            Stop::Cut if stop.is_cancelled() => {
                self.farewell(GOODBYE).await;
                self.wait_for_close().await;
                Ended::Left
            }
            Stop::Cut => {
                self.farewell(RESUME).await;
                Ended::Left
            }
        }
    }

    pub(super) fn into_client(self) -> Client {
        self.client
    }

    async fn pump(&mut self, cut: &CancellationToken) -> Stop {
        let hello = Message::Text(std::mem::take(&mut self.hello));
        if let Err(stop) = self.pass_to_client(hello).await {
            return stop;
        }
        loop {
            let dead_at = self.dead_at();
            let result = tokio::select! {
                message = self.discord.next() => self.on_discord_messages(message).await,
                message = self.client.next() => match message {
                    Some(Ok(message)) => self.on_client(message).await,
                    Some(Err(_)) | None => Err(Stop::ClientLeft),
                },
                () = sleep_until(dead_at) => Err(self.silence()),
                () = cut.cancelled() => Err(Stop::Cut),
            };
            if let Err(stop) = result {
                return stop;
            }
        }
    }

    /// Passes on the first message and those that have arrived behind it, then writes them all at once: people who ask
    /// in the same instant should not wait for a way to the system and back for each other.
    async fn on_discord_messages(&mut self, first: Option<tungstenite::Result<Message>>) -> Result<(), Stop> {
        self.on_next(first).await?;
        for _ in 1..BATCH_MAX {
            let Some(next) = self.discord.next().now_or_never() else { break };
            self.on_next(next).await?;
        }
        self.flush_client().await
    }

    async fn on_next(&mut self, next: Option<tungstenite::Result<Message>>) -> Result<(), Stop> {
        match next {
            Some(Ok(message)) => self.on_discord(message).await,
            Some(Err(error)) => Err(error.into()),
            None => Err(Stop::Lost("the connection ended".to_owned())),
        }
    }

    async fn on_discord(&mut self, message: Message) -> Result<(), Stop> {
        self.heard = Instant::now();
        let text = match message {
            Message::Text(text) => text,
            Message::Close(frame) => {
                let (code, reason) = close(frame);
                return Err(Stop::ClosedByDiscord { code, reason });
            }
            // Identify asked for none of these; the socket answers pings by itself.
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                return Ok(());
            }
        };
        let Some(header) = frame::header(&text) else {
            warn!(message.bytes = text.len(), "Discord's gateway sent something that is no message of it");
            return Ok(());
        };
        match (header.op, header.t.as_deref()) {
            (op::DISPATCH, Some("READY")) => {
                self.session_by = None;
                self.line.began(frame::resume_address(&text).as_deref());
                self.line.health.gateway_connected();
                info!("Connected to Discord's gateway; a new session began");
            }
            (op::DISPATCH, Some("RESUMED")) => {
                self.session_by = None;
                self.line.resumed();
                self.line.health.gateway_connected();
                info!("Resumed the session with Discord's gateway");
            }
            (op::HEARTBEAT_ACK, _) => self.unanswered = None,
            (op::RECONNECT, _) => {
                info!("Discord asked to connect to its gateway again");
                self.answer_heartbeat().await?;
            }
            (op::INVALID_SESSION, _) => {
                let resumable = frame::resumable(&text);
                info!(gateway.resumable = resumable, "Discord ended the gateway session");
                if resumable {
                    self.answer_heartbeat().await?;
                } else {
                    self.line.session = None;
                }
            }
            _ => {}
        }
        self.feed_client(Message::Text(text)).await
    }

    async fn on_client(&mut self, message: Message) -> Result<(), Stop> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err(Stop::ClientLeft),
            _ => return Ok(()),
        };
        let now = Instant::now();
        let text = match frame::header(&text).map(|header| header.op) {
            Some(op::HEARTBEAT) => {
                self.unanswered.get_or_insert(now);
                text
            }
            Some(op::IDENTIFY) => {
                self.line.session = None;
                if !self.line.identifies.wait(now).is_zero() {
                    // The relay waited for its turn only if it knew that this would come.
                    return Err(Stop::Unusable("the next identify has to wait for its turn"));
                }
                self.line.identifies.count(now);
                frame::uncompressed_identify(&text).map_or(text, Utf8Bytes::from)
            }
            _ => text,
        };
        let sent = timeout(self.line.limits.write, self.discord.send(Message::Text(text))).await;
        match sent {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Stop::Lost("Discord takes no more messages".to_owned())),
        }
    }

    async fn pass_to_client(&mut self, message: Message) -> Result<(), Stop> {
        self.feed_client(message).await?;
        self.flush_client().await
    }

    async fn feed_client(&mut self, message: Message) -> Result<(), Stop> {
        written(timeout(self.line.limits.write, self.client.feed(message)).await)
    }

    async fn flush_client(&mut self) -> Result<(), Stop> {
        written(timeout(self.line.limits.write, self.client.flush()).await)
    }

    /// serenity counts an unanswered heartbeat even across a resume, and then identifies anew. So it
    /// gets an answer before each resume.
    async fn answer_heartbeat(&mut self) -> Result<(), Stop> {
        if self.unanswered.take().is_none() {
            return Ok(());
        }
        self.pass_to_client(Message::text(frame::ACK)).await
    }

    /// When to give Discord up: before serenity would, which identifies anew then.
    fn dead_at(&self) -> Instant {
        let quiet = self.heard + self.heartbeat * 2 + QUIET_MARGIN;
        let unanswered = self.unanswered.map(|sent| sent + self.heartbeat * 9 / 10);
        [unanswered, self.session_by].into_iter().flatten().fold(quiet, Instant::min)
    }

    fn silence(&self) -> Stop {
        if self.session_by.is_some_and(|by| by <= Instant::now()) {
            return Stop::Unusable("Discord did not begin or resume the session in time");
        }
        match self.unanswered {
            Some(_) => Stop::Lost("Discord does not answer heartbeats".to_owned()),
            None => Stop::Lost("Discord is silent".to_owned()),
        }
    }

    async fn closed_by_discord(&mut self, code: Option<u16>, reason: &str) -> Ended {
        let answer = match Meaning::of(code) {
            // The error that this becomes is logged where the process ends.
            Meaning::Never(fatal) => return Ended::Never(fatal),
            Meaning::Resume => RESUME,
            Meaning::Identify => IDENTIFY,
        };
        let next = self.next_step(answer);
        info!(
            gateway.close_code = code,
            gateway.close_reason = ?reason,
            "Discord closed the gateway connection; {next}"
        );
        self.tell_client(answer).await
    }

    /// What serenity does on that code, in words for the log.
    fn next_step(&self, code: u16) -> &'static str {
        match code {
            RESUME if self.line.session.is_some() => "resuming the session",
            _ => "beginning a new session",
        }
    }

    /// Closes serenity's end. Always with a code: serenity spins on a close frame without one.
    async fn tell_client(&mut self, code: u16) -> Ended {
        if code == IDENTIFY {
            self.line.session = None;
        }
        let told = async {
            self.answer_heartbeat().await?;
            self.pass_to_client(Message::Close(Some(close_frame(code)))).await
        };
        match told.await {
            Ok(()) => Ended::Closed,
            Err(_) => Ended::Left,
        }
    }

    /// Tells Discord, if it still listens.
    async fn farewell(&mut self, code: u16) {
        let close = self.discord.send(Message::Close(Some(close_frame(code))));
        let _ = timeout(self.line.limits.farewell / 2, close).await;
    }

    /// Reads on until Discord has closed too: closed too early, unread data would turn our close
    /// frame into a reset. The caller limits the time.
    async fn wait_for_close(&mut self) {
        while let Some(Ok(_)) = self.discord.next().await {}
    }
}

fn written(result: Result<tungstenite::Result<()>, Elapsed>) -> Result<(), Stop> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Stop::ClientLeft),
    }
}

fn close_frame(code: u16) -> CloseFrame {
    CloseFrame { code: code.into(), reason: "".into() }
}
