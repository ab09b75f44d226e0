//! `slipway audit search`: every entry that a query means, newest first.

use std::io::{self, ErrorKind};

use clap::Args;

use super::table::{Columns, table};
use super::{Asked, AuditError, Format, Output, ask, guild_or_process, tell};
use crate::audit::entry::Searched;
use crate::audit::search::From;
use crate::audit::{Action, Newest, Query};
use crate::cli::Exit;
use crate::db::Db;
use crate::id::GuildId;
use crate::text;
use crate::time::Clock;

/// Rows of one table: a longer answer is several tables, so that it needs no more memory.
const TABLE_ROWS_MAX: usize = 200;

/// Ask the audit log. Without terms: every entry, newest first.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// What to look for, in one argument or several: actor:@alice repo:acme/* action:deploy.* outcome:denied since:7d
    /// until:2026-01-31 -environment:staging free text
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

/// Prints the entries that `args` ask for. `guild` is whose log it is unless they say so.
pub async fn search(
    db: &Db,
    args: &SearchArgs,
    guild: Option<GuildId>,
    clock: &Clock,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let guild = args.guild.or(guild);
    let detail =
        |query: &Query| Searched { query: query.to_string(), from: From::Newest.to_string(), again: None }.value();
    let asked = ask(db, &args.terms, guild, clock, output, (Action::AuditSearched, detail)).await?;
    let Some(Asked { query, as_of, chains }) = asked else { return Ok(Exit::Misuse) };
    let chains = chains.into_iter().map(|(chain, end)| (chain, From::Before(end))).collect();
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
        let object = serde_json::to_string(&Columns::from(&row)).map_err(io::Error::from)?;
        output.out.write_all(text::json(&object).as_bytes())?;
    }
    output.out.write_all(if printed == 0 { b"]\n" } else { b"\n]\n" })?;
    Ok(output.out.flush()?)
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

    #[test]
    fn the_arguments_are_read() {
        Search::command().debug_assert();
        let args =
            Search::parse_from(["search", "since:7d", "--limit", "5", "--format", "json", "--", "-outcome:allowed"]);
        assert_eq!(args.args.terms, ["since:7d", "-outcome:allowed"]);
        assert_eq!((args.args.limit, args.args.format), (Some(5), Format::Json));
        let one = Search::parse_from(["search", "since:7d -outcome:allowed", "--guild", "0"]);
        assert_eq!(one.args.guild, Some(GuildId::PROCESS));
    }
}
