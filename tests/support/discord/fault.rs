//! What can go wrong on the way to Discord's REST API, on demand: error answers, limits, delays, cut connections. It must
//! not know what the requests mean.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The routes that a fault or a limit can be laid on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// The first answer to an interaction.
    Callback,
    /// Edit of `@original`, and of a follow-up.
    EditOriginal,
    /// Read of `@original` or a follow-up.
    ReadOriginal,
    DeleteOriginal,
    Followup,
    /// A message posted to a channel as the bot.
    PostMessage,
    /// A message edited in its channel as the bot.
    EditMessage,
    ReadMessage,
    DeleteMessage,
    /// Read, set or change of registered commands, a guild's or global.
    Commands,
    /// `GET /gateway` and `/gateway/bot`.
    Gateway,
    /// Any other route.
    Other,
    /// Only for faults: every route.
    Any,
}

impl RouteKind {
    /// Interaction routes need no bot token and do not count against the bot's global limit.
    pub fn is_interaction(self) -> bool {
        matches!(self, Self::Callback | Self::EditOriginal | Self::ReadOriginal | Self::DeleteOriginal | Self::Followup)
    }
}

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An answer of the proxy in front of Discord, with an HTML body; the request has no effect.
    Status(u16),
    /// A refusal by Discord itself: HTTP status, Discord's code and message; the request has no effect.
    Refused(u16, u64, &'static str),
    /// 429 until the time is over; the request has no effect.
    RateLimited(Duration, Scope),
    /// The request takes effect only after this time, and is answered then.
    Delay(Duration),
    /// The request takes effect at once, and is answered after this time.
    DelayAnswer(Duration),
    /// The connection is cut and the request has no effect.
    DropBefore,
    /// The request takes effect and the connection is cut instead of an answer.
    DropAfter,
    /// No answer ever, and no effect.
    Hang,
    /// The request takes effect, and no answer ever comes.
    HangAfter,
}

/// Whom a 429 is about: `X-RateLimit-Scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    User,
    Global,
    Shared,
}

impl Scope {
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Global => "global",
            Self::Shared => "shared",
        }
    }
}

/// The faults still to happen, in the order they were laid.
#[derive(Default)]
pub struct Faults(VecDeque<(RouteKind, Fault, usize)>);

impl Faults {
    pub fn lay(&mut self, route: RouteKind, fault: Fault, times: usize) {
        self.0.push_back((route, fault, times));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that happens to this request, used up by one.
    pub fn take(&mut self, route: RouteKind) -> Option<Fault> {
        let fits = |on: RouteKind| on == route || on == RouteKind::Any;
        let at = self.0.iter().position(|(on, _, _)| fits(*on))?;
        let (_, fault, left) = &mut self.0[at];
        let fault = fault.clone();
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }
}

/// Accepts connections that can be cut from inside a handler.
pub struct CuttableListener(pub TcpListener);

/// A connection that can be cut.
pub struct CuttableStream {
    stream: TcpStream,
    cut: Cut,
}

/// Cuts the connection that a request came in on: nothing more is written to it.
#[derive(Clone, Default)]
pub struct Cut(Arc<AtomicBool>);

impl Cut {
    pub fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Without it small answers wait for the client's delayed ACK.
        let _ = stream.set_nodelay(true);
        (CuttableStream { stream, cut: Cut::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().cut.clone()
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
