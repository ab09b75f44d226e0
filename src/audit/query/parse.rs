//! Reads a query as people type it, and says what is wrong, where, and what is possible. Knows nothing of the database.

use std::str::FromStr;

use jiff::civil::Date;

use super::{Field, Glob, KEYS, Key, Kind, Query, Term, Test, When};
use crate::audit::entry::{Action, Outcome};
use crate::id::DeployId;
use crate::time::{self, Timestamp};
use crate::words;

/// The longest query in characters.
pub const QUERY_CHARS_MAX: usize = 1_000;
/// The most terms of a query.
const TERMS_MAX: usize = 50;
/// The most `*` of one pattern.
const STARS_MAX: usize = 10;

/// What is wrong with a query. Its text doesn't repeat the term: whoever shows it quotes that in a way that is safe there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}{}", .possible.as_ref().map(|list| format!(" Possible: {list}.")).unwrap_or_default(),
    .example.map(|example| format!(" Example: {example}")).unwrap_or_default())]
pub struct BadQuery {
    /// The term at fault, as typed, without its quotes; `None` when it is the query as a whole.
    pub term: Option<String>,
    /// Which one it is, counted from 1.
    pub place: Option<usize>,
    /// What is wrong: whole sentences.
    pub why: String,
    /// What could stand there instead.
    pub possible: Option<String>,
    /// A term that would do.
    pub example: Option<&'static str>,
}

impl BadQuery {
    fn new(why: impl Into<String>) -> Self {
        Self { term: None, place: None, why: why.into(), possible: None, example: None }
    }

    fn possible(self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        Self { possible: Some(words.join(", ")), ..self }
    }

    fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }
}

impl FromStr for Query {
    type Err = BadQuery;

    fn from_str(line: &str) -> Result<Self, BadQuery> {
        if line.chars().count() > QUERY_CHARS_MAX {
            return Err(BadQuery::new(format!("A query has at most {QUERY_CHARS_MAX} characters.")));
        }
        let words = words::split(line).map_err(|unclosed| BadQuery {
            term: Some(unclosed.after),
            ..BadQuery::new("A quote (\") is opened after this and never closed.").example("actor:\"Alice Smith\"")
        })?;
        if words.len() > TERMS_MAX {
            return Err(BadQuery::new(format!("A query has at most {TERMS_MAX} terms.")));
        }
        let terms = words.into_iter().enumerate().map(|(index, word)| {
            term(&word.text).map_err(|bad| BadQuery { term: Some(word.text), place: Some(index + 1), ..bad })
        });
        Ok(Self { terms: terms.collect::<Result<_, _>>()? })
    }
}

impl Query {
    /// Refuses a span of time that ends before it begins, which would be answered by nothing.
    pub fn check(&self, now: Timestamp) -> Result<(), BadQuery> {
        let wanted = || self.terms.iter().filter(|term| !term.negated).map(|term| &term.test);
        let since = wanted().filter_map(|test| if let Test::Since(when) = test { Some(when.first(now)) } else { None });
        let until = wanted().filter_map(|test| if let Test::Until(when) = test { Some(when.end(now)) } else { None });
        match (since.max(), until.min()) {
            (Some(since), Some(until)) if since >= until => {
                Err(BadQuery::new("since: is later than until:, so no entry can match.")
                    .example("since:2026-01-01 until:2026-01-31"))
            }
            _ => Ok(()),
        }
    }
}

fn term(word: &str) -> Result<Term, BadQuery> {
    let (negated, rest) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    if rest.is_empty() {
        let why =
            if negated { "Nothing stands behind the `-` that negates it." } else { "An empty text finds nothing." };
        return Err(BadQuery::new(why).example("-outcome:allowed"));
    }
    let test = match rest.split_once(':') {
        Some((key, value)) if looks_like_a_key(key) => keyed(key, value)?,
        _ => Test::Text(glob(rest)?),
    };
    Ok(Term { negated, test })
}

/// So that `12:30` and `…: x` are text, and a mistyped key is not.
fn looks_like_a_key(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

fn keyed(word: &str, value: &str) -> Result<Test, BadQuery> {
    let Some(key) = KEYS.iter().find(|key| key.word.eq_ignore_ascii_case(word)) else {
        let known = KEYS.iter().map(|key| format!("{}:", key.word));
        return Err(BadQuery::new("There is no such term; a text with a colon in it is written behind `text:`.")
            .possible(known)
            .example("text:\"https://example.com\""));
    };
    if value.is_empty() {
        return Err(BadQuery::new("Nothing stands behind the colon.").example(key.example));
    }
    match key.kind {
        Kind::Field(field) => Ok(Test::Field(field, list(key, value, |item| pattern(field, item))?)),
        Kind::Deploy => Ok(Test::Deploy(list(key, value, deploy)?)),
        Kind::Since => Ok(Test::Since(when(value)?)),
        Kind::Until => Ok(Test::Until(when(value)?)),
        Kind::Text => Ok(Test::Text(glob(value)?)),
    }
}

fn list<T>(key: &Key, value: &str, read: impl Fn(&str) -> Result<T, BadQuery>) -> Result<Vec<T>, BadQuery> {
    let items = Glob::split_list(value).into_iter().map(|item| {
        if item.is_empty() {
            return Err(BadQuery::new("Something is missing before or after a comma.").example(key.example));
        }
        read(item)
    });
    items.collect()
}

fn glob(text: &str) -> Result<Glob, BadQuery> {
    let glob = Glob::new(text);
    if glob.stars() > STARS_MAX {
        return Err(BadQuery::new(format!("A pattern has at most {STARS_MAX} `*`.")).example("repo:acme/*"));
    }
    Ok(glob)
}

fn pattern(field: Field, item: &str) -> Result<Glob, BadQuery> {
    match field {
        Field::Action => action(item),
        Field::Outcome => outcome(item),
        Field::Actor => actor(item),
        Field::Repo | Field::Environment | Field::Branch | Field::Revision => glob(item),
    }
}

fn action(item: &str) -> Result<Glob, BadQuery> {
    let glob = glob(item)?;
    let category = glob.literal().filter(|word| Action::ALL.iter().any(|action| action.category() == word));
    if let Some(category) = category {
        return Ok(Glob::new(&format!("{category}.*")));
    }
    if !Action::ALL.iter().any(|action| glob.matches(action.as_str())) {
        return Err(BadQuery::new("There is no such action.")
            .possible(Action::ALL.iter().map(|action| action.as_str()))
            .example("action:deploy.*"));
    }
    Ok(glob)
}

fn outcome(item: &str) -> Result<Glob, BadQuery> {
    let glob = glob(item)?;
    if !Outcome::ALL.iter().any(|outcome| glob.matches(outcome.as_str())) {
        return Err(BadQuery::new("There is no such outcome.")
            .possible(Outcome::ALL.iter().map(|outcome| outcome.as_str()))
            .example("outcome:denied"));
    }
    Ok(glob)
}

/// `@alice`, `alice`, an id, a mention as Discord's clients write it (`<@175928847299117063>`), `cli:root`.
fn actor(item: &str) -> Result<Glob, BadQuery> {
    let mention = item.strip_prefix("<@").and_then(|rest| rest.strip_suffix('>'));
    let id = mention.map(|id| id.trim_start_matches('!')).filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
    let name = id.unwrap_or_else(|| item.strip_prefix('@').unwrap_or(item));
    if name.is_empty() {
        return Err(
            BadQuery::new("An actor is a name, an id, `cli:` and a user, or `slipway`.").example("actor:@alice")
        );
    }
    glob(name)
}

fn deploy(item: &str) -> Result<DeployId, BadQuery> {
    item.parse().map_err(|_| BadQuery::new("A deploy is its number, as in the lists.").example("deploy:#12"))
}

fn when(text: &str) -> Result<When, BadQuery> {
    if let Ok(ago) = time::duration(text) {
        return Ok(When::Ago(ago));
    }
    // Ten characters and no more: a time without its zone would be read as its day.
    if text.len() == "2026-01-31".len()
        && let Ok(day) = text.parse::<Date>()
    {
        return Ok(When::Day(day));
    }
    match (text.parse::<jiff::Timestamp>(), text.parse::<Timestamp>()) {
        (Ok(_), Ok(instant)) => Ok(When::At(instant)),
        _ => Err(BadQuery::new(
            "A time is a duration ago (`90s`, `30m`, `8h`, `7d`, `2w`), a day that exists (in UTC), or a time with its zone as in RFC 3339 (`2026-01-31T17:30:00Z`).",
        )
        .example("since:7d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Query {
        line.parse().unwrap()
    }

    fn refused(line: &str) -> BadQuery {
        line.parse::<Query>().unwrap_err()
    }

    #[test]
    fn the_designs_example_is_read_and_printed() {
        let line = "actor:@alice repo:acme/* action:deploy.* outcome:denied since:7d until:2026-01-31 -environment:staging free text";
        let query = parse(line);
        assert_eq!(query.terms.len(), 9);
        assert!(query.terms[6].negated);
        assert_eq!(query.to_string(), line.replace('@', ""));
    }

    #[test]
    fn a_category_means_its_actions() {
        assert_eq!(parse("action:permission"), parse("action:permission.*"));
        assert_eq!(parse("ACTION:Deploy.Denied").to_string(), "action:deploy.denied");
    }

    #[test]
    fn actors_are_named_in_many_ways() {
        for (typed, meant) in [
            ("actor:@alice", "actor:alice"),
            ("actor:<@175928847299117063>", "actor:175928847299117063"),
            ("actor:<@!175928847299117063>", "actor:175928847299117063"),
            ("actor:cli:root", "actor:cli:root"),
            (r#"actor:"Alice Smith",bob"#, r#"actor:"alice smith,bob""#),
        ] {
            assert_eq!(parse(typed).to_string(), meant, "{typed}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_is_possible() {
        let bad = refused("since:7d outcom:denied");
        assert_eq!((bad.place, bad.term.as_deref()), (Some(2), Some("outcom:denied")));
        assert!(bad.to_string().contains("Possible: action:, actor:, repo:"), "{bad}");
        assert!(refused("action:deploy.invented").to_string().contains("deploy.requested, deploy.denied"));
        assert!(refused("outcome:allowd").to_string().contains("allowed, denied, error, succeeded"));
        for bad in [
            "-",
            "\"\"",
            "repo:",
            "repo:a,,b",
            "repo:,",
            "deploy:x",
            "deploy:#0",
            "since:soon",
            "since:2026-02-30",
            "until:2026-01-31T12:00",
            "actor:@",
            "actor:\"",
            "action:x*",
            "https://example.com",
        ] {
            assert!(refused(bad).example.is_some(), "{bad}");
        }
        assert!(refused(&"x".repeat(QUERY_CHARS_MAX + 1)).to_string().contains("at most 1000 characters"));
        assert!(refused(&"x ".repeat(TERMS_MAX + 1)).to_string().contains("at most 50 terms"));
        assert!(refused(&format!("repo:{}", "*a".repeat(STARS_MAX + 1))).to_string().contains("at most 10 `*`"));
    }

    #[test]
    fn a_span_that_ends_before_it_begins_is_refused() {
        let now = "2026-03-01".parse().unwrap();
        for bad in ["since:2026-02-01 until:2026-01-31", "since:1d until:2d"] {
            assert!(parse(bad).check(now).is_err(), "{bad}");
        }
        for good in ["since:2026-01-31 until:2026-01-31", "since:2d until:1d", "since:1d -until:2d", ""] {
            assert!(parse(good).check(now).is_ok(), "{good}");
        }
    }

    #[test]
    fn text_that_looks_like_something_else_has_a_key() {
        for line in ["text:a:b", "text:-x", "-text:-x", "-text:a:b", "12 \"two words\"", "\"-not this\""] {
            assert_eq!(parse(line).to_string(), line);
        }
        assert_eq!(parse("12:30").to_string(), "text:12:30");
    }
}
