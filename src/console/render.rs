//! An answer as text for a terminal. Pure; whatever people and services wrote reaches the terminal through
//! [`text::one_line`], and colour only ever stands beside words that say the same.

use std::time::Duration;

use super::people::People;
use crate::reply::{Button, Piece, Reply, Text, Tone};
use crate::text;
use crate::time::Timestamp;

/// How far everything below a title stands to the right.
const INDENT: &str = "  ";

/// What decides how an answer looks.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// Who has a name here.
    pub people: &'a People,
    /// The present, for how long ago something was.
    pub now: Timestamp,
    /// Whether the terminal shows colours and the person wants them.
    pub colour: bool,
}

/// The whole answer, each line ended.
pub fn render(reply: &Reply, look: Look<'_>) -> String {
    let mut lines = vec![look.styled(tone(reply.tone), &text::one_line(&reply.title))];
    lines.extend(self::lines(&reply.body, look).into_iter().map(|line| format!("{INDENT}{line}")));
    let width = reply.fields.iter().map(|field| field.name.chars().count()).max().unwrap_or(0);
    for field in &reply.fields {
        for (index, value) in self::lines(&field.value, look).into_iter().enumerate() {
            let name = if index == 0 { field.name } else { "" };
            lines.push(format!("{INDENT}{name:width$}{INDENT}{value}"));
        }
    }
    for button in &reply.buttons {
        match button {
            // A card names the page of its build among its fields already.
            Button::Link { url, .. } if shows(reply, url) => {}
            Button::Link { label, url: target } | Button::Page { label, line: target } => {
                lines.push(format!("{INDENT}{label}: {}", text::one_line(target)));
            }
            Button::Run { label, line } => {
                lines.push(format!("{INDENT}{}: {}", text::one_line(label), text::one_line(line)));
            }
        }
    }
    let mut text = String::new();
    for line in lines {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// SGR codes: <https://ecma-international.org/publications-and-standards/standards/ecma-48/>, 8.3.117.
fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Neutral => BOLD,
        Tone::Busy => "1;36",
        Tone::Good => "1;32",
        Tone::Bad => "1;31",
        Tone::Warning => "1;33",
    }
}

const BOLD: &str = "1";

impl Look<'_> {
    fn styled(&self, code: &str, words: &str) -> String {
        if self.colour && !words.is_empty() { format!("\u{1b}[{code}m{words}\u{1b}[0m") } else { words.to_owned() }
    }
}

fn shows(reply: &Reply, url: &str) -> bool {
    let texts = reply.fields.iter().map(|field| &field.value).chain([&reply.body]);
    texts.flat_map(|text| &text.0).any(|piece| matches!(piece, Piece::Link(shown) if shown == url))
}

/// A text's lines; none for an empty text.
fn lines(text: &Text, look: Look<'_>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut ended = true;
    let is_alone = text.0.len() == 1;
    for piece in &text.0 {
        if ended {
            lines.push(String::new());
        }
        ended = matches!(piece, Piece::NewLine);
        let (words, style) = match piece {
            Piece::NewLine => continue,
            Piece::Plain(words) => (words.clone(), None),
            Piece::Strong(words) => (words.clone(), Some(BOLD)),
            Piece::Code(value) => (code(value, is_alone), Some(BOLD)),
            Piece::User(id) => {
                (look.people.name(*id).map_or_else(|| format!("<@{id}>"), |name| format!("@{name}")), None)
            }
            Piece::Role(id) => (format!("<@&{id}>"), None),
            Piece::Channel(id) => (format!("<#{id}>"), None),
            Piece::Everyone => ("@everyone".to_owned(), None),
            Piece::Time(time) => (self::time(*time, look.now), None),
            Piece::Link(url) => (url.clone(), None),
            Piece::Block(block) => (block.clone(), None),
        };
        // Somebody's own line break stands further in, so that it can't pass for a line of ours. What a program wrote stands so from its
        // first line on: below each other what belongs below each other.
        for (index, part) in words.split('\n').enumerate() {
            if index > 0 {
                lines.push(INDENT.to_owned());
            } else if let (Piece::Block(_), Some(line)) = (piece, lines.last_mut().filter(|line| line.is_empty())) {
                line.push_str(INDENT);
            }
            let part = text::one_line(part);
            if let Some(line) = lines.last_mut() {
                line.push_str(&style.map_or_else(|| part.to_string(), |style| look.styled(style, &part)));
            }
        }
    }
    lines
}

/// A value: set off from the words around it, and where its end could not be seen.
fn code(value: &str, is_alone: bool) -> String {
    if is_alone && !value.is_empty() && value.trim() == value { value.to_owned() } else { format!("`{value}`") }
}

/// `2026-11-24 18:14:03 UTC (5 min ago)`.
fn time(time: Timestamp, now: Timestamp) -> String {
    let full = time.to_string();
    let seconds = full.split_once('.').map_or(full.as_str(), |(seconds, _)| seconds).replacen('T', " ", 1);
    let (past, ahead) = (now.since(time), time.since(now));
    let relative = match (past.max(ahead).as_secs(), past >= ahead) {
        (0..5, _) => "now".to_owned(),
        (_, true) => format!("{} ago", about(past)),
        (_, false) => format!("in {}", about(ahead)),
    };
    format!("{seconds} UTC ({relative})")
}

fn about(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let rounded = |unit: u64| (seconds + unit / 2) / unit;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_170 => format!("{} min", rounded(60)),
        7_170..171_000 => format!("{} h", rounded(3_600)),
        _ => format!("{} days", rounded(86_400)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::{Actor, ActorId};
    use crate::id::{GuildId, UserId};

    fn shown(reply: &Reply, colour: bool) -> String {
        let alice = Actor { id: ActorId::User(UserId::from_row(7)), name: "alice".into(), roles: vec![] };
        let people = People::new(GuildId::from_row(1), vec![("alice", alice)]);
        render(reply, Look { people: &people, now: Timestamp::from_millis(1_764_000_000_000), colour })
    }

    #[test]
    fn an_answer_is_a_title_a_body_aligned_fields_and_what_comes_next() {
        let link = "https://app.circleci.com/pipelines/github/acme/web/1";
        let reply = Reply::new(Tone::Busy, "Deploy #1 is queued")
            .body(Text::of("One line,").line().line().plain("and ").code("a b").plain("."))
            .field("Asked by", Text::default().piece(Piece::User(UserId::from_row(7))))
            .field("At", Text::default().time(Timestamp::from_millis(1_763_999_700_123)))
            .field("Build", Text::of("pipeline 1: ").piece(Piece::Link(link.into())))
            .button(Button::Link { label: "Build", url: link.into() })
            .button(Button::Page { label: "Older", line: "/repo list page:2".into() });
        insta::assert_snapshot!(shown(&reply, false), @r"
        Deploy #1 is queued
          One line,

          and `a b`.
          Asked by  @alice
          At        2025-11-24 15:55:00 UTC (5 min ago)
          Build     pipeline 1: https://app.circleci.com/pipelines/github/acme/web/1
          Older: /repo list page:2
        ");
    }

    #[test]
    fn nothing_from_outside_reaches_the_terminal_as_a_command_or_as_a_line_of_ours() {
        let reason = "quiet\u{1b}[2J\r\nDeploy #2 is succeeded\u{202e}";
        let reply = Reply::new(Tone::Bad, "a\u{7}\nb")
            .field("Reason", Text::of(reason))
            .body(Text::default().code("\u{1b}]0;x"));
        let text = shown(&reply, false);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
        insta::assert_snapshot!(text, @r"
        a\u{7}\nb
          \u{1b}]0;x
          Reason  quiet\u{1b}[2J\u{d}
                    Deploy #2 is succeeded\u{202e}
        ");
    }

    #[test]
    fn what_stands_below_something_in_a_block_does_so_here() {
        let reply = Reply::new(Tone::Bad, "Not a query").body(
            Text::default()
                .piece(Piece::Block("since:7d outcom:x\n         ^^^^^^^^".into()))
                .line()
                .plain("There is no such term."),
        );
        insta::assert_snapshot!(shown(&reply, false), @"
        Not a query
            since:7d outcom:x
                     ^^^^^^^^
          There is no such term.
        ");
    }

    #[test]
    fn colour_says_nothing_that_words_do_not() {
        let reply = Reply::new(Tone::Good, "Done").body(Text::of("see ").code("x"));
        let coloured = shown(&reply, true);
        assert_eq!(coloured, "\u{1b}[1;32mDone\u{1b}[0m\n  see \u{1b}[1m`x`\u{1b}[0m\n");
        assert_eq!(shown(&reply, false), "Done\n  see `x`\n");
    }

    #[test]
    fn times_say_how_far_they_are() {
        let now = Timestamp::from_millis(1_764_000_000_000);
        let at = |seconds: i64| time(Timestamp::from_millis(1_764_000_000_000 + seconds * 1000), now);
        assert_eq!(at(0), "2025-11-24 16:00:00 UTC (now)");
        assert_eq!(at(-90), "2025-11-24 15:58:30 UTC (90 s ago)");
        assert_eq!(at(8 * 3600 - 1), "2025-11-24 23:59:59 UTC (in 8 h)");
        assert_eq!(at(-3 * 86_400), "2025-11-21 16:00:00 UTC (3 days ago)");
    }
}
