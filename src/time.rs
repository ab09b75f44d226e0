//! Instants and durations as Slipway keeps, reads and writes them, and the clock that tells the time. Knows nothing of
//! who asks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as JiffTimestamp};

use crate::invalid::Invalid;

/// An instant in UTC, in whole milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant this many milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, as Discord's timestamps want them.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The instant `duration` later.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The instant `duration` earlier.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long it is since `earlier`; nothing when it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The day that it is in `zone`.
    pub fn day_in(self, zone: &TimeZone) -> Date {
        zone.to_datetime(self.jiff()).date()
    }

    fn jiff(self) -> JiffTimestamp {
        JiffTimestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            JiffTimestamp::MIN
        } else {
            JiffTimestamp::MAX
        })
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.jiff())
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    /// An RFC 3339 time, or a date, which is its first instant in UTC.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(instant) = text.parse::<JiffTimestamp>() {
            return Ok(Self(instant.as_millisecond()));
        }
        date(text)
            .and_then(|date| midnight(date, &TimeZone::UTC))
            .ok_or_else(|| Invalid::new("time", "A time is written as in RFC 3339, or as a date.", "2026-01-31"))
    }
}

/// A date alone: jiff would also read one out of a time that lacks its zone.
fn date(text: &str) -> Option<Date> {
    (text.len() == "2026-01-31".len()).then(|| text.parse().ok()).flatten()
}

/// The first instant of a day in `zone`. Where the clocks are put forward at midnight, that is one o'clock.
pub fn midnight(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_timestamp(day.at(0, 0, 0, 0)).ok().map(|start| Timestamp(start.as_millisecond()))
}

/// A time, or a date, which is its first instant in `zone`.
fn point(text: &str, zone: &TimeZone) -> Result<Timestamp, Invalid> {
    match date(text).and_then(|date| midnight(date, zone)) {
        Some(start) => Ok(start),
        None => text.parse(),
    }
}

/// Reads a time of HTTP's (RFC 9110, `Sun, 06 Nov 1994 08:49:37 GMT`).
pub fn http_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

/// The longest duration that may be asked for: 10 years.
const DURATION_MAX: SignedDuration = SignedDuration::from_hours(24 * 3650);

/// Reads a duration as people write it here: `90s`, `30m`, `8h`, `7d`, `2w`.
pub fn duration(text: &str) -> Result<Duration, Invalid> {
    let invalid = || {
        Invalid::new("duration", "A duration is a number and one of `s`, `m`, `h`, `d`, `w`, at most 10 years.", "7d")
    };
    let unit = text.chars().next_back().ok_or_else(invalid)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(invalid()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds))
        .filter(|seconds| *seconds <= DURATION_MAX.unsigned_abs().as_secs())
        .map(Duration::from_secs)
        .ok_or_else(invalid)
}

/// A duration of whole seconds as [`duration`] reads it, in the largest unit that it is whole in.
pub fn written(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(604_800, 'w'), (86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let unit = units.into_iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    let (length, unit) = unit.unwrap_or((1, 's'));
    format!("{}{unit}", seconds / length)
}

/// Reads a point in the past: a time, a date in `zone`, or a duration ago.
pub fn point_in_the_past(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Invalid> {
    duration(text).map(|ago| now.minus(ago)).or_else(|_| point(text, zone)).map_err(|_| {
        let why = "A time is a duration ago (`7d`), a date, or a time as in RFC 3339.";
        Invalid::new("time", no_such_day(text).unwrap_or(why), "7d")
    })
}

/// What is said of a text that is written as a date, and is none.
fn no_such_day(text: &str) -> Option<&'static str> {
    let fits = |(index, byte): (usize, u8)| if matches!(index, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    let is_written_as_date = text.len() == "2026-01-31".len() && text.bytes().enumerate().all(fits);
    (is_written_as_date && date(text).is_none()).then_some("There is no such day in the calendar.")
}

/// Reads a point in the future: a time, a date in `zone`, or a duration from now.
pub fn point_in_the_future(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Invalid> {
    let invalid = |why| Invalid::new("time", why, "8h");
    let why = "A time is a duration from now (`8h`), a date, or a time as in RFC 3339.";
    let point = duration(text)
        .map(|ahead| now.plus(ahead))
        .or_else(|_| point(text, zone))
        .map_err(|_| invalid(no_such_day(text).unwrap_or(why)))?;
    if point <= now {
        return Err(invalid("That time is already over."));
    }
    Ok(point)
}

/// Tells the time. Tests hold one that they move themselves.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::new(|| Timestamp(JiffTimestamp::now().as_millisecond()))
    }

    /// A clock that says what `tell` returns.
    pub fn new(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2w"), Ok(Duration::from_secs(14 * 86_400)));
        for bad in ["", "7", "d", "-7d", "7 d", "1.5h", "7dd", "99999999999999999999w", "999999w", "7é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_date_is_its_first_instant_in_utc() {
        assert_eq!("2026-01-31".parse::<Timestamp>().unwrap().to_string(), "2026-01-31T00:00:00.000Z");
        assert_eq!("2026-01-31T12:00:00+01:00".parse::<Timestamp>().unwrap().to_string(), "2026-01-31T11:00:00.000Z");
        for bad in ["2026-13-01", "2026-01-31T12:00", "2026-01-31 "] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_that_does_not_exist_is_told_from_what_is_no_date() {
        let now = Timestamp::from_millis(1_764_000_000_000);
        let why = |text: &str| point_in_the_past(text, now, &TimeZone::UTC).unwrap_err().why;
        assert_eq!(why("2026-02-30"), "There is no such day in the calendar.");
        assert_eq!(
            point_in_the_future("2026-13-01", now, &TimeZone::UTC).unwrap_err().why,
            "There is no such day in the calendar."
        );
        for other in ["2026-1-31", "yesterday", "2026/01/31", "2026-01-3é"] {
            assert!(why(other).starts_with("A time is a duration ago"), "{other}");
        }
    }

    #[test]
    fn http_dates_are_read() {
        assert_eq!(http_date("Mon, 01 Feb 2027 00:00:00 GMT").unwrap().to_string(), "2027-02-01T00:00:00.000Z");
        assert_eq!(http_date("soon"), None);
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_it_was_written(seconds in 0u64..300_000_000) {
            let whole = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&written(whole)), Ok(whole));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let now = Timestamp::from_millis(1_764_000_000_000);
            let _ = (duration(&text), text.parse::<Timestamp>(), http_date(&text));
            let _ = (point_in_the_past(&text, now, &TimeZone::UTC), point_in_the_future(&text, now, &TimeZone::UTC));
        }

        #[test]
        fn a_timestamp_reads_back_as_it_was_written(millis in -62_000_000_000_000i64..250_000_000_000_000) {
            let instant = Timestamp::from_millis(millis);
            prop_assert_eq!(instant.to_string().parse::<Timestamp>(), Ok(instant));
        }
    }
}
