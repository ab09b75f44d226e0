//! `slipway audit …`: what every subcommand shares. They know nothing of the bot, and work beside it.

mod archive;
mod export;
pub mod negations;
mod redact;
pub mod search;
mod show;
mod table;
pub mod verify;

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::harmless::Harmless;
use super::operate::operator;
use super::signals::Signals;
use super::{Base, Complaint, Exit, Variables, open_existing, tell_wrong};
use crate::audit::archive::BadArchive;
use crate::audit::{self, Action, AsOf, BadQuery, Entry, Head, Outcome, Query, saved};
use crate::db::{Db, DbError};
use crate::id::GuildId;
use crate::invalid::Invalid;
use crate::time::Clock;

pub use search::{SearchArgs, search};
pub use verify::{VerifyArgs, verify};

/// The subcommands of `slipway audit`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    Search(SearchArgs),
    Show(show::ShowArgs),
    Verify(VerifyArgs),
    Export(export::ExportArgs),
    Redact(redact::RedactArgs),
    Archive(archive::ArchiveArgs),
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One array, for programs
    Json,
}

/// What can stop a command.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Standard output.
    #[error("The answer can't be written: {0}.")]
    Write(#[from] io::Error),
    /// A file that should hold archived entries.
    #[error("{} is not checked: {why}.", path.display())]
    Archive {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: BadArchive,
    },
}

/// Where a command writes, and how wide that is.
pub struct Output<'a> {
    /// Standard output, buffered.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// The columns of the terminal; `None` when it is none, and lines may be of any length.
    pub width: Option<u16>,
}

/// Carries out a subcommand.
pub async fn run(command: Audit, variables: &Variables) -> Result<Exit, Complaint> {
    let base = Base::read(variables).map_err(|wrong| tell_wrong(&wrong))?;
    let db = open_existing(&base).await?;
    let (stdout, mut err) = (BufWriter::new(io::stdout().lock()), Harmless::new(io::stderr().lock()));
    let (mut out, width): (Box<dyn Write>, _) = if io::stdout().is_terminal() {
        (Box::new(Harmless::new(stdout)), comfy_table::Table::new().width())
    } else {
        (Box::new(stdout), None)
    };
    let mut output = Output { out: &mut out, err: &mut err, width };
    let clock = Clock::system();
    let ran = match command {
        Audit::Search(args) => search(&db, &args, base.guild, &clock, &mut output).await,
        Audit::Show(args) => show::show(&db, &args, base.guild, &clock, &mut output).await,
        Audit::Verify(args) => verify(&db, &args, base.guild, &mut output).await,
        Audit::Export(args) => export::export(&db, &args, base.guild, &clock, &mut output).await,
        Audit::Redact(args) => redact::redact(&db, &args, base.guild, &clock, &mut output).await,
        Audit::Archive(args) => archive::archive(&db, &args, base.guild, &clock, &mut output).await,
    };
    let flushed = ran.and_then(|exit| output.out.flush().map(|()| exit).map_err(AuditError::from));
    db.close().await;
    // Whoever read the answer has seen enough.
    match flushed {
        Err(AuditError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Done),
        flushed => Ok(flushed?),
    }
}

/// Records what the operator is about to do: in the log of the guild that it is about, or else in the process's own.
async fn record(
    db: &Db,
    guild: Option<GuildId>,
    clock: &Clock,
    action: Action,
    detail: serde_json::Value,
) -> Result<Head, DbError> {
    let guild = guild.unwrap_or(GuildId::PROCESS);
    let entry = Entry::new(guild, clock.now(), &operator(), action, Outcome::Allowed).detail(detail);
    let mut tx = db.begin().await?;
    let head = audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(head)
}

/// A question that was read and recorded.
struct Asked {
    query: Query,
    as_of: AsOf,
    /// The chains that it is asked of, each up to the entry before this one: the question itself is no part of its answer.
    chains: Vec<(GuildId, i64)>,
}

/// Reads the query that stands in `terms` and records that it is asked, or says what is wrong with it.
async fn ask(
    db: &Db,
    terms: &[String],
    guild: Option<GuildId>,
    clock: &Clock,
    output: &mut Output<'_>,
    (action, detail): (Action, impl FnOnce(&Query) -> serde_json::Value),
) -> Result<Option<Asked>, DbError> {
    let line = terms.join(" ");
    let (query, as_of) = match saved::read(db.pool(), guild, &line, clock.now()).await? {
        Ok(read) => read,
        Err(bad) => {
            tell(output.err, &pointed(&line, &bad));
            return Ok(None);
        }
    };
    let known = audit::store::guilds(db.pool()).await?;
    // What is asked of a guild that was never here, by a slip of the finger, begins no chain.
    let own = guild.filter(|guild| known.contains(guild));
    if let Some(unknown) = guild.filter(|guild| own.is_none() && *guild != GuildId::PROCESS) {
        let others = if known.is_empty() { String::new() } else { format!(" There are: {}.", listed(&known)) };
        tell(output.err, &format!("Nothing is recorded of guild {unknown}.{others}"));
    }
    let head = record(db, own, clock, action, detail(&query)).await?;
    let end = |chain| if chain == own.unwrap_or(GuildId::PROCESS) { head.seq } else { i64::MAX };
    let chains = guild.map_or(known, |guild| vec![guild]);
    Ok(Some(Asked { query, as_of, chains: chains.into_iter().map(|chain| (chain, end(chain))).collect() }))
}

fn pointed(line: &str, bad: &BadQuery) -> String {
    let pointer = bad.pointer(line).map(|(shown, marks)| format!("{shown}\n{marks}\n")).unwrap_or_default();
    format!("{pointer}{bad}")
}

/// The one guild that a command is about, or a word about which to name.
async fn one_guild(
    db: &Db,
    said: Option<GuildId>,
    set: Option<GuildId>,
    output: &mut Output<'_>,
) -> Result<Option<GuildId>, DbError> {
    if let Some(guild) = said.or(set) {
        return Ok(Some(guild));
    }
    let guilds = audit::store::guilds(db.pool()).await?;
    tell(output.err, &format!("Which log? Say `--guild ID`, or set DISCORD_GUILD_ID. There are: {}.", listed(&guilds)));
    Ok(None)
}

fn listed(guilds: &[GuildId]) -> String {
    let ids: Vec<String> = guilds.iter().map(ToString::to_string).collect();
    ids.join(", ")
}

/// Comes at Ctrl-C or SIGTERM, and not at all where neither can be heard. For what writes a file: when it is dropped, nothing of that is
/// left. A write to standard output could not be dropped, so that keeps the signals' own effect.
async fn interrupted() {
    match Signals::listen() {
        Ok(mut signals) => signals.next().await,
        Err(_) => std::future::pending().await,
    }
}

/// A message for people. That standard error is closed changes nothing of the outcome.
fn tell(err: &mut dyn Write, message: &str) {
    let _ = writeln!(err, "{message}");
}

fn guild_or_process(text: &str) -> Result<GuildId, Invalid> {
    if text == "0" { Ok(GuildId::PROCESS) } else { text.parse() }
}
