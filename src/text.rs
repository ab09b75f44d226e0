//! Text that came from people or from other services, made harmless for the place where it is shown. Knows nothing of
//! what the text means.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Cuts `text` to at most `max` UTF-16 units (as Discord counts), ending in `…` where something was cut.
pub fn clip(text: &str, max: usize) -> Cow<'_, str> {
    if text.encode_utf16().count() <= max {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut units = 1; // the `…` itself
    for c in text.chars() {
        units += c.len_utf16();
        if units > max {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    Cow::Owned(kept)
}

/// One line without anything that a terminal or a log would obey: control, format and line-separating characters stand
/// as `\u{…}`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            c if is_unsafe(c) => write!(line, "\\u{{{:x}}}", u32::from(c)).expect("writing to a string cannot fail"),
            c => line.push(c),
        }
    }
    Cow::Owned(line)
}

/// A JSON document that says the same, and in which nothing stands that a terminal would obey: such characters are in texts alone,
/// where `\u…` means them.
pub fn json(document: &str) -> Cow<'_, str> {
    let is_unsafe = |c| c != '\n' && is_unsafe(c);
    // Most documents are plain ASCII, which is seen much faster.
    if document.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) || !document.contains(is_unsafe) {
        return Cow::Borrowed(document);
    }
    let mut harmless = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(harmless, "\\u{unit:04x}").expect("writing to a string cannot fail");
            }
        } else {
            harmless.push(c);
        }
    }
    Cow::Owned(harmless)
}

/// Control characters, and those that reorder, hide or join the text around them.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text that Discord shows letter by letter: no formatting, no link, no mention, no emoji, no hidden characters.
pub fn discord(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        // Headings, quotes and lists begin a line.
        let mut begins = true;
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            let next = chars.peek().copied();
            match c {
                '\n' => escaped.push('\n'),
                c if is_unsafe(c) => escaped.push('\u{fffd}'),
                // A backslash alone does not stop `@everyone` from looking like a mention in every client.
                '@' => escaped.push_str("\\@\u{200b}"),
                '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' => escaped.extend(['\\', c]),
                // `https://…` and `:emoji:`, not the colon of a sentence.
                ':' if next.is_some_and(|next| next == '/' || next == '_' || next.is_alphanumeric()) => {
                    escaped.push_str("\\:")
                }
                '#' | '-' | '+' if begins => escaped.extend(['\\', c]),
                '.' if begins && escaped.ends_with(|last: char| last.is_ascii_digit()) => escaped.push_str("\\."),
                c => escaped.push(c),
            }
            begins &= c.is_whitespace() || c.is_ascii_digit();
        }
    }
    escaped
}

/// Text inside a code span on Discord, where nothing but the closing backtick means anything.
pub fn discord_code(text: &str) -> String {
    let safe: String = text
        .chars()
        .map(|c| {
            if c == '`' {
                'ˋ'
            } else if is_unsafe(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if safe.trim().is_empty() { "` `".to_owned() } else { format!("`{}`", safe.replace('@', "@\u{200b}")) }
}

/// Lines inside a code block on Discord, where nothing but the closing backticks means anything.
pub fn discord_block(text: &str) -> String {
    let harmless = |c: char| match c {
        '`' => 'ˋ',
        '\n' => '\n',
        c if is_unsafe(c) => '\u{fffd}',
        c => c,
    };
    let safe: String = text.chars().map(harmless).collect();
    format!("```\n{}\n```", safe.replace('@', "@\u{200b}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clipping_counts_as_discord_does() {
        assert_eq!(clip("short", 5), "short");
        assert_eq!(clip("😀😀😀", 5), "😀😀…");
        assert_eq!(clip("😀😀😀", 6), "😀😀😀");
    }

    #[test]
    fn a_terminal_gets_no_escape_sequences() {
        assert_eq!(one_line("a\u{1b}[31m\nb\u{202e}c"), "a\\u{1b}[31m\\nb\\u{202e}c");
    }

    #[test]
    fn json_says_the_same_in_a_terminal_and_commands_nothing() {
        let told = serde_json::json!({ "a\u{7f}": "\u{9b}2J \u{202e}é\u{e0001}\n\u{1b}" });
        let document = format!("{told:#}");
        let harmless = json(&document);
        assert_eq!(harmless, "{\n  \"a\\u007f\": \"\\u009b2J \\u202eé\\udb40\\udc01\\n\\u001b\"\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&harmless).unwrap(), told);
    }

    #[test]
    fn discord_shows_tricks_letter_by_letter() {
        assert_eq!(discord("@everyone **x** <@1>"), "\\@\u{200b}everyone \\*\\*x\\*\\* \\<\\@\u{200b}1\\>");
        assert_eq!(discord("- a\n# b\n1. c: #1"), "\\- a\n\\# b\n1\\. c: #1");
        assert_eq!(discord_code("a`b@here"), "`aˋb@\u{200b}here`");
    }

    proptest! {
        #[test]
        fn no_mention_survives(text in ".{0,40}(@everyone|@here|<@[0-9]{1,3}>|<#1>|https://x)?.{0,10}") {
            let shown = discord(&text);
            prop_assert!(!shown.contains("@everyone") && !shown.contains("@here") && !shown.contains("<@") && !shown.contains("s://"));
            prop_assert!(!discord_code(&text)[1..].trim_end_matches('`').contains('`'));
        }

        #[test]
        fn a_clipped_text_fits(text in ".{0,40}", max in 1usize..50) {
            prop_assert!(clip(&text, max).encode_utf16().count() <= max);
        }
    }
}
