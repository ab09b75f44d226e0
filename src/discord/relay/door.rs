//! The relay's loopback port: lets in only who names the current key, which is the client of the
//! current generation. It knows no gateway.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// Callers that have not said yet what they want. More wait in the system's queue.
const CALLERS_MAX: usize = 16;
/// When the system has no file left for a caller.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(200);
const REFUSAL: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

pub(super) struct Door {
    listener: TcpListener,
    patience: Duration,
    /// The beginning of the only request that is let in.
    request: String,
    callers: JoinSet<Option<TcpStream>>,
}

impl Door {
    /// Opens a port of the system's choice. A caller has `patience` to say what it wants.
    pub(super) async fn open(patience: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut door = Self { listener, patience, request: String::new(), callers: JoinSet::new() };
        door.change_key()?;
        Ok(door)
    }

    /// Makes a new key and returns the address that holds it.
    pub(super) fn change_key(&mut self) -> io::Result<String> {
        let key = hex::encode(rand::random::<[u8; 16]>());
        let port = self.listener.local_addr()?.port();
        self.callers = JoinSet::new();
        self.request = format!("GET /{key}?");
        Ok(format!("ws://127.0.0.1:{port}/{key}"))
    }

    /// The next caller with the key, its request still unread. Cancel-safe.
    pub(super) async fn next(&mut self) -> TcpStream {
        loop {
            tokio::select! {
                Some(admitted) = self.callers.join_next() => {
                    if let Ok(Some(caller)) = admitted {
                        return caller;
                    }
                }
                caller = self.listener.accept(), if self.callers.len() < CALLERS_MAX => match caller {
                    Ok((caller, _)) => {
                        let (request, patience) = (self.request.clone(), self.patience);
                        self.callers.spawn(async move {
                            timeout(patience, admit(caller, request)).await.ok().flatten()
                        });
                    }
                    Err(error) => {
                        warn!(%error, "The gateway relay could not accept its client");
                        sleep(PAUSE_AFTER_ERROR).await;
                    }
                },
            }
        }
    }
}

/// Looks at the request without reading it. On loopback its one small write arrives whole.
async fn admit(caller: TcpStream, request: String) -> Option<TcpStream> {
    let mut beginning = vec![0; request.len()];
    let length = caller.peek(&mut beginning).await.ok()?;
    if beginning[..length] != *request.as_bytes() {
        let _ = caller.try_write(REFUSAL);
        return None;
    }
    caller.set_nodelay(true).ok()?;
    Some(caller)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    async fn call(door: &Door, request: &str) -> TcpStream {
        let caller = TcpStream::connect(door.listener.local_addr().unwrap()).await.unwrap();
        caller.writable().await.unwrap();
        caller.try_write(request.as_bytes()).unwrap();
        caller
    }

    #[tokio::test]
    async fn only_the_current_key_opens_and_strangers_do_not_hold_it_up() {
        let patience = Duration::from_millis(200);
        let mut door = Door::open(patience).await.unwrap();
        let old = door.request.clone();
        let address = door.change_key().unwrap();
        let key = address.rsplit('/').next().unwrap().to_owned();
        assert_eq!(key.len(), 32);

        let _silent = call(&door, "").await;
        let _stranger = call(&door, "GET /?v=10 HTTP/1.1\r\n\r\n").await;
        let _cut_short = call(&door, &format!("GET /{}", &key[..8])).await;
        let _old = call(&door, &format!("{old}v=10 HTTP/1.1\r\n\r\n")).await;
        assert!(timeout(patience * 2, door.next()).await.is_err());

        let mut strangers = vec![];
        for _ in 0..CALLERS_MAX * 2 {
            strangers.push(call(&door, "").await);
        }
        let client = call(&door, &format!("GET /{key}?v=10 HTTP/1.1\r\n\r\n")).await;
        let admitted = timeout(patience * 10, door.next()).await.unwrap();
        assert_eq!(admitted.peer_addr().unwrap(), client.local_addr().unwrap());
    }
}
