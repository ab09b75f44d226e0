//! `slipway audit redact`: erases what people wrote in one entry.

use clap::Args;

use super::{AuditError, Output, guild_or_process, one_guild, tell};
use crate::audit::redact::{self as erasing, ALIKE_MAX, RedactError};
use crate::cli::Exit;
use crate::cli::operate::operator;
use crate::db::Db;
use crate::deploy::Reason;
use crate::id::{EntryId, GuildId};
use crate::time::Clock;

/// Erase the name, the reason and the detail of one entry, with its salt. The chain still proves everything else, and an entry says
/// that it was done.
#[derive(Debug, Clone, Args)]
pub struct RedactArgs {
    /// The entry's number
    #[arg(value_name = "SEQ")]
    seq: EntryId,
    /// Why; kept in the log for ever, so without what is erased
    #[arg(long, value_name = "TEXT")]
    reason: Reason,
    /// Whose log: a guild's id, or 0 for the process itself [default: DISCORD_GUILD_ID]
    #[arg(long, value_name = "ID", value_parser = guild_or_process)]
    guild: Option<GuildId>,
}

/// Erases what `args` name. `guild` is whose log it is unless they say so.
pub async fn redact(
    db: &Db,
    args: &RedactArgs,
    guild: Option<GuildId>,
    clock: &Clock,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let Some(guild) = one_guild(db, args.guild, guild, output).await? else { return Ok(Exit::Misuse) };
    let erased = match erasing::redact(db, &operator(), guild, args.seq.0, args.reason.as_str(), clock.now()).await {
        Ok(erased) => erased,
        Err(RedactError::Db(error)) => return Err(error.into()),
        Err(refused) => {
            tell(output.err, &refused.to_string());
            return Ok(Exit::Failed);
        }
    };
    writeln!(
        output.out,
        "Entry {} is redacted: its name, reason, detail and salt are erased. Entry #{} says so.",
        args.seq, erased.record
    )?;
    if !erased.wiped {
        writeln!(
            output.out,
            "Its old bytes are in the database's write-ahead log until the bot lets go of it: run this again for any other entry, or restart the bot, to be rid of them."
        )?;
    }
    if !erased.alike.is_empty() {
        let others: Vec<String> = erased.alike.iter().map(|seq| format!("#{seq}")).collect();
        // There may be more than are told of.
        let more = if others.len() as i64 == ALIKE_MAX { " and perhaps more" } else { "" };
        writeln!(output.out, "The same reason stands in {}{more}. Redact them too if it must go.", others.join(", "))?;
    }
    writeln!(
        output.out,
        "Outside the log it may still stand in the deploy's card on Discord and in `/deploys show`, in the audit channel, in exports, archives and backups."
    )?;
    Ok(Exit::Done)
}
