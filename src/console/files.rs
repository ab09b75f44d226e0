//! The files of an answer on the disk: under a name that is free. Knows nothing of what is in them.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::reply::Attachment;
use crate::text;
use crate::whole_file::WholeFile;

/// How many names are tried.
const TRIED_MAX: u32 = 1_000;

/// Writes a file into `folder` under its name, or that with a number where it is taken; under which.
pub fn save(folder: &Path, file: &Attachment) -> io::Result<PathBuf> {
    let (stem, ending) = file.name.split_once('.').unwrap_or((&file.name, ""));
    for number in 1..=TRIED_MAX {
        let name = if number == 1 { file.name.clone() } else { format!("{stem}-{number}.{ending}") };
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            continue;
        }
        let mut out = WholeFile::begin(&path)?;
        match out.write_all(&file.bytes).and_then(|()| out.finish_new()) {
            // Somebody else took the name meanwhile.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            written => return written.map(|()| path),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Saves the files of an answer; a line about each.
pub fn save_all(folder: &Path, files: &[Attachment]) -> String {
    let line = |file: &Attachment| match save(folder, file) {
        Ok(path) => format!("  File: {}\n", text::one_line(&path.display().to_string())),
        Err(error) => format!("  The file {} can't be written: {error}.\n", file.name),
    };
    files.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file =
            Attachment { name: "a.csv.gz".into(), bytes: b"x".to_vec(), description: String::new(), is_shown: false };
        assert_eq!(save(folder.path(), &file).unwrap(), folder.path().join("a.csv.gz"));
        assert_eq!(save(folder.path(), &file).unwrap(), folder.path().join("a-2.csv.gz"));
        assert!(save_all(Path::new("/nowhere"), &[file]).contains("a.csv.gz can't be written: "));
    }
}
