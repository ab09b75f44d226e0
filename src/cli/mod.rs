//! The command line: one file for each subcommand. Exit status: 0 done; 1 refused, failed, or a broken chain; 2 misuse.

pub mod audit;
mod console;
mod harmless;
mod operate;
mod policy;
pub mod run;
mod signals;
mod stats;

use std::collections::HashSet;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use harmless::Harmless;

use crate::config::{Base, Variables, Wrong};
use crate::db::Db;
use crate::{command, logging};

/// Nearly all that happens is waiting, and the gateway and the database have threads of their own: a second worker costs
/// more in waking each other than it gives (a tenth of the processor time of a deploy).
const WORKERS: usize = 1;

/// Deploys from Discord through CircleCI, with permissions and a tamper-evident record.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Run the bot on Discord (what happens without a subcommand, too)
    Run,
    /// The whole bot in the terminal: on a built-in sandbox, or with a token on the real CircleCI
    Console(console::Args),
    /// Who may do what: `slipway permission list`, and the other commands of `/permission`, with an owner's rights
    Permission(operate::Args),
    /// The registered repositories: `slipway repo list`, and the other commands of `/repo`, with an owner's rights
    Repo(operate::Args),
    /// A guild's repositories, environments and rules as a file
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Ask the audit log, prove that it was not changed, or give it out
    #[command(subcommand)]
    Audit(audit::Audit),
    Stats(stats::StatsArgs),
    /// Print docs/commands.md, made from the table of commands
    Commands,
}

/// Runs the command line of this process.
///
/// The runtime begins here and not in the binary: a future is compiled once more in each crate that polls it.
pub fn main() -> ExitCode {
    let cli = Cli::parse_from(audit::negations::last(std::env::args_os()));
    let runtime = match Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("The async runtime can't be started: {error}.");
            return ExitCode::FAILURE;
        }
    };
    let exit = runtime.block_on(carry_out(cli));
    // Whatever is still under way is recorded; it must not hold up the end.
    runtime.shutdown_background();
    exit
}

async fn carry_out(cli: Cli) -> ExitCode {
    let ended = match Variables::load() {
        Ok(variables) => run(cli, &variables).await,
        Err(wrong) => Err(tell_wrong(&[wrong])),
    };
    let exit = ended.unwrap_or_else(|Complaint(text)| {
        // That standard error is closed changes nothing of the outcome.
        let _ = writeln!(Harmless::new(io::stderr()), "{}", text.trim_end());
        Exit::Failed
    });
    ExitCode::from(exit.status())
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It was refused or failed, or a chain is broken.
    Failed,
    /// It was asked in a way that can't be understood.
    Misuse,
}

impl Exit {
    /// The exit status of the process.
    pub const fn status(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Misuse => 2,
        }
    }
}

/// What stopped a command, for the operator to read.
#[derive(Debug)]
pub struct Complaint(pub String);

impl<E: std::error::Error> From<E> for Complaint {
    fn from(error: E) -> Self {
        let text = error.to_string();
        Complaint(if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") })
    }
}

async fn run(cli: Cli, variables: &Variables) -> Result<Exit, Complaint> {
    match cli.command.unwrap_or(Subcommands::Run) {
        Subcommands::Run => {
            start_logging(variables, "info")?;
            run::run(variables).await
        }
        Subcommands::Console(args) => {
            start_logging(variables, "warn")?;
            console::run(args, variables).await
        }
        Subcommands::Permission(args) => operate::run("permission", args, variables).await,
        Subcommands::Repo(args) => operate::run("repo", args, variables).await,
        Subcommands::Policy(command) => policy::run(command, variables).await,
        Subcommands::Audit(command) => audit::run(command, variables).await,
        Subcommands::Stats(args) => stats::run(args, variables).await,
        Subcommands::Commands => {
            io::stdout().write_all(command::docs::markdown().as_bytes())?;
            Ok(Exit::Done)
        }
    }
}

/// Opens a database that must be there: asking a log that isn't there would make an empty one that says all is well.
async fn open_existing(base: &Base) -> Result<Db, Complaint> {
    let path = base.database.path();
    if !path.exists() {
        return Err(Complaint(format!(
            "There is no database {}. Set DATABASE_URL to the one that the bot uses, or run this in its folder.",
            path.display()
        )));
    }
    Ok(Db::open_as_is(&base.database).await?)
}

fn start_logging(variables: &Variables, unless_said: &str) -> Result<(), Complaint> {
    logging::start(variables.log_filter().unwrap_or(unless_said), variables.secrets()).map_err(Complaint)
}

fn tell_wrong(wrong: &[Wrong]) -> Complaint {
    let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    Complaint(format!(
        "{}\nSettings come from the environment and from a file .env; .env.example lists them all.",
        lines.join("\n")
    ))
}

/// The suffixes of `CIRCLE_API_PROJECT_TOKEN_…` that are set.
fn token_names(access: &crate::circleci::Access) -> HashSet<String> {
    access.project_tokens.keys().cloned().collect()
}

/// Whoever reads may have seen enough.
fn print(text: &str) -> Result<(), Complaint> {
    let written = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error.into()) })
}
