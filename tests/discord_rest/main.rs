//! The REST client against a scripted server: what it sends, what it makes of each answer, what it
//! repeats, whom it lets wait, and what it never shows.
#![allow(clippy::unwrap_used)]

mod meaning;
#[path = "../support/nobody.rs"]
mod nobody;
mod repeats;
mod secrets;
mod sending;
mod server;

use std::time::Duration;

use serde_json::{Value, json};
use serenity::model::id::{ApplicationId, ChannelId, GuildId, InteractionId, MessageId};
use slipway::discord::rest::{CallbackError, Rest, RestError};
use tokio::time::Instant;

pub const BOT_TOKEN: &str = "bot-secret-31415";
pub const TOKEN: &str = "interaction-secret-27182";
pub const APP: ApplicationId = ApplicationId::new(11);
pub const GUILD: GuildId = GuildId::new(22);
pub const CHANNEL: ChannelId = ChannelId::new(33);
pub const INTERACTION: InteractionId = InteractionId::new(44);

pub fn within(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

pub fn soon() -> Instant {
    within(20_000)
}

pub async fn call_back(rest: &Rest, deadline: Instant) -> Result<u64, CallbackError> {
    let body = json!({ "type": 5, "data": { "flags": 64 } });
    let answer = rest.callback(INTERACTION, TOKEN, &body, deadline).await?;
    Ok(answer.message.map_or(0, MessageId::get))
}

pub async fn edit(rest: &Rest, deadline: Instant) -> Result<(), RestError> {
    let body = json!({ "content": "done" });
    rest.edit_original(APP, TOKEN, &body, deadline).await.map(drop)
}

pub async fn post(rest: &Rest, body: Value, deadline: Instant) -> Result<(), RestError> {
    rest.create_message(CHANNEL, &body, deadline).await.map(drop)
}
