//! Which index leads a search to its entries: that of the term that fewest entries pass. The others are asked about each of these,
//! and every term is tested on the entry itself, so a wrong choice costs time and nothing else.

use super::Question;
use super::store;
use crate::audit::query::{Field, Glob, Test};
use crate::db::{Connection, DbError};

/// The most different values that a pattern is made into.
const VALUES_MAX: usize = 500;
/// The most values that an index is asked about for each entry that another one leads to.
const ASKED_MAX: usize = 16;
/// Entries up to which a term counts as rare: they are all looked at in one step.
const SHORT_MAX: i64 = 2_000;
/// The newest entries in which is counted how many pass a term.
const SAMPLE: i64 = 65_536;

/// An index of `audit_log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// The column that it is about.
    pub column: &'static str,
    /// Whether letters A to Z match in either case.
    pub ignores_case: bool,
}

const ACTION: Index = Index { name: "audit_log_by_action", column: "action", ignores_case: false };
const OUTCOME: Index = Index { name: "audit_log_by_outcome", column: "outcome", ignores_case: false };
const ACTOR: Index = Index { name: "audit_log_by_actor", column: "actor_id", ignores_case: true };
const NAME: Index = Index { name: "audit_log_by_name", column: "actor_name", ignores_case: true };
const REPO: Index = Index { name: "audit_log_by_repo", column: "repo", ignores_case: true };
const ENVIRONMENT: Index = Index { name: "audit_log_by_environment", column: "environment", ignores_case: true };
const BRANCH: Index = Index { name: "audit_log_by_branch", column: "branch", ignores_case: true };
const REVISION: Index = Index { name: "audit_log_by_revision", column: "revision", ignores_case: true };
const DEPLOY: Index = Index { name: "audit_log_by_deploy", column: "deploy_id", ignores_case: false };

/// What an index is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Texts.
    Texts(Vec<String>),
    /// Numbers.
    Numbers(Vec<i64>),
}

impl Values {
    fn count(&self) -> usize {
        match self {
            Values::Texts(texts) => texts.len(),
            Values::Numbers(numbers) => numbers.len(),
        }
    }
}

/// What a term is to the indexes: an entry passes it when one of these indexes has it under one of these values, of which there is
/// at least one.
pub type Way = Vec<(Index, Values)>;

/// How a search finds its entries.
#[derive(Debug, Default)]
pub struct Drive {
    /// What leads to them; nothing when each is looked at.
    pub lead: Option<Way>,
    /// What is asked about each of them beside that.
    pub asked: Vec<Way>,
    entries: Option<i64>,
}

impl Drive {
    /// Whether no entry can match.
    pub fn is_empty(&self) -> bool {
        self.entries == Some(0)
    }

    /// Whether it leads to so few entries that all can be looked at in one step.
    pub fn is_short(&self) -> bool {
        self.entries.is_some()
    }

    /// Chooses for the numbers of `span`, from the first to the one after the last.
    pub async fn choose(connection: &mut Connection, question: &Question, span: (i64, i64)) -> Result<Self, DbError> {
        let mut ways = Vec::new();
        for term in question.query.terms.iter().filter(|term| !term.negated) {
            if let Some(way) = way(connection, question, &term.test).await? {
                let weight = weight(connection, question, &way, span).await?;
                ways.push((weight, way));
            }
        }
        ways.sort_by_key(|(weight, _)| *weight);
        let mut ways = ways.into_iter();
        let Some((weight, lead)) = ways.next() else { return Ok(Self::default()) };
        let entries = match weight {
            Weight::Few(entries) => Some(entries),
            Weight::Many(_) => None,
        };
        let few = |way: &Way| way.iter().map(|(_, values)| values.count()).sum::<usize>() <= ASKED_MAX;
        Ok(Self { lead: Some(lead), asked: ways.map(|(_, way)| way).filter(few).collect(), entries })
    }
}

/// How many entries pass a term. In this order: fewer come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// So many in all.
    Few(i64),
    /// So many of the newest ones.
    Many(i64),
}

async fn weight(
    connection: &mut Connection,
    question: &Question,
    way: &Way,
    span: (i64, i64),
) -> Result<Weight, DbError> {
    if way.is_empty() {
        return Ok(Weight::Few(0));
    }
    let all = store::count(connection, question.guild, way, span, SHORT_MAX).await?;
    if all < SHORT_MAX {
        return Ok(Weight::Few(all));
    }
    let newest = (span.0.max(span.1.saturating_sub(SAMPLE)), span.1);
    store::count(connection, question.guild, way, newest, SAMPLE).await.map(Weight::Many)
}

/// How the indexes know a test; nothing when they don't, or when it would take too many values.
async fn way(connection: &mut Connection, question: &Question, test: &Test) -> Result<Option<Way>, DbError> {
    let (indexes, globs): (&[Index], &[Glob]) = match test {
        Test::Deploy(ids) => {
            return Ok(Some(vec![(DEPLOY, Values::Numbers(ids.iter().map(|id| id.0).collect()))]));
        }
        Test::Field(field, globs) => (indexes(*field), globs),
        Test::At(_) | Test::Redacted | Test::Text(_) => return Ok(None),
    };
    let mut way = Way::new();
    for index in indexes {
        let Some(values) = values(connection, question, *index, globs).await? else { return Ok(None) };
        if !values.is_empty() {
            way.push((*index, Values::Texts(values)));
        }
    }
    Ok(Some(way))
}

fn indexes(field: Field) -> &'static [Index] {
    match field {
        Field::Action => &[ACTION],
        Field::Outcome => &[OUTCOME],
        Field::Actor => &[ACTOR, NAME],
        Field::Repo => &[REPO],
        Field::Environment => &[ENVIRONMENT],
        Field::Branch => &[BRANCH],
        Field::Revision => &[REVISION],
    }
}

/// The values that an index has and that fit one of the patterns; nothing when there are too many to look through.
async fn values(
    connection: &mut Connection,
    question: &Question,
    index: Index,
    globs: &[Glob],
) -> Result<Option<Vec<String>>, DbError> {
    let (mut values, mut patterns) = (Vec::new(), Vec::new());
    for glob in globs {
        match glob.literal() {
            Some(text) => values.push(text),
            None => patterns.push(glob),
        }
    }
    for glob in patterns {
        let prefix = glob.prefix();
        let there = store::values(connection, question.guild, index, &prefix, VALUES_MAX + 1).await?;
        if there.len() > VALUES_MAX {
            return Ok(None);
        }
        values.extend(there.into_iter().filter(|value| glob.matches(value)));
    }
    values.sort_unstable();
    values.dedup();
    Ok((values.len() <= VALUES_MAX).then_some(values))
}
