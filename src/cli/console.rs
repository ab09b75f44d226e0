//! `slipway console`: where its lines come from and its answers go. Knows nothing of what the console does with them.

use std::io::{self, BufReader, IsTerminal};

use tokio_util::sync::CancellationToken;

use super::{Complaint, Exit};
use crate::config::Variables;
use crate::console::lines::{Kept, Lines};
use crate::console::{Console, Ended, Screen};
use crate::id::GuildId;
use crate::time::Clock;

/// The history of the terminal's lines, in the folder in which the console was started.
const HISTORY: &str = ".slipway_history";

/// The options of `slipway console`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The guild that is meant on a real CircleCI; DISCORD_GUILD_ID unless said
    #[arg(long, value_name = "ID")]
    pub guild: Option<GuildId>,
}

/// Runs the console until its lines end.
pub async fn run(args: Args, variables: &Variables) -> Result<Exit, Complaint> {
    for name in variables.unknown() {
        eprintln!(
            "{name} is no setting of Slipway's and changes nothing; is it misspelt? .env.example lists them all."
        );
    }
    let console = match Console::open(variables, args.guild, Clock::system()).await {
        Ok(console) => console,
        Err(error) if error.is_misuse() => {
            eprintln!("{error}");
            return Ok(Exit::Misuse);
        }
        Err(error) => return Err(error.into()),
    };
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let lines = if is_terminal {
        let kept = Kept { file: HISTORY.into(), secrets: variables.secrets() };
        Lines::terminal(console.completion(), kept)
    } else {
        Lines::piped(BufReader::new(io::stdin()))
    };
    let lines = lines.map_err(|error| {
        Complaint(format!("The console's lines can't be read: {error}. Pipe them in instead: slipway console < FILE"))
    })?;
    let screen = Screen::new(io::stdout(), wants_colour());
    let stop = CancellationToken::new();
    let ended = tokio::select! {
        ended = console.run(lines, &screen, &stop) => ended,
        never = stop_at_signals(&stop, is_terminal) => match never {},
    };
    Ok(match ended {
        Ended::Well => Exit::Done,
        Ended::WithFailures => Exit::Failed,
    })
}

/// Whether colours can be seen and are wanted: <https://no-color.org>.
fn wants_colour() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Cancels `stop` at Ctrl-C and, where nobody sits at the terminal, at SIGTERM. At a terminal SIGTERM keeps its own effect:
/// a process that it kills leaves the shell to put the terminal in order, and nothing recorded is lost.
async fn stop_at_signals(stop: &CancellationToken, is_terminal: bool) -> std::convert::Infallible {
    let terminated = async {
        #[cfg(unix)]
        if !is_terminal
            && let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        {
            signal.recv().await;
            return;
        }
        std::future::pending().await
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => if let Err(error) = interrupted {
            tracing::warn!("Ctrl-C can't be heard: {error}");
            std::future::pending::<()>().await;
        },
        () = terminated => {}
    }
    stop.cancel();
    std::future::pending().await
}
