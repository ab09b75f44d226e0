//! The connection to Discord's gateway: interactions come in through here, whatever happens to the
//! network, to Discord or to the client library. It knows nothing about what an interaction means.
//!
//! Three parts, each for faults that the others cannot handle:
//!
//! - serenity's client speaks the gateway's protocol, on a thread and a runtime of its own
//!   ([`serenity_thread`]), so that a fault in it cannot stop deploys in hand;
//! - the [relay](super::relay) stands between serenity and Discord on loopback: it has the
//!   time-outs, the back-off and the sight of close codes that serenity lacks;
//! - the [watchdog](super::watchdog) notices when serenity's runtime no longer turns, and a new
//!   generation of it is started.

mod close_code;
mod limits;
mod serenity_thread;

use std::pin::pin;
use std::sync::Arc;

use secrecy::SecretString;
use serenity::model::application::Interaction;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use self::close_code::Fatal;
pub(super) use self::close_code::Meaning;
pub use self::limits::Limits;
use self::serenity_thread::SerenityThread;
use super::relay::{Relay, Served};
use super::watchdog::Fault;
use crate::health::Health;

/// What the gateway tells the rest of Slipway.
///
/// An interaction may arrive late, and twice when a session was resumed.
#[derive(Debug)]
pub enum Incoming {
    /// A new session began.
    Ready {
        application: u64,
        user: u64,
        /// The guilds that the bot is in.
        guilds: Vec<u64>,
    },
    /// The session goes on after an interruption, and missed events were sent again.
    Resumed,
    /// Somebody used a command, a button, a menu or a form, or is typing an option.
    Interaction(Box<Interaction>),
    /// Discord sent an interaction, or a greeting, in a shape that serenity cannot read. It has been
    /// logged; its contents hold a token and are not passed on.
    Unreadable {
        /// Discord's name of the event, e.g. `INTERACTION_CREATE`.
        event: String,
        /// The interaction's id, where that could be read.
        interaction: Option<u64>,
    },
}

/// What [`run`] needs to know.
pub struct GatewayOptions {
    /// The gateway's address as `GET /gateway/bot` gave it, e.g. `wss://gateway.discord.gg`.
    pub url: String,
    /// The bot's token, with or without `Bot ` before it.
    pub token: SecretString,
    pub limits: Limits,
    /// Told whether it is connected.
    pub health: Health,
}

/// Stays connected to Discord's gateway until `stop` is cancelled.
///
/// `incoming` is unbounded on purpose: serenity makes a task for each event whatever we do, so a
/// bound could only move the queue or lose interactions, and nothing may wait on serenity's thread.
/// The receiver is expected to drain it at once; Discord's three seconds run.
///
/// Returns within about two seconds of `stop`. Dropping the future closes everything as well, only
/// less politely.
///
/// # Errors
/// [`Fatal`] when Discord says never to come back, or when this process cannot open a loopback port
/// or start a thread. Its text is written for the operator.
pub async fn run(
    options: GatewayOptions,
    incoming: UnboundedSender<Incoming>,
    stop: CancellationToken,
) -> Result<(), Fatal> {
    let deliver = move |event| {
        // A receiver that is gone means that the process is stopping.
        let _ = incoming.send(event);
    };
    run_with(options, Arc::new(deliver), stop).await
}

/// Where events go. It is called on serenity's own thread and must not block.
pub type Sink = Arc<dyn Fn(Incoming) + Send + Sync>;

/// [`run`] with any receiver of events.
///
/// # Errors
/// As [`run`].
pub async fn run_with(options: GatewayOptions, deliver: Sink, stop: CancellationToken) -> Result<(), Fatal> {
    let limits = &options.limits;
    let mut relay = Relay::bind(&options.url, limits, options.health.clone()).await?;
    let mut generation: u32 = 1;
    loop {
        let cut = stop.child_token();
        let address = relay.change_key().map_err(Fatal::Loopback)?;
        let serenity =
            SerenityThread::start(address, &options.token, Arc::clone(&deliver), limits).map_err(Fatal::Thread)?;

        let served = {
            let mut serving = pin!(relay.serve(&cut, &stop));
            tokio::select! {
                served = &mut serving => served,
                fault = serenity.fault() => {
                    report(fault, generation);
                    serenity.ask_to_stop();
                    cut.cancel();
                    serving.await
                }
            }
        };

        let patience = if stop.is_cancelled() { limits.farewell } else { limits.abandon_after };
        let joined = serenity.end(patience).await;
        if served? == Served::Absent {
            error!(
                gateway.generation = generation,
                "The gateway client did not come back after a disconnection; starting a new one"
            );
        }
        if stop.is_cancelled() {
            info!("Disconnected from Discord's gateway");
            return Ok(());
        }
        if !joined {
            error!(
                gateway.generation = generation,
                "The gateway client could not be stopped; its thread is abandoned and a new one starts"
            );
        }
        generation += 1;
        tokio::select! {
            () = sleep(limits.generation_pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

fn report(fault: Fault, generation: u32) {
    match fault {
        Fault::Stalled => error!(
            gateway.generation = generation,
            "The gateway client no longer turns; stopping it and starting a new one"
        ),
        Fault::Ended => {
            error!(gateway.generation = generation, "The gateway client ended by itself; starting a new one")
        }
    }
}
