//! `slipway audit export`: entries as a file or on standard output, in constant memory.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Asked, AuditError, Output, ask, guild_or_process, interrupted, tell};
use crate::audit::export::{FileFormat, Lines};
use crate::audit::search::{Oldest, Question};
use crate::audit::{Action, Head, Query, card};
use crate::cli::Exit;
use crate::db::{Db, DbError};
use crate::id::GuildId;
use crate::time::Clock;
use crate::whole_file::WholeFile;

/// Write entries as CSV or JSON lines, oldest first.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Which entries, as for `search`; without terms all of them
    #[arg(value_name = "TERM")]
    terms: Vec<String>,
    /// What is written: CSV for spreadsheets, JSON lines for programs and for proof
    #[arg(long, value_enum)]
    format: As,
    /// The file; it has its name only once it is whole [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Whose log: a guild's id, or 0 for the process itself [default: DISCORD_GUILD_ID, else all]
    #[arg(long, value_name = "ID", value_parser = guild_or_process)]
    guild: Option<GuildId>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum As {
    Csv,
    Jsonl,
}

impl From<As> for FileFormat {
    fn from(format: As) -> Self {
        match format {
            As::Csv => FileFormat::Csv,
            As::Jsonl => FileFormat::Jsonl,
        }
    }
}

/// Writes the entries that `args` ask for. `guild` is whose log it is unless they say so.
pub async fn export(
    db: &Db,
    args: &ExportArgs,
    guild: Option<GuildId>,
    clock: &Clock,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let guild = args.guild.or(guild);
    let format = FileFormat::from(args.format);
    let to = args.output.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let detail =
        |query: &Query| serde_json::json!({ "query": query.to_string(), "format": format.as_str(), "file": to });
    let asked = ask(db, &args.terms, guild, clock, output, (Action::AuditExported, detail)).await?;
    let Some(Asked { query, as_of, chains }) = asked else { return Ok(Exit::Misuse) };
    let part =
        |(guild, end)| Oldest::new(db.pool(), Question { guild, query: query.clone(), as_of: as_of.clone() }, end);
    let mut parts: Vec<Oldest> = chains.into_iter().map(part).collect();
    let told = match &args.output {
        None => write(&mut parts, format, &mut *output.out).await.map(|(written, _)| written),
        Some(path) => tokio::select! {
            // From the file's first byte on: so it is asked first.
            biased;
            () = interrupted() => Err(io::Error::new(ErrorKind::Interrupted, "it was interrupted").into()),
            told = write_file(&mut parts, format, path) => told,
        },
    };
    let written = match told {
        Ok(written) => written,
        Err(AuditError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Done),
        Err(AuditError::Write(error)) => {
            let target = args.output.as_ref().map_or("Standard output".to_owned(), |path| path.display().to_string());
            let left = if args.output.is_some() {
                " Nothing was written under that name."
            } else {
                " What was written is not whole."
            };
            tell(output.err, &format!("{target} can't be written: {error}.{left}"));
            return Ok(Exit::Failed);
        }
        Err(error) => return Err(error),
    };
    let newest = written.newest.map(|head| format!(", the newest is #{}: {}", head.seq, head.hash)).unwrap_or_default();
    tell(output.err, &format!("{}{newest}", card::counted(written.entries)));
    Ok(Exit::Done)
}

/// What was written.
#[derive(Debug, Default)]
struct Written {
    entries: u64,
    newest: Option<Head>,
}

/// Writes to a file beside the one that is meant, which takes its place once it is whole and on the disk.
async fn write_file(parts: &mut [Oldest], format: FileFormat, path: &Path) -> Result<Written, AuditError> {
    let (written, out) = write(parts, format, BufWriter::new(WholeFile::begin(path)?)).await?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(written)
}

async fn write<W: Write>(parts: &mut [Oldest], format: FileFormat, out: W) -> Result<(Written, W), AuditError> {
    let mut lines = Lines::new(format, out)?;
    let mut written = Written::default();
    let bar = bar(parts).await?;
    for part in parts {
        let mut passed = 0;
        while let Some(rows) = part.next().await? {
            for row in &rows {
                lines.write(row)?;
            }
            written.entries += rows.len() as u64;
            written.newest = rows.last().map(crate::audit::Row::head).or(written.newest);
            bar.inc(part.passed().abs_diff(passed));
            passed = part.passed();
        }
    }
    bar.finish_and_clear();
    Ok((written, lines.finish()?))
}

/// How far it has come, where somebody sees it.
async fn bar(parts: &[Oldest]) -> Result<ProgressBar, DbError> {
    if !io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let mut all = 0;
    for part in parts {
        all += part.length().await?.unsigned_abs();
    }
    let style = "{wide_bar} {human_pos}/{human_len} entries, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    Ok(ProgressBar::new(all).with_style(style))
}
