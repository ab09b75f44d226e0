//! Slipway's REST client for Discord: each call once, as a function. Every call ends by its
//! deadline, keeps Discord's limits and is repeated only where that cannot do harm. Must not know
//! what Slipway's messages say.
//!
//! Connections live on the runtime that first used them: use a client from one runtime only.

mod answer;
mod body;
mod call;
mod error;
mod transport;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serenity::http::Route;
use serenity::model::id::{ApplicationId, ChannelId, GuildId, InteractionId, MessageId, UserId};
use tokio::sync::watch;
use tokio::time::Instant;

pub use answer::{CallbackAnswer, Posted, SeenMessage};
pub use body::{callback_body, message_body};
pub use error::{CallbackError, RestError, SetupError, Trouble, Unseen};

use super::limiter::{Limiter, Major};
use crate::metrics::Metrics;
use crate::reply::Attachment;
use call::{Call, Repeat};
use transport::{Transport, segment};

/// For the gateway's address; whoever asks tries again.
const GATEWAY_DEADLINE: Duration = Duration::from_secs(15);
/// For reading or replacing the commands, which Discord's limits may hold up for a while.
const COMMANDS_DEADLINE: Duration = Duration::from_secs(60);

/// The client; clones share connections, limits and the knowledge that the token is dead.
#[derive(Clone)]
pub struct Rest {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Transport,
    limiter: Limiter,
    token: SecretString,
    unauthorized: watch::Sender<bool>,
    /// Where its rate limits are counted, once somebody does.
    metrics: OnceLock<Metrics>,
    /// Interactions are told apart by a hash of their token, so that it is kept nowhere.
    hasher: RandomState,
}

/// Where the gateway is and how often it may be identified to (events/gateway, "Get Gateway Bot").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayBot {
    /// The gateway's address (`wss://…`).
    pub url: String,
    /// Identifies that are left until the reset.
    pub identifies_remaining: u32,
    /// Until the number of identifies is full again.
    pub reset_after: Duration,
    /// Identifies at once.
    pub max_concurrency: u32,
}

impl Rest {
    /// A client for the bot with this token, at Discord or at another root (`DISCORD_API_URL`),
    /// under whose `/api/v10` the same routes are.
    pub fn new(token: SecretString, root: Option<&str>) -> Result<Self, SetupError> {
        Ok(Self {
            inner: Arc::new(Inner {
                transport: Transport::new(&token, root)?,
                limiter: Limiter::new(),
                token,
                unauthorized: watch::Sender::new(false),
                metrics: OnceLock::new(),
                hasher: RandomState::new(),
            }),
        })
    }

    /// Counts Discord's rate limits in `metrics` from now on; the first to ask for it is heeded.
    pub fn count_in(&self, metrics: Metrics) {
        let inner = Arc::downgrade(&self.inner);
        metrics.ask_for_buckets(move || inner.upgrade().map_or(0, |inner| inner.limiter.buckets()));
        let _ = self.inner.metrics.set(metrics);
    }

    /// Resolves when Discord has answered 401 to the bot's token. From then on every bot call is
    /// [`RestError::Unauthorized`] without being sent; only a new token helps.
    pub async fn unauthorized(&self) {
        let mut dead = self.inner.unauthorized.subscribe();
        // The sender lives as long as `self`.
        let _ = dead.wait_for(|dead| *dead).await;
    }

    /// Limits that are remembered, for the metrics.
    pub fn buckets(&self) -> usize {
        self.inner.limiter.buckets()
    }

    /// `GET /gateway/bot`.
    pub async fn gateway_bot(&self) -> Result<GatewayBot, RestError> {
        #[derive(serde::Deserialize)]
        struct Wire {
            url: String,
            session_start_limit: Limit,
        }
        #[derive(serde::Deserialize)]
        struct Limit {
            remaining: u32,
            reset_after: u64,
            max_concurrency: u32,
        }
        let call = Call::new(Method::GET, Route::GatewayBot, "GET /gateway/bot", Major::None);
        let wire: Wire = self.read(&call, GATEWAY_DEADLINE).await?;
        Ok(GatewayBot {
            url: wire.url,
            identifies_remaining: wire.session_start_limit.remaining,
            reset_after: Duration::from_millis(wire.session_start_limit.reset_after),
            max_concurrency: wire.session_start_limit.max_concurrency,
        })
    }

    /// The first answer to an interaction (`POST /interactions/{id}/{token}/callback`), due within
    /// 3 seconds of its event. Sent again only after a 429 or when there was no connection.
    pub async fn callback(
        &self,
        interaction: InteractionId,
        token: &str,
        body: &impl Serialize,
        deadline: Instant,
    ) -> Result<CallbackAnswer, CallbackError> {
        let body = serde_json::to_value(body)
            .and_then(|body| serde_json::to_vec(&callback_body(body)))
            .map_err(|_| CallbackError::Unsendable)?;
        let encoded = segment(token);
        let route = Route::InteractionResponse { interaction_id: interaction, token: &encoded };
        let endpoint = "POST /interactions/{id}/{token}/callback";
        let call = Call::new(Method::POST, route, endpoint, Major::Interaction(interaction.get()))
            .query("with_response=true")
            .body(body)
            .token(token);
        let answer = self.inner.call_back(&call, deadline).await?;
        Ok(CallbackAnswer::read(answer.body.as_deref().unwrap_or_default()))
    }

    /// Edits an interaction's first answer, within the token's 15 minutes.
    pub async fn edit_original(
        &self,
        application: ApplicationId,
        token: &str,
        body: &impl Serialize,
        deadline: Instant,
    ) -> Result<Posted, RestError> {
        let encoded = segment(token);
        let message = message_value(body)?;
        self.post(self.original(application, token, &encoded), message, deadline).await
    }

    /// The same with files, which take the place of those it had.
    pub async fn edit_original_with(
        &self,
        application: ApplicationId,
        token: &str,
        body: &impl Serialize,
        files: &[Attachment],
        deadline: Instant,
    ) -> Result<Posted, RestError> {
        let encoded = segment(token);
        let (kind, form) = body::form(message_value(body)?, files).map_err(|_| RestError::Unsendable)?;
        let call = self.original(application, token, &encoded).form(kind, form);
        let answer = self.inner.call(&call, deadline).await?;
        Ok(Posted::read(answer.body.as_deref().unwrap_or_default()))
    }

    fn original<'a>(&self, application: ApplicationId, token: &'a str, encoded: &'a str) -> Call<'a> {
        let route = Route::WebhookOriginalInteractionResponse { application_id: application, token: encoded };
        let endpoint = "PATCH /webhooks/{id}/{token}/messages/@original";
        Call::new(Method::PATCH, route, endpoint, self.interaction(token)).token(token)
    }

    /// A further message to an interaction, within the token's 15 minutes. After a deferral the
    /// first one takes the deferred answer's place.
    pub async fn follow_up(
        &self,
        application: ApplicationId,
        token: &str,
        body: &impl Serialize,
        deadline: Instant,
    ) -> Result<Posted, RestError> {
        let encoded = segment(token);
        let route = Route::WebhookFollowupMessages { application_id: application, token: &encoded };
        let endpoint = "POST /webhooks/{id}/{token}";
        let call = Call::new(Method::POST, route, endpoint, self.interaction(token)).query("wait=true").token(token);
        self.post(call, message_value(body)?, deadline).await
    }

    /// A new message in a channel, as the bot. Repeated only when it has an enforced `nonce`,
    /// with which it cannot appear twice.
    pub async fn create_message(
        &self,
        channel: ChannelId,
        body: &impl Serialize,
        deadline: Instant,
    ) -> Result<Posted, RestError> {
        let body = message_value(body)?;
        let route = Route::ChannelMessages { channel_id: channel };
        let endpoint = "POST /channels/{id}/messages";
        let mut call = Call::new(Method::POST, route, endpoint, Major::Channel(channel.get()));
        if body::is_sent_once(&body) {
            call = call.repeat(Repeat::Freely);
        }
        self.post(call, body, deadline).await
    }

    /// Edits one of the bot's messages. An ephemeral one is [`RestError::NotFound`].
    pub async fn edit_message(
        &self,
        channel: ChannelId,
        message: MessageId,
        body: &impl Serialize,
        deadline: Instant,
    ) -> Result<Posted, RestError> {
        let route = Route::ChannelMessage { channel_id: channel, message_id: message };
        let endpoint = "PATCH /channels/{id}/messages/{id}";
        let call = Call::new(Method::PATCH, route, endpoint, Major::Channel(channel.get()));
        self.post(call, message_value(body)?, deadline).await
    }

    /// The 100 messages of a channel that come after the one with this id, in no order.
    pub async fn messages_after(
        &self,
        channel: ChannelId,
        after: u64,
        deadline: Instant,
    ) -> Result<Vec<SeenMessage>, RestError> {
        let route = Route::ChannelMessages { channel_id: channel };
        let endpoint = "GET /channels/{id}/messages";
        let query = format!("limit=100&after={after}");
        let call = Call::new(Method::GET, route, endpoint, Major::Channel(channel.get())).query(query);
        self.read_until(&call, deadline).await
    }

    /// Reads one message of a channel, whatever is in it.
    pub async fn read_message(
        &self,
        channel: ChannelId,
        message: MessageId,
        deadline: Instant,
    ) -> Result<(), RestError> {
        let route = Route::ChannelMessage { channel_id: channel, message_id: message };
        let endpoint = "GET /channels/{id}/messages/{id}";
        let call = Call::new(Method::GET, route, endpoint, Major::Channel(channel.get()));
        self.inner.call(&call, deadline).await.map(drop)
    }

    /// The guild that a channel belongs to, where it belongs to one.
    pub async fn guild_of(&self, channel: ChannelId, deadline: Instant) -> Result<Option<GuildId>, RestError> {
        #[derive(serde::Deserialize)]
        struct Wire {
            #[serde(default)]
            guild_id: Option<GuildId>,
        }
        let route = Route::Channel { channel_id: channel };
        let call = Call::new(Method::GET, route, "GET /channels/{id}", Major::Channel(channel.get()));
        let wire: Wire = self.read_until(&call, deadline).await?;
        Ok(wire.guild_id)
    }

    /// The bot's own user.
    pub async fn me(&self, deadline: Instant) -> Result<UserId, RestError> {
        #[derive(serde::Deserialize)]
        struct Wire {
            id: UserId,
        }
        let call = Call::new(Method::GET, Route::UserMe, "GET /users/@me", Major::None);
        let wire: Wire = self.read_until(&call, deadline).await?;
        Ok(wire.id)
    }

    /// The commands registered in a guild.
    pub async fn guild_commands(&self, application: ApplicationId, guild: GuildId) -> Result<Vec<Value>, RestError> {
        self.read(&guild_commands(Method::GET, application, guild), COMMANDS_DEADLINE).await
    }

    /// Replaces the commands registered in a guild; they appear at once.
    pub async fn put_guild_commands(
        &self,
        application: ApplicationId,
        guild: GuildId,
        commands: &impl Serialize,
    ) -> Result<Vec<Value>, RestError> {
        let call = guild_commands(Method::PUT, application, guild).body(json_bytes(commands)?);
        self.read(&call, COMMANDS_DEADLINE).await
    }

    /// The commands registered everywhere.
    pub async fn global_commands(&self, application: ApplicationId) -> Result<Vec<Value>, RestError> {
        self.read(&global_commands(Method::GET, application), COMMANDS_DEADLINE).await
    }

    /// Replaces the commands registered everywhere.
    pub async fn put_global_commands(
        &self,
        application: ApplicationId,
        commands: &impl Serialize,
    ) -> Result<Vec<Value>, RestError> {
        let call = global_commands(Method::PUT, application).body(json_bytes(commands)?);
        self.read(&call, COMMANDS_DEADLINE).await
    }

    async fn post(&self, call: Call<'_>, message: Value, deadline: Instant) -> Result<Posted, RestError> {
        let call = call.body(json_bytes(&message)?);
        let answer = self.inner.call(&call, deadline).await?;
        Ok(Posted::read(answer.body.as_deref().unwrap_or_default()))
    }

    async fn read<T: DeserializeOwned>(&self, call: &Call<'_>, patience: Duration) -> Result<T, RestError> {
        self.read_until(call, Instant::now() + patience).await
    }

    async fn read_until<T: DeserializeOwned>(&self, call: &Call<'_>, deadline: Instant) -> Result<T, RestError> {
        let answer = self.inner.call(call, deadline).await?;
        let body = answer.body.as_deref().unwrap_or_default();
        serde_json::from_slice(body).map_err(|_| RestError::Garbled)
    }

    fn interaction(&self, token: &str) -> Major {
        Major::Interaction(self.inner.hasher.hash_one(token))
    }
}

impl Inner {
    fn bot_token(&self) -> &str {
        self.token.expose_secret()
    }
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}

fn guild_commands(method: Method, application: ApplicationId, guild: GuildId) -> Call<'static> {
    let endpoint = match method {
        Method::PUT => "PUT /applications/{id}/guilds/{id}/commands",
        _ => "GET /applications/{id}/guilds/{id}/commands",
    };
    let route = Route::GuildCommands { application_id: application, guild_id: guild };
    Call::new(method, route, endpoint, Major::Guild(guild.get()))
}

fn global_commands(method: Method, application: ApplicationId) -> Call<'static> {
    let endpoint = match method {
        Method::PUT => "PUT /applications/{id}/commands",
        _ => "GET /applications/{id}/commands",
    };
    let route = Route::Commands { application_id: application };
    Call::new(method, route, endpoint, Major::None)
}

fn message_value(body: &impl Serialize) -> Result<Value, RestError> {
    serde_json::to_value(body).map(message_body).map_err(|_| RestError::Unsendable)
}

fn json_bytes(body: &impl Serialize) -> Result<Vec<u8>, RestError> {
    serde_json::to_vec(body).map_err(|_| RestError::Unsendable)
}
