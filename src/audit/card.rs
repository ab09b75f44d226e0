//! How an entry looks: in one line, and in full. Pure.

use super::chain::Row;
use super::entry::{Action, Outcome};
use super::verify::Checked;
use crate::actor::ActorId;
use crate::id::ChannelId;
use crate::reply::{Piece, Reply, Text, Tone};
use crate::text::clip;
use crate::time::Timestamp;

/// The longest text of an entry that a line shows, in UTF-16 units.
const LINE_TEXT_MAX: usize = 80;
/// The longest text of an entry that is shown in full: what fits a field.
const TEXT_MAX: usize = 900;

/// An entry in one line.
pub fn line(row: &Row) -> Text {
    let mut line =
        Text::default().code(format!("#{}", row.seq)).plain(" ").time(Timestamp::from_millis(row.at)).plain(" ");
    line = line.then(actor(row)).plain(" ").code(clip(&row.action, LINE_TEXT_MAX));
    let about = [&row.repo, &row.environment, &row.branch].into_iter().flatten();
    for text in about {
        line = line.plain(" ").code(clip(text, LINE_TEXT_MAX));
    }
    if let Some(deploy) = row.deploy_id {
        line = line.plain(format!(" deploy #{deploy}"));
    }
    line = line.plain(" ").strong(clip(&row.outcome, LINE_TEXT_MAX));
    match &row.reason {
        _ if row.salt.is_none() => line.plain(" (redacted)"),
        Some(reason) => line.plain(": ").plain(clip(&one_line(reason), LINE_TEXT_MAX)),
        None => line,
    }
}

/// An entry in full.
pub fn full(row: &Row) -> Reply {
    let text = |text: &Option<String>| text.as_ref().map(|text| Text::default().code(clip(text, TEXT_MAX)));
    let redacted = || Text::of("erased: this entry was redacted");
    let sealed = |value: &Option<String>| if row.salt.is_none() { Some(redacted()) } else { text(value) };
    let tone = match row.outcome.parse() {
        Ok(Outcome::Denied | Outcome::Error | Outcome::Failed | Outcome::Refused) => Tone::Bad,
        _ if row.action == Action::AuditBroken.as_str() => Tone::Bad,
        _ => Tone::Neutral,
    };
    let name = match (&row.salt, &row.actor_name) {
        (None, _) => redacted(),
        (Some(_), Some(name)) => Text::default().code(clip(name, TEXT_MAX)),
        (Some(_), None) => Text::of("no name"),
    };
    Reply::new(tone, format!("Entry #{} of the audit log", row.seq))
        .field("Action", Text::default().code(clip(&row.action, TEXT_MAX)))
        .field("Outcome", Text::default().strong(clip(&row.outcome, TEXT_MAX)))
        .field("Time", Text::default().time(Timestamp::from_millis(row.at)).plain(format!(" ({} ms)", row.at)))
        .field("Actor", actor(row).plain(", then called ").then(name))
        .field_if("Actor id", text(&row.actor_id))
        .field_if("Repository", text(&row.repo))
        .field_if("Environment", text(&row.environment))
        .field_if("Branch", text(&row.branch))
        .field_if("Revision", text(&row.revision))
        .field_if("Deploy", row.deploy_id.map(|deploy| Text::default().code(format!("#{deploy}"))))
        .field_if("Channel", row.channel_id.map(|id| Text::default().piece(Piece::Channel(ChannelId::from_row(id)))))
        .field_if("Reason", sealed(&row.reason))
        .field_if("Detail", sealed(&row.detail))
        .field_if("Salt", text(&row.salt))
        .field("Seal", Text::default().code(&row.seal))
        .field("Hash before", Text::default().code(&row.prev_hash))
        .field("Hash", Text::default().code(&row.hash))
        .field("Guild, format", Text::of(format!("{}, {}", row.guild_id, row.format)))
}

/// What became of the check of a chain, in which these heads were looked for.
pub fn checked(checked: &Checked, noted: &[String]) -> Reply {
    let lost = noted.iter().filter(|noted| checked.found.iter().all(|found| found.hash != **noted)).count();
    let holds = checked.holds() && lost == 0;
    let title = if holds { "The chain holds" } else { "THE CHAIN IS BROKEN" };
    let mut body = Text::of(entries(checked)).line().plain("Head ").code(format!("#{}", checked.head.seq)).plain(": ");
    body = body.code(&checked.head.hash);
    for broken in &checked.broken {
        body = body.line().plain(format!("{broken}."));
    }
    let untold = checked.broken_count - checked.broken.len() as u64;
    if untold > 0 {
        body = body.line().plain(format!("It breaks in {untold} more places."));
    }
    for found in &checked.found {
        body = body.line().plain("The noted head is entry ").code(format!("#{}", found.seq));
        body = body.plain(if checked.holds() { ": nothing up to there was cut off." } else { "." });
    }
    if lost > 0 {
        body = body.line().plain(LOST);
    }
    let next = if holds {
        "Note the head where whoever runs Slipway can't reach it: later it proves that nothing up to here was cut off or rewritten."
    } else {
        "Tell whoever runs Slipway: keep the database as it is, and compare it with a backup."
    };
    Reply::new(if holds { Tone::Good } else { Tone::Bad }, title).body(body.line().plain(next))
}

/// What it means that a noted head isn't there.
pub const LOST: &str = "A noted head is in no chain that was checked: entries were cut off or rewritten since it was noted, it was archived, or it is another database's or guild's.";

/// So many entries, in words: `1 entry`, `2 entries`.
pub fn counted(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

/// How many entries a chain has, and how many are not there in full.
pub fn entries(checked: &Checked) -> String {
    let mut text = counted(checked.entries);
    if checked.redacted > 0 {
        text.push_str(&format!(", {} of them erased", checked.redacted));
    }
    if let Some(archived) = &checked.archived {
        text.push_str(&format!(", and #1 to #{} archived", archived.seq));
    }
    text
}

/// Who did it: a person as chats show people, anybody else by their id.
fn actor(row: &Row) -> Text {
    match row.actor_id.as_deref().map(ActorId::from) {
        Some(ActorId::User(id)) => Text::default().piece(Piece::User(id)),
        Some(other) => Text::default().code(clip(&other.to_string(), LINE_TEXT_MAX)),
        None => Text::of("nobody"),
    }
}

/// A reason of several lines in one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
