//! The least that a bot can do: serenity's client, which acknowledges every command and does nothing else. What it needs is
//! what the stage and the machine need; whatever another bot needs beyond it is its own.

use std::error::Error;

use serenity::all::{Context, EventHandler, GatewayIntents, Interaction};
use serenity::async_trait;
use serenity::client::ClientBuilder;
use serenity::http::HttpBuilder;

struct Acknowledge;

#[async_trait]
impl EventHandler for Acknowledge {
    async fn interaction_create(&self, context: Context, interaction: Interaction) {
        if let Interaction::Command(command) = interaction
            && let Err(error) = command.defer(&context.http).await
        {
            eprintln!("An acknowledgement was not accepted: {error}");
        }
    }
}

/// Runs until the process is ended, with Slipway's names for the settings.
pub async fn run() -> Result<(), Box<dyn Error>> {
    let http = HttpBuilder::new(std::env::var("DISCORD_TOKEN")?)
        .proxy(std::env::var("DISCORD_API_URL")?)
        // Discord exempts interactions from the limits that it would keep.
        .ratelimiter_disabled(true)
        .build();
    let mut client = ClientBuilder::new_with_http(http, GatewayIntents::empty()).event_handler(Acknowledge).await?;
    Ok(client.start().await?)
}
