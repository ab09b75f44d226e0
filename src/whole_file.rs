//! A file that has its name only once it is whole and on the disk: until then, and when it never comes to that, its bytes are in a
//! nameless one beside it. Knows nothing of what is in it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that is being written.
#[derive(Debug)]
pub struct WholeFile {
    bytes: NamedTempFile,
    path: PathBuf,
}

impl WholeFile {
    /// Begins a file that is to be `path`, or that to which a link of that name points. A device or a pipe is refused: a file would take
    /// its place.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let path = match fs::metadata(path) {
            Ok(there) if there.is_file() => fs::canonicalize(path)?,
            Ok(there) if there.is_dir() => return Err(io::Error::new(ErrorKind::InvalidInput, "it is a folder")),
            Ok(_) => return Err(io::Error::new(ErrorKind::InvalidInput, "it is a device or a pipe, not a file")),
            Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        Ok(Self { bytes: NamedTempFile::new_in(folder(&path))?, path })
    }

    /// Gives it its name, in place of what had it.
    pub fn finish(self) -> io::Result<()> {
        self.bytes.as_file().sync_all()?;
        self.bytes.persist(&self.path)?;
        sync_folder(&self.path)
    }

    /// Gives it its name unless something has it.
    pub fn finish_new(self) -> io::Result<()> {
        self.bytes.as_file().sync_all()?;
        self.bytes.persist_noclobber(&self.path)?;
        sync_folder(&self.path)
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.bytes.flush()
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name is on the disk once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn it_has_its_name_once_it_is_whole_and_leaves_nothing_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, "before").unwrap();
        let mut file = WholeFile::begin(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        drop(file);
        assert_eq!((names(folder.path()), fs::read_to_string(&path).unwrap()), (vec!["a.csv".into()], "before".into()));
        let mut file = WholeFile::begin(&path).unwrap();
        file.write_all(b"whole").unwrap();
        file.finish().unwrap();
        assert_eq!((names(folder.path()), fs::read_to_string(&path).unwrap()), (vec!["a.csv".into()], "whole".into()));
        let refused = WholeFile::begin(&path).unwrap().finish_new().unwrap_err();
        assert_eq!((refused.kind(), names(folder.path())), (ErrorKind::AlreadyExists, vec!["a.csv".into()]));
    }

    #[test]
    fn a_link_still_points_where_it_did_and_what_is_no_file_stays_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name| folder.path().join(name);
        fs::write(at("real"), "before").unwrap();
        symlink("real", at("link")).unwrap();
        WholeFile::begin(&at("link")).unwrap().finish().unwrap();
        assert_eq!((fs::read_to_string(at("real")).unwrap(), at("link").is_symlink()), (String::new(), true));
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let refused = WholeFile::begin(&at("socket")).unwrap_err();
        assert_eq!(refused.to_string(), "it is a device or a pipe, not a file");
        assert_eq!(WholeFile::begin(folder.path()).unwrap_err().to_string(), "it is a folder");
        assert_eq!(names(folder.path()), ["link", "real", "socket"]);
    }
}
