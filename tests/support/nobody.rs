//! An address at which nobody listens, and nobody begins to while a test goes on: a port that was only free a moment ago may be the next
//! server's of another test.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// Holds a port without listening on it: whoever connects is refused.
pub struct Nobody(TcpSocket);

impl Nobody {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self(socket)
    }

    /// `http://` and where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}
