//! Text for a terminal: whatever is written, the terminal obeys nothing of it.

use std::io::{self, Write};

use crate::text::one_line;

/// Passes on text line by line, harmless.
pub struct Harmless<W> {
    out: W,
    /// The line, or letter, that has not come to its end.
    rest: Vec<u8>,
}

impl<W: Write> Harmless<W> {
    /// In front of `out`.
    pub fn new(out: W) -> Self {
        Self { out, rest: Vec::new() }
    }

    /// Passes on the first `length` bytes.
    fn pass(&mut self, length: usize) -> io::Result<()> {
        let text: Vec<u8> = self.rest.drain(..length).collect();
        for line in String::from_utf8_lossy(&text).split_inclusive('\n') {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            write!(self.out, "{}{end}", one_line(line))?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        if let Some(last) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            self.pass(last + 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass(self.rest.len())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_however_it_is_cut() {
        let text = "id,reason\n1,\u{1b}[2J é\u{9b}31m\n2,last".as_bytes();
        for size in 1..text.len() {
            let mut out = Harmless::new(Vec::new());
            text.chunks(size).for_each(|part| out.write_all(part).unwrap());
            out.flush().unwrap();
            let shown = String::from_utf8(out.out).unwrap();
            assert_eq!(shown, "id,reason\n1,\\u{1b}[2J é\\u{9b}31m\n2,last");
        }
    }
}
