//! `slipway audit verify`: whether a chain holds, and where it breaks.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{AuditError, Format, Output, guild_or_process, one_guild, tell};
use crate::audit::archive::{self, BadArchive, Rows};
use crate::audit::verify::BREAKS_TOLD_MAX;
use crate::audit::{self, Checked, Records, Row, card};
use crate::cli::Exit;
use crate::db::Db;
use crate::id::GuildId;
use crate::text::{self, one_line};

const MAKE_ANEW: &str = "Keep a copy of the database as it is, then make them anew with `sqlite3 slipway.db REINDEX`, and ask who had the file.";

/// Prove that the audit log was not changed.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A hash that `verify` printed earlier and that must still be there, so that nothing was cut off (may be repeated)
    #[arg(long = "head", value_name = "HASH", value_parser = audit::chain::noted)]
    pub heads: Vec<String>,
    /// A file that `slipway audit archive` wrote, or an export as JSON lines: checked as what comes before the entries of the database
    /// (may be repeated, in their order; needs one guild)
    #[arg(long = "archive", value_name = "FILE")]
    pub archives: Vec<PathBuf>,
    /// Check as well that the database's indexes fit all entries, so that no search passes one by; takes about as long again
    #[arg(long)]
    pub indexes: bool,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Whose log: a guild's id, or 0 for the process itself [default: DISCORD_GUILD_ID and the process, else all]
    #[arg(long, value_name = "ID", value_parser = guild_or_process)]
    pub guild: Option<GuildId>,
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
    let guilds = if args.archives.is_empty() {
        guilds
    } else {
        match one_guild(db, args.guild, guild, output).await? {
            Some(guild) => vec![guild],
            None => return Ok(Exit::Misuse),
        }
    };
    // A redaction is recorded behind what it erased, and may be archived too.
    let mut records = Records::default();
    let mut archived = Archived::in_files(&args.archives);
    archived.by_ref().for_each(|row| records.note_redaction(&row));
    archived.end()?;
    for guild in guilds {
        let mut archived = Archived::in_files(&args.archives);
        let redacted = records.redacted.clone();
        chains.push(audit::verify::verify_after(&mut archived, redacted, db.pool(), guild, &args.heads).await?);
        archived.end()?;
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
                "The head {head} is in no chain that was checked: entries were cut off or rewritten since it was noted, it was archived (`--archive FILE`), or it is another database's or guild's."
            ),
        );
    }
    let faults = if args.indexes { audit::store::index_faults(db.pool()).await? } else { Vec::new() };
    if !faults.is_empty() {
        let told = faults.iter().take(BREAKS_TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
        tell(
            output.err,
            &format!("THE INDEXES DON'T FIT THE ENTRIES, so searches may pass some by: {told}. {MAKE_ANEW}"),
        );
    }
    let proved = lost.is_empty() && faults.is_empty() && chains.iter().all(Checked::holds);
    Ok(if proved { Exit::Done } else { Exit::Failed })
}

fn print_chains(chains: &[Checked], output: &mut Output<'_>) -> io::Result<()> {
    if chains.iter().all(|chain| chain.entries == 0 && chain.holds()) {
        writeln!(output.out, "There are no entries.")?;
    }
    for chain in chains.iter().filter(|chain| chain.entries > 0 || !chain.holds()) {
        let whose = if chain.guild == GuildId::PROCESS {
            "Guild 0 (the process itself)".to_owned()
        } else {
            format!("Guild {}", chain.guild)
        };
        let verdict = if chain.holds() { "the chain holds" } else { "THE CHAIN IS BROKEN" };
        let head = &chain.head;
        writeln!(output.out, "{whose}: {}, {verdict}", card::entries(chain))?;
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
                "redacted": chain.redacted,
                "archived_seq": chain.archived.as_ref().map(|archived| archived.seq),
                "holds": chain.holds(),
                "head_seq": chain.head.seq,
                "head": chain.head.hash,
                "broken": broken.collect::<Vec<_>>(),
                "broken_count": chain.broken_count,
                "found": chain.found.iter().map(|head| &head.hash).collect::<Vec<_>>(),
            })
        })
        .collect();
    writeln!(output.out, "{}", text::json(&serde_json::Value::from(chains).to_string()))?;
    output.out.flush()
}

/// The entries of several files, one file after the other; they end at the first that can't be read.
struct Archived<'a> {
    left: std::slice::Iter<'a, PathBuf>,
    open: Option<(&'a PathBuf, Rows)>,
    bad: Option<AuditError>,
}

impl<'a> Archived<'a> {
    fn in_files(files: &'a [PathBuf]) -> Self {
        Self { left: files.iter(), open: None, bad: None }
    }

    /// Whether that was all of them.
    fn end(self) -> Result<(), AuditError> {
        self.bad.map_or(Ok(()), Err)
    }

    fn stop(&mut self, path: &Path, why: BadArchive) -> Option<Row> {
        *self = Self { bad: Some(AuditError::Archive { path: path.to_owned(), why }), ..Self::in_files(&[]) };
        None
    }
}

impl Iterator for Archived<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        loop {
            if let Some((path, rows)) = &mut self.open {
                match rows.next() {
                    Some(Ok(row)) => return Some(row),
                    Some(Err(why)) => {
                        let path = *path;
                        return self.stop(path, why);
                    }
                    None => self.open = None,
                }
            }
            let path = self.left.next()?;
            match archive::open(path) {
                Ok(rows) => self.open = Some((path, rows)),
                Err(error) => return self.stop(path, error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Verify {
        #[command(flatten)]
        args: VerifyArgs,
    }

    #[test]
    fn the_arguments_are_read() {
        Verify::command().debug_assert();
        assert!(Verify::try_parse_from(["verify", "--head", "abc"]).is_err());
        assert_eq!(Verify::parse_from(["verify", "--head", &"AB".repeat(32)]).args.heads, ["ab".repeat(32)]);
    }
}
