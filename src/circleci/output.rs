//! The last lines of a step's output, made fit for a card: out of CircleCI's JSON, without control sequences, progress
//! bars in their last state, secrets masked, short. Pure; knows nothing of where the output came from.

use serde_json::Value;
use vte::{Params, Parser, Perform};

use super::mask;
use crate::text;

/// How many lines are shown.
const LINES_MAX: usize = 12;
/// How much is shown in all, in UTF-16 units.
const UNITS_MAX: usize = 900;
/// The longest line that is shown, in UTF-16 units.
const LINE_UNITS_MAX: usize = 300;
/// How much of a line is looked at, in bytes: a line may be a whole file.
const LINE_BYTES_MAX: usize = 2_000;
/// How many lines from the end are looked at; a private key begins above the lines that are shown.
const LOOKED_AT_MAX: usize = 200;

/// The text in CircleCI's JSON of an output, an array of `{"message": …}`. Its beginning may have been cut off, in the
/// middle of anything. `None` when it holds no text.
pub(super) fn messages(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    let whole = || parse(&text).or_else(|| rest_of(&text));
    let messages: String =
        whole()?.as_array()?.iter().filter_map(|part| part.get("message").and_then(Value::as_str)).collect();
    (!messages.trim().is_empty()).then_some(messages)
}

/// What is left of an array whose beginning was cut off: mostly in a message, and perhaps in the middle of an escape.
fn rest_of(text: &str) -> Option<Value> {
    const ESCAPE_CHARS_MAX: usize = 12;
    let parse = |begin: &str, rest: &str| serde_json::from_str::<Value>(&format!("{begin}{rest}")).ok();
    let starts = text.char_indices().map(|(at, _)| at).take(ESCAPE_CHARS_MAX);
    let in_message = starts.filter_map(|at| parse("[{\"message\":\"", &text[at..]));
    let in_message = in_message.into_iter().next();
    in_message.or_else(|| text.find("},{").and_then(|at| parse("[", &text[at + 2..])))
}

/// The last lines of a raw output; `None` when nothing is left of it.
pub(super) fn tail(raw: &str) -> Option<String> {
    let lines = lines(raw);
    let lines = mask::lines(lines);
    let mut shown: Vec<String> = Vec::new();
    let mut units = 0;
    let worth = lines.iter().rev().map(|line| line.trim_end()).filter(|line| !line.trim().is_empty());
    for line in worth.take(LINES_MAX) {
        let line = text::one_line(&line.replace('\t', "    ")).into_owned();
        let line = text::clip(&line, LINE_UNITS_MAX).into_owned();
        // And the line's end.
        let more = line.encode_utf16().count() + 1;
        if units + more > UNITS_MAX {
            break;
        }
        units += more;
        shown.push(line);
    }
    shown.reverse();
    (!shown.is_empty()).then(|| shown.join("\n"))
}

/// The lines as a terminal would leave them, the last ones.
fn lines(raw: &str) -> Vec<String> {
    let mut screen = Screen::default();
    Parser::new().advance(&mut screen, raw.as_bytes());
    screen.end_line();
    let skipped = screen.lines.len().saturating_sub(LOOKED_AT_MAX);
    screen.lines.split_off(skipped)
}

/// A terminal that knows of lines and nothing else.
#[derive(Default)]
struct Screen {
    lines: Vec<String>,
    line: String,
    /// The line is longer than what is kept of it.
    cut: bool,
    /// What is printed next replaces the line, as progress bars do.
    anew: bool,
}

impl Screen {
    fn end_line(&mut self) {
        if self.cut {
            // The last word may be half a secret, which nobody would recognize.
            let end = self.line.rfind(char::is_whitespace).unwrap_or_default();
            self.line.truncate(end);
            self.line.push('…');
        }
        self.lines.push(std::mem::take(&mut self.line));
        if self.lines.len() > 4 * LOOKED_AT_MAX {
            self.lines.drain(..3 * LOOKED_AT_MAX);
        }
        (self.cut, self.anew) = (false, false);
    }
}

impl Perform for Screen {
    fn print(&mut self, c: char) {
        if std::mem::take(&mut self.anew) {
            self.line.clear();
            self.cut = false;
        }
        if self.line.len() < LINE_BYTES_MAX {
            self.line.push(c);
        } else {
            self.cut = true;
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end_line(),
            b'\r' => self.anew = true,
            b'\t' => self.print('\t'),
            0x08 => _ = self.line.pop(),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _intermediates: &[u8], _ignore: bool, action: char) {
        // Erase the line, wholly or after a return: what stood there is gone.
        let whole = params.iter().next().and_then(|param| param.first()) == Some(&2);
        if action == 'K' && (whole || self.anew) {
            self.line.clear();
            self.cut = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn colours_go_and_progress_bars_stay_in_their_last_state() {
        let raw = "\u{1b}[1m$ npm ci\u{1b}[0m\r\nfetching 10%\rfetching 60%\r\u{1b}[Kfetching 100%\r\n\u{1b}]0;title\u{7}\u{1b}[31mnpm ERR!\u{1b}[39m code E403\n\n\n";
        insta::assert_snapshot!(tail(raw).unwrap(), @"
        $ npm ci
        fetching 100%
        npm ERR! code E403
        ");
        assert_eq!(tail("\u{1b}[2J\u{1b}[H\r\n \t\n"), None);
        assert_eq!(tail(""), None);
    }

    #[test]
    fn only_the_end_is_shown_in_whole_lines() {
        let raw: String = (1..=40).map(|n| format!("line {n}\n")).collect();
        let shown = tail(&raw).unwrap();
        assert_eq!(shown.lines().count(), LINES_MAX);
        assert!(shown.starts_with("line 29\n") && shown.ends_with("line 40"), "{shown}");
        let long: String = (1..=6).map(|n| format!("{n} {}\n", "word ".repeat(50))).collect();
        let shown = tail(&long).unwrap();
        assert!(shown.starts_with("4 word") && shown.encode_utf16().count() <= UNITS_MAX, "{shown}");
    }

    #[test]
    fn a_line_that_is_a_file_is_cut_without_half_a_secret() {
        let raw = format!("{} ghp_{}", "x ".repeat(LINE_BYTES_MAX / 2 - 3), "a1B2".repeat(20));
        assert!(!tail(&raw).unwrap().contains("ghp_"));
    }

    #[test]
    fn messages_are_read_even_without_their_beginning() {
        let whole =
            json!([{"message": "one \"1\"\n", "time": "t", "type": "out"}, {"message": "two\n", "type": "err"}])
                .to_string();
        assert_eq!(messages(whole.as_bytes()).unwrap(), "one \"1\"\ntwo\n");
        for at in 0..whole.len() - 40 {
            let rest = messages(&whole.as_bytes()[at..]).unwrap_or_default();
            assert!(rest.ends_with("two\n"), "{at}: {rest:?}");
        }
        for nothing in ["", "[]", "{}", "7", "[{\"message\":7}]", "<html>", "[{\"message\":\" \"}]"] {
            assert_eq!(messages(nothing.as_bytes()), None, "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_printed_comes_out_short_and_harmless(raw in "(\\PC|\u{1b}|\\[|[0-9;]|m|K|\r|\n|\u{8}|\u{202e}|\u{9b}){0,400}") {
            if let Some(shown) = tail(&raw) {
                prop_assert!(shown.lines().count() <= LINES_MAX);
                prop_assert!(shown.encode_utf16().count() <= UNITS_MAX);
                prop_assert!(!shown.contains(|c: char| c != '\n' && c.is_control()));
                let reordering = shown.contains('\u{202e}');
                prop_assert!(!reordering);
            }
        }

        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = messages(&body);
            let _ = tail(&String::from_utf8_lossy(&body));
        }
    }
}
