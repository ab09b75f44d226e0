//! The database: its connections, its migrations, its transactions and the lease that lets one bot at a time own it. Knows no
//! feature's tables.

mod lease;
mod url;

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};
use tokio::time::timeout;

pub use lease::{Lease, LeaseError};
pub use url::DatabaseUrl;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Connections that read. SQLite has one writer at a time, which has a connection of its own: those who wait for it hold
/// up nobody who reads, and so no acknowledgement.
const READERS_MAX: u32 = 4;
/// How long a writer waits for another process (the command line beside the bot) before it gives up.
const BUSY_TIMEOUT_MS: u32 = 5_000;
/// How long a read, or a transaction, waits for its turn.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many transactions are committed together at most: the first of them waits for the last.
const TOGETHER_MAX: usize = 32;

/// What can be wrong with the database.
#[derive(Debug, Clone, thiserror::Error)]
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

/// A connection, of whichever kind: for reads that belong before a write, too.
pub type Connection = AnyConnection;

/// A connection for reads that follow each other.
pub type Reader = sqlx::pool::PoolConnection<sqlx::Any>;

/// The open database.
#[derive(Clone)]
pub struct Db {
    readers: AnyPool,
    writer: Arc<Mutex<Writer>>,
    written: Arc<Notify>,
}

impl Db {
    /// Opens the database, making it when it isn't there, and brings it up to date.
    pub async fn open(url: &DatabaseUrl) -> Result<Db, DbError> {
        sqlx::any::install_default_drivers();
        let path = url.path().display().to_string();
        let address = format!("sqlite://{path}?mode=rwc");
        // Before the pool, which would try again for a while and then only say that it took too long.
        let refused = |error| DbError::Open { path: path.clone(), why: plain(&error) };
        let mut writer = Writer::connect(&address).await.map_err(refused)?;
        let options = AnyPoolOptions::new().max_connections(READERS_MAX).acquire_timeout(ACQUIRE_TIMEOUT);
        // A file needs no ping to show that it is still there, and each costs a way to its thread and back.
        let options = options.test_before_acquire(false);
        let pool = options.after_connect(|connection, _| Box::pin(async { set_up(connection).await }));
        let readers = pool.connect(&address).await.map_err(refused)?;
        MIGRATIONS.run(&readers).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => DbError::Newer { path: path.clone(), version },
            other => DbError::Migrate { path: path.clone(), why: other.to_string() },
        })?;
        check(&mut writer).await.map_err(|why| DbError::Open { path: path.clone(), why })?;
        let written = Arc::new(Notify::new());
        let writer = Writer { connection: Some(writer), address, open: None, written: Arc::clone(&written) };
        Ok(Db { readers, writer: Arc::new(Mutex::new(writer)), written })
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

    /// Waits until something was committed here since this was last awaited. One task may wait at a time.
    pub async fn written(&self) {
        self.written.notified().await;
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
        let turn = timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.writer).lock_owned()).await;
        let mut writer = turn.map_err(|_| DbError::Busy)?;
        let joins = writer.open.is_some();
        writer.open.get_or_insert_default();
        // Whatever happens from here on, this ends what was begun.
        let mut tx = Tx { writer: Some(writer), lock: Arc::clone(&self.writer), joins };
        let writer = tx.writer();
        match writer.run(if joins { SAVE } else { BEGIN }).await {
            Err(sqlx::Error::WorkerCrashed) if !joins => {
                writer.connection = Some(Writer::connect(&writer.address).await?);
                writer.run(BEGIN).await?;
            }
            begun => begun?,
        }
        Ok(tx)
    }

    /// Reads a little from the file, as a sign of life.
    pub async fn answer(&self) -> Result<(), DbError> {
        let read = sqlx::query_scalar::<_, i64>("SELECT MAX(version) FROM _sqlx_migrations");
        read.fetch_one(&self.readers).await.map(drop).map_err(DbError::from)
    }

    /// Writes the write-ahead log into the file and empties it, so that nothing which was erased is left in it. Whether that could be
    /// done: not while somebody else reads.
    pub async fn flush_log(&self) -> Result<bool, DbError> {
        let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.readers).await?;
        Ok(busy == 0)
    }

    /// Closes every connection, once what is under way is done.
    pub async fn close(&self) {
        let writer = async {
            let connection = self.writer.lock().await.connection.take();
            if let Some(connection) = connection {
                // What was committed is safe, whatever it says.
                let _ = connection.close().await;
            }
        };
        tokio::join!(self.readers.close(), writer);
    }
}

/// A transaction that already holds the write lock, so that what it reads cannot change before it writes. Dropped without
/// having been committed, it has changed nothing.
///
/// Those who wait for the lock when one is committed come into the same commit, each behind a savepoint: one flush of the disk
/// serves all, and none is told that it is committed before all are.
pub struct Tx {
    /// Until it ends.
    writer: Option<Turn>,
    lock: Arc<Mutex<Writer>>,
    /// Whether others have written before it in the same commit.
    joins: bool,
}

type Turn = OwnedMutexGuard<Writer>;

/// The connection that writes.
struct Writer {
    /// Until it is closed.
    connection: Option<AnyConnection>,
    address: String,
    /// Told of each commit.
    written: Arc<Notify>,
    /// What the next commit is for. While nobody has the writer, one of them waits for it in order to commit.
    open: Option<Arc<Together>>,
}

/// Transactions that are committed together.
#[derive(Default)]
struct Together {
    count: AtomicUsize,
    /// What has become of them.
    outcome: OnceLock<Result<(), DbError>>,
}

const BEGIN: &str = "BEGIN IMMEDIATE";
const SAVE: &str = "SAVEPOINT act";
const UNDO: &str = "ROLLBACK TO act";
const RELEASE: &str = "RELEASE act";

impl Tx {
    /// Commits it: what it wrote is on the disk.
    pub async fn commit(mut self) -> Result<(), DbError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        // By itself: once begun, it comes to its end whatever becomes of whoever asked for it.
        let ended = tokio::spawn(end(writer, Arc::clone(&self.lock), self.joins)).await;
        ended.unwrap_or_else(|error| Err(DbError::Failed(error.to_string())))
    }

    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("a transaction has its turn until it ends")
    }
}

/// Ends a transaction well, and with it those that are committed together with it, unless another of them does.
async fn end(mut writer: Turn, lock: Arc<Mutex<Writer>>, joins: bool) -> Result<(), DbError> {
    let together = writer.open.get_or_insert_default().clone();
    if joins && let Err(error) = writer.run(RELEASE).await {
        return writer.give_up(error).await;
    }
    if together.count.fetch_add(1, Ordering::Relaxed) + 1 < TOGETHER_MAX {
        // Whoever has waited comes first.
        drop(writer);
        writer = lock.lock_owned().await;
        if let Some(outcome) = together.outcome.get() {
            return outcome.clone();
        }
    }
    match writer.run("COMMIT").await {
        Ok(()) => {
            writer.open = None;
            writer.written.notify_one();
            let _ = together.outcome.set(Ok(()));
            Ok(())
        }
        Err(error) => writer.give_up(error).await,
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        let joins = self.joins;
        // Without a runtime the process is about to end, and that undoes it too.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            if !joins {
                // It may have been undone already, by what went wrong.
                let _ = writer.run("ROLLBACK").await;
                writer.open = None;
                return;
            }
            let undone = async {
                writer.run(UNDO).await?;
                writer.run(RELEASE).await
            };
            if let Err(error) = undone.await {
                // A full disk undoes all of them.
                let _ = writer.give_up(error).await;
            }
        });
    }
}

impl Deref for Tx {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        let writer = self.writer.as_ref().and_then(|writer| writer.connection.as_ref());
        writer.expect("a transaction has a connection until it ends")
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        self.writer().connection.as_mut().expect("a transaction has a connection until it ends")
    }
}

impl Writer {
    async fn connect(address: &str) -> Result<AnyConnection, sqlx::Error> {
        let mut connection = AnyConnection::connect(address).await?;
        set_up(&mut connection).await?;
        Ok(connection)
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let connection = self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        sqlx::query(statement).execute(connection).await.map(drop)
    }

    /// Undoes all that would have been committed together.
    async fn give_up(&mut self, error: sqlx::Error) -> Result<(), DbError> {
        let error = DbError::from(error);
        let _ = self.run("ROLLBACK").await;
        if let Some(together) = self.open.take() {
            let _ = together.outcome.set(Err(error.clone()));
        }
        Err(error)
    }
}

/// Whether what was asked for holds: some file systems know no write-ahead log, and a file may be read-only.
async fn check(writer: &mut AnyConnection) -> Result<(), String> {
    let mode: String = sqlx::query_scalar("SELECT CAST(journal_mode AS TEXT) FROM pragma_journal_mode")
        .fetch_one(&mut *writer)
        .await
        .map_err(|error| plain(&error))?;
    if mode != "wal" {
        return Err(format!("its journal mode is {mode}, and this file system has no write-ahead log"));
    }
    let tx = writer.begin_with(BEGIN).await.map_err(|error| plain(&error))?;
    tx.rollback().await.map_err(|error| plain(&error))
}

async fn set_up(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    for pragma in pragmas() {
        connection.execute(sqlx::AssertSqlSafe(pragma)).await?;
    }
    Ok(())
}

fn pragmas() -> [String; 5] {
    [
        format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"),
        "PRAGMA journal_mode = WAL".to_owned(),
        // What was committed is on the disk: invariant 2 rests on it.
        "PRAGMA synchronous = FULL".to_owned(),
        "PRAGMA foreign_keys = ON".to_owned(),
        // What savepoints may have to undo needs no file.
        "PRAGMA temp_store = MEMORY".to_owned(),
    ]
}

fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(refused) => refused.message().to_owned(),
        other => other.to_string(),
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
}
