//! The gateway's sockets: WebSocket connections that speak Discord's opcodes and obey the test's faults. It must not know
//! what events are about.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::gateway::{GatewayMode, Identify, Order, Resume};
use super::people::bot_user;
use super::world::{APPLICATION_ID, Shared, TOKEN, World};

/// A client that has not sent a heartbeat for this many intervals is dead to Discord.
const INTERVALS_BEFORE_DEATH: u32 = 3;
/// But not before this time: tests set short intervals, and clients wake up only now and then (serenity each 500 ms).
const DEATH_MIN: Duration = Duration::from_secs(5);
/// How long the answer to a close frame is waited for.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Gateway events that a client may send a minute (code 4008).
const EVENTS_A_MINUTE: usize = 120;
const GUILDS: u64 = 1;
/// Members, presences and message content need a switch in the developer portal.
const PRIVILEGED_INTENTS: u64 = 1 << 1 | 1 << 8 | 1 << 15;
const KNOWN_INTENTS: u64 = 0x1_FFFF | 1 << 20 | 1 << 21 | 1 << 24 | 1 << 25;

const UNKNOWN_OPCODE: u16 = 4001;
const DECODE_ERROR: u16 = 4002;
const NOT_AUTHENTICATED: u16 = 4003;
const AUTHENTICATION_FAILED: u16 = 4004;
const ALREADY_AUTHENTICATED: u16 = 4005;
const RATE_LIMITED: u16 = 4008;
const SESSION_TIMED_OUT: u16 = 4009;
const INVALID_SHARD: u16 = 4010;
const INVALID_API_VERSION: u16 = 4012;
const INVALID_INTENTS: u16 = 4013;
const DISALLOWED_INTENTS: u16 = 4014;

/// Accepts connections until the fake's runtime ends. `is_resume` says that this is the address READY names.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, is_resume: bool) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        connections.spawn(connect(stream, shared.clone(), is_resume));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(stream: TcpStream, shared: Arc<Shared>, is_resume: bool) {
    let mode = shared.change(|world| {
        world.gateway.opened += 1;
        world.gateway.mode
    });
    match mode {
        GatewayMode::Refusing => return,
        GatewayMode::Silent => std::future::pending().await,
        GatewayMode::Normal | GatewayMode::NoHello => {}
    }
    let mut query = String::new();
    #[allow(clippy::result_large_err, reason = "tungstenite's own type")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        query = request.uri().query().unwrap_or("").to_owned();
        Ok(response)
    };
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, look).await else {
        return;
    };
    let (orders, inbox) = unbounded_channel();
    let id = shared.change(|world| {
        let id = world.gateway.opened;
        world.gateway.connections.insert(id, orders.clone());
        if mode == GatewayMode::Normal {
            let interval = world.gateway.heartbeat_interval.as_millis();
            let hello = json!({"op": 10, "s": null, "t": null, "d": {"heartbeat_interval": interval, "_trace": []}});
            let _ = orders.send(Order::Send(hello));
        }
        if query.split('&').any(|part| part.starts_with("v=") && part != "v=10") {
            let _ = orders.send(Order::Close(Some(INVALID_API_VERSION)));
        }
        id
    });
    let mut connection = Connection { id, shared: shared.clone(), is_resume, session: None, received: Vec::new() };
    let resumable = connection.run(socket, inbox).await;
    connection.end(resumable);
}

struct Connection {
    id: u64,
    shared: Arc<Shared>,
    is_resume: bool,
    session: Option<String>,
    /// When the last events came, for the limit of a minute.
    received: Vec<Duration>,
}

impl Connection {
    /// Talks until one side ends it. Says whether the session can be resumed.
    async fn run(&mut self, mut socket: WebSocketStream<TcpStream>, mut inbox: UnboundedReceiver<Order>) -> bool {
        let interval = self.shared.read(|world| world.gateway.heartbeat_interval);
        let patience = (interval * INTERVALS_BEFORE_DEATH).max(DEATH_MIN);
        let death = tokio::time::sleep(patience);
        tokio::pin!(death);
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(Order::Send(payload)) => {
                        if socket.send(Message::text(payload.to_string())).await.is_err() {
                            return true;
                        }
                    }
                    Some(Order::Close(code)) => return self.close(socket, code).await,
                    Some(Order::Drop) | None => return true,
                },
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => {
                        death.as_mut().reset(tokio::time::Instant::now() + patience);
                        if let Err(code) = self.receive(&text) {
                            return self.close(socket, code).await;
                        }
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let code = frame.map(|frame| u16::from(frame.code));
                        self.shared.change(|world| world.gateway.client_closes.push(code));
                        // Discord ends the session when the client closes with 1000 or 1001.
                        return !matches!(code, Some(1000 | 1001));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return true,
                },
                () = &mut death => return self.close(socket, Some(SESSION_TIMED_OUT)).await,
            }
        }
    }

    fn end(&self, resumable: bool) {
        let session = self.session.as_deref();
        self.shared.change(|world| world.gateway.ended(self.id, session, resumable));
    }

    async fn close(&self, mut socket: WebSocketStream<TcpStream>, code: Option<u16>) -> bool {
        let resumable = !matches!(code, Some(1000 | 1001 | 4004 | 4007 | 4009 | 4010..=4014));
        self.end(resumable);
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason(code).into() });
        if socket.send(Message::Close(frame)).await.is_ok() {
            let drain = async { while let Some(Ok(_)) = socket.next().await {} };
            let _ = tokio::time::timeout(CLOSE_PATIENCE, drain).await;
        }
        resumable
    }

    /// Takes one payload in. An error is the close code that answers it, `None` being an empty close frame.
    fn receive(&mut self, text: &str) -> Result<(), Option<u16>> {
        let payload: Value = serde_json::from_str(text).map_err(|_| Some(DECODE_ERROR))?;
        let now = self.shared.read(World::now);
        self.received.retain(|at| now.saturating_sub(*at) < Duration::from_secs(60));
        self.received.push(now);
        let shared = self.shared.clone();
        shared.change(|world| {
            if self.received.len() > EVENTS_A_MINUTE {
                world.violation("sent more than 120 gateway events in a minute");
                return Err(Some(RATE_LIMITED));
            }
            match payload["op"].as_u64() {
                Some(1) => {
                    self.heartbeat(world);
                    Ok(())
                }
                Some(2) => self.identify(world, &payload["d"]),
                Some(6) => self.resume(world, &payload["d"]),
                Some(3 | 4 | 8 | 14 | 31) if self.session.is_some() => Ok(()),
                Some(3 | 4 | 8 | 14 | 31) => Err(Some(NOT_AUTHENTICATED)),
                _ => Err(Some(UNKNOWN_OPCODE)),
            }
        })
    }

    fn heartbeat(&self, world: &mut World) {
        let now = world.now();
        world.gateway.heartbeats.push(now);
        if world.gateway.acks_heartbeats {
            self.send(world, json!({"op": 11, "s": null, "t": null, "d": null}));
        }
    }

    fn identify(&mut self, world: &mut World, data: &Value) -> Result<(), Option<u16>> {
        let token_is_right = data["token"].as_str().map(without_prefix) == Some(TOKEN);
        let intents = data["intents"].as_u64();
        let at = world.now();
        world.gateway.identifies.push(Identify {
            at,
            intents: intents.unwrap_or(0),
            shard: data["shard"].clone(),
            properties: data["properties"].clone(),
            compress: data["compress"] == true,
            token_is_right,
        });
        if self.session.is_some() {
            return Err(Some(ALREADY_AUTHENTICATED));
        }
        if let Some(code) = world.gateway.refuses_identify {
            return Err(code);
        }
        if !token_is_right {
            return Err(Some(AUTHENTICATION_FAILED));
        }
        let intents = intents.ok_or(Some(INVALID_INTENTS))?;
        if intents & !KNOWN_INTENTS != 0 {
            return Err(Some(INVALID_INTENTS));
        }
        if intents & PRIVILEGED_INTENTS != 0 {
            return Err(Some(DISALLOWED_INTENTS));
        }
        if !data["properties"].is_object() {
            return Err(Some(DECODE_ERROR));
        }
        if !data["shard"].is_null() && !is_valid_shard(&data["shard"]) {
            return Err(Some(INVALID_SHARD));
        }
        let session = world.gateway.begin(self.id);
        let ready = ready(&self.shared, world, &session, &data["shard"]);
        world.gateway.dispatch_to(&session, "READY", &ready);
        if intents & GUILDS != 0 {
            for guild in world.people.guilds.clone() {
                let guild = world.people.guild_json(&guild);
                world.gateway.dispatch_to(&session, "GUILD_CREATE", &guild);
            }
        }
        self.session = Some(session);
        Ok(())
    }

    fn resume(&mut self, world: &mut World, data: &Value) -> Result<(), Option<u16>> {
        if data["token"].as_str().map(without_prefix) != Some(TOKEN) {
            return Err(Some(AUTHENTICATION_FAILED));
        }
        let id = data["session_id"].as_str().unwrap_or("");
        let sequence = data["seq"].as_u64().unwrap_or(0);
        let accepted = world.gateway.take_up(id, sequence, self.id);
        let at = world.now();
        let at_resume_url = self.is_resume;
        world.gateway.resumes.push(Resume { at, sequence, accepted, at_resume_url });
        if accepted {
            self.session = Some(id.to_owned());
        } else {
            self.send(world, json!({"op": 9, "s": null, "t": null, "d": false}));
        }
        Ok(())
    }

    fn send(&self, world: &World, payload: Value) {
        if let Some(orders) = world.gateway.connections.get(&self.id) {
            let _ = orders.send(Order::Send(payload));
        }
    }
}

/// Tokens are taken with and without the prefix that REST wants.
fn without_prefix(token: &str) -> &str {
    token.strip_prefix("Bot ").unwrap_or(token)
}

fn is_valid_shard(shard: &Value) -> bool {
    match (shard[0].as_u64(), shard[1].as_u64()) {
        (Some(id), Some(total)) => id < total,
        _ => false,
    }
}

fn ready(shared: &Shared, world: &World, session: &str, shard: &Value) -> Value {
    let guilds = world.people.guilds.iter();
    let guilds: Vec<Value> = guilds.map(|guild| json!({"id": guild.id.to_string(), "unavailable": true})).collect();
    let mut ready = json!({
        "v": 10, "user": bot_user(), "guilds": guilds, "session_id": session, "session_type": "normal",
        "resume_gateway_url": shared.resume_url, "application": {"id": APPLICATION_ID.to_string(), "flags": 0},
        "private_channels": [], "presences": [], "relationships": [], "user_settings": {},
        "geo_ordered_rtc_regions": [], "guild_join_requests": [], "auth": {}, "_trace": [],
    });
    if !shard.is_null() {
        ready["shard"] = shard.clone();
    }
    ready
}

/// Discord's words for its close codes.
fn reason(code: u16) -> &'static str {
    match code {
        4000 => "Unknown error.",
        UNKNOWN_OPCODE => "Unknown opcode.",
        DECODE_ERROR => "Decode error.",
        NOT_AUTHENTICATED => "Not authenticated.",
        AUTHENTICATION_FAILED => "Authentication failed.",
        ALREADY_AUTHENTICATED => "Already authenticated.",
        4007 => "Invalid seq.",
        RATE_LIMITED => "Rate limited.",
        SESSION_TIMED_OUT => "Session timed out.",
        INVALID_SHARD => "Invalid shard.",
        4011 => "Sharding required.",
        INVALID_API_VERSION => "Invalid API version.",
        INVALID_INTENTS => "Invalid intent(s).",
        DISALLOWED_INTENTS => "Disallowed intent(s).",
        _ => "",
    }
}
