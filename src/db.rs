//! The database: its pool, its migrations, its transactions and the lease that lets one bot at a time own it. Knows no
//! feature's tables.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor};

use crate::invalid::Invalid;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Connections that read. SQLite has one writer at a time, which has a connection of its own: those who wait for it hold
/// up nobody who reads, and so no acknowledgement.
const READERS_MAX: u32 = 4;
/// How long a writer waits for another process (the command line beside the bot) before it gives up.
const BUSY_TIMEOUT_MS: u32 = 5_000;
/// How long a read, or a transaction, waits for its turn.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the database is: `sqlite://` and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl(PathBuf);

impl DatabaseUrl {
    /// The database file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The lock beside the database itself, whatever links lead to it: two names must not be two leases.
    fn lock_path(&self) -> PathBuf {
        let real = self.0.canonicalize().or_else(|_| {
            let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            folder.canonicalize().map(|folder| folder.join(self.0.file_name().unwrap_or_default()))
        });
        let mut name = real.unwrap_or_else(|_| self.0.clone()).into_os_string();
        name.push(".lock");
        name.into()
    }
}

impl FromStr for DatabaseUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &'static str| Err(Invalid::new("database", why, "sqlite://slipway.db"));
        let Some(path) = text.strip_prefix("sqlite://") else {
            return invalid(
                "The database is `sqlite://` and the path of a file; other databases are not supported yet.",
            );
        };
        if path.is_empty() || path.contains(['?', '#', '%', '\0']) || path == ":memory:" {
            return invalid("The database's path must name a file and hold none of `?`, `#` and `%`.");
        }
        Ok(Self(path.into()))
    }
}

/// What can be wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file can't be opened or made.
    #[error("The database {path} can't be opened: {why}. {}", what_to_do(why))]
    Open { path: String, why: String },
    /// A newer Slipway has migrated it.
    #[error(
        "The database {path} was made by a newer version of Slipway (it has migration {version}, which this version doesn't know). \
         Run that newer version, or restore a backup from before the upgrade."
    )]
    Newer { path: String, version: i64 },
    /// An older Slipway has made it, and none of this version has run on it.
    #[error(
        "The database {path} was made by an older version of Slipway. Run this version's bot on it once: `slipway run` brings it up to date."
    )]
    Older { path: String },
    /// Its migrations are not ours.
    #[error(
        "The database {path} can't be brought up to date: {why}. Restore a backup, or point DATABASE_URL at another file."
    )]
    Migrate { path: String, why: String },
    /// The disk is full.
    #[error("The database's disk is full. Make room on it; what was recorded is safe.")]
    Full,
    /// Another process has held the write lock for too long.
    #[error("The database is busy: another program has held it for more than {} s.", BUSY_TIMEOUT_MS / 1000)]
    Busy,
    /// Anything else that SQLite says.
    #[error("The database failed: {0}.")]
    Failed(String),
    /// What it holds doesn't parse.
    #[error("The database holds something that this version doesn't understand: {0}.")]
    Corrupt(String),
    /// A uniqueness constraint: the row is there already.
    #[error("That exists already.")]
    Duplicate,
}

/// What helps against what SQLite says of a file.
fn what_to_do(why: &str) -> &'static str {
    if why.contains("not a database") || why.contains("malformed") {
        "The file is no database, or a damaged one: restore a backup, or point DATABASE_URL at another file."
    } else {
        "Check that the folder exists and that this user may write there."
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refused) if refused.is_unique_violation() => DbError::Duplicate,
            // SQLite's result codes, the low byte: https://sqlite.org/rescode.html
            sqlx::Error::Database(refused) => {
                match refused.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
                    Some(13) => DbError::Full,
                    Some(5 | 6) => DbError::Busy,
                    _ => DbError::Failed(refused.message().to_owned()),
                }
            }
            sqlx::Error::PoolTimedOut => DbError::Busy,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
                DbError::Corrupt(error.to_string())
            }
            _ => DbError::Failed(error.to_string()),
        }
    }
}

/// Connections for reads, for what hands them to a store without knowing SQL.
pub type Pool = AnyPool;

/// A transaction that already holds the write lock, so that what it reads cannot change before it writes.
pub type Tx = sqlx::Transaction<'static, sqlx::Any>;

/// A connection, of whichever kind: for reads that belong before a write, too.
pub type Connection = AnyConnection;

/// A connection for reads that follow each other.
pub type Reader = sqlx::pool::PoolConnection<sqlx::Any>;

/// The open database.
#[derive(Clone)]
pub struct Db {
    readers: AnyPool,
    writer: AnyPool,
}

impl Db {
    /// Opens the database, making it when it isn't there, and brings it up to date.
    pub async fn open(url: &DatabaseUrl) -> Result<Db, DbError> {
        sqlx::any::install_default_drivers();
        let path = url.path().display().to_string();
        let address = format!("sqlite://{path}?mode=rwc");
        // Alone first: a pool would try again for a while and then only say that it took too long.
        let refused = |error| DbError::Open { path: path.clone(), why: plain(&error) };
        let mut first = AnyConnection::connect(&address).await.map_err(refused)?;
        set_up(&mut first).await.map_err(refused)?;
        first.close().await.map_err(refused)?;
        let connect = async |connections| {
            let options = AnyPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT);
            // A file needs no ping to show that it is still there, and each costs a way to its thread and back.
            let options = options.test_before_acquire(false);
            let pool = options.after_connect(|connection, _| Box::pin(async { set_up(connection).await }));
            pool.connect(&address).await.map_err(refused)
        };
        let writer = connect(1).await?;
        MIGRATIONS.run(&writer).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => DbError::Newer { path: path.clone(), version },
            other => DbError::Migrate { path: path.clone(), why: other.to_string() },
        })?;
        let db = Db { readers: connect(READERS_MAX).await?, writer };
        db.check().await.map_err(|why| DbError::Open { path, why })?;
        Ok(db)
    }

    /// Opens a database that is there, as it is: for what works beside a bot that may be another version.
    pub async fn open_as_is(url: &DatabaseUrl) -> Result<Db, DbError> {
        sqlx::any::install_default_drivers();
        let path = url.path().display().to_string();
        let refused = |error| DbError::Open { path: path.clone(), why: plain(&error) };
        let mut first = AnyConnection::connect(&format!("sqlite://{path}?mode=rw")).await.map_err(refused)?;
        let newest: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&mut first)
            .await
            .map_err(refused)?;
        first.close().await.map_err(refused)?;
        let known = MIGRATIONS.iter().map(|migration| migration.version).max();
        match newest {
            Some(version) if Some(version) > known => Err(DbError::Newer { path, version }),
            version if version < known => Err(DbError::Older { path }),
            _ => Db::open(url).await,
        }
    }

    /// Whether what was asked for holds: some file systems know no write-ahead log, and a file may be read-only.
    async fn check(&self) -> Result<(), String> {
        let mode: String = sqlx::query_scalar("SELECT CAST(journal_mode AS TEXT) FROM pragma_journal_mode")
            .fetch_one(&self.writer)
            .await
            .map_err(|error| plain(&error))?;
        if mode != "wal" {
            return Err(format!("its journal mode is {mode}, and this file system has no write-ahead log"));
        }
        let tx = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|error| plain(&error))?;
        tx.rollback().await.map_err(|error| plain(&error))
    }

    /// For reads that need not agree with a write.
    pub fn pool(&self) -> &Pool {
        &self.readers
    }

    /// For reads that follow each other, which are faster on one connection. Whoever holds one must not wait for another.
    pub async fn reader(&self) -> Result<Reader, DbError> {
        Ok(self.readers.acquire().await?)
    }

    /// Begins a transaction that holds the write lock from its first moment.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Reads a little from the file, as a sign of life.
    pub async fn answer(&self) -> Result<(), DbError> {
        let read = sqlx::query_scalar::<_, i64>("SELECT MAX(version) FROM _sqlx_migrations");
        read.fetch_one(&self.readers).await.map(drop).map_err(DbError::from)
    }

    /// Closes every connection, once what is under way is done.
    pub async fn close(&self) {
        tokio::join!(self.readers.close(), self.writer.close());
    }
}

async fn set_up(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    for pragma in pragmas() {
        connection.execute(sqlx::AssertSqlSafe(pragma)).await?;
    }
    Ok(())
}

fn pragmas() -> [String; 4] {
    [
        format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"),
        "PRAGMA journal_mode = WAL".to_owned(),
        // What was committed is on the disk: invariant 2 rests on it.
        "PRAGMA synchronous = FULL".to_owned(),
        "PRAGMA foreign_keys = ON".to_owned(),
    ]
}

fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(refused) => refused.message().to_owned(),
        other => other.to_string(),
    }
}

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
        let path = url.lock_path();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn url(folder: &tempfile::TempDir) -> DatabaseUrl {
        format!("sqlite://{}/slipway.db", folder.path().display()).parse().unwrap()
    }

    #[tokio::test]
    async fn a_database_is_made_migrated_and_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        Db::open(&url(&folder)).await.unwrap().close().await;
        let db = Db::open(&url(&folder)).await.unwrap();
        for (pragma, column, expected) in [
            ("journal_mode", "journal_mode", "wal"),
            ("synchronous", "synchronous", "2"),
            ("foreign_keys", "foreign_keys", "1"),
            ("busy_timeout", "timeout", "5000"),
        ] {
            let query = format!("SELECT CAST({column} AS TEXT) FROM pragma_{pragma}");
            let value: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(db.pool()).await.unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
    }

    #[tokio::test]
    async fn a_database_from_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&url(&folder)).await.unwrap();
        sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)")
            .execute(db.pool())
            .await
            .unwrap();
        db.close().await;
        let refused = Db::open(&url(&folder)).await.err().unwrap();
        assert!(matches!(refused, DbError::Newer { version: 9999, .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let error = Db::open(&"sqlite:///nowhere/at/all/slipway.db".parse().unwrap()).await.err().unwrap();
        assert!(error.to_string().contains("/nowhere/at/all/slipway.db can't be opened"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let url = url(&folder);
        std::fs::write(
            url.path(),
            "This is a letter, and far longer than the header of a database would be.".repeat(20),
        )
        .unwrap();
        let error = Db::open(&url).await.err().unwrap();
        assert!(matches!(error, DbError::Open { .. }), "{error}");
        assert!(std::fs::read_to_string(url.path()).unwrap().starts_with("This is a letter"));
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

    #[tokio::test]
    async fn the_command_line_does_not_bring_a_database_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Db::open_as_is(&url(&folder)).await.is_err());
        assert!(!url(&folder).path().exists());
        let db = Db::open(&url(&folder)).await.unwrap();
        Db::open_as_is(&url(&folder)).await.unwrap().close().await;
        sqlx::query("DELETE FROM _sqlx_migrations").execute(db.pool()).await.unwrap();
        assert!(matches!(Db::open_as_is(&url(&folder)).await, Err(DbError::Older { .. })));
    }

    #[test]
    fn only_files_of_sqlite_are_databases() {
        for bad in [
            "",
            "slipway.db",
            "postgres://x",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://a?mode=ro",
        ] {
            assert!(bad.parse::<DatabaseUrl>().is_err(), "{bad}");
        }
    }
}
