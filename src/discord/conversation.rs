//! One interaction as a chat: acknowledged first, answered by edits, by its token while that lives and as the bot afterwards.

use std::time::Duration;

use serde_json::json;
use serenity::builder::EditMessage;
use serenity::model::id::{ApplicationId, ChannelId, InteractionId, MessageId as DiscordMessageId};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::cards::{Answer, Cards};
use super::requests::RequestCards;
use super::rest::{CallbackError, Rest, RestError};
use super::{files, render};
use crate::access::AccessRequest;
use crate::app::{Chat, Seen, Unseen, Visibility};
use crate::deploy::Deploy;
use crate::id::MessageId;
use crate::reply::{Form, Reply, Text, Tone};

/// Discord invalidates the token unless it was answered within 3 s of the event (interactions/receiving-and-responding,
/// "Interaction Callback"); less a little for the way here.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(2_700);
/// For finding out whether an acknowledgement whose answer was lost has been accepted.
const FIND_OUT_WITHIN: Duration = Duration::from_secs(10);
/// For an answer with files, which take longer.
const UPLOAD_WITHIN: Duration = Duration::from_secs(60);
/// For an answer: Discord's limits and its bad moments are waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The token lives 15 minutes; a little less, so that an edit isn't overtaken by its end.
pub const TOKEN_LIVES: Duration = Duration::from_secs(14 * 60 + 30);

/// `DEFERRED_CHANNEL_MESSAGE_WITH_SOURCE`, `DEFERRED_UPDATE_MESSAGE` and `MODAL`: interaction callback types
/// (interactions/receiving-and-responding).
const DEFERRED_MESSAGE: u8 = 5;
const DEFERRED_UPDATE: u8 = 6;
const MODAL: u8 = 9;
const EPHEMERAL: u32 = 1 << 6;

/// The chat of one interaction.
pub struct Conversation {
    rest: Rest,
    cards: Cards,
    requests: RequestCards,
    application: ApplicationId,
    interaction: InteractionId,
    channel: ChannelId,
    token: String,
    received: Instant,
    /// The largest file that an answer may have, in bytes.
    attachment_max: usize,
    /// Whether the answer takes the place of the message whose button was pressed.
    updates: bool,
    acknowledged: Mutex<Option<Result<Acknowledged, Unseen>>>,
}

#[derive(Clone, Copy)]
struct Acknowledged {
    visibility: Visibility,
    seen: Seen,
}

impl Conversation {
    /// The chat of an interaction that has just arrived; `attachment_max` is its `attachment_size_limit`.
    pub fn new(
        rest: Rest,
        (cards, requests): (Cards, RequestCards),
        application: ApplicationId,
        interaction: InteractionId,
        channel: ChannelId,
        token: &str,
        attachment_max: u32,
    ) -> Self {
        Self {
            rest,
            cards,
            requests,
            application,
            interaction,
            channel,
            token: token.to_owned(),
            received: Instant::now(),
            attachment_max: files::attachment_max(attachment_max),
            updates: false,
            acknowledged: Mutex::new(None),
        }
    }

    /// The same where the answer takes the place of the message whose button was pressed.
    pub fn updating(self, updates: bool) -> Self {
        Self { updates, ..self }
    }

    /// The answer, for whoever edits it later.
    fn as_answer(&self) -> Answer {
        Answer { application: self.application, token: self.token.clone(), received: self.received }
    }

    async fn send_acknowledgement(&self, visibility: Visibility) -> Result<Seen, Unseen> {
        let body = match (self.updates, visibility) {
            (true, _) => json!({ "type": DEFERRED_UPDATE }),
            (false, Visibility::Public) => json!({ "type": DEFERRED_MESSAGE }),
            (false, Visibility::Ephemeral) => json!({ "type": DEFERRED_MESSAGE, "data": { "flags": EPHEMERAL } }),
        };
        let deadline = self.received + ACKNOWLEDGE_WITHIN;
        match self.rest.callback(self.interaction, &self.token, &body, deadline).await {
            Ok(answer) => Ok(seen(answer.message)),
            Err(CallbackError::AlreadyAcknowledged) => Err(Unseen::Before),
            Err(CallbackError::FateUnknown { cause }) => {
                tracing::warn!(interaction.id = %self.interaction, "Discord's answer to an acknowledgement was lost ({cause}); finding out by editing the answer");
                self.find_out().await
            }
            Err(error) => {
                tracing::warn!(interaction.id = %self.interaction, "An acknowledgement was not accepted: {error}");
                Err(Unseen::Nobody)
            }
        }
    }

    /// Only an accepted acknowledgement has an answer that can be edited.
    async fn find_out(&self) -> Result<Seen, Unseen> {
        let working = Reply::new(Tone::Busy, "Working on it")
            .body(Text::of("Discord was slow to answer. This message will change in a moment."));
        let edited = self
            .rest
            .edit_original(self.application, &self.token, &render::message(&working), Instant::now() + FIND_OUT_WITHIN)
            .await;
        match edited {
            Ok(posted) => Ok(seen(posted.message)),
            Err(error) => {
                tracing::warn!(interaction.id = %self.interaction, "The acknowledgement was not accepted, as far as can be found out: {error}");
                Err(Unseen::Nobody)
            }
        }
    }

    /// By the interaction's token.
    async fn edit(&self, reply: &Reply) -> Result<(), RestError> {
        let (body, token) = (render::message(reply), &self.token);
        let edited = if reply.files.is_empty() {
            self.rest.edit_original(self.application, token, &body, Instant::now() + ANSWER_WITHIN).await
        } else {
            let deadline = Instant::now() + UPLOAD_WITHIN;
            self.rest.edit_original_with(self.application, token, &body, &reply.files, deadline).await
        };
        edited.map(|_| ())
    }

    /// As the bot, once the token is dead; only a public answer can be edited so.
    async fn answer_as_bot(&self, reply: &Reply, acknowledged: Acknowledged) {
        let (Visibility::Public, Some(message)) = (acknowledged.visibility, acknowledged.seen.message) else {
            tracing::warn!(interaction.id = %self.interaction, "An answer came too late to be shown: only its asker could have seen it");
            return;
        };
        let reply = files::without(reply, "it could be shown for a quarter of an hour only. Ask again.", |_| true);
        if let Err(error) = edit_as_bot(&self.rest, self.channel, message, &reply).await {
            tracing::warn!(interaction.id = %self.interaction, "An answer could not be shown: {error}");
        }
    }
}

/// Edits a message of ours in a channel so that it shows `reply`, which has no files.
pub async fn edit_as_bot(rest: &Rest, channel: ChannelId, message: MessageId, reply: &Reply) -> Result<(), RestError> {
    let body = EditMessage::new().embed(render::embed(reply)).components(render::rows(reply));
    rest.edit_message(channel, DiscordMessageId::new(message.get()), &body, Instant::now() + ANSWER_WITHIN)
        .await
        .map(|_| ())
}

impl Chat for Conversation {
    async fn acknowledge(&self, visibility: Visibility) -> Result<Seen, Unseen> {
        let mut acknowledged = self.acknowledged.lock().await;
        if let Some(before) = *acknowledged {
            return before.map(|before| before.seen);
        }
        let sent = self.send_acknowledgement(visibility).await;
        if sent.is_ok() {
            self.cards.metrics().acknowledged(self.received.elapsed());
        }
        *acknowledged = Some(sent.map(|seen| Acknowledged { visibility, seen }));
        sent
    }

    fn becomes_card(&self, deploy: &Deploy) {
        self.cards.answers(deploy, self.as_answer());
    }

    fn becomes_request(&self, request: &AccessRequest) {
        self.requests.answers(request, self.as_answer());
    }

    fn attachment_max(&self) -> usize {
        self.attachment_max
    }

    async fn ask(&self, form: &Form) -> Result<(), Unseen> {
        let body = json!({ "type": MODAL, "data": render::modal(form) });
        match self.rest.callback(self.interaction, &self.token, &body, self.received + ACKNOWLEDGE_WITHIN).await {
            Ok(_) => Ok(()),
            Err(CallbackError::AlreadyAcknowledged) => Err(Unseen::Before),
            Err(error) => {
                tracing::warn!(interaction.id = %self.interaction, "A form could not be shown: {error}");
                Err(Unseen::Nobody)
            }
        }
    }

    async fn answer(&self, reply: &Reply) {
        let Some(Ok(acknowledged)) = *self.acknowledged.lock().await else {
            tracing::error!(interaction.id = %self.interaction, "An answer without an acknowledgement is not sent");
            return;
        };
        let reply = files::fitting(reply, self.attachment_max);
        if self.received.elapsed() > TOKEN_LIVES {
            return self.answer_as_bot(&reply, acknowledged).await;
        }
        let mut edited = self.edit(&reply).await;
        // A proxy's limit may be lower, and a line too slow: the words come all the same.
        if let Err(error) = &edited
            && !reply.files.is_empty()
            && !matches!(error, RestError::Gone)
        {
            tracing::warn!(interaction.id = %self.interaction, "An answer is shown without its files: {error}");
            edited = self.edit(&files::without(&reply, "Discord didn't take it.", |_| true)).await;
        }
        match edited {
            Ok(()) => {}
            Err(RestError::Gone) => self.answer_as_bot(&reply, acknowledged).await,
            Err(error) => tracing::warn!(interaction.id = %self.interaction, "An answer could not be shown: {error}"),
        }
    }
}

fn seen(message: Option<DiscordMessageId>) -> Seen {
    Seen { message: message.and_then(|id| MessageId::new(id.get())) }
}
