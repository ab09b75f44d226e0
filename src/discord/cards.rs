//! Keeps the cards of deploys up to date: each is edited with what the deploy is at that moment, so that any number of changes
//! in between cost one edit and the last state always arrives, after a restart too. Knows nothing of how deploys change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serenity::builder::CreateMessage;
use serenity::model::id::{ApplicationId, ChannelId, MessageId as DiscordMessageId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::conversation::{TOKEN_LIVES, edit_as_bot};
use super::render;
use super::rest::{Rest, RestError};
use super::shown::Shown;
use crate::deploy::agenda::{Agenda, Turn};
use crate::deploy::card::{self, card};
use crate::deploy::changed::Changes;
use crate::deploy::{Deploy, Deploys, State};
use crate::id::MessageId;
use crate::metrics::{Edited, Metrics};
use crate::reply::Reply;
use crate::time::Timestamp;

/// How many edits are under way at once, and of these as the bot in one channel: Discord lets through about one in a second
/// there, which must hold up no other channel's cards.
const EDITS_MAX: usize = 64;
const EDITS_OF_CHANNEL_MAX: usize = 4;
/// Until a card looks again for a place among the edits of its channel.
const NO_PLACE_PAUSE: Duration = Duration::from_secs(2);
/// For an edit: Discord's limits and its bad moments are waited for.
const EDIT_WITHIN: Duration = Duration::from_secs(60);
/// CircleCI mostly answers sooner: until then the person sees that Slipway is at work.
const SHOW_TRIGGERING_AFTER: Duration = Duration::from_secs(2);
/// A card that moves faster than this is edited once for several of its states.
const EDIT_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to show a card, at first and at last.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(300);
/// How long cards that have changed are still edited when Slipway stops; the next start edits the rest.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// Whoever has waited longer than this for the end is told of it by a reply to the card.
const TELL_AFTER: Duration = Duration::from_secs(10 * 60);

/// The cards; clones share them.
#[derive(Clone)]
pub struct Cards {
    rest: Rest,
    metrics: Metrics,
    agenda: Agenda,
    known: Arc<Mutex<HashMap<Uuid, Known>>>,
    /// How many edits as the bot are under way in each channel.
    channels: Arc<Mutex<HashMap<u64, usize>>>,
    shown: Shown,
}

/// A place among the edits of a channel.
struct Place {
    channels: Arc<Mutex<HashMap<u64, usize>>>,
    channel: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = channels.get_mut(&self.channel) {
            *taken -= 1;
            if *taken == 0 {
                channels.remove(&self.channel);
            }
        }
    }
}

/// What is known of a card beside its deploy.
#[derive(Debug, Clone, Default)]
struct Known {
    answer: Option<Answer>,
    /// The deploy as it is, where whoever changed it told.
    deploy: Option<Box<Deploy>>,
    /// Whether the card is another message than the deploy's changes may know of.
    moved: bool,
    /// The version of the deploy that it shows.
    shown: i64,
    edited_at: Option<Instant>,
    tries: u32,
}

impl Known {
    /// The answer while its token lives.
    fn live(&self) -> Option<&Answer> {
        self.answer.as_ref().filter(|answer| answer.received.elapsed() < TOKEN_LIVES)
    }

    /// The deploy, where it need not be read: by the token it is edited wherever it is.
    fn deploy(&self) -> Option<&Deploy> {
        let is_known = !self.moved && self.live().is_some();
        self.deploy.as_deref().filter(|deploy| is_known && deploy.message.is_some() && deploy.version > self.shown)
    }

    /// Takes over how the deploy is by a change, and how long its card can wait.
    fn learn(&mut self, changed: Option<Box<Deploy>>, now: Timestamp) -> Duration {
        self.deploy = match (changed, self.deploy.take()) {
            (Some(changed), Some(held)) if held.version > changed.version => Some(held),
            (changed, _) => changed,
        };
        self.deploy().and_then(|deploy| too_early(deploy, self, now.since(deploy.asked_at))).unwrap_or_default()
    }
}

/// The answer to an interaction, which its token can edit while it lives: without any permission in the channel, and apart
/// from its limits.
#[derive(Clone)]
pub struct Answer {
    /// The bot.
    pub application: ApplicationId,
    /// The interaction's token.
    pub token: String,
    /// When the interaction arrived.
    pub received: Instant,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

impl Cards {
    /// Cards shown through `rest`.
    pub fn new(rest: Rest, metrics: Metrics) -> Self {
        let (agenda, known, channels, shown) = (Agenda::default(), Arc::default(), Arc::default(), Shown::default());
        Self { rest, metrics, agenda, known, channels, shown }
    }

    /// What counts what happens to messages.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The answer to an interaction is the card of `deploy`, which was recorded a moment ago.
    pub fn answers(&self, deploy: &Deploy, answer: Answer) {
        let pause = {
            let mut known = self.known();
            let known = known.entry(deploy.uuid).or_default();
            known.answer = Some(answer);
            known.learn(Some(Box::new(deploy.clone())), deploy.asked_at)
        };
        self.agenda.add(deploy.uuid, pause);
    }

    /// Keeps the cards of `deploys` up to date until `stopping`, and then for a moment, those that a stop has left behind
    /// first.
    pub async fn keep(&self, deploys: &Deploys, stopping: &CancellationToken) {
        let mut edits = JoinSet::new();
        let left = self.find_left_behind(deploys);
        let noting = self.shown.keep(deploys);
        tokio::pin!(left, noting);
        let mut finding = true;
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                found = &mut left, if finding => {
                    found.into_iter().for_each(|deploy| self.agenda.add(deploy, Duration::ZERO));
                    finding = false;
                }
                () = &mut noting => {}
                changed = deploys.changed().next() => self.add(changed, deploys.now()),
                turn = self.agenda.next(), if edits.len() < EDITS_MAX => self.begin(&mut edits, deploys, turn),
                Some(()) = joined(&mut edits) => {}
            }
        }
        let drain = async {
            self.add(deploys.changed().take(), deploys.now());
            while !edits.is_empty() || !self.agenda.is_empty() {
                tokio::select! {
                    turn = self.agenda.next(), if edits.len() < EDITS_MAX => self.begin(&mut edits, deploys, turn),
                    Some(()) = joined(&mut edits) => {}
                }
            }
        };
        // What isn't shown by then is shown at the next start.
        let _ = timeout(DRAIN_WITHIN, drain).await;
        self.shown.flush(deploys).await;
    }

    /// The deploys whose cards a stop has left behind; asked for again until the database tells.
    async fn find_left_behind(&self, deploys: &Deploys) -> Vec<Uuid> {
        loop {
            match deploys.not_shown().await {
                Ok(left) => return left,
                Err(error) => tracing::error!("The cards that a stop has left behind can't be found yet: {error}"),
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    fn add(&self, changed: Changes, now: Timestamp) {
        for (uuid, deploy) in changed {
            let pause = self.known().entry(uuid).or_default().learn(deploy, now);
            self.agenda.add(uuid, pause);
        }
    }

    fn begin(&self, edits: &mut JoinSet<()>, deploys: &Deploys, turn: Turn) {
        let (cards, deploys) = (self.clone(), deploys.clone());
        edits.spawn(async move {
            let again = cards.show(&deploys, turn.deploy()).await;
            turn.ends(again);
        });
    }

    /// Shows a deploy as it is; how long to wait before it is tried again.
    async fn show(&self, deploys: &Deploys, uuid: Uuid) -> Option<Duration> {
        let known = self.known().entry(uuid).or_default().clone();
        let read = match known.deploy() {
            Some(deploy) => Ok(Some(deploy.clone())),
            None => deploys.get(uuid).await,
        };
        let deploy = match read {
            Ok(Some(deploy)) => deploy,
            Ok(None) => return None,
            Err(error) => {
                tracing::warn!(deploy.uuid = %uuid, "A deploy can't be read to be shown: {error}");
                return Some(AGAIN_AFTER);
            }
        };
        if let Some(pause) = too_early(&deploy, &known, deploys.now().since(deploy.asked_at)) {
            return Some(pause);
        }
        let live = known.live();
        let place = match (live, deploy.channel) {
            (None, Some(channel)) => match self.place(channel.get()) {
                Some(place) => Some(place),
                None => return Some(NO_PLACE_PAUSE),
            },
            _ => None,
        };
        let edited = self.edit(deploys, &deploy, live, &card(&deploy)).await;
        drop(place);
        match edited {
            Ok(()) => {
                self.metrics.edited(Edited::Shown);
                self.note_shown(&deploy);
                self.tell_the_end(deploys, &deploy).await;
                None
            }
            Err(error) => {
                self.metrics.edited(Edited::Failed);
                let tries = {
                    let mut known = self.known();
                    let known = known.entry(uuid).or_default();
                    known.tries += 1;
                    known.tries
                };
                let pause = AGAIN_AFTER.saturating_mul(2_u32.saturating_pow(tries.min(16))).min(AGAIN_AFTER_MAX);
                tracing::warn!(
                    deploy.id = deploy.id.0,
                    retry_after_s = pause.as_secs(),
                    "The card of a deploy could not be edited: {error}"
                );
                Some(pause)
            }
        }
    }

    /// By the answer's token while that lives, then as the bot, then by a new message.
    async fn edit(
        &self,
        deploys: &Deploys,
        deploy: &Deploy,
        live: Option<&Answer>,
        reply: &Reply,
    ) -> Result<(), RestError> {
        if let Some(answer) = live {
            let body = render::message(reply);
            let deadline = Instant::now() + EDIT_WITHIN;
            match self.rest.edit_original(answer.application, &answer.token, &body, deadline).await {
                Err(RestError::Gone | RestError::NotFound { .. } | RestError::Refused { .. }) => {}
                Err(error) => return Err(error),
                Ok(posted) => {
                    // Whoever edits it as the bot one day must know which message it is.
                    let message = posted.message.and_then(|message| MessageId::new(message.get()));
                    if let (None, Some(message), Some(channel)) = (deploy.message, message, deploy.channel) {
                        self.note_moved(deploys, deploy, channel, message).await;
                    }
                    return Ok(());
                }
            }
        }
        let (Some(channel), Some(message)) = (deploy.channel, deploy.message) else { return Ok(()) };
        let channel = ChannelId::new(channel.get());
        match edit_as_bot(&self.rest, channel, message, reply).await {
            Err(RestError::NotFound { .. }) => {
                tracing::info!(
                    deploy.id = deploy.id.0,
                    "The card of a deploy was deleted, so it is no longer kept up to date"
                );
                Ok(())
            }
            // Among what is refused is an edit in a thread that is archived.
            Err(RestError::Forbidden { .. } | RestError::Refused { .. }) => {
                self.post_anew(deploys, deploy, channel, message, reply).await
            }
            edited => edited,
        }
    }

    /// A new card, which links to the old one that may not be edited.
    async fn post_anew(
        &self,
        deploys: &Deploys,
        deploy: &Deploy,
        channel: ChannelId,
        old: MessageId,
        reply: &Reply,
    ) -> Result<(), RestError> {
        let page = format!("https://discord.com/channels/{}/{channel}/{old}", deploy.guild);
        let reply = card::moved(reply.clone(), page);
        let body = CreateMessage::new()
            .embed(render::embed(&reply))
            .components(render::rows(&reply))
            .nonce(nonce(deploy, &format!("c{}", deploy.version)))
            .enforce_nonce(true);
        match self.rest.create_message(channel, &body, Instant::now() + EDIT_WITHIN).await {
            Ok(posted) => {
                let new = posted.message.and_then(|new| MessageId::new(new.get()));
                if let (Some(new), Some(channel)) = (new, deploy.channel) {
                    self.note_moved(deploys, deploy, channel, new).await;
                }
                Ok(())
            }
            Err(error @ (RestError::Forbidden { .. } | RestError::NotFound { .. } | RestError::Refused { .. })) => {
                tracing::warn!(deploy.id = deploy.id.0, "The card of a deploy can't be shown: {error}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A place among the edits of a channel, if there is one.
    fn place(&self, channel: u64) -> Option<Place> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = channels.entry(channel).or_default();
        if *taken == EDITS_OF_CHANNEL_MAX {
            return None;
        }
        *taken += 1;
        Some(Place { channels: Arc::clone(&self.channels), channel })
    }

    async fn note_moved(&self, deploys: &Deploys, deploy: &Deploy, channel: crate::id::ChannelId, message: MessageId) {
        self.known().entry(deploy.uuid).or_default().moved = true;
        if let Err(error) = deploys.note_moved(deploy, channel, message).await {
            tracing::warn!(
                deploy.id = deploy.id.0,
                "Which message is the card of a deploy could not be noted: {error}"
            );
        }
    }

    fn note_shown(&self, deploy: &Deploy) {
        self.shown.note(deploy.uuid, deploy.version);
        let mut known = self.known();
        if deploy.followed || !deploy.state.is_final() {
            let known = known.entry(deploy.uuid).or_default();
            (known.edited_at, known.tries) = (Some(Instant::now()), 0);
            // What it shows need not be kept; what has come meanwhile must.
            known.shown = deploy.version;
            known.deploy.take_if(|held| held.version <= deploy.version);
        } else {
            known.remove(&deploy.uuid);
        }
    }

    /// Whoever waited for long is told of the end, once and without a ping.
    async fn tell_the_end(&self, deploys: &Deploys, deploy: &Deploy) {
        let waited = deploy.ended_at.is_some_and(|ended| deploy.took(ended) > TELL_AFTER);
        let (true, Some(channel), Some(message)) = (waited && !deploy.followed, deploy.channel, deploy.message) else {
            return;
        };
        match deploys.note_told(deploy).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(deploy.id = deploy.id.0, "The end of a deploy is not told: {error}");
                return;
            }
        }
        let channel = ChannelId::new(channel.get());
        let reply = card::end(deploy);
        let body = CreateMessage::new()
            .embed(render::embed(&reply))
            .reference_message((channel, DiscordMessageId::new(message.get())))
            .nonce(nonce(deploy, &format!("end{}", deploy.steps.len())))
            .enforce_nonce(true);
        if let Err(error) = self.rest.create_message(channel, &body, Instant::now() + EDIT_WITHIN).await {
            tracing::warn!(deploy.id = deploy.id.0, "The end of a deploy could not be told: {error}");
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Uuid, Known>> {
        // Nothing panics while it is locked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a card can still wait, so that it isn't edited for a state that lasts a moment.
fn too_early(deploy: &Deploy, known: &Known, age: Duration) -> Option<Duration> {
    if deploy.state.is_final() {
        return None;
    }
    let since_asked = (deploy.state == State::Triggering).then(|| SHOW_TRIGGERING_AFTER.saturating_sub(age));
    let since_edited = known.edited_at.map(|at| EDIT_EVERY.saturating_sub(at.elapsed()));
    since_asked.into_iter().chain(since_edited).max().filter(|pause| !pause.is_zero())
}

/// What keeps a message from appearing twice: at most 25 characters (resources/message, "Create Message").
fn nonce(deploy: &Deploy, what: &str) -> serenity::model::channel::Nonce {
    let random = deploy.uuid.as_u128() & u128::from(u64::MAX);
    serenity::model::channel::Nonce::String(format!("{what}-{random:016x}"))
}

async fn joined(edits: &mut JoinSet<()>) -> Option<()> {
    let joined = edits.join_next().await?;
    if let Err(error) = joined {
        tracing::error!("Editing a card ended badly: {error}. This is a mistake in Slipway; please report it");
    }
    Some(())
}
