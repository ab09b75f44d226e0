//! One generation of serenity's gateway client, on a thread and a runtime of its own, connected to
//! our relay. It passes events on and does no work with them.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use serenity::async_trait;
use serenity::client::{Context, RawEventHandler};
use serenity::gateway::{ShardManager, ShardManagerOptions, ShardRunnerMessage};
use serenity::http::{Http, HttpBuilder};
use serenity::model::event::{Event, UnknownEvent};
use serenity::model::gateway::GatewayIntents;
use serenity::prelude::TypeMap;
use tokio::sync::{Mutex, RwLock};
use tracing::{Dispatch, dispatcher, warn};

use super::{Incoming, Limits, Sink};
use crate::discord::watchdog::{Fault, WatchedThread};

/// Closes serenity's side without ending the session, should the message reach Discord.
const CLOSE_CODE_SESSION_LIVES: u16 = 4000;

pub struct SerenityThread {
    thread: WatchedThread,
    manager: Arc<OnceLock<Arc<ShardManager>>>,
}

impl SerenityThread {
    /// Starts a client that connects to the relay at `address` and calls `deliver` for each event.
    pub fn start(address: String, token: &SecretString, deliver: Sink, limits: &Limits) -> io::Result<Self> {
        let http = Arc::new(unused_http(token)?);
        let forward = Forward { deliver, logs: dispatcher::get_default(Clone::clone) };
        let manager = Arc::new(OnceLock::new());
        let made = Arc::clone(&manager);
        let client = async move || {
            // serenity writes whole interactions, with their tokens, into its log lines and spans,
            // whatever the level is. Nothing that happens on this thread is logged; the relay sees
            // and logs all of it.
            let _quiet = dispatcher::set_default(&Dispatch::none());
            let (manager, mut ended) = ShardManager::new(ShardManagerOptions {
                data: Arc::new(RwLock::new(TypeMap::new())),
                event_handlers: vec![],
                raw_event_handlers: vec![Arc::new(forward)],
                shard_index: 0,
                shard_init: 1,
                shard_total: 1,
                ws_url: Arc::new(Mutex::new(address)),
                http,
                // Interactions need none.
                intents: GatewayIntents::empty(),
                presence: None,
            });
            // The cell is this generation's own and is filled only here.
            let manager = made.get_or_init(|| manager);
            // It only queues the shard; "Doesn't actually error" (serenity's source).
            let _ = manager.initialize();
            ended.next().await;
        };
        let thread = WatchedThread::start("discord-gateway", limits.beat, limits.beats_missed, client)?;
        Ok(Self { thread, manager })
    }

    /// Waits until the client no longer turns or has ended by itself.
    pub async fn fault(&self) -> Fault {
        self.thread.fault().await
    }

    /// Makes serenity's shard runner end. It reads these messages even while it spins, when nothing
    /// else on its runtime runs. `Close` and not `Shutdown`: the latter waits for an answer that a
    /// stream which has ended never gives.
    pub fn ask_to_stop(&self) {
        let Some(manager) = self.manager.get() else {
            return;
        };
        let Ok(runners) = manager.runners.try_lock() else {
            return;
        };
        for runner in runners.values() {
            let close = ShardRunnerMessage::Close(CLOSE_CODE_SESSION_LIVES, None);
            runner.runner_tx.send_to_shard(close);
        }
    }

    /// Ends the client. Its shard is not shut down through serenity, which waits for ever when no
    /// shard is up; dropping its runtime drops every task, and the relay says goodbye to Discord.
    ///
    /// Returns false when the thread did not end in time and was abandoned.
    pub async fn end(self, patience: Duration) -> bool {
        self.thread.end(patience).await
    }
}

/// serenity's shards take the token from its HTTP client, which is never used otherwise: so it
/// needs no certificates and no proxy.
fn unused_http(token: &SecretString) -> io::Result<Http> {
    let client =
        reqwest::Client::builder().tls_built_in_root_certs(false).no_proxy().build().map_err(io::Error::other)?;
    let http = HttpBuilder::new(token.expose_secret()).client(client).ratelimiter_disabled(true);
    Ok(http.build())
}

struct Forward {
    deliver: Sink,
    /// Where Slipway's own lines go from this silenced thread.
    logs: Dispatch,
}

#[async_trait]
impl RawEventHandler for Forward {
    async fn raw_event(&self, _: Context, event: Event) {
        let incoming = match event {
            Event::InteractionCreate(event) => Incoming::Interaction(Box::new(event.interaction)),
            Event::Resumed(_) => Incoming::Resumed,
            Event::Ready(event) => Incoming::Ready {
                application: event.ready.application.id.get(),
                user: event.ready.user.id.get(),
                guilds: event.ready.guilds.iter().map(|guild| guild.id.get()).collect(),
            },
            Event::Unknown(event) if matters(&event) => self.unreadable(event),
            _ => return,
        };
        (self.deliver)(incoming);
    }
}

/// Events that Discord invents later are none of our business; these two are, whatever they look
/// like.
fn matters(event: &UnknownEvent) -> bool {
    matches!(event.kind.as_str(), "INTERACTION_CREATE" | "READY")
}

impl Forward {
    fn unreadable(&self, event: UnknownEvent) -> Incoming {
        let id = event.value.get("id").and_then(|id| id.as_str());
        let interaction = id.and_then(|id| id.parse().ok());
        dispatcher::with_default(&self.logs, || {
            warn!(
                gateway.event = event.kind,
                interaction.id = interaction,
                "Discord sent an event in a shape that Slipway cannot read; it was not handled"
            );
        });
        Incoming::Unreadable { event: event.kind, interaction }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::timeout;
    use tokio_tungstenite::accept_async;
    use tokio_tungstenite::tungstenite::Message;

    use super::*;

    /// Without the relay between, which prevents this: serenity's own loop spins after a close frame
    /// that has no code.
    #[tokio::test]
    async fn a_spinning_client_is_noticed_and_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("ws://{}/", listener.local_addr().unwrap());
        let limits = Limits { beat: Duration::from_millis(100), ..Limits::default() };
        let token = SecretString::from("a.bot.token");
        let serenity = SerenityThread::start(address, &token, Arc::new(|_| {}), &limits).unwrap();

        let (tcp, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(tcp).await.unwrap();
        let hello = r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":45000}}"#;
        futures_util::SinkExt::send(&mut socket, Message::text(hello)).await.unwrap();
        assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))));
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
        drop(socket);

        let fault = timeout(Duration::from_secs(20), serenity.fault()).await.unwrap();
        assert_eq!(fault, Fault::Stalled);
        serenity.ask_to_stop();
        assert!(serenity.end(Duration::from_secs(2)).await);
    }
}
