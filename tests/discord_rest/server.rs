//! A server on loopback whose every answer is scripted, byte for byte.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use serde_json::{Value, json};
use slipway::discord::rest::Rest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::BOT_TOKEN;

/// What the server does with one request.
#[derive(Clone)]
pub enum Step {
    Answer {
        status: u16,
        headers: String,
        body: String,
    },
    /// Reads the request and closes the connection.
    Drop,
    /// Answers the head of a 200 and closes within the body.
    Break,
    /// Never answers.
    Hang,
    /// Answers 200 `{}` when the semaphore has a permit.
    Wait(Arc<Semaphore>),
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: Value,
}

/// A scripted Discord. Requests take the first step left whose pattern is in their first line;
/// one without a step fails the test by its 418.
pub struct Server {
    address: SocketAddr,
    steps: Arc<Mutex<Vec<(String, Step)>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let (steps, seen) = (Arc::clone(&steps), Arc::clone(&seen));
            async move {
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve(stream, Arc::clone(&steps), Arc::clone(&seen)));
                }
            }
        });
        Self { address, steps, seen, task }
    }

    pub fn on(&self, pattern: &str, step: Step) -> &Self {
        self.steps.lock().unwrap().push((pattern.to_owned(), step));
        self
    }

    pub fn rest(&self) -> Rest {
        let root = format!("http://{}/", self.address);
        Rest::new(SecretString::from(BOT_TOKEN), Some(&root)).unwrap()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, steps: Arc<Mutex<Vec<(String, Step)>>>, seen: Arc<Mutex<Vec<Seen>>>) {
    while let Some(request) = read_request(&mut stream).await {
        let step = {
            let mut steps = steps.lock().unwrap();
            let at = steps.iter().position(|(pattern, _)| request.line.contains(pattern));
            at.map_or_else(|| answer(418, ""), |at| steps.remove(at).1)
        };
        seen.lock().unwrap().push(request);
        let (status, headers, body) = match step {
            Step::Answer { status, headers, body } => (status, headers, body),
            Step::Drop => return,
            Step::Hang => std::future::pending().await,
            Step::Break => {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"id\"";
                let _ = stream.write_all(head).await;
                return;
            }
            Step::Wait(go) => {
                go.acquire().await.unwrap().forget();
                (200, String::new(), "{}".to_owned())
            }
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        // 204 has no body, not even an announced one.
        let answer = match status {
            204 => format!("HTTP/1.1 204 X\r\n{headers}\r\n"),
            _ => answer,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = serde_json::from_slice(&bytes[head_end..]).unwrap_or(Value::Null);
    Some(Seen { line, headers, body })
}

pub fn answer(status: u16, body: impl ToString) -> Step {
    answer_with(status, "", body)
}

pub fn answer_with(status: u16, headers: &str, body: impl ToString) -> Step {
    Step::Answer { status, headers: headers.to_owned(), body: body.to_string() }
}

pub fn error(status: u16, code: u64) -> Step {
    answer(status, json!({ "code": code, "message": "Discord says why" }))
}

pub fn too_many(scope: &str, retry_after: f64) -> Step {
    let global = scope == "global";
    answer_with(
        429,
        &format!("Retry-After: 1\r\nX-RateLimit-Scope: {scope}\r\n"),
        json!({ "message": "slow down", "retry_after": retry_after, "global": global }),
    )
}
