//! The numbers, made of the deploys that came to an end. Pure.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::time::Timestamp;

/// What counts of a deploy that succeeded or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its number.
    pub number: i64,
    /// Where it went: the repository's name in lower case, and the environment.
    pub place: (String, String),
    /// The branch.
    pub branch: String,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Whether it was a rollback.
    pub rollback: bool,
    /// The deploy that it replaced.
    pub replaces: Option<i64>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// One day's deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Which day.
    pub day: Date,
    /// How many succeeded.
    pub succeeded: usize,
    /// How many failed.
    pub failed: usize,
}

/// The numbers of a span of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Every day of it, in order.
    pub days: Vec<Day>,
    /// How many deploys succeeded.
    pub succeeded: usize,
    /// How many failed.
    pub failed: usize,
    /// How many of those that succeeded were rolled back.
    pub rolled_back: usize,
    /// The median time from the request to the end of those that succeeded and are no rollbacks.
    pub lead: Option<Duration>,
    /// The median time from a failure to the next success in the same place.
    pub recovery: Option<Duration>,
    /// In how many places the last one failed.
    pub unrecovered: usize,
}

impl Figures {
    /// The numbers of `deploys` that ended from `since` to `now`, in days of `zone`.
    pub fn of(deploys: &[Known], since: Timestamp, now: Timestamp, zone: &TimeZone) -> Self {
        let mut deploys: Vec<&Known> =
            deploys.iter().filter(|deploy| deploy.ended_at >= since && deploy.ended_at <= now).collect();
        deploys.sort_by_key(|deploy| (deploy.ended_at, deploy.number));
        let succeeded = deploys.iter().filter(|deploy| deploy.succeeded).count();
        let undone: HashSet<i64> = deploys
            .iter()
            .filter(|deploy| deploy.rollback && deploy.succeeded)
            .filter_map(|deploy| deploy.replaces)
            .collect();
        let lead = deploys.iter().filter(|deploy| deploy.succeeded && !deploy.rollback);
        let (recovery, unrecovered) = recoveries(&deploys);
        Self {
            days: days(&deploys, since, now, zone),
            succeeded,
            failed: deploys.len() - succeeded,
            rolled_back: deploys.iter().filter(|deploy| deploy.succeeded && undone.contains(&deploy.number)).count(),
            lead: median(lead.map(|deploy| deploy.ended_at.since(deploy.asked_at)).collect()),
            recovery: median(recovery),
            unrecovered,
        }
    }

    /// How many succeeded a day.
    pub fn a_day(&self) -> f64 {
        self.succeeded as f64 / self.days.len().max(1) as f64
    }

    /// The share that succeeded; nothing when there were none.
    pub fn success_rate(&self) -> Option<f64> {
        self.share(self.succeeded)
    }

    /// The share that failed or was rolled back; nothing when there were none.
    pub fn change_failure_rate(&self) -> Option<f64> {
        self.share(self.failed + self.rolled_back)
    }

    fn share(&self, of: usize) -> Option<f64> {
        let all = self.succeeded + self.failed;
        (all > 0).then(|| of as f64 / all as f64)
    }
}

/// How long each run of failures in a place lasted until the next success there, and how many last still.
fn recoveries(deploys: &[&Known]) -> (Vec<Duration>, usize) {
    let mut failing: HashMap<&(String, String), Timestamp> = HashMap::new();
    let mut recoveries = Vec::new();
    for deploy in deploys {
        if !deploy.succeeded {
            failing.entry(&deploy.place).or_insert(deploy.ended_at);
        } else if let Some(since) = failing.remove(&deploy.place) {
            recoveries.push(deploy.ended_at.since(since));
        }
    }
    (recoveries, failing.len())
}

fn days(deploys: &[&Known], since: Timestamp, now: Timestamp, zone: &TimeZone) -> Vec<Day> {
    let day = |at: Timestamp| at.day_in(zone);
    let mut days = Vec::new();
    let (mut next, last) = (Some(day(since)), day(now));
    while let Some(day) = next.filter(|day| *day <= last) {
        days.push(Day { day, succeeded: 0, failed: 0 });
        next = day.tomorrow().ok();
    }
    for deploy in deploys {
        let at = days.binary_search_by_key(&day(deploy.ended_at), |day| day.day);
        if let Some(day) = at.ok().and_then(|at| days.get_mut(at)) {
            if deploy.succeeded {
                day.succeeded += 1;
            } else {
                day.failed += 1;
            }
        }
    }
    days
}

/// The middle one, or the mean of the two in the middle.
fn median(mut durations: Vec<Duration>) -> Option<Duration> {
    durations.sort_unstable();
    let middle = durations.len() / 2;
    let upper = *durations.get(middle)?;
    Some(if durations.len() % 2 == 1 { upper } else { (durations[middle - 1] + upper) / 2 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis(1_764_547_200_000 + hours * HOUR) // 2025-12-01T00:00:00Z
    }

    fn deploy(number: i64, place: &str, asked: i64, ended: i64, succeeded: bool) -> Known {
        Known {
            number,
            place: (place.to_owned(), "production".to_owned()),
            branch: "main".to_owned(),
            succeeded,
            rollback: false,
            replaces: None,
            asked_at: at(asked),
            ended_at: at(ended),
        }
    }

    fn figures(deploys: &[Known]) -> Figures {
        Figures::of(deploys, at(0), at(71), &TimeZone::UTC)
    }

    #[test]
    fn each_measure_is_what_the_docs_say() {
        let rollback = Known { rollback: true, replaces: Some(5), ..deploy(6, "a", 60, 61, true) };
        let found = figures(&[
            deploy(1, "a", 0, 1, true),
            deploy(2, "a", 1, 4, false),
            deploy(3, "a", 4, 10, false),
            deploy(4, "b", 5, 7, true),
            deploy(5, "a", 30, 34, true),
            rollback,
            deploy(7, "b", 70, 71, false),
            deploy(8, "b", 70, 72, true),
        ]);
        assert_eq!((found.succeeded, found.failed, found.rolled_back, found.unrecovered), (4, 3, 1, 1));
        assert_eq!(
            found.days.iter().map(|day| (day.succeeded, day.failed)).collect::<Vec<_>>(),
            [(2, 2), (1, 0), (1, 1)]
        );
        assert_eq!((found.days[0].day.to_string(), found.days.len()), ("2025-12-01".to_owned(), 3));
        // 1, 2 and 4 hours; the rollback is no change.
        assert_eq!(found.lead, Some(Duration::from_secs(2 * 3600)));
        // From the first failure of the run to the next success there.
        assert_eq!(found.recovery, Some(Duration::from_secs(30 * 3600)));
        assert!((found.a_day() - 4.0 / 3.0).abs() < 1e-9);
        assert!((found.success_rate().unwrap() - 4.0 / 7.0).abs() < 1e-9);
        assert!((found.change_failure_rate().unwrap() - 4.0 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_no_rate() {
        let none = figures(&[]);
        assert_eq!((none.success_rate(), none.lead, none.recovery, none.days.len()), (None, None, None, 3));
    }

    #[test]
    fn days_are_those_of_the_time_zone() {
        let late = [deploy(1, "a", 22, 23, true)];
        let there = TimeZone::get("Europe/Berlin").unwrap();
        let found = Figures::of(&late, at(0), at(47), &there);
        assert_eq!(found.days.iter().map(|day| day.succeeded).collect::<Vec<_>>(), [0, 1, 0]);
    }

    proptest! {
        #[test]
        fn a_naive_count_says_the_same(
            rows in prop::collection::vec((0..5_i64, 0..72_i64, 0..9_i64, any::<bool>()), 0..40)
        ) {
            let deploys: Vec<Known> = rows
                .iter()
                .enumerate()
                .map(|(number, (place, ended, took, ok))| deploy(number as i64, &place.to_string(), ended - took, *ended, *ok))
                .collect();
            let found = figures(&deploys);
            let ended = |ok: bool| deploys.iter().filter(|deploy| deploy.succeeded == ok && deploy.ended_at <= at(71)).count();
            prop_assert_eq!((found.succeeded, found.failed), (ended(true), ended(false)));
            let (sum, failures) = found.days.iter().fold((0, 0), |(ok, bad), day| (ok + day.succeeded, bad + day.failed));
            prop_assert_eq!((sum, failures), (found.succeeded, found.failed));
            let mut lead: Vec<i64> = rows.iter().filter(|row| row.3).map(|row| row.2 * 2).collect();
            lead.sort_unstable();
            let middle = |lead: &[i64]| lead[lead.len() / 2] + lead[(lead.len() - 1) / 2];
            let naive = (!lead.is_empty()).then(|| Duration::from_millis((middle(&lead) * HOUR / 4) as u64));
            prop_assert_eq!(found.lead, naive);

            // Of each place: from a failure before which none stands to the next success, if there is one.
            let (mut recovered, mut unrecovered) = (Vec::new(), 0);
            for place in 0..5 {
                let mut there: Vec<(i64, usize, bool)> = rows
                    .iter()
                    .enumerate()
                    .filter(|(_, row)| row.0 == place && at(row.1) <= at(71))
                    .map(|(number, row)| (row.1, number, row.3))
                    .collect();
                there.sort_unstable();
                for (index, (began, _, ok)) in there.iter().enumerate() {
                    let is_first = !ok && (index == 0 || there[index - 1].2);
                    match there[index..].iter().find(|later| later.2) {
                        Some((ended, _, _)) if is_first => recovered.push((ended - began) * 2),
                        None if is_first => unrecovered += 1,
                        _ => {}
                    }
                }
            }
            recovered.sort_unstable();
            let naive = (!recovered.is_empty()).then(|| Duration::from_millis((middle(&recovered) * HOUR / 4) as u64));
            prop_assert_eq!((found.recovery, found.unrecovered), (naive, unrecovered));
        }
    }
}
