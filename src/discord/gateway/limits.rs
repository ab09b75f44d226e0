//! Every time-out and limit of the gateway's connection, in one place. It knows no policy.

use std::time::Duration;

/// Time-outs and limits; the defaults are for Discord, tests shorten them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For DNS, TCP, TLS and the WebSocket handshake together.
    pub connect: Duration,
    /// From the handshake to Discord's Hello.
    pub hello: Duration,
    /// From Hello to READY or RESUMED; missed events are sent again before RESUMED.
    pub session: Duration,
    /// For one message to be taken by the other side.
    pub write: Duration,
    /// A connection that ends sooner counts as a failed try.
    pub short_lived: Duration,
    /// The delay after the first failed try; it doubles, with jitter.
    pub retry_min: Duration,
    /// No delay between tries is longer.
    pub retry_max: Duration,
    /// Between two identifies. Discord: `max_concurrency` of 1 in 5 s.
    pub identify_gap: Duration,
    /// Identifies in 24 hours. Discord resets the *token* at more than 1,000 (events/gateway).
    pub identifies_per_day: usize,
    /// For closing a connection politely.
    pub farewell: Duration,
    /// How often the watched runtime shows that it turns, and how often that is looked at.
    pub beat: Duration,
    /// So many looks without a beat mean that it no longer turns.
    pub beats_missed: u32,
    /// How long a faulty client may take to end before its thread is abandoned.
    pub abandon_after: Duration,
    /// Between two generations of the client.
    pub generation_pause: Duration,
    /// A client that has not come back after so long is replaced. serenity takes up to 10 s.
    pub absence: Duration,
    /// Larger messages from Discord are refused. Without intents READY is the largest: about 50
    /// bytes for each of at most 2,500 guilds.
    pub message_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            hello: Duration::from_secs(10),
            session: Duration::from_secs(60),
            write: Duration::from_secs(10),
            short_lived: Duration::from_secs(5),
            retry_min: Duration::from_millis(500),
            retry_max: Duration::from_secs(30),
            identify_gap: Duration::from_secs(5),
            identifies_per_day: 900,
            farewell: Duration::from_millis(900),
            beat: Duration::from_secs(1),
            beats_missed: 5,
            abandon_after: Duration::from_secs(5),
            generation_pause: Duration::from_millis(500),
            absence: Duration::from_secs(60),
            message_bytes_max: 4 * 1024 * 1024,
        }
    }
}
