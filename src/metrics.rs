//! What is counted, and its text as Prometheus reads it. Handed about explicitly; clones count together. Knows what can
//! happen, and not who is concerned: no label names a repository, a person or a guild.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::deploy::State;
use crate::repo::environment::TriggerKind;
use crate::vocabulary::vocabulary;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The upper bounds of the acknowledgement times' buckets, in seconds: Discord's limit is 3 s.
const ACKNOWLEDGEMENT_BUCKETS_S: [f64; 12] = [0.001, 0.002_5, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0];

vocabulary! {
    /// What came of a trigger.
    Triggered, "result of a trigger", "taken" {
        /// CircleCI took it, at once or as was found out later.
        Taken = "taken",
        /// CircleCI said no.
        Refused = "refused",
        /// CircleCI may or may not have taken it.
        Unknown = "unknown",
        /// It was never sent.
        NotSent = "not_sent",
    }
}

vocabulary! {
    /// What a look at a run on CircleCI told.
    Polled, "result of a poll", "changed" {
        /// Something new.
        Changed = "changed",
        /// Nothing new.
        Unchanged = "unchanged",
        /// Nothing: CircleCI did not answer, or not to the point.
        Failed = "failed",
    }
}

vocabulary! {
    /// Whose rate limits there are.
    Service, "service", "discord" {
        /// Discord.
        Discord = "discord",
        /// CircleCI.
        CircleCi = "circleci",
    }
}

vocabulary! {
    /// What came of a webhook.
    Webhook, "result of a webhook", "accepted" {
        /// It was handed over.
        Accepted = "accepted",
        /// It had been handed over before.
        Duplicate = "duplicate",
        /// It tells of something that Slipway doesn't need.
        Ignored = "ignored",
        /// Its signature is missing or not CircleCI's.
        Unsigned = "unsigned",
        /// It is larger than the limit.
        TooLarge = "too_large",
        /// Its body did not come in time.
        TooSlow = "too_slow",
        /// It is signed and can't be read.
        NotUnderstood = "not_understood",
        /// There was no room for it; CircleCI sends it again.
        Busy = "busy",
    }
}

vocabulary! {
    /// What came of an edit of a card.
    Edited, "result of an edit", "shown" {
        /// Discord took it.
        Shown = "shown",
        /// Discord did not take it.
        Failed = "failed",
    }
}

/// The counters, gauges and histograms.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

type By<const LABELS: usize> = Family<[(&'static str, &'static str); LABELS], Counter>;

struct Inner {
    registry: Registry,
    acknowledgements: Histogram,
    triggers: By<2>,
    ends: By<1>,
    polls: By<1>,
    reads: Counter,
    rate_limited: By<1>,
    webhooks: By<1>,
    edits: By<1>,
    following: Gauge<i64, AtomicI64>,
    buckets: Gauge<i64, AtomicI64>,
    ask_for_buckets: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
}

impl Metrics {
    /// Nothing has happened yet. Every series is there from the beginning, at 0, so that its first event is a change.
    pub fn new() -> Self {
        let inner = Inner {
            registry: Registry::with_prefix("slipway"),
            acknowledgements: Histogram::new(ACKNOWLEDGEMENT_BUCKETS_S),
            triggers: Family::default(),
            ends: with_words("state", &words(State::ALL.iter().filter(|state| state.is_final()))),
            polls: with_words("result", Polled::WORDS),
            reads: Counter::default(),
            rate_limited: with_words("service", Service::WORDS),
            webhooks: with_words("result", Webhook::WORDS),
            edits: with_words("result", Edited::WORDS),
            following: Gauge::default(),
            buckets: Gauge::default(),
            ask_for_buckets: OnceLock::new(),
        };
        for kind in TriggerKind::WORDS {
            for result in Triggered::WORDS {
                let _ = inner.triggers.get_or_create(&[("kind", kind), ("result", result)]);
            }
        }
        Self(Arc::new(inner.registered()))
    }

    /// Discord accepted the acknowledgement of an interaction, this long after it had arrived here.
    pub fn acknowledged(&self, after: Duration) {
        self.0.acknowledgements.observe(after.as_secs_f64());
    }

    /// A trigger came to this.
    pub fn triggered(&self, kind: TriggerKind, result: Triggered) {
        self.0.triggers.get_or_create(&[("kind", kind.as_str()), ("result", result.as_str())]).inc();
    }

    /// A deploy came to its end.
    pub fn ended(&self, state: State) {
        self.0.ends.get_or_create(&[("state", state.as_str())]).inc();
    }

    /// A run was looked at.
    pub fn polled(&self, result: Polled) {
        self.0.polls.get_or_create(&[("result", result.as_str())]).inc();
    }

    /// So many reads were sent to CircleCI, and so many of its answers were 429, since this was last told.
    pub fn circleci(&self, reads: u64, rate_limited: u64) {
        self.0.reads.inc_by(reads);
        self.0.rate_limited.get_or_create(&[("service", Service::CircleCi.as_str())]).inc_by(rate_limited);
    }

    /// A service asked for a pause.
    pub fn rate_limited(&self, service: Service) {
        self.0.rate_limited.get_or_create(&[("service", service.as_str())]).inc();
    }

    /// A webhook came.
    pub fn webhook(&self, result: Webhook) {
        self.0.webhooks.get_or_create(&[("result", result.as_str())]).inc();
    }

    /// A card was changed, or should have been.
    pub fn edited(&self, result: Edited) {
        self.0.edits.get_or_create(&[("result", result.as_str())]).inc();
    }

    /// This many deploys are followed now.
    pub fn following(&self, deploys: i64) {
        self.0.following.set(deploys);
    }

    /// `ask` tells how many rate limits of Discord's are remembered; it is asked at each look, and the first one given stays.
    pub fn ask_for_buckets(&self, ask: impl Fn() -> usize + Send + Sync + 'static) {
        let _ = self.0.ask_for_buckets.set(Box::new(ask));
    }

    /// All of it in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        if let Some(ask) = self.0.ask_for_buckets.get() {
            self.0.buckets.set(i64::try_from(ask()).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0.registry).expect("writing to a string cannot fail");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Inner {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register(
            "acknowledgement_seconds",
            "From the arrival of an interaction until Discord accepted its acknowledgement",
            self.acknowledgements.clone(),
        );
        registry.register("triggers", "Triggers by kind and what came of them", self.triggers.clone());
        registry.register("deploys_ended", "Deploys by the state they ended in", self.ends.clone());
        registry.register("deploys_following", "Deploys that are followed now", self.following.clone());
        registry.register("polls", "Looks at a run on CircleCI by what they told", self.polls.clone());
        registry.register("circleci_reads", "Reads sent to CircleCI, each try counted", self.reads.clone());
        registry.register("rate_limited", "Answers that asked for a pause, by service", self.rate_limited.clone());
        registry.register("discord_buckets", "Rate limits of Discord's that are remembered", self.buckets.clone());
        registry.register("webhooks", "CircleCI's webhooks by what came of them", self.webhooks.clone());
        registry.register("card_edits", "Edits of cards by what came of them", self.edits.clone());
        self
    }
}

fn words<'a>(states: impl Iterator<Item = &'a State>) -> Vec<&'static str> {
    states.map(|state| state.as_str()).collect()
}

fn with_words(label: &'static str, words: &[&'static str]) -> By<1> {
    let family = By::default();
    for word in words {
        let _ = family.get_or_create(&[(label, *word)]);
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_before_anything_happened() {
        let text = Metrics::new().render();
        for line in [
            "slipway_triggers_total{kind=\"pipeline\",result=\"taken\"} 0",
            "slipway_deploys_ended_total{state=\"unknown\"} 0",
            "slipway_webhooks_total{result=\"unsigned\"} 0",
            "slipway_rate_limited_total{service=\"circleci\"} 0",
            "slipway_deploys_following 0",
            "slipway_acknowledgement_seconds_count 0",
            "slipway_acknowledgement_seconds_bucket{le=\"+Inf\"} 0",
            concat!("slipway_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# TYPE slipway_acknowledgement_seconds histogram",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("state=\"running\""), "no deploy ends so: {text}");
    }

    #[test]
    fn what_happens_is_counted_by_every_clone() {
        let metrics = Metrics::new();
        let clone = metrics.clone();
        clone.acknowledged(Duration::from_millis(15));
        clone.triggered(TriggerKind::Pipeline, Triggered::Taken);
        clone.ended(State::Failed);
        clone.polled(Polled::Changed);
        clone.circleci(1, 0);
        clone.rate_limited(Service::Discord);
        clone.webhook(Webhook::Busy);
        clone.edited(Edited::Shown);
        clone.following(7);
        clone.ask_for_buckets(|| 3);
        let text = metrics.render();
        for line in [
            "slipway_acknowledgement_seconds_bucket{le=\"0.01\"} 0",
            "slipway_acknowledgement_seconds_bucket{le=\"0.02\"} 1",
            "slipway_triggers_total{kind=\"pipeline\",result=\"taken\"} 1",
            "slipway_deploys_ended_total{state=\"failed\"} 1",
            "slipway_polls_total{result=\"changed\"} 1",
            "slipway_circleci_reads_total 1",
            "slipway_rate_limited_total{service=\"discord\"} 1",
            "slipway_webhooks_total{result=\"busy\"} 1",
            "slipway_card_edits_total{result=\"shown\"} 1",
            "slipway_deploys_following 7",
            "slipway_discord_buckets 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
