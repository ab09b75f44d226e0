//! The way to Discord's gateway: its address, and a connection on which Hello has arrived. It knows
//! nothing of retries.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{Limits, frame, socket_config};

pub(super) type Upstream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A gateway's address with the version and the encoding that serenity speaks.
#[derive(Clone, Debug)]
pub(super) struct Address {
    uri: Uri,
    host: String,
}

impl Address {
    /// Takes an address as Discord gives it; `None` when it is not a WebSocket's.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        if !matches!(scheme, "ws" | "wss") {
            return None;
        }
        let path = uri.path();
        let host = authority.host().to_owned();
        let full = format!("{scheme}://{authority}{path}?v=10&encoding=json");
        Some(Self { uri: full.parse().ok()?, host })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("wss")
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

/// A connection on which Hello has arrived.
pub(super) struct Connected {
    pub(super) socket: Upstream,
    pub(super) hello: Utf8Bytes,
    /// How often Discord wants a heartbeat.
    pub(super) heartbeat: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Transport(#[from] tungstenite::Error),
    #[error("no connection within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    #[error("connected, but no greeting within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("Discord closed the connection at once, with {}", describe(*code, reason))]
    Closed { code: Option<u16>, reason: String },
    #[error("what answers there is not Discord's gateway")]
    NotAGateway,
}

fn describe(code: Option<u16>, reason: &str) -> String {
    match code {
        // The reason is Discord's text: no control character of it reaches a terminal.
        Some(code) => format!("code {code} {reason:?}"),
        None => "no code".to_owned(),
    }
}

pub(super) async fn connect(address: &Address, limits: &Limits) -> Result<Connected, Failure> {
    let no_delay = true;
    let connecting = connect_async_with_config(&address.uri, Some(socket_config(limits)), no_delay);
    let (mut socket, _) =
        timeout(limits.connect, connecting).await.map_err(|_| Failure::ConnectTimeout(limits.connect))??;
    let hello = timeout(limits.hello, first_text(&mut socket)).await.map_err(|_| Failure::Silent(limits.hello))??;
    let heartbeat = frame::hello(&hello).ok_or(Failure::NotAGateway)?;
    Ok(Connected { socket, hello, heartbeat })
}

async fn first_text(socket: &mut Upstream) -> Result<Utf8Bytes, Failure> {
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => return Ok(text),
            Message::Close(frame) => {
                let (code, reason) = close(frame);
                return Err(Failure::Closed { code, reason });
            }
            Message::Binary(_) => return Err(Failure::NotAGateway),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Err(Failure::Closed { code: None, reason: String::new() })
}

/// A close frame's code and reason.
pub(super) fn close(frame: Option<tungstenite::protocol::CloseFrame>) -> (Option<u16>, String) {
    match frame {
        Some(frame) => (Some(frame.code.into()), frame.reason.as_str().to_owned()),
        None => (None, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_version_and_encoding() {
        let uri = |url| Address::parse(url).map(|address| address.uri.to_string());
        let wanted = Some("wss://gateway.discord.gg/?v=10&encoding=json".to_owned());
        assert_eq!(uri("wss://gateway.discord.gg"), wanted);
        assert_eq!(uri("wss://gateway.discord.gg/"), wanted);
        assert_eq!(uri("wss://gateway.discord.gg/?v=6"), wanted);
        assert_eq!(uri("ws://127.0.0.1:80/gw").as_deref(), Some("ws://127.0.0.1:80/gw?v=10&encoding=json"));
        for no in ["", "gateway.discord.gg", "https://discord.com", "file:///etc/passwd", "wss://"] {
            assert_eq!(uri(no), None, "{no}");
        }
    }
}
