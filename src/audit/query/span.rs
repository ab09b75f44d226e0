//! Spans of time in queries, as they were written: a query that is kept means the same tomorrow. Knows nothing of terms.

use std::fmt;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::time::{Timestamp, midnight};

/// When and where a question is asked, which decides what `7d` and a day mean.
#[derive(Debug, Clone)]
pub struct AsOf {
    /// When.
    pub now: Timestamp,
    /// Whose days are meant: the guild's time zone.
    pub zone: TimeZone,
}

impl AsOf {
    /// Asked at `now`, where days are UTC's.
    pub fn utc(now: Timestamp) -> Self {
        Self { now, zone: TimeZone::UTC }
    }
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This long before the question is asked.
    Ago(Duration),
    /// A day.
    Day(Date),
    /// An instant.
    At(Timestamp),
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Then or later: `since:X`, `created:>=X`.
    Since(When),
    /// Then or earlier; with a day, on that day or earlier: `until:X`, `created:<=X`.
    Until(When),
    /// Later; with a day, after its end: `created:>X`.
    After(When),
    /// Earlier: `created:<X`.
    Before(When),
    /// From the one to the other, both included: `created:X..Y`, `created:X`.
    Between(When, When),
}

impl Span {
    /// The first millisecond that is meant, and the first one after all that is meant.
    pub fn bounds(&self, as_of: &AsOf) -> (i64, i64) {
        match self {
            Span::Since(when) => (when.first(as_of), i64::MAX),
            Span::Until(when) => (i64::MIN, when.end(as_of)),
            Span::After(when) => (when.end(as_of), i64::MAX),
            Span::Before(when) => (i64::MIN, when.first(as_of)),
            Span::Between(from, to) => (from.first(as_of), to.end(as_of)),
        }
    }

    pub(super) fn holds(&self, at: i64, as_of: &AsOf) -> bool {
        let (first, end) = self.bounds(as_of);
        (first..end).contains(&at)
    }

    pub(super) fn key(&self) -> &'static str {
        match self {
            Span::Since(_) => "since",
            Span::Until(_) => "until",
            Span::After(_) | Span::Before(_) | Span::Between(..) => "created",
        }
    }
}

impl When {
    fn first(self, as_of: &AsOf) -> i64 {
        match self {
            When::Ago(duration) => as_of.now.minus(duration).millis(),
            When::Day(day) => midnight(day, &as_of.zone).map_or(i64::MIN, Timestamp::millis),
            When::At(instant) => instant.millis(),
        }
    }

    fn end(self, as_of: &AsOf) -> i64 {
        match self {
            When::Day(day) => {
                day.tomorrow().ok().and_then(|next| midnight(next, &as_of.zone)).map_or(i64::MAX, Timestamp::millis)
            }
            When::Ago(_) | When::At(_) => self.first(as_of).saturating_add(1),
        }
    }
}

impl fmt::Display for Span {
    /// What stands behind the colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Span::Since(when) | Span::Until(when) => when.fmt(f),
            Span::After(when) => write!(f, ">{when}"),
            Span::Before(when) => write!(f, "<{when}"),
            Span::Between(from, to) if from == to && !matches!(from, When::Ago(_)) => from.fmt(f),
            Span::Between(from, to) => write!(f, "{from}..{to}"),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Day(day) => day.fmt(f),
            When::At(instant) => instant.fmt(f),
            When::Ago(duration) => {
                let seconds = duration.as_secs();
                let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
                let whole = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
                let (unit, letter) = whole.unwrap_or((1, 's'));
                write!(f, "{}{letter}", seconds / unit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_time_zone_also_where_the_clocks_change() {
        let berlin = AsOf { zone: TimeZone::get("Europe/Berlin").unwrap(), ..AsOf::utc(Timestamp::from_millis(0)) };
        let day = |text: &str| Span::Between(When::Day(text.parse().unwrap()), When::Day(text.parse().unwrap()));
        let hours = |text: &str| {
            let (first, end) = day(text).bounds(&berlin);
            (Timestamp::from_millis(first).to_string(), (end - first) / 3_600_000)
        };
        assert_eq!(hours("2026-03-28"), ("2026-03-27T23:00:00.000Z".to_owned(), 24));
        assert_eq!(hours("2026-03-29"), ("2026-03-28T23:00:00.000Z".to_owned(), 23));
        assert_eq!(hours("2026-10-25"), ("2026-10-24T22:00:00.000Z".to_owned(), 25));
        assert_eq!(day("9999-12-31").bounds(&berlin).1, i64::MAX);
    }
}
