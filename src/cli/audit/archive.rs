//! `slipway audit archive`: the oldest entries as a file, and out of the database.

use std::path::PathBuf;

use clap::Args;

use super::{AuditError, Output, guild_or_process, interrupted, one_guild, tell};
use crate::audit::archive::{self as archiving, ArchiveError};
use crate::audit::card;
use crate::cli::Exit;
use crate::cli::operate::operator;
use crate::db::Db;
use crate::guild::{self, GuildSettings};
use crate::id::GuildId;
use crate::time::{self, Clock};

/// Write the oldest entries to a new file and remove them from the database, once the file is on the disk and proves itself. The chain
/// goes on from there: `slipway audit verify --archive FILE` checks both together.
#[derive(Debug, Clone, Args)]
pub struct ArchiveArgs {
    /// Entries from before this day, time or duration ago: 2026-01-01, 2026-01-01T00:00:00Z, 52w
    #[arg(long, value_name = "DATE")]
    before: String,
    /// The file, which must not be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whose log: a guild's id, or 0 for the process itself [default: DISCORD_GUILD_ID]
    #[arg(long, value_name = "ID", value_parser = guild_or_process)]
    guild: Option<GuildId>,
}

const INTERRUPTED: &str = "Interrupted. Nothing is removed before an entry records the archive; what one has recorded and is still there goes with the next archive.";

/// Archives what `args` name. `guild` is whose log it is unless they say so.
pub async fn archive(
    db: &Db,
    args: &ArchiveArgs,
    guild: Option<GuildId>,
    clock: &Clock,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let Some(guild) = one_guild(db, args.guild, guild, output).await? else { return Ok(Exit::Misuse) };
    let zone = GuildSettings::of(&guild::store::settings(db.pool(), guild).await?).time_zone;
    let before = match time::point_in_the_past(&args.before, clock.now(), &zone) {
        Ok(before) => before,
        Err(invalid) => {
            tell(output.err, &format!("--before: {invalid}"));
            return Ok(Exit::Misuse);
        }
    };
    let operator = operator();
    let archived = tokio::select! {
        biased;
        () = interrupted() => {
            tell(output.err, INTERRUPTED);
            return Ok(Exit::Failed);
        }
        archived = archiving::archive(db, &operator, guild, before, &args.file, clock) => archived,
    };
    match archived {
        Ok(archive) => {
            let archiving::Archive { entries, first, head, sha256, record } = archive;
            let which = if entries == 1 { format!("#{first}") } else { format!("#{first} to #{}", head.seq) };
            writeln!(
                output.out,
                "The archive {} has {}, {which}: removed from the database.",
                args.file.display(),
                card::counted(entries)
            )?;
            writeln!(output.out, "  head {}: {}", head.seq, head.hash)?;
            writeln!(output.out, "  SHA-256 of the file: {sha256}")?;
            writeln!(
                output.out,
                "Entry #{record} records both. `slipway audit verify --archive {}` proves the file and what follows it.",
                args.file.display()
            )?;
            Ok(Exit::Done)
        }
        Err(ArchiveError::Db(error)) => Err(error.into()),
        Err(ArchiveError::Nothing) => {
            writeln!(output.out, "{}", ArchiveError::Nothing)?;
            Ok(Exit::Done)
        }
        Err(refused) => {
            tell(output.err, &refused.to_string());
            Ok(Exit::Failed)
        }
    }
}
