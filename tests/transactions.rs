//! Transactions that wait for each other are committed together, and each is whole or isn't all the same.

#![allow(clippy::unwrap_used, reason = "a test that unwraps in vain fails, as it should")]

use slipway::db::{Db, DbError, Tx};
use tokio::task::JoinHandle;

/// A database with a table of our own.
async fn database(folder: &tempfile::TempDir) -> Db {
    let url = format!("sqlite://{}/slipway.db", folder.path().display());
    let db = Db::open(&url.parse().unwrap()).await.unwrap();
    sqlx::query("CREATE TABLE word (word TEXT NOT NULL)").execute(db.pool()).await.unwrap();
    db
}

async fn write(tx: &mut Tx, word: &str) -> Result<(), DbError> {
    sqlx::query("INSERT INTO word (word) VALUES ($1)").bind(word).execute(&mut **tx).await?;
    Ok(())
}

async fn words(db: &Db) -> Vec<String> {
    sqlx::query_scalar("SELECT word FROM word ORDER BY rowid").fetch_all(db.pool()).await.unwrap()
}

/// The first transaction, about to be committed, and the second, which came into the same commit.
async fn two_together(db: &Db) -> (JoinHandle<Result<(), DbError>>, Tx) {
    let mut first = db.begin().await.unwrap();
    write(&mut first, "first").await.unwrap();
    let second = tokio::spawn({
        let db = db.clone();
        async move { db.begin().await.unwrap() }
    });
    // Until the second waits.
    tokio::task::yield_now().await;
    let first = tokio::spawn(first.commit());
    let second = second.await.unwrap();
    assert_eq!(words(db).await, [""; 0], "nothing is committed before the second one is");
    assert!(!first.is_finished());
    (first, second)
}

#[tokio::test]
async fn those_who_wait_are_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&folder).await;
    let (first, mut second) = two_together(&db).await;
    write(&mut second, "second").await.unwrap();
    second.commit().await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(words(&db).await, ["first", "second"]);
}

#[tokio::test]
async fn one_that_is_given_up_takes_nobody_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&folder).await;
    let (first, mut second) = two_together(&db).await;
    write(&mut second, "second").await.unwrap();
    drop(second);
    first.await.unwrap().unwrap();
    assert_eq!(words(&db).await, ["first"]);

    let mut third = db.begin().await.unwrap();
    write(&mut third, "third").await.unwrap();
    drop(third);
    db.begin().await.unwrap().commit().await.unwrap();
    assert_eq!(words(&db).await, ["first"]);
}

#[tokio::test]
async fn nobody_is_told_of_a_commit_that_another_ones_full_disk_has_undone() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&folder).await;
    let (first, mut second) = two_together(&db).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *second).await.unwrap();
    let limit = |pages: i64| sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::query(limit(pages)).execute(&mut *second).await.unwrap();
    let full = write(&mut second, &"long ".repeat(100_000)).await.unwrap_err();
    assert!(matches!(full, DbError::Full), "{full}");
    drop(second);
    first.await.unwrap().unwrap_err();
    assert_eq!(words(&db).await, [""; 0], "what was not committed is not there");

    let mut third = db.begin().await.unwrap();
    sqlx::query(limit(1 << 30)).execute(&mut *third).await.unwrap();
    write(&mut third, "third").await.unwrap();
    third.commit().await.unwrap();
    assert_eq!(words(&db).await, ["third"]);
}

#[tokio::test]
async fn a_commit_whose_asker_is_gone_is_made_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&folder).await;
    let (first, second) = two_together(&db).await;
    first.abort();
    second.commit().await.unwrap();
    assert_eq!(words(&db).await, ["first"]);
}

#[tokio::test]
async fn a_hundred_at_once_all_come_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(&folder).await;
    let writers: Vec<JoinHandle<()>> = (0..100)
        .map(|number| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin().await.unwrap();
                write(&mut tx, &number.to_string()).await.unwrap();
                // Every third one thinks better of it.
                if number % 3 > 0 {
                    tx.commit().await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut kept: Vec<i32> = words(&db).await.iter().map(|word| word.parse().unwrap()).collect();
    kept.sort_unstable();
    assert_eq!(kept, (0..100).filter(|number| number % 3 > 0).collect::<Vec<_>>());
}
