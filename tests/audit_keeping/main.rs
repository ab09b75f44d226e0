//! What an operator does with the audit log at the command line: give it out as files, erase what must go, archive what is old. The
//! built binary on a real file; each file that it writes is checked by another program.

#![allow(clippy::unwrap_used, reason = "a test that fails here has found something")]

mod archive;
mod export;
mod indexes;
mod log;
mod redact;
