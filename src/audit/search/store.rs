//! The statements of a search.

use std::fmt::Write;

use sqlx::any::AnyArguments;
use sqlx::query::Query as Statement;
use sqlx::{Any, AssertSqlSafe, Row as _};

use super::Question;
use super::index::{Drive, Found, Index, Values, Way};
use crate::audit::block::{self, SPAN};
use crate::audit::chain::Row;
use crate::audit::query::{AsOf, Field, Glob, Test};
use crate::audit::store::{columns, read};
use crate::db::{Connection, DbError};
use crate::id::GuildId;

/// The number of a chain's newest entry; 0 when there is none.
pub async fn newest(connection: &mut Connection, guild: GuildId) -> Result<i64, DbError> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT MAX(seq) FROM audit_log WHERE guild_id = $1")
        .bind(guild.row())
        .fetch_one(connection)
        .await?;
    Ok(newest.unwrap_or(0))
}

/// The numbers under which the entries of a span of time stand, lowest first; others may stand there too.
pub async fn ranges(
    connection: &mut Connection,
    guild: GuildId,
    (first, end): (i64, i64),
) -> Result<Vec<(i64, i64)>, DbError> {
    if (first, end) == (i64::MIN, i64::MAX) {
        return Ok(vec![(0, i64::MAX)]);
    }
    let blocks = sqlx::query(
        "SELECT MIN(CASE WHEN at_max >= $2 AND at_min < $3 THEN block END) AS lowest,
             MAX(CASE WHEN at_max >= $2 AND at_min < $3 THEN block END) AS highest,
             MAX(block) AS newest
         FROM audit_span
         WHERE guild_id = $1",
    )
    .bind(guild.row())
    .bind(first)
    .bind(end)
    .fetch_one(connection)
    .await?;
    let of = |name| blocks.try_get::<Option<i64>, _>(name);
    let (lowest, highest, newest) = (of("lowest")?, of("highest")?, of("newest")?);
    // The newest numbers, which are no whole block yet, are always looked through.
    let open = newest.map_or(0, |newest| block::numbers(newest, SPAN).1);
    Ok(match lowest.zip(highest) {
        Some((lowest, highest)) => {
            let (first, end) = (block::numbers(lowest, SPAN).0, block::numbers(highest, SPAN).1);
            if end == open { vec![(first, i64::MAX)] } else { vec![(first, end), (open, i64::MAX)] }
        }
        None => vec![(open, i64::MAX)],
    })
}

/// The different values of an index that begin with `prefix`, at most `limit`: one step into the index for each.
pub async fn values(
    connection: &mut Connection,
    guild: GuildId,
    index: Index,
    prefix: &str,
    limit: usize,
) -> Result<Vec<String>, DbError> {
    let mut sql = Sql::default();
    sql.push("WITH RECURSIVE known (value) AS (SELECT * FROM (");
    sql.next_value(guild, index, prefix, Some(prefix));
    sql.push(") UNION ALL SELECT (");
    sql.next_value(guild, index, prefix, None);
    sql.push(") FROM known WHERE value IS NOT NULL) SELECT value FROM known WHERE value IS NOT NULL LIMIT ");
    sql.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = sql.statement().fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get("value").map_err(DbError::from)).collect()
}

/// How many entries a way leads to in a span of numbers; no more than `limit` are counted.
pub async fn count(
    connection: &mut Connection,
    guild: GuildId,
    way: &Way,
    span: (i64, i64),
    limit: i64,
) -> Result<i64, DbError> {
    let mut sql = Sql::default();
    sql.push("SELECT COUNT(*) AS entries FROM (SELECT 1 FROM (");
    sql.led(guild, way, span, &[], " UNION ALL ");
    sql.push(") LIMIT ").bind(limit).push(")");
    Ok(sql.statement().fetch_one(connection).await?.try_get("entries")?)
}

/// The first entries that are meant in a span of numbers, in the order in which they are looked through.
pub async fn rows(
    connection: &mut Connection,
    question: &Question,
    drive: &Drive,
    span: (i64, i64),
    upwards: bool,
    limit: usize,
) -> Result<Vec<Row>, DbError> {
    let mut sql = Sql::default();
    sql.push(concat!("SELECT ", columns!(), " FROM audit_log WHERE guild_id = ")).bind(question.guild.row());
    match &drive.lead {
        Some(lead) => {
            sql.push(" AND seq IN (");
            sql.led(question.guild, lead, span, &drive.asked, " UNION ");
            sql.push(")");
        }
        None => {
            sql.push(" AND seq >= ").bind(span.0).push(" AND seq < ").bind(span.1);
        }
    }
    for term in &question.query.terms {
        // An empty column (NULL, neither true nor false) passes no test, so it passes the opposite of each.
        sql.push(if term.negated { " AND NOT COALESCE(" } else { " AND (" });
        sql.test(&term.test, &question.as_of);
        sql.push(if term.negated { ", FALSE)" } else { ")" });
    }
    sql.push(if upwards { " ORDER BY seq LIMIT " } else { " ORDER BY seq DESC LIMIT " });
    sql.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    sql.statement().fetch_all(connection).await?.iter().map(read).collect()
}

/// A statement in the making. What people wrote is only ever bound.
#[derive(Default)]
struct Sql {
    text: String,
    values: Vec<Value>,
}

enum Value {
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl Sql {
    fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let _ = write!(self.text, "${}", self.values.len());
        self
    }

    /// The least value of an index that begins with `prefix` and is not below `from`; without `from`, that is above `value`.
    fn next_value(&mut self, guild: GuildId, index: Index, prefix: &str, from: Option<&str>) {
        let collation = collation(index);
        self.push("SELECT ").push(index.column).push(" AS value FROM audit_log INDEXED BY ").push(index.name);
        self.push(" WHERE guild_id = ").bind(guild.row()).push(" AND ").push(index.column).push(" IS NOT NULL AND ");
        self.push(index.column);
        match from {
            Some(from) => self.push(" >= ").bind(from.to_owned()),
            None => self.push(" > known.value"),
        };
        self.push(collation);
        if let Some(end) = after(prefix) {
            self.push(" AND ").push(index.column).push(" < ").bind(end).push(collation);
        }
        self.push(" ORDER BY ").push(index.column).push(collation).push(" LIMIT 1");
    }

    /// The numbers of the entries that a way leads to, and that each of the ways `asked` leads to as well.
    fn led(&mut self, guild: GuildId, way: &Way, span: (i64, i64), asked: &[Way], union: &'static str) {
        for (place, found) in way.iter().enumerate() {
            if place > 0 {
                self.push(union);
            }
            self.push("SELECT seq FROM audit_log AS led INDEXED BY ").push(found.index.name);
            self.push(" WHERE guild_id = ").bind(guild.row()).push(" AND ");
            self.has("led.", found);
            self.push(" AND seq >= ").bind(span.0).push(" AND seq < ").bind(span.1);
            for other in asked {
                self.push(" AND (");
                self.any(other, |sql, found| {
                    sql.push("EXISTS (SELECT 1 FROM audit_log AS asked INDEXED BY ").push(found.index.name);
                    sql.push(" WHERE asked.guild_id = ").bind(guild.row()).push(" AND ");
                    sql.has("asked.", found);
                    sql.push(" AND asked.seq = led.seq)");
                });
                self.push(")");
            }
        }
    }

    fn has(&mut self, of: &'static str, Found { index, values, between }: &Found) {
        self.push(of).push(index.column).push(" IS NOT NULL AND ").push(of).push(index.column).push(collation(*index));
        match values {
            Values::Texts(texts) => self.one_of(texts.iter().cloned()),
            Values::Numbers(numbers) => self.one_of(numbers.iter().copied()),
        }
        if let Some(column) = index.between {
            self.push(" AND ").push(of).push(column);
            self.one_of(between.iter().cloned());
        }
    }

    fn one_of<V: Into<Value>>(&mut self, values: impl Iterator<Item = V>) {
        self.push(" IN (");
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self.push(")");
    }

    fn test(&mut self, test: &Test, as_of: &AsOf) {
        match test {
            Test::Field(field, globs) => self.any(globs, |sql, glob| sql.field(*field, glob)),
            Test::Deploy(ids) => self.any(ids, |sql, id| {
                sql.push("deploy_id = ").bind(id.0);
            }),
            Test::At(span) => {
                let (first, end) = span.bounds(as_of);
                self.push("at >= ").bind(first).push(" AND at < ").bind(end);
            }
            Test::Redacted => {
                self.push("salt IS NULL");
            }
            Test::Text(glob) => self.any(&["actor_name", "reason", "detail"], |sql, column| {
                sql.push("lower(").push(column).push(") LIKE ");
                sql.bind(format!("%{}%", glob.like())).push(" ESCAPE '\\'");
            }),
        }
    }

    fn field(&mut self, field: Field, glob: &Glob) {
        match field {
            // Always in lower case.
            Field::Action => self.fits("action", glob),
            Field::Outcome => self.fits("outcome", glob),
            Field::Repo => self.fits("lower(repo)", glob),
            Field::Environment => self.fits("lower(environment)", glob),
            Field::Branch => self.fits("lower(branch)", glob),
            Field::Revision => self.fits("lower(revision)", glob),
            Field::Actor => {
                self.fits("lower(actor_name)", glob);
                self.push(" OR ");
                self.fits("lower(actor_id)", glob);
            }
        }
    }

    fn fits(&mut self, column: &'static str, glob: &Glob) {
        match glob.literal() {
            Some(text) => self.push(column).push(" = ").bind(text),
            None => self.push(column).push(" LIKE ").bind(glob.like()).push(" ESCAPE '\\'"),
        };
    }

    fn any<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.push(" OR ");
            }
            each(self, item);
        }
    }

    fn statement(self) -> Statement<'static, Any, AnyArguments> {
        let statement = sqlx::query(AssertSqlSafe(self.text));
        self.values.into_iter().fold(statement, |statement, value| match value {
            Value::Integer(number) => statement.bind(number),
            Value::Text(text) => statement.bind(text),
        })
    }
}

fn collation(index: Index) -> &'static str {
    if index.ignores_case { " COLLATE NOCASE" } else { "" }
}

/// A text that comes after every one that begins with `prefix`, as SQLite orders them: by bytes.
fn after(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        if let Some(next) = char::from_u32(u32::from(last) + 1).filter(|next| !next.is_ascii_uppercase()) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
