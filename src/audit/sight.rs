//! Which entries somebody may see who holds `audit`: of an auditor of one repository, those about it. Pure: knows nothing of SQL.

use super::chain::Row;
use super::query::{Field, Glob, Term, Test};
use crate::permission::{Action, Ask, Holdings, Pattern, Scope};

/// What somebody may see of a log.
pub struct Sight {
    holdings: Holdings,
    all: bool,
}

impl Sight {
    /// What these holdings, of [`Action::Audit`], let somebody see; nothing when that is no entry at all.
    pub fn of(holdings: Holdings) -> Option<Self> {
        let all = holdings.allow(Action::Audit, Ask::default());
        let some = all || !holdings.permits(Action::Audit).is_empty();
        some.then(|| Self { holdings, all })
    }

    /// Whether that is every entry.
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// Whether this entry may be seen. One that is about no repository, or about all of an environment's branches, is for who may see all
    /// of that.
    pub fn sees(&self, row: &Row) -> bool {
        if self.all {
            return true;
        }
        // What a rule is about are patterns.
        let texts = [row.repo.as_deref(), row.branch.as_deref(), row.environment.as_deref()];
        if texts.iter().flatten().any(|text| text.contains(['*', '?', '[', '{', '\\'])) {
            let [Some(repo), Some(branch), Some(environment)] =
                texts.map(|text| text.map_or_else(|| Some(Pattern::any()), |text| text.parse().ok()))
            else {
                return false;
            };
            return self.holdings.hold_over(Action::Audit, &Scope { repo, branch, environment });
        }
        let ask = Ask { repo: texts[0], branch: texts[1], environment: texts[2] };
        self.holdings.allow(Action::Audit, ask)
    }

    /// A term that every entry fits which may be seen, so that a search is led to them; nothing where none can be said.
    pub fn term(&self) -> Option<Term> {
        if self.all {
            return None;
        }
        let globs: Option<Vec<Glob>> =
            self.holdings.permits(Action::Audit).iter().map(|rule| loosely(&rule.scope.repo)).collect();
        globs.map(|globs| Term { negated: false, test: Test::Field(Field::Repo, globs) })
    }
}

/// A pattern of a query that fits at least what a rule's does; nothing where that is everything.
fn loosely(pattern: &Pattern) -> Option<Glob> {
    let text = pattern.as_str();
    (*pattern != Pattern::any() && !text.contains(['[', ']', '{', '}', '!', '\\'])).then(|| Glob::new(text))
}
