//! The gateway (events/gateway) as it keeps its sessions, numbers its events and records what clients do. It must not know
//! about sockets, nor what the events are about.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

/// Identifies a day.
const IDENTIFIES_A_DAY: usize = 1000;
/// The interval that Discord's hello usually names.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(41_250);

/// How the gateway treats those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayMode {
    Normal,
    /// Connections are reset as soon as they are made.
    Refusing,
    /// The peer accepts the connection and never says a word.
    Silent,
    /// The handshake is answered, but hello never comes.
    NoHello,
}

/// What a connection is told to do.
pub enum Order {
    Send(Value),
    /// A close frame; without a code, an empty one.
    Close(Option<u16>),
    /// The TCP connection ends without a close frame.
    Drop,
}

/// A session begun, or asked for.
#[derive(Clone, Debug)]
pub struct Identify {
    pub at: Duration,
    pub intents: u64,
    pub shard: Value,
    pub properties: Value,
    pub compress: bool,
    pub token_is_right: bool,
}

/// A session taken up again, or asked for.
#[derive(Clone, Debug)]
pub struct Resume {
    pub at: Duration,
    pub sequence: u64,
    /// The session was known; otherwise it was answered with op 9.
    pub accepted: bool,
    /// The client came to the address that READY named.
    pub at_resume_url: bool,
}

pub struct Session {
    pub id: String,
    pub sequence: u64,
    pub events: Vec<Value>,
    pub connection: Option<u64>,
}

pub struct Gateway {
    pub mode: GatewayMode,
    pub acks_heartbeats: bool,
    pub heartbeat_interval: Duration,
    /// Every identify is answered by this close frame.
    pub refuses_identify: Option<Option<u16>>,
    pub connections: BTreeMap<u64, UnboundedSender<Order>>,
    pub opened: u64,
    pub sessions: Vec<Session>,
    pub identifies: Vec<Identify>,
    pub resumes: Vec<Resume>,
    pub heartbeats: Vec<Duration>,
    /// Close frames that clients sent, with their codes.
    pub client_closes: Vec<Option<u16>>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            mode: GatewayMode::Normal,
            acks_heartbeats: true,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            refuses_identify: None,
            connections: BTreeMap::new(),
            opened: 0,
            sessions: Vec::new(),
            identifies: Vec::new(),
            resumes: Vec::new(),
            heartbeats: Vec::new(),
            client_closes: Vec::new(),
        }
    }
}

impl Gateway {
    /// Whether a session is connected now.
    pub fn is_ready(&self) -> bool {
        self.sessions.iter().any(|session| session.connection.is_some())
    }

    /// Begins a session on a connection.
    pub fn begin(&mut self, connection: u64) -> String {
        let id = format!("5e551045e551045e551045{:010}", self.sessions.len() + self.identifies.len());
        self.sessions.push(Session { id: id.clone(), sequence: 0, events: Vec::new(), connection: Some(connection) });
        id
    }

    /// Takes a session up on another connection and sends what it missed.
    pub fn take_up(&mut self, id: &str, sequence: u64, connection: u64) -> bool {
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) else {
            return false;
        };
        if sequence > session.sequence {
            return false;
        }
        session.connection = Some(connection);
        if let Some(orders) = self.connections.get(&connection) {
            let missed = session.events.iter().filter(|event| event["s"].as_u64() > Some(sequence));
            for event in missed {
                let _ = orders.send(Order::Send(event.clone()));
            }
        }
        self.dispatch_to(id, "RESUMED", &json!({"_trace": []}));
        true
    }

    /// Sends an event to every session; one that is away gets it when it resumes.
    pub fn dispatch(&mut self, name: &str, data: &Value) {
        let ids: Vec<String> = self.sessions.iter().map(|session| session.id.clone()).collect();
        for id in ids {
            self.dispatch_to(&id, name, data);
        }
    }

    pub fn dispatch_to(&mut self, session: &str, name: &str, data: &Value) {
        let Some(session) = self.sessions.iter_mut().find(|known| known.id == session) else {
            return;
        };
        session.sequence += 1;
        let event = json!({"op": 0, "s": session.sequence, "t": name, "d": data});
        session.events.push(event.clone());
        let connection = session.connection.and_then(|id| self.connections.get(&id));
        if let Some(orders) = connection {
            let _ = orders.send(Order::Send(event));
        }
    }

    /// Tells every connection the same.
    pub fn order(&mut self, order: impl Fn() -> Order) {
        for orders in self.connections.values() {
            let _ = orders.send(order());
        }
    }

    /// Ends every connection with an order of that kind. Their sessions are away from this moment on.
    pub fn end_all(&mut self, order: impl Fn() -> Order) {
        self.order(order);
        for session in &mut self.sessions {
            session.connection = None;
        }
    }

    /// A connection is over; its session can be resumed if `resumable`.
    pub fn ended(&mut self, connection: u64, session: Option<&str>, resumable: bool) {
        self.connections.remove(&connection);
        let elsewhere = |known: &Session| known.connection.is_some_and(|id| id != connection);
        let this = |known: &Session| Some(known.id.as_str()) == session && !elsewhere(known);
        if !resumable {
            self.sessions.retain(|known| !this(known));
        }
        for known in self.sessions.iter_mut().filter(|known| this(known)) {
            known.connection = None;
        }
    }

    pub fn start_limit(&self) -> Value {
        json!({
            "total": IDENTIFIES_A_DAY,
            "remaining": IDENTIFIES_A_DAY.saturating_sub(self.identifies.len()),
            "reset_after": 14_400_000, "max_concurrency": 1,
        })
    }

    pub fn story(&self) -> String {
        format!(
            "gateway {:?}: {} connections opened, {} open, {} identifies, {} resumes, {} heartbeats, \
             ready: {}, client closes: {:?}",
            self.mode,
            self.opened,
            self.connections.len(),
            self.identifies.len(),
            self.resumes.len(),
            self.heartbeats.len(),
            self.is_ready(),
            self.client_closes,
        )
    }
}
