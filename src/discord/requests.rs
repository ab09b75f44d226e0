//! Keeps the cards of requests for access up to date, and tells those who asked what became of them, after a restart too. Knows
//! nothing of how requests are decided.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serenity::builder::CreateMessage;
use serenity::model::channel::Nonce;
use serenity::model::id::{ChannelId, MessageId as DiscordMessageId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cards::Answer;
use super::conversation::{TOKEN_LIVES, edit_as_bot};
use super::render;
use super::rest::{Rest, RestError};
use crate::access::{AccessRequest, Requests, State, card};
use crate::db::DbError;
use crate::id::{GuildId, MessageId, RequestId};
use crate::reply::Reply;

/// For an edit or a message: Discord's limits and its bad moments are waited for.
const SHOW_WITHIN: Duration = Duration::from_secs(30);
/// Between two tries to show what could not be shown, at first and at last.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(300);
/// How long what has changed is still shown when Slipway stops; the next start shows the rest.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

/// The cards of requests; clones share them.
#[derive(Clone)]
pub struct RequestCards {
    rest: Rest,
    answers: Arc<Mutex<HashMap<(GuildId, RequestId), Answer>>>,
}

/// Why a card is not shown yet.
enum NotShown {
    Discord(RestError),
    Database(DbError),
}

impl From<RestError> for NotShown {
    fn from(error: RestError) -> Self {
        NotShown::Discord(error)
    }
}

impl From<DbError> for NotShown {
    fn from(error: DbError) -> Self {
        NotShown::Database(error)
    }
}

impl RequestCards {
    /// Cards shown through `rest`.
    pub fn new(rest: Rest) -> Self {
        Self { rest, answers: Arc::default() }
    }

    /// The answer to an interaction is the card of `request`.
    pub fn answers(&self, request: &AccessRequest, answer: Answer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|_, answer| answer.received.elapsed() < TOKEN_LIVES);
        answers.insert((request.guild, request.id), answer);
    }

    /// Keeps the cards of `requests` up to date until `stopping`, and then for a moment.
    pub async fn keep(&self, requests: &Requests, stopping: &CancellationToken) {
        let mut pause = AGAIN_AFTER;
        loop {
            let all = self.show_all(requests).await;
            pause = if all { AGAIN_AFTER } else { pause.saturating_mul(2).min(AGAIN_AFTER_MAX) };
            tokio::select! {
                () = stopping.cancelled() => break,
                () = requests.changed() => {}
                () = sleep(pause), if !all => {}
            }
        }
        let _ = timeout(DRAIN_WITHIN, self.show_all(requests)).await;
    }

    /// Shows what has changed; whether all of it could be shown.
    async fn show_all(&self, requests: &Requests) -> bool {
        let changed = match requests.not_shown().await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!("Requests for access can't be read to be shown: {error}");
                return false;
            }
        };
        let mut showing = JoinSet::new();
        // What was asked at a terminal is shown there.
        for request in changed.into_iter().filter(|request| request.channel.is_some()) {
            let (cards, requests) = (self.clone(), requests.clone());
            showing.spawn(async move { cards.show(&requests, &request).await.map_err(|why| (request.id, why)) });
        }
        let mut all = true;
        for shown in showing.join_all().await {
            if let Err((id, why)) = shown {
                all = false;
                let why = match why {
                    NotShown::Discord(error) => error.to_string(),
                    NotShown::Database(error) => error.to_string(),
                };
                tracing::warn!(access.id = id.0, "The card of a request for access could not be shown: {why}");
            }
        }
        all
    }

    async fn show(&self, requests: &Requests, request: &AccessRequest) -> Result<(), NotShown> {
        let reply = requests.card(request).await?;
        let answer = self.live(request);
        self.edit(requests, request, answer.as_ref(), &reply).await?;
        if let Some(end) = card::end(request)
            && requests.note_told(request).await?
        {
            self.tell(request, answer.as_ref(), &end).await;
        }
        requests.note_shown(request).await?;
        if request.state != State::Open {
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&(request.guild, request.id));
        }
        Ok(())
    }

    /// By the answer's token while that lives, then as the bot, then by a new message.
    async fn edit(
        &self,
        requests: &Requests,
        request: &AccessRequest,
        answer: Option<&Answer>,
        reply: &Reply,
    ) -> Result<(), NotShown> {
        if let Some(answer) = answer {
            let (body, deadline) = (render::message(reply), Instant::now() + SHOW_WITHIN);
            match self.rest.edit_original(answer.application, &answer.token, &body, deadline).await {
                Err(RestError::Gone | RestError::NotFound { .. } | RestError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(posted) => {
                    let message = posted.message.and_then(|message| MessageId::new(message.get()));
                    if let (None, Some(message)) = (request.message, message) {
                        requests.note_moved(request, message).await?;
                    }
                    return Ok(());
                }
            }
        }
        let Some(channel) = request.channel.map(|channel| ChannelId::new(channel.get())) else { return Ok(()) };
        let Some(message) = request.message else { return self.post_anew(requests, request, channel, reply).await };
        match edit_as_bot(&self.rest, channel, message, reply).await {
            Err(RestError::NotFound { .. }) => {
                tracing::info!(access.id = request.id.0, "The card of a request for access was deleted");
                Ok(())
            }
            Err(RestError::Forbidden { .. } | RestError::Refused { .. }) => {
                self.post_anew(requests, request, channel, reply).await
            }
            edited => Ok(edited?),
        }
    }

    /// A new card in place of one that can't be edited.
    async fn post_anew(
        &self,
        requests: &Requests,
        request: &AccessRequest,
        channel: ChannelId,
        reply: &Reply,
    ) -> Result<(), NotShown> {
        let body = CreateMessage::new()
            .embed(render::embed(reply))
            .components(render::rows(reply))
            .nonce(nonce(request, 'c'))
            .enforce_nonce(true);
        match self.rest.create_message(channel, &body, Instant::now() + SHOW_WITHIN).await {
            Ok(posted) => {
                if let Some(message) = posted.message.and_then(|message| MessageId::new(message.get())) {
                    requests.note_moved(request, message).await?;
                }
                Ok(())
            }
            Err(error @ (RestError::Forbidden { .. } | RestError::NotFound { .. } | RestError::Refused { .. })) => {
                tracing::warn!(access.id = request.id.0, "The card of a request for access can't be shown: {error}");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tells whoever asked, once and without a ping.
    async fn tell(&self, request: &AccessRequest, answer: Option<&Answer>, reply: &Reply) {
        let Some(channel) = request.channel.map(|channel| ChannelId::new(channel.get())) else { return };
        let deadline = Instant::now() + SHOW_WITHIN;
        let body = CreateMessage::new().embed(render::embed(reply));
        let told = match (answer, request.message) {
            (Some(answer), _) => self.rest.follow_up(answer.application, &answer.token, &body, deadline).await,
            (None, message) => {
                let body = body.nonce(nonce(request, 'e')).enforce_nonce(true);
                let body = match message {
                    Some(message) => body.reference_message((channel, DiscordMessageId::new(message.get()))),
                    None => body,
                };
                self.rest.create_message(channel, &body, deadline).await
            }
        };
        if let Err(error) = told {
            tracing::warn!(access.id = request.id.0, "The end of a request for access could not be told: {error}");
        }
    }

    fn live(&self, request: &AccessRequest) -> Option<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.get(&(request.guild, request.id))?;
        (answer.received.elapsed() < TOKEN_LIVES).then(|| answer.clone())
    }
}

/// What keeps a message from appearing twice: at most 25 characters (resources/message, "Create Message").
fn nonce(request: &AccessRequest, what: char) -> Nonce {
    let number = request.id.0 & 0xff_ffff_ffff;
    Nonce::String(format!("{what}{}-{number:x}-{:x}", request.version, request.asked_at.millis() & 0xffff_ffff))
}
