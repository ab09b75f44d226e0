//! Entries as files: CSV for spreadsheets, JSON lines for programs and for proof. `docs/audit.md` specifies both. Knows nothing of the
//! database and of who may have them.

use std::borrow::Cow;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::chain::Row;
use crate::text;

/// What a cell must not begin with, because a spreadsheet would run it or read it as something else
/// (<https://owasp.org/www-community/attacks/CSV_Injection>); and the sign that is put before such a cell, so that taking one off is
/// always right.
const RUN: &[char] = &['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠', GUARD];
const GUARD: char = '\'';

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Comma-separated values with a heading.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl FileFormat {
    /// Its name, which is also how its files' names end.
    pub const fn as_str(self) -> &'static str {
        match self {
            FileFormat::Csv => "csv",
            FileFormat::Jsonl => "jsonl",
        }
    }
}

/// An entry as a line of JSON: the columns as keys, ids as strings, `detail` as the text that is sealed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    guild_id: Cow<'a, str>,
    seq: i64,
    format: i64,
    at: i64,
    channel_id: Option<Cow<'a, str>>,
    actor_id: Option<Cow<'a, str>>,
    actor_name: Option<Cow<'a, str>>,
    action: Cow<'a, str>,
    repo: Option<Cow<'a, str>>,
    environment: Option<Cow<'a, str>>,
    branch: Option<Cow<'a, str>>,
    revision: Option<Cow<'a, str>>,
    deploy_id: Option<i64>,
    outcome: Cow<'a, str>,
    reason: Option<Cow<'a, str>>,
    detail: Option<Cow<'a, str>>,
    salt: Option<Cow<'a, str>>,
    seal: Cow<'a, str>,
    prev_hash: Cow<'a, str>,
    hash: Cow<'a, str>,
}

impl<'a> From<&'a Row> for Line<'a> {
    fn from(row: &'a Row) -> Self {
        let text = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        Self {
            guild_id: row.guild_id.to_string().into(),
            seq: row.seq,
            format: row.format,
            at: row.at,
            channel_id: row.channel_id.map(|id| id.to_string().into()),
            actor_id: text(&row.actor_id),
            actor_name: text(&row.actor_name),
            action: (&row.action).into(),
            repo: text(&row.repo),
            environment: text(&row.environment),
            branch: text(&row.branch),
            revision: text(&row.revision),
            deploy_id: row.deploy_id,
            outcome: (&row.outcome).into(),
            reason: text(&row.reason),
            detail: text(&row.detail),
            salt: text(&row.salt),
            seal: (&row.seal).into(),
            prev_hash: (&row.prev_hash).into(),
            hash: (&row.hash).into(),
        }
    }
}

/// Reads a line of JSON back; nothing when it isn't one that [`Lines`] wrote.
pub fn read_line(line: &str) -> Option<Row> {
    let line: Line<'_> = serde_json::from_str(line).ok()?;
    let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
    Some(Row {
        guild_id: line.guild_id.parse().ok()?,
        seq: line.seq,
        format: line.format,
        at: line.at,
        channel_id: line.channel_id.map(|id| id.parse()).transpose().ok()?,
        actor_id: text(line.actor_id),
        actor_name: text(line.actor_name),
        action: line.action.into_owned(),
        repo: text(line.repo),
        environment: text(line.environment),
        branch: text(line.branch),
        revision: text(line.revision),
        deploy_id: line.deploy_id,
        outcome: line.outcome.into_owned(),
        reason: text(line.reason),
        detail: text(line.detail),
        salt: text(line.salt),
        seal: line.seal.into_owned(),
        prev_hash: line.prev_hash.into_owned(),
        hash: line.hash.into_owned(),
    })
}

/// Writes entries one by one.
pub enum Lines<W: Write> {
    /// As CSV.
    Csv(Box<csv::Writer<W>>),
    /// As JSON lines.
    Jsonl(W),
}

/// The columns, which are the heading of a CSV file.
const COLUMNS: [&str; 20] = [
    "guild_id",
    "seq",
    "format",
    "at",
    "channel_id",
    "actor_id",
    "actor_name",
    "action",
    "repo",
    "environment",
    "branch",
    "revision",
    "deploy_id",
    "outcome",
    "reason",
    "detail",
    "salt",
    "seal",
    "prev_hash",
    "hash",
];

impl<W: Write> Lines<W> {
    /// Begins a file.
    pub fn new(format: FileFormat, out: W) -> io::Result<Self> {
        Ok(match format {
            FileFormat::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(COLUMNS)?;
                Lines::Csv(Box::new(csv))
            }
            FileFormat::Jsonl => Lines::Jsonl(out),
        })
    }

    /// Writes an entry.
    pub fn write(&mut self, row: &Row) -> io::Result<()> {
        match self {
            Lines::Csv(csv) => {
                let numbers = [row.guild_id, row.seq, row.format, row.at].map(|number| number.to_string());
                let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
                let (channel, deploy) = (number(row.channel_id), number(row.deploy_id));
                let cells: [Cow<'_, str>; 20] = [
                    (&numbers[0]).into(),
                    (&numbers[1]).into(),
                    (&numbers[2]).into(),
                    (&numbers[3]).into(),
                    channel.into(),
                    cell(row.actor_id.as_deref()),
                    cell(row.actor_name.as_deref()),
                    cell(Some(&row.action)),
                    cell(row.repo.as_deref()),
                    cell(row.environment.as_deref()),
                    cell(row.branch.as_deref()),
                    cell(row.revision.as_deref()),
                    deploy.into(),
                    cell(Some(&row.outcome)),
                    cell(row.reason.as_deref()),
                    cell(row.detail.as_deref()),
                    cell(row.salt.as_deref()),
                    cell(Some(&row.seal)),
                    cell(Some(&row.prev_hash)),
                    cell(Some(&row.hash)),
                ];
                Ok(csv.write_record(cells.iter().map(|cell| cell.as_bytes()))?)
            }
            Lines::Jsonl(out) => {
                let line = serde_json::to_string(&Line::from(row)).map_err(io::Error::from)?;
                out.write_all(text::json(&line).as_bytes())?;
                out.write_all(b"\n")
            }
        }
    }

    /// Ends the file; what it was written to.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Lines::Csv(csv) => csv.into_inner().map_err(|error| io::Error::other(error.to_string())),
            Lines::Jsonl(mut out) => {
                out.flush()?;
                Ok(out)
            }
        }
    }
}

/// A file in memory that never grows over a limit: beyond it it is compressed, and beyond that it is given up.
pub struct Bounded {
    max: usize,
    plain: Vec<u8>,
    compressed: Option<GzEncoder<Vec<u8>>>,
}

impl Bounded {
    /// An empty one of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { max, plain: Vec::new(), compressed: None }
    }

    /// What it holds, and whether that is compressed with gzip.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] when it is larger than it may be.
    pub fn finish(self) -> io::Result<(Vec<u8>, bool)> {
        let (bytes, compressed) = match self.compressed {
            Some(encoder) => (encoder.finish()?, true),
            None => (self.plain, false),
        };
        if bytes.len() > self.max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok((bytes, compressed)) }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.compressed.is_none() && self.plain.len() + bytes.len() <= self.max {
            self.plain.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let encoder = self.compressed.get_or_insert_with(|| GzEncoder::new(Vec::new(), Compression::default()));
        encoder.write_all(&std::mem::take(&mut self.plain))?;
        encoder.write_all(bytes)?;
        if encoder.get_ref().len() > self.max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A text as a cell that no spreadsheet runs: behind a `'` where it begins with something that could be run, or with a `'`, or is
/// empty, which a cell without anything (null) is not. Taking one `'` off the front of a cell that has one gives the text back.
fn cell(text: Option<&str>) -> Cow<'_, str> {
    match text {
        None => Cow::Borrowed(""),
        Some(text) if text.is_empty() || text.starts_with(RUN) => Cow::Owned(format!("{GUARD}{text}")),
        Some(text) => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::chain::tests::chain;

    fn written(format: FileFormat, row: &Row) -> String {
        let mut lines = Lines::new(format, Vec::new()).unwrap();
        lines.write(row).unwrap();
        String::from_utf8(lines.finish().unwrap()).unwrap()
    }

    #[test]
    fn the_columns_are_documented_and_stable() {
        let row = chain(1).remove(0);
        assert_eq!(
            written(FileFormat::Csv, &row),
            "guild_id,seq,format,at,channel_id,actor_id,actor_name,action,repo,environment,branch,revision,deploy_id,outcome,reason,\
             detail,salt,seal,prev_hash,hash\n\
             0,1,1,1764000000000,,cli:root,cli:root,slipway.started,,,,,,allowed,number 0,,\
             00000000000000000000000000000000,f6402a8bc1e8f9e5bfd13cfbb54f3a7e94a0a5b0b9d5ae0ff8dcf8d9f4d25c6e,\
             0000000000000000000000000000000000000000000000000000000000000000,x\n"
                .replace("f6402a8bc1e8f9e5bfd13cfbb54f3a7e94a0a5b0b9d5ae0ff8dcf8d9f4d25c6e", &row.seal)
                .replace(",x\n", &format!(",{}\n", row.hash))
        );
    }

    #[test]
    fn no_cell_is_run_by_a_spreadsheet() {
        for text in ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "＝1", "'", "'=1", ""] {
            assert_eq!(cell(Some(text)), format!("'{text}"));
        }
        assert_eq!((cell(Some("a=1")), cell(None)), ("a=1".into(), "".into()));
    }

    #[test]
    fn what_grows_too_large_is_compressed_and_then_given_up() {
        let fill = |bytes: &[u8], times: usize| {
            let mut file = Bounded::new(1_000);
            (0..times).try_for_each(|_| file.write_all(bytes)).and_then(|()| file.finish())
        };
        assert_eq!(fill(b"ab", 500).unwrap(), (b"ab".repeat(500), false));
        let (bytes, compressed) = fill(b"ab", 50_000).unwrap();
        assert!(compressed && bytes.len() < 1_000);
        let mut read = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut read).unwrap();
        assert_eq!(read, b"ab".repeat(50_000));
        let noise: Vec<u8> = (0..2_000).map(|_| rand::random()).collect();
        assert_eq!(fill(&noise, 1).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(fill(&noise, 500).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(text in ".{0,20}", number in any::<i64>(), none in any::<bool>()) {
            let text = Some(text).filter(|_| !none);
            let row = Row {
                at: number, channel_id: Some(number), actor_name: text.clone(), reason: text.clone(), detail: text.clone(),
                repo: text, ..chain(1).remove(0)
            };
            prop_assert_eq!(read_line(&written(FileFormat::Jsonl, &row)), Some(row.clone()));
            let csv = written(FileFormat::Csv, &row);
            let mut csv = csv::Reader::from_reader(csv.as_bytes());
            let record = csv.records().next().unwrap().unwrap();
            let cell = &record[14];
            let back = Some(cell).filter(|cell| !cell.is_empty()).map(|cell| cell.strip_prefix('\'').unwrap_or(cell));
            prop_assert_eq!(back, row.reason.as_deref());
            prop_assert!(!cell.starts_with(['=', '+', '-', '@']));
        }
    }
}
