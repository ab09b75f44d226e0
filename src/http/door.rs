//! Who comes in: so many connections at once, each with an end, so that slow clients hold up nobody. Knows no HTTP.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How many connections may be open at once. When one more comes, the oldest makes way.
const CONNECTIONS_MAX: usize = 256;
/// A connection carries one request, which must have come and been answered by then.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);

/// The port, and the connections that came through it.
pub(super) struct Door {
    tcp: TcpListener,
    places: Arc<Semaphore>,
    /// The ends of open connections, oldest first; those of connections that are gone are canceled.
    open: VecDeque<CancellationToken>,
    /// Ends every connection.
    cut: CancellationToken,
}

impl Door {
    pub(super) fn new(tcp: TcpListener, cut: CancellationToken) -> Self {
        Self { tcp, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)), open: VecDeque::new(), cut }
    }

    async fn place(&mut self) -> OwnedSemaphorePermit {
        self.open.retain(|end| !end.is_cancelled());
        if self.places.available_permits() == 0
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.cancel();
        }
        Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed")
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (tcp, peer) = Listener::accept(&mut self.tcp).await;
        let place = self.place().await;
        let end = self.cut.child_token();
        self.open.push_back(end.clone());
        (Connection::new(tcp, end, place), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A connection that fails once its time is over or its end was asked for.
pub(super) struct Connection {
    tcp: TcpStream,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
    _gone: DropGuard,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(tcp: TcpStream, end: CancellationToken, place: OwnedSemaphorePermit) -> Self {
        let asked = end.clone().cancelled_owned();
        let end_of_it = async move {
            tokio::select! {
                () = asked => {}
                () = sleep(CONNECTION_WITHIN) => {}
            }
        };
        Self { tcp, end: Box::pin(end_of_it), is_over: false, _gone: end.drop_guard(), _place: place }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.is_over {
            self.is_over = self.end.as_mut().poll(context).is_ready();
        }
        if self.is_over { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.tcp).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
