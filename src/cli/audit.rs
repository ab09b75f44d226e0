//! `slipway audit search` and `slipway audit verify`. Knows nothing of the bot; it works beside it.

mod show;

use std::io::{self, ErrorKind, Write};

use clap::{Args, ValueEnum};

use self::show::{Columns, table};
use super::Exit;
use crate::audit::search::From;
use crate::audit::{self, AsOf, Checked, Newest, Query};
use crate::db::{Db, DbError};
use crate::id::GuildId;
use crate::invalid::Invalid;
use crate::text::one_line;
use crate::time::Clock;

/// Rows of one table: a longer answer is several tables, so that it needs no more memory.
const TABLE_ROWS_MAX: usize = 200;

/// Ask the audit log. Without terms: every entry, newest first.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// What to look for, in one argument or several: actor:@alice repo:acme/* action:deploy.* outcome:denied since:7d
    /// until:2026-01-31 -environment:staging free text. An argument that begins with a negation stands behind `--`
    #[arg(value_name = "TERM")]
    pub terms: Vec<String>,
    /// How to print the entries
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Print at most this many of the newest
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<u64>,
    /// Whose log: a guild's id, or 0 for the process itself [default: DISCORD_GUILD_ID, else all]
    #[arg(long, value_name = "ID", value_parser = guild_or_process)]
    pub guild: Option<GuildId>,
}

/// Prove that the audit log was not changed.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A hash that `verify` printed earlier and that must still be there, so that nothing was cut off (may be repeated)
    #[arg(long = "head", value_name = "HASH", value_parser = audit::chain::noted)]
    pub heads: Vec<String>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Whose log: a guild's id, or 0 for the process itself [default: DISCORD_GUILD_ID and the process, else all]
    #[arg(long, value_name = "ID", value_parser = guild_or_process)]
    pub guild: Option<GuildId>,
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

/// What can stop either command.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Standard output.
    #[error("The answer can't be written: {0}.")]
    Write(#[from] io::Error),
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

/// Prints the entries that `args` ask for. `guild` is whose log it is unless they say so.
pub async fn search(
    db: &Db,
    args: &SearchArgs,
    guild: Option<GuildId>,
    clock: &Clock,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let as_of = AsOf::utc(clock.now());
    let line = args.terms.join(" ");
    let query = match line.parse::<Query>().and_then(|query| query.check(&as_of).map(|()| query)) {
        Ok(query) => query,
        Err(bad) => {
            let pointer = bad.pointer(&line).map(|(shown, marks)| format!("{shown}\n{marks}\n")).unwrap_or_default();
            tell(output.err, &format!("{pointer}{bad}"));
            return Ok(Exit::Misuse);
        }
    };
    let guild = args.guild.or(guild);
    let chains = match guild {
        Some(guild) => vec![guild],
        None => audit::store::guilds(db.pool()).await?,
    };
    let chains = chains.into_iter().map(|guild| (guild, From::Newest)).collect();
    let found = Newest::new(db.pool(), chains, &query, &as_of);
    let printed = match args.format {
        Format::Json => print_json(found, args.limit, output).await,
        Format::Table => print_tables(found, args.limit, guild.is_none(), output).await,
    };
    match printed {
        // Whoever read the answer has seen enough.
        Err(AuditError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Done),
        printed => printed.map(|()| Exit::Done),
    }
}

async fn print_tables(
    mut found: Newest,
    limit: Option<u64>,
    with_guild: bool,
    output: &mut Output<'_>,
) -> Result<(), AuditError> {
    let (mut rows, mut printed) = (Vec::new(), 0_u64);
    while limit.is_none_or(|limit| printed < limit)
        && let Some(row) = found.next().await?
    {
        printed += 1;
        rows.push(row);
        if rows.len() == TABLE_ROWS_MAX {
            writeln!(output.out, "{}", table(&rows, with_guild, output.width).trim_fmt())?;
            rows.clear();
        }
    }
    if !rows.is_empty() {
        writeln!(output.out, "{}", table(&rows, with_guild, output.width).trim_fmt())?;
    }
    output.out.flush()?;
    if printed == 0 {
        tell(output.err, "No entry matches.");
    }
    Ok(())
}

async fn print_json(mut found: Newest, limit: Option<u64>, output: &mut Output<'_>) -> Result<(), AuditError> {
    let mut printed = 0_u64;
    write!(output.out, "[")?;
    while limit.is_none_or(|limit| printed < limit)
        && let Some(row) = found.next().await?
    {
        output.out.write_all(if printed == 0 { b"\n" } else { b",\n" })?;
        printed += 1;
        serde_json::to_writer(&mut *output.out, &Columns::from(&row)).map_err(io::Error::from)?;
    }
    output.out.write_all(if printed == 0 { b"]\n" } else { b"\n]\n" })?;
    Ok(output.out.flush()?)
}

/// Checks the chains that `args` ask for. `guild` is whose it is unless they say so; the process's own is checked with it.
pub async fn verify(
    db: &Db,
    args: &VerifyArgs,
    guild: Option<GuildId>,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let guilds = match (args.guild, guild) {
        (Some(guild), _) => vec![guild],
        (None, Some(guild)) => vec![GuildId::PROCESS, guild],
        (None, None) => audit::store::guilds(db.pool()).await?,
    };
    let mut chains = Vec::new();
    for guild in guilds {
        chains.push(audit::verify(db.pool(), guild, &args.heads).await?);
    }
    let lost: Vec<&String> = args
        .heads
        .iter()
        .filter(|head| !chains.iter().flat_map(|chain| &chain.found).any(|found| found.hash == **head))
        .collect();
    let printed = match args.format {
        Format::Table => print_chains(&chains, output),
        Format::Json => print_chains_as_json(&chains, output),
    };
    match printed {
        // Nobody reads on; the exit status still tells.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    for head in &lost {
        tell(
            output.err,
            &format!(
                "The head {head} is in no chain that was checked: the newest entries were cut off or rewritten since it was noted, or it is another database's or guild's."
            ),
        );
    }
    let proved = lost.is_empty() && chains.iter().all(Checked::holds);
    Ok(if proved { Exit::Done } else { Exit::Failed })
}

fn print_chains(chains: &[Checked], output: &mut Output<'_>) -> io::Result<()> {
    if chains.iter().all(|chain| chain.entries == 0) {
        writeln!(output.out, "There are no entries.")?;
    }
    for chain in chains.iter().filter(|chain| chain.entries > 0) {
        let whose = if chain.guild == GuildId::PROCESS {
            "Guild 0 (the process itself)".to_owned()
        } else {
            format!("Guild {}", chain.guild)
        };
        let verdict = if chain.holds() { "the chain holds" } else { "THE CHAIN IS BROKEN" };
        let (entries, head) = (chain.entries, &chain.head);
        let plural = if entries == 1 { "entry" } else { "entries" };
        writeln!(output.out, "{whose}: {entries} {plural}, {verdict}")?;
        for broken in &chain.broken {
            writeln!(output.out, "  {broken}")?;
        }
        let untold = chain.broken_count - chain.broken.len() as u64;
        if untold > 0 {
            writeln!(output.out, "  and it breaks in {untold} more places")?;
        }
        writeln!(output.out, "  head {}: {}", head.seq, one_line(&head.hash))?;
        for found in &chain.found {
            let holds = if chain.holds() { ": nothing up to there was cut off" } else { "" };
            writeln!(output.out, "  the noted head is entry {}{holds}", found.seq)?;
        }
    }
    output.out.flush()
}

fn print_chains_as_json(chains: &[Checked], output: &mut Output<'_>) -> io::Result<()> {
    let chains: Vec<serde_json::Value> = chains
        .iter()
        .map(|chain| {
            let broken =
                chain.broken.iter().map(|broken| serde_json::json!({"seq": broken.seq, "what": broken.to_string()}));
            serde_json::json!({
                "guild_id": chain.guild.to_string(),
                "entries": chain.entries,
                "holds": chain.holds(),
                "head_seq": chain.head.seq,
                "head": chain.head.hash,
                "broken": broken.collect::<Vec<_>>(),
                "broken_count": chain.broken_count,
                "found": chain.found.iter().map(|head| &head.hash).collect::<Vec<_>>(),
            })
        })
        .collect();
    writeln!(output.out, "{}", serde_json::Value::from(chains))?;
    output.out.flush()
}

/// A message for people. That standard error is closed changes nothing of the outcome.
fn tell(err: &mut dyn Write, message: &str) {
    let _ = writeln!(err, "{message}");
}

fn guild_or_process(text: &str) -> Result<GuildId, Invalid> {
    if text == "0" { Ok(GuildId::PROCESS) } else { text.parse() }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Search {
        #[command(flatten)]
        args: SearchArgs,
    }

    #[derive(Debug, Parser)]
    struct Verify {
        #[command(flatten)]
        args: VerifyArgs,
    }

    #[test]
    fn the_arguments_are_read() {
        Search::command().debug_assert();
        Verify::command().debug_assert();
        let args =
            Search::parse_from(["search", "since:7d", "--limit", "5", "--format", "json", "--", "-outcome:allowed"]);
        assert_eq!(args.args.terms, ["since:7d", "-outcome:allowed"]);
        assert_eq!((args.args.limit, args.args.format), (Some(5), Format::Json));
        let one = Search::parse_from(["search", "since:7d -outcome:allowed", "--guild", "0"]);
        assert_eq!(one.args.guild, Some(GuildId::PROCESS));
        assert!(Search::try_parse_from(["search", "-outcome:allowed"]).is_err());
        assert!(Verify::try_parse_from(["verify", "--head", "abc"]).is_err());
        assert_eq!(Verify::parse_from(["verify", "--head", &"AB".repeat(32)]).args.heads, ["ab".repeat(32)]);
    }
}
