//! The lease that lets one bot at a time own a database. Knows nothing of what is in it.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::DatabaseUrl;

/// The right to be the one bot on a database: an operating-system lock on a file beside it, which a death frees at once.
#[derive(Debug)]
pub struct Lease {
    // Closing the file gives the lock back.
    _file: File,
}

/// Why the lease can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another process has it.
    #[error(
        "The database {path} is in use by {holder}. Only one bot at a time may own a database: stop that one first, or use another DATABASE_URL."
    )]
    Held { path: String, holder: String },
    /// The lock file can't be used.
    #[error("The lock file {path} can't be used: {why}. Check that this user may write there.")]
    Unusable { path: String, why: std::io::Error },
}

impl Lease {
    /// Takes the lease of the database at `url` and notes `holder` for whoever comes second.
    pub fn take(url: &DatabaseUrl, holder: &str) -> Result<Lease, LeaseError> {
        let path = lock_path(url);
        let unusable = |why| LeaseError::Unusable { path: path.display().to_string(), why };
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder's note is only for people; without it the message is less exact.
                let _ = file.take(200).read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() {
                    "another process".to_owned()
                } else {
                    crate::text::one_line(holder.trim()).into_owned()
                };
                return Err(LeaseError::Held { path: url.path().display().to_string(), holder });
            }
            Err(TryLockError::Error(why)) => return Err(unusable(why)),
        }
        let note = |file: &mut File| -> std::io::Result<()> {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{holder}")
        };
        note(&mut file).map_err(unusable)?;
        Ok(Lease { _file: file })
    }
}

/// The lock beside the database itself, whatever links lead to it: two names must not be two leases.
fn lock_path(url: &DatabaseUrl) -> PathBuf {
    let real = url.path().canonicalize().or_else(|_| {
        let folder = url.path().parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder.canonicalize().map(|folder| folder.join(url.path().file_name().unwrap_or_default()))
    });
    let mut name = real.unwrap_or_else(|_| url.path().to_owned()).into_os_string();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(folder: &tempfile::TempDir) -> DatabaseUrl {
        format!("sqlite://{}/slipway.db", folder.path().display()).parse().unwrap()
    }

    #[test]
    fn the_second_to_want_the_lease_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let lease = Lease::take(&url(&folder), "slipway run, process 7").unwrap();
        let refused = Lease::take(&url(&folder), "slipway run, process 8").unwrap_err();
        assert!(refused.to_string().contains("in use by slipway run, process 7"), "{refused}");
        drop(lease);
        Lease::take(&url(&folder), "slipway run, process 8").unwrap();
    }

    #[test]
    fn another_name_of_the_same_database_is_no_second_lease() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("slipway.db"), "").unwrap();
        std::os::unix::fs::symlink(folder.path().join("slipway.db"), folder.path().join("other.db")).unwrap();
        let _lease = Lease::take(&url(&folder), "the first").unwrap();
        let other: DatabaseUrl = format!("sqlite://{}/other.db", folder.path().display()).parse().unwrap();
        assert!(matches!(Lease::take(&other, "the second"), Err(LeaseError::Held { .. })));
    }
}
