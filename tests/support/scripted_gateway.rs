//! A Discord gateway that does exactly what a test says, one connection after the other. It knows
//! nothing of Slipway.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct ScriptedGateway {
    listener: TcpListener,
}

impl ScriptedGateway {
    pub async fn open() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.listener.local_addr().unwrap())
    }

    /// The next connection, before any handshake.
    pub async fn accept_tcp(&self) -> TcpStream {
        timeout(PATIENCE, self.listener.accept()).await.expect("nobody connects").unwrap().0
    }

    /// The next connection, after its handshake.
    #[allow(clippy::result_large_err, reason = "tungstenite's callback")]
    pub async fn accept(&self) -> Peer {
        let tcp = self.accept_tcp().await;
        let mut target = String::new();
        let note = |request: &Request, response: Response| {
            target = request.uri().to_string();
            Ok(response)
        };
        let socket = accept_hdr_async(tcp, note).await.unwrap();
        Peer { socket, target, heartbeats: 0, answers_heartbeats: true }
    }

    /// The next connection, up to a new session that resumes at this gateway.
    pub async fn accept_session(&self, heartbeat_ms: u64) -> Peer {
        let mut peer = self.accept().await;
        peer.hello(heartbeat_ms).await;
        let identify = peer.expect(2).await;
        assert_eq!(identify["d"]["compress"], false);
        peer.ready(&format!("{}/resume", self.url())).await;
        peer
    }

    /// The next connection, up to its wish to resume, with that sequence number.
    pub async fn accept_resume(&self, seq: u64) -> Peer {
        let mut peer = self.accept().await;
        peer.hello(45_000).await;
        let resume = peer.expect(6).await;
        assert_eq!(resume["d"]["seq"], seq);
        assert_eq!(resume["d"]["session_id"], "session");
        peer
    }

    /// How many connect in that time.
    pub async fn count(&self, time: Duration) -> usize {
        let mut connections = 0;
        let counting = async {
            loop {
                let _ = self.listener.accept().await;
                connections += 1;
            }
        };
        tokio::select! {
            () = counting => {}
            () = sleep(time) => {}
        }
        connections
    }
}

pub struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// Path and query of the request.
    pub target: String,
    pub heartbeats: usize,
    pub answers_heartbeats: bool,
}

impl Peer {
    pub async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn hello(&mut self, heartbeat_ms: u64) {
        self.send(json!({"t": null, "s": null, "op": 10, "d": {"heartbeat_interval": heartbeat_ms}})).await;
    }

    /// READY with sequence number 1.
    pub async fn ready(&mut self, resume_url: &str) {
        let user = json!({"id": "20", "username": "slipway", "discriminator": "0", "avatar": null,
            "bot": true, "mfa_enabled": false, "verified": true, "email": null, "flags": 0});
        let ready = json!({"v": 10, "user": user, "guilds": [{"id": "30", "unavailable": true}],
            "session_id": "session", "resume_gateway_url": resume_url, "shard": [0, 1],
            "application": {"id": "10", "flags": 0}});
        self.dispatch(1, "READY", ready).await;
    }

    pub async fn dispatch(&mut self, seq: u64, event: &str, data: Value) {
        self.send(json!({"t": event, "s": seq, "op": 0, "d": data})).await;
    }

    pub async fn resumed(&mut self, seq: u64) {
        self.dispatch(seq, "RESUMED", json!({"_trace": []})).await;
    }

    /// Waits for a message with that opcode; heartbeats are answered, if they are, on the way.
    pub async fn expect(&mut self, op: u64) -> Value {
        loop {
            let message = self.next().await.expect("the connection ended");
            if message["op"] == op {
                return message;
            }
            assert_eq!(message["op"], 1, "unexpected message");
        }
    }

    /// The next message; `None` when the connection is closed.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("nothing comes") {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["op"] == 1 {
                        self.heartbeats += 1;
                        if self.answers_heartbeats {
                            self.send(json!({"t": null, "s": null, "op": 11, "d": null})).await;
                        }
                    }
                    return Some(message);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The code of the close frame that comes next, and what came before it.
    pub async fn closed_with(&mut self) -> Option<u16> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("nothing comes") {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    pub async fn close_without_code(mut self) {
        self.socket.close(None).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}
