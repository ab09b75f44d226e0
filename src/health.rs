//! How Slipway's connections are, as those who hold them last saw it. Shared by who sets it and who tells it; does nothing
//! about it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::vocabulary::vocabulary;

vocabulary! {
    /// The connection to Discord's gateway.
    Gateway, "state of the gateway", "connected" {
        /// It has not been connected yet.
        Connecting = "connecting",
        /// A session is open.
        Connected = "connected",
        /// It was connected and is being connected again.
        Reconnecting = "reconnecting",
    }
}

vocabulary! {
    /// Whether CircleCI answers.
    Reach, "reach", "reachable" {
        /// It has not been asked yet.
        Unknown = "unknown",
        /// It gave an answer the last time, whatever it said.
        Reachable = "reachable",
        /// It gave none the last time.
        Unreachable = "unreachable",
    }
}

/// How the connections are; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    gateway: Gateway,
    circleci: Reach,
}

impl Default for Seen {
    fn default() -> Self {
        Self { gateway: Gateway::Connecting, circleci: Reach::Unknown }
    }
}

impl Health {
    /// A session with the gateway began or goes on.
    pub fn gateway_connected(&self) {
        self.seen().gateway = Gateway::Connected;
    }

    /// The connection to the gateway ended.
    pub fn gateway_lost(&self) {
        let mut seen = self.seen();
        if seen.gateway == Gateway::Connected {
            seen.gateway = Gateway::Reconnecting;
        }
    }

    /// CircleCI was asked: whether it answered.
    pub fn circleci(&self, answered: bool) {
        self.seen().circleci = if answered { Reach::Reachable } else { Reach::Unreachable };
    }

    /// How the connection to the gateway is.
    pub fn of_gateway(&self) -> Gateway {
        self.seen().gateway
    }

    /// How CircleCI is.
    pub fn of_circleci(&self) -> Reach {
        self.seen().circleci
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_never_was_is_not_lost() {
        let health = Health::default();
        health.gateway_lost();
        assert_eq!(health.of_gateway(), Gateway::Connecting);
        health.gateway_connected();
        health.clone().gateway_lost();
        assert_eq!(health.of_gateway(), Gateway::Reconnecting);
        assert_eq!(health.of_circleci(), Reach::Unknown);
        health.circleci(false);
        assert_eq!(health.of_circleci(), Reach::Unreachable);
    }
}
