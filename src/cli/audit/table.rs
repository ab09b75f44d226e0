//! How audit entries look: as a table for people, as JSON for programs. Knows nothing of queries and of where it is printed.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, Table};
use serde::Serialize;

use crate::audit::Row;
use crate::text::{clip, one_line};
use crate::time::Timestamp;

/// The longest text in a cell, in UTF-16 units; JSON has all of it.
pub const CELL_UNITS_MAX: usize = 200;
/// On a terminal narrower than this, what belongs together stands in one column.
const WIDE_COLUMNS: u16 = 110;

/// A row as JSON: the columns of `audit_log` as keys, ids as strings.
#[derive(Serialize)]
pub struct Columns<'a> {
    guild_id: String,
    seq: i64,
    format: i64,
    at: i64,
    channel_id: Option<String>,
    actor_id: Option<&'a str>,
    actor_name: Option<&'a str>,
    action: &'a str,
    repo: Option<&'a str>,
    environment: Option<&'a str>,
    branch: Option<&'a str>,
    revision: Option<&'a str>,
    deploy_id: Option<i64>,
    outcome: &'a str,
    reason: Option<&'a str>,
    detail: Option<serde_json::Value>,
    salt: Option<&'a str>,
    seal: &'a str,
    prev_hash: &'a str,
    hash: &'a str,
}

impl<'a> From<&'a Row> for Columns<'a> {
    fn from(row: &'a Row) -> Self {
        Self {
            guild_id: row.guild_id.to_string(),
            seq: row.seq,
            format: row.format,
            at: row.at,
            channel_id: row.channel_id.map(|id| id.to_string()),
            actor_id: row.actor_id.as_deref(),
            actor_name: row.actor_name.as_deref(),
            action: &row.action,
            repo: row.repo.as_deref(),
            environment: row.environment.as_deref(),
            branch: row.branch.as_deref(),
            revision: row.revision.as_deref(),
            deploy_id: row.deploy_id,
            outcome: &row.outcome,
            reason: row.reason.as_deref(),
            // What isn't JSON was not written by Slipway: it is shown as it stands, and `verify` finds it.
            detail: row.detail.as_ref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())),
            salt: row.salt.as_deref(),
            seal: &row.seal,
            prev_hash: &row.prev_hash,
            hash: &row.hash,
        }
    }
}

/// Under the headings and, where entries take several lines, between them.
const LINE: LineStyle = LineStyle::none().fill('─').junction('─');

/// A column of the table.
struct Shown {
    heading: &'static str,
    /// What it shows, line by line; nothing when the entry has nothing to say here.
    of: fn(&Row) -> Vec<String>,
    /// Whether its lines are never wrapped.
    whole: bool,
}

const GUILD: Shown = Shown { heading: "guild", of: |row| vec![row.guild_id.to_string()], whole: false };
const SEQ: Shown = Shown { heading: "seq", of: |row| vec![row.seq.to_string()], whole: true };
const ACTOR: Shown =
    Shown { heading: "actor", of: |row| one(row.actor_name.as_ref().or(row.actor_id.as_ref())), whole: false };
const REASON: Shown = Shown { heading: "reason", of: reason, whole: false };

/// A column for each thing, where there is room.
const WIDE: &[Shown] = &[
    GUILD,
    SEQ,
    Shown { heading: "time (UTC)", of: |row| vec![day_and_time(row.at).join(" ")], whole: true },
    ACTOR,
    Shown { heading: "action", of: |row| vec![row.action.clone()], whole: true },
    Shown { heading: "outcome", of: |row| vec![row.outcome.clone()], whole: true },
    Shown { heading: "repo", of: |row| one(row.repo.as_ref()), whole: false },
    Shown { heading: "branch", of: |row| one(row.branch.as_ref()), whole: false },
    Shown { heading: "env", of: |row| one(row.environment.as_ref()), whole: false },
    Shown { heading: "deploy", of: |row| deploy(row).into_iter().collect(), whole: true },
    REASON,
];

/// The same, one below the other, where there is not.
const NARROW: &[Shown] = &[
    GUILD,
    SEQ,
    Shown { heading: "time (UTC)", of: |row| day_and_time(row.at).to_vec(), whole: true },
    ACTOR,
    Shown { heading: "action\noutcome", of: |row| vec![row.action.clone(), row.outcome.clone()], whole: true },
    Shown {
        heading: "repo, branch\nenv, deploy",
        of: |row| {
            let [repo, branch, environment] = [&row.repo, &row.branch, &row.environment].map(Clone::clone);
            [repo, branch, environment, deploy(row)].into_iter().flatten().collect()
        },
        whole: false,
    },
    REASON,
];

fn one(text: Option<&String>) -> Vec<String> {
    text.cloned().into_iter().collect()
}

/// The reason that was given; beneath it why it was refused, what was said of the end or what CircleCI answered, where that is
/// another text, and that it was only looked at.
fn reason(row: &Row) -> Vec<String> {
    if row.salt.is_none() {
        return vec!["(redacted)".to_owned()];
    }
    let detail: serde_json::Value =
        row.detail.as_ref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let beneath =
        [("why", "refused: "), ("said", ""), ("answered", "answered: ")].into_iter().filter_map(|(key, before)| {
            let text = detail[key].as_str().filter(|text| Some(*text) != row.reason.as_deref())?;
            Some(format!("{before}{text}"))
        });
    let dry = (detail["dry_run"] == true).then(|| "a dry run".to_owned());
    row.reason.clone().into_iter().chain(beneath).chain(dry).collect()
}

fn deploy(row: &Row) -> Option<String> {
    row.deploy_id.map(|number| format!("#{number}"))
}

fn day_and_time(at: i64) -> [String; 2] {
    let text = Timestamp::from_millis(at).to_string();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    [day, time.split_once('.').map_or(time, |(seconds, _)| seconds)].map(str::to_owned)
}

/// The entries as a table, `width` columns wide or as wide as it takes. Columns that would be empty are left out.
pub fn table(rows: &[Row], with_guild: bool, width: Option<u16>) -> Table {
    let narrow = width.is_some_and(|width| width < WIDE_COLUMNS);
    let shown: Vec<&Shown> = (if narrow { NARROW } else { WIDE })
        .iter()
        .filter(|column| with_guild || column.heading != GUILD.heading)
        .filter(|column| rows.iter().any(|row| !(column.of)(row).is_empty()))
        .collect();
    let style =
        if narrow { NOTHING.header_separator(LINE).row_separator(LINE) } else { NOTHING.header_separator(LINE) };
    let mut table = Table::new();
    table.load_style(style).set_header(shown.iter().map(|column| column.heading));
    for row in rows {
        table.add_row(shown.iter().map(|column| {
            let lines = (column.of)(row);
            let lines: Vec<_> = lines.iter().map(|line| one_line(&clip(line, CELL_UNITS_MAX)).into_owned()).collect();
            lines.join("\n")
        }));
    }
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for (column, shown) in table.column_iter_mut().zip(&shown) {
        column.set_padding((0, 1));
        if shown.whole {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}
