//! Which index leads a search to its entries: that of the term that fewest entries pass. The others are asked about each of these,
//! and every term is tested on the entry itself, so a wrong choice costs time and nothing else.

use super::Question;
use super::store;
use crate::audit::block::{Facet, Pair, Value};
use crate::audit::query::{Field, Glob, Test};
use crate::db::{Connection, DbError};

/// The most different values that a pattern is made into.
const VALUES_MAX: usize = 500;
/// The most values that an index is asked about for each entry that another one leads to.
const ASKED_MAX: usize = 16;
/// The most pairs of values that are looked for in the note of each block.
const PAIRS_MAX: usize = 256;
/// Entries up to which a term counts as rare: they are all looked at in one step.
const SHORT_MAX: i64 = 2_000;
/// The newest entries in which is counted how many pass a term.
const SAMPLE: i64 = 16_384;
/// Where one in so many passes the only term that an index knows, a page is full sooner without it.
const COMMON: i64 = 16;

/// An index of `audit_log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// The column that it is about.
    pub column: &'static str,
    /// Whether letters A to Z match in either case.
    pub ignores_case: bool,
    /// The column that stands in it between that one and the number, if any: only where it is named too, numbers are in order.
    pub between: Option<&'static str>,
}

impl Index {
    const fn exact(name: &'static str, column: &'static str) -> Self {
        Self { name, column, ignores_case: false, between: None }
    }

    const fn loose(name: &'static str, column: &'static str) -> Self {
        Self { name, column, ignores_case: true, between: None }
    }
}

const ACTION: Index = Index { between: Some("outcome"), ..Index::exact("audit_log_by_action", "action") };
const OUTCOME: Index = Index::exact("audit_log_by_outcome", "outcome");
const ACTOR: Index = Index::loose("audit_log_by_actor", "actor_id");
const NAME: Index = Index::loose("audit_log_by_name", "actor_name");
const REPO: Index = Index::loose("audit_log_by_repo", "repo");
const ENVIRONMENT: Index = Index::loose("audit_log_by_environment", "environment");
const BRANCH: Index = Index::loose("audit_log_by_branch", "branch");
const REVISION: Index = Index::loose("audit_log_by_revision", "revision");
const DEPLOY: Index = Index::exact("audit_log_by_deploy", "deploy_id");

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

/// What a term is to the indexes: an entry passes it when one of these has it.
pub type Way = Vec<Found>;

/// An index that is asked for some values, of which there is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The index.
    pub index: Index,
    /// The values of its column.
    pub values: Values,
    /// Those of the column in between, which are all there are or all that are meant.
    pub between: Vec<String>,
}

/// How a search finds its entries.
#[derive(Debug, Default)]
pub struct Drive {
    /// What leads to them; nothing when each is looked at.
    pub lead: Option<Way>,
    /// What is asked about each of them beside that.
    pub asked: Vec<Way>,
    /// Of each of these, one pair of values at least stands together in an entry that is meant.
    pub meetings: Vec<Vec<Pair>>,
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
        let tests = || question.query.terms.iter().filter(|term| !term.negated).map(|term| &term.test);
        let outcomes = match tests().find(|test| matches!(test, Test::Field(Field::Action, _))) {
            Some(_) => outcomes(connection, question, tests()).await?,
            None => Vec::new(),
        };
        for test in tests() {
            if let Some(way) = way(connection, question, test, &outcomes).await? {
                let weight = weight(connection, question, &way, span).await?;
                ways.push((weight, way));
            }
        }
        ways.sort_by_key(|(weight, _)| *weight);
        let meetings = meetings(ways.iter().map(|(_, way)| way));
        let mut ways = ways.into_iter();
        let Some((weight, lead)) = ways.next() else { return Ok(Self::default()) };
        if ways.len() == 0 && matches!(weight, Weight::Many(entries) if entries * COMMON >= SAMPLE) {
            return Ok(Self::default());
        }
        let entries = match weight {
            Weight::Few(entries) => Some(entries),
            Weight::Many(_) => None,
        };
        let asked = |found: &Found| found.values.count() * found.between.len().max(1);
        let few = |way: &Way| way.iter().map(asked).sum::<usize>() <= ASKED_MAX;
        Ok(Self { lead: Some(lead), asked: ways.map(|(_, way)| way).filter(few).collect(), meetings, entries })
    }
}

/// The pairs of values of each two ways, where they are of different columns and aren't too many.
fn meetings<'a>(ways: impl Iterator<Item = &'a Way>) -> Vec<Vec<Pair>> {
    let ways: Vec<Vec<Value>> = ways.filter_map(values_of).collect();
    let mut meetings = Vec::new();
    for (place, one) in ways.iter().enumerate() {
        for other in &ways[..place] {
            let is_apart = one.iter().all(|one| other.iter().all(|other| one.facet != other.facet));
            if is_apart && one.len() * other.len() <= PAIRS_MAX {
                meetings.push(one.iter().flat_map(|one| other.iter().map(|other| Pair::new(*one, *other))).collect());
            }
        }
    }
    meetings
}

/// The values of a way; nothing where blocks have no note of them.
fn values_of(way: &Way) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    for found in way {
        let facet = Facet::of(found.index.column)?;
        let Values::Texts(texts) = &found.values else { return None };
        values.extend(texts.iter().map(|text| Value::new(facet, text)));
    }
    Some(values)
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
async fn way(
    connection: &mut Connection,
    question: &Question,
    test: &Test,
    outcomes: &[String],
) -> Result<Option<Way>, DbError> {
    let (indexes, globs): (&[Index], &[Glob]) = match test {
        Test::Deploy(ids) => {
            let values = Values::Numbers(ids.iter().map(|id| id.0).collect());
            return Ok(Some(vec![Found { index: DEPLOY, values, between: Vec::new() }]));
        }
        Test::Field(field, globs) => (indexes(*field), globs),
        Test::At(_) | Test::Redacted | Test::Text(_) => return Ok(None),
    };
    let mut way = Way::new();
    for index in indexes {
        let Some(values) = values(connection, question, *index, globs).await? else { return Ok(None) };
        let between = if index.between.is_some() { outcomes.to_vec() } else { Vec::new() };
        if values.is_empty() || between.is_empty() != index.between.is_none() {
            continue;
        }
        let found = Found { index: *index, values: Values::Texts(values), between };
        // Who is named is hardly ever somebody's id, too: what one index doesn't have at all is asked of the other alone.
        let alone = vec![found.clone()];
        if indexes.len() == 1 || store::count(connection, question.guild, &alone, (0, i64::MAX), 1).await? > 0 {
            way.push(found);
        }
    }
    Ok(Some(way))
}

/// The outcomes that the query means, as far as entries have them; all there are where it doesn't say.
async fn outcomes<'a>(
    connection: &mut Connection,
    question: &Question,
    tests: impl Iterator<Item = &'a Test>,
) -> Result<Vec<String>, DbError> {
    let mut there = store::values(connection, question.guild, OUTCOME, "", VALUES_MAX).await?;
    for test in tests {
        if let Test::Field(Field::Outcome, globs) = test {
            there.retain(|outcome| globs.iter().any(|glob| glob.matches(outcome)));
        }
    }
    Ok(there)
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
