//! Reads a query as people type it, and says what is wrong, where, and what is possible. Knows nothing of the database.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::civil::Date;

use super::{AsOf, BadQuery, Field, Glob, KEYS, Key, Kind, Query, Span, Term, Test, When};
use crate::audit::entry::{Action, Outcome};
use crate::id::DeployId;
use crate::near::near;
use crate::time::{self, Timestamp};
use crate::words;

/// The longest query in characters.
pub const QUERY_CHARS_MAX: usize = 1_000;
/// The most terms of a query.
const TERMS_MAX: usize = 50;
/// The most `*` of one pattern.
const STARS_MAX: usize = 10;

/// Queries that were saved, by their names.
pub type Saved = BTreeMap<String, Query>;

impl FromStr for Query {
    type Err = BadQuery;

    fn from_str(line: &str) -> Result<Self, BadQuery> {
        Self::read(line, &Saved::new())
    }
}

impl Query {
    /// Reads a query in which `@name` stands for the terms of a saved one.
    pub fn read(line: &str, saved: &Saved) -> Result<Self, BadQuery> {
        if line.chars().count() > QUERY_CHARS_MAX {
            return Err(BadQuery::new(format!("A query has at most {QUERY_CHARS_MAX} characters.")));
        }
        let words = words::split(line).map_err(|unclosed| BadQuery {
            term: Some(unclosed.after),
            span: Some(unclosed.span),
            ..BadQuery::new("A quote (\") is opened here and never closed.").example("actor:\"Alice Smith\"")
        })?;
        let mut terms = Vec::new();
        for word in words {
            let read = match word.text.strip_prefix('@').filter(|_| !word.quoted) {
                Some(name) => saved_terms(name, saved),
                None => term(&word.text).map(|term| vec![term]),
            };
            terms.extend(read.map_err(|bad| BadQuery { term: Some(word.text), span: Some(word.span), ..bad })?);
        }
        if terms.len() > TERMS_MAX {
            return Err(BadQuery::new(format!("A query has at most {TERMS_MAX} terms.")));
        }
        Ok(Self { terms })
    }

    /// Refuses a span of time that ends before it begins, which would be answered by nothing.
    pub fn check(&self, as_of: &AsOf) -> Result<(), BadQuery> {
        let (first, end) = self.span(as_of);
        if first >= end {
            return Err(BadQuery::new("The time that is meant ends before it begins, so no entry can match.")
                .example("since:2026-01-01 until:2026-01-31"));
        }
        Ok(())
    }
}

fn saved_terms(name: &str, saved: &Saved) -> Result<Vec<Term>, BadQuery> {
    if let Some(query) = saved.get(&name.to_ascii_lowercase()) {
        return Ok(query.terms.clone());
    }
    let bad = BadQuery::new(
        "There is no saved query of that name; a person is written behind `actor:`, a text behind `text:`.",
    );
    let bad = if saved.is_empty() { bad } else { bad.possible(saved.keys().map(|name| format!("@{name}"))) };
    Err(bad.example("actor:@alice"))
}

fn term(word: &str) -> Result<Term, BadQuery> {
    let (negated, rest) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    if negated && rest.starts_with('@') {
        let why = "What a saved query stands for can't be negated; a text is written behind `text:`.";
        return Err(BadQuery::new(why).example("-text:@weekly"));
    }
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

fn no_such_term(word: &str) -> BadQuery {
    let near = near(word, KEYS.iter().map(|key| key.word));
    let meant = near.first().and_then(|word| KEYS.iter().find(|key| key.word == *word));
    let bad = match meant {
        Some(key) => {
            BadQuery::new(format!("There is no such term. Did you mean `{}:`?", key.word)).example(key.example)
        }
        None => BadQuery::new("There is no such term; a text with a colon in it is written behind `text:`.")
            .example("text:\"https://example.com\""),
    };
    bad.possible(KEYS.iter().map(|key| format!("{}:", key.word)))
}

fn keyed(word: &str, value: &str) -> Result<Test, BadQuery> {
    let Some(key) = KEYS.iter().find(|key| key.word.eq_ignore_ascii_case(word)) else {
        return Err(no_such_term(word));
    };
    if value.is_empty() {
        return Err(BadQuery::new("Nothing stands behind the colon.").example(key.example));
    }
    match key.kind {
        Kind::Field(field) => Ok(Test::Field(field, list(key, value, |item| pattern(field, item))?)),
        Kind::Deploy => Ok(Test::Deploy(list(key, value, deploy)?)),
        Kind::Since => Ok(Test::At(Span::Since(when(value)?))),
        Kind::Until => Ok(Test::At(Span::Until(when(value)?))),
        Kind::Created => Ok(Test::At(created(value)?)),
        Kind::Is if value.eq_ignore_ascii_case("redacted") => Ok(Test::Redacted),
        Kind::Is => Ok(Test::Field(Field::Outcome, list(key, value, is)?)),
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
        let mut words: Vec<&str> = Action::ALL.iter().map(|action| action.category()).collect();
        words.dedup();
        words.extend(Kind::Field(Field::Action).words());
        return Err(BadQuery::unknown("There is no such action.", item, &words).example("action:deploy.*"));
    }
    Ok(glob)
}

fn outcome(item: &str) -> Result<Glob, BadQuery> {
    let glob = glob(item)?;
    if !Outcome::ALL.iter().any(|outcome| glob.matches(outcome.as_str())) {
        let words = Kind::Field(Field::Outcome).words();
        return Err(BadQuery::unknown("There is no such outcome.", item, &words).example("outcome:denied"));
    }
    Ok(glob)
}

/// `is:denied` is `outcome:denied`.
fn is(item: &str) -> Result<Glob, BadQuery> {
    let glob = Glob::new(item);
    if !Outcome::ALL.iter().any(|outcome| glob.literal().as_deref() == Some(outcome.as_str())) {
        return Err(BadQuery::unknown("No entry is that.", item, &Kind::Is.words()).example("is:denied"));
    }
    Ok(glob)
}

/// `>=2026-01-01`, `<2026-01-01`, `2026-01-01..2026-01-31`, `2026-01-01..*`, `2026-01-01`.
fn created(text: &str) -> Result<Span, BadQuery> {
    type Make = fn(When) -> Span;
    let compared: [(&str, Make); 4] =
        [(">=", Span::Since), ("<=", Span::Until), (">", Span::After), ("<", Span::Before)];
    for (sign, make) in compared {
        if let Some(point) = text.strip_prefix(sign) {
            return when(point).map(make);
        }
    }
    match text.split_once("..") {
        Some(("*", "*")) => {
            Err(BadQuery::new("That is all there ever was: leave the term out.")
                .example("created:2026-01-01..2026-01-31"))
        }
        Some((from, "*")) => when(from).map(Span::Since),
        Some(("*", to)) => when(to).map(Span::Until),
        Some((from, to)) => Ok(Span::Between(when(from)?, when(to)?)),
        None => match when(text)? {
            When::Ago(_) => {
                Err(BadQuery::new("That is a moment; what has happened since then is asked for with `since:`.")
                    .example("since:7d"))
            }
            point => Ok(Span::Between(point, point)),
        },
    }
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
            "A time is a duration ago (`90s`, `30m`, `8h`, `7d`, `2w`), a day that exists, or a time with its zone as in RFC 3339 (`2026-01-31T17:30:00Z`).",
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
        assert_eq!((bad.span.clone(), bad.term.as_deref()), (Some(9..22), Some("outcom:denied")));
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
            "@weekly",
            "created:*..*",
            "created:7d",
            "created:>soon",
            "created:2026-01-01..",
            "is:",
            "is:nice",
            "is:denied,redacted",
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
        let now = AsOf::utc("2026-03-01".parse().unwrap());
        for bad in [
            "since:2026-02-01 until:2026-01-31",
            "since:1d until:2d",
            "created:2026-01-31..2026-01-01",
            "created:>2026-01-31 until:2026-01-31",
        ] {
            assert!(parse(bad).check(&now).is_err(), "{bad}");
        }
        for good in ["since:2026-01-31 until:2026-01-31", "since:2d until:1d", "since:1d -until:2d", ""] {
            assert!(parse(good).check(&now).is_ok(), "{good}");
        }
    }

    #[test]
    fn who_knows_githubs_audit_log_finds_the_same_words() {
        for (typed, meant) in [
            ("created:>=2026-01-01", "since:2026-01-01"),
            ("created:<=2026-01-01", "until:2026-01-01"),
            ("created:2026-01-01..*", "since:2026-01-01"),
            ("created:*..2026-01-01", "until:2026-01-01"),
            ("created:2026-01-01", "created:2026-01-01"),
            ("created:2026-01-01..2026-01-01", "created:2026-01-01"),
            ("-created:>2026-01-01T00:00:00Z", "-created:>2026-01-01T00:00:00.000Z"),
            ("created:<2026-01-01", "created:<2026-01-01"),
            ("created:2w..7d", "created:14d..7d"),
            ("is:denied,error", "outcome:denied,error"),
            ("-IS:Redacted", "-is:redacted"),
        ] {
            assert_eq!(parse(typed).to_string(), meant, "{typed}");
            assert_eq!(parse(meant), parse(typed));
        }
    }

    #[test]
    fn a_saved_query_stands_for_its_terms() {
        let saved = Saved::from([("weekly".to_owned(), parse("since:7d -outcome:allowed"))]);
        let query = Query::read("@Weekly repo:acme/web", &saved).unwrap();
        assert_eq!(query.to_string(), "since:7d -outcome:allowed repo:acme/web");
        let bad = Query::read("@weakly", &saved).unwrap_err();
        assert!(bad.to_string().contains("Possible: @weekly."), "{bad}");
        assert_eq!(Query::read("\"@weekly\"", &saved).unwrap().to_string(), "text:@weekly");
        let bad = Query::read("-@weekly", &saved).unwrap_err();
        assert!(bad.why.contains("can't be negated"), "{bad}");
    }

    #[test]
    fn a_mistyped_word_is_answered_by_the_one_that_was_meant() {
        for (typed, meant) in [
            ("-outcom:denied", "outcome:"),
            ("action:deploy.reqested", "deploy.requested"),
            ("action:permision", "permission"),
            ("outcome:alowed", "allowed"),
            ("is:falied", "failed"),
            ("is:redcated", "redacted"),
        ] {
            assert!(refused(typed).why.ends_with(&format!("Did you mean `{meant}`?")), "{}", refused(typed));
        }
        for other in ["https://example.com", "action:x*", "outcome:x"] {
            assert!(!refused(other).why.contains("Did you mean"), "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let point = |line: &str| refused(line).pointer(line).map(|(shown, marks)| format!("{shown}\n{marks}"));
        assert_eq!(point("since:7d outcom:denied -x").unwrap(), "since:7d outcom:denied -x\n         ^^^^^^^^^^^^^");
        let far = format!("{} since:\"soon\u{1b}\" {}", "é".repeat(100), "y".repeat(100));
        let shown = format!("…{} since:\"soon?\" {}", "é".repeat(29), "y".repeat(29));
        assert_eq!(point(&far).unwrap(), format!("{shown}\n{}{}", " ".repeat(31), "^".repeat(13)));
        assert_eq!(point(&"x ".repeat(TERMS_MAX + 1)), None);
    }

    #[test]
    fn text_that_looks_like_something_else_has_a_key() {
        for line in [
            "text:@weekly",
            "-text:@weekly",
            "text:a:b",
            "text:-x",
            "-text:-x",
            "-text:a:b",
            "12 \"two words\"",
            "\"-not this\"",
        ] {
            assert_eq!(parse(line).to_string(), line);
        }
        assert_eq!(parse("12:30").to_string(), "text:12:30");
    }
}
