//! `slipway audit show`: one entry with every column.

use std::io;

use clap::Args;

use super::table::Columns;
use super::{AuditError, Format, Output, guild_or_process, one_guild, record, tell};
use crate::audit::{Action, card, store};
use crate::cli::Exit;
use crate::console::people::People;
use crate::console::render::{self, Look};
use crate::db::Db;
use crate::id::{EntryId, GuildId};
use crate::text;
use crate::time::Clock;

/// Show one entry with every column, its salt and hashes included.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The entry's number
    #[arg(value_name = "SEQ")]
    seq: EntryId,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Whose log: a guild's id, or 0 for the process itself [default: DISCORD_GUILD_ID]
    #[arg(long, value_name = "ID", value_parser = guild_or_process)]
    guild: Option<GuildId>,
}

/// Prints the entry that `args` name. `guild` is whose log it is unless they say so.
pub async fn show(
    db: &Db,
    args: &ShowArgs,
    guild: Option<GuildId>,
    clock: &Clock,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let Some(guild) = one_guild(db, args.guild, guild, output).await? else { return Ok(Exit::Misuse) };
    let row = store::entry(&mut *db.reader().await?, guild, args.seq.0).await?;
    let Some(row) = row else {
        let archived = store::records(&mut *db.reader().await?, guild).await?.archived;
        let why = match archived.filter(|archived| args.seq.0 <= archived.seq) {
            Some(archived) => format!(
                "It was archived: the log here begins after #{}, and `slipway audit search action:audit.archived` tells into which file.",
                archived.seq
            ),
            None => "`slipway audit search` lists those there are.".to_owned(),
        };
        tell(output.err, &format!("There is no entry {} in the log of {guild}. {why}", args.seq));
        return Ok(Exit::Failed);
    };
    let detail = serde_json::json!({ "entry": format!("#{}", row.seq) });
    record(db, Some(guild), clock, Action::AuditShown, detail).await?;
    match args.format {
        Format::Json => {
            let object = serde_json::to_string_pretty(&Columns::from(&row)).map_err(io::Error::from)?;
            writeln!(output.out, "{}", text::json(&object))?;
        }
        Format::Table => {
            let people = People::new(guild, Vec::new());
            let look = Look { people: &people, now: clock.now(), colour: false };
            write!(output.out, "{}", render::render(&card::full(&row), look))?;
        }
    }
    Ok(Exit::Done)
}
