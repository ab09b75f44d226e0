//! What these tests speak to the fake with: a real serenity client, and plain requests as a well-behaved bot sends them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use serenity::all::{
    Client, CommandInteraction, CommandOptionType, Context, CreateCommand, CreateCommandOption, EventHandler,
    GatewayIntents, Guild, HttpBuilder, Interaction as Event,
};
use serenity::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::discord::{CommandCall, FakeDiscord, Interaction, Member};

/// How long an event may take to reach the bot, replays after a lost connection included.
const PATIENCE: Duration = Duration::from_secs(20);

/// A serenity client whose events the test reads. It ends with the test.
pub struct Bot {
    events: UnboundedReceiver<(Context, Event)>,
    guilds: UnboundedReceiver<Guild>,
    pub client: JoinHandle<serenity::Result<()>>,
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.client.abort();
    }
}

struct Handler {
    events: UnboundedSender<(Context, Event)>,
    guilds: UnboundedSender<Guild>,
}

#[async_trait]
impl EventHandler for Handler {
    async fn interaction_create(&self, context: Context, event: Event) {
        self.events.send((context, event)).ok();
    }

    async fn guild_create(&self, _: Context, guild: Guild, _: Option<bool>) {
        self.guilds.send(guild).ok();
    }
}

impl Bot {
    pub async fn start(discord: &FakeDiscord, token: &str) -> Self {
        let (events_in, events) = unbounded_channel();
        let (guilds_in, guilds) = unbounded_channel();
        let http = HttpBuilder::new(token).proxy(discord.url()).ratelimiter_disabled(true).build();
        let handler = Handler { events: events_in, guilds: guilds_in };
        let builder = serenity::client::ClientBuilder::new_with_http(http, GatewayIntents::GUILDS);
        let mut client = builder.event_handler(handler).await.unwrap();
        *client.ws_url.lock().await = discord.gateway_url();
        let client: JoinHandle<_> = tokio::spawn(async move { Client::start(&mut client).await });
        Self { events, guilds, client }
    }

    /// The next interaction that reaches the bot.
    pub async fn event(&mut self) -> (Context, Event) {
        timeout(PATIENCE, self.events.recv()).await.expect("an interaction arrives in time").unwrap()
    }

    /// The next guild that is announced to the bot.
    pub async fn guild(&mut self) -> Guild {
        timeout(PATIENCE, self.guilds.recv()).await.expect("a guild arrives in time").unwrap()
    }

    pub async fn command(&mut self) -> (Context, CommandInteraction) {
        match self.event().await {
            (context, Event::Command(command)) => (context, command),
            (_, other) => panic!("not a command: {other:?}"),
        }
    }
}

/// Registers the commands that these tests use.
pub async fn register(discord: &FakeDiscord) {
    let (status, body) = put_commands(discord, &test_commands()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

pub fn test_commands() -> Value {
    let option = |kind, name: &str, required| CreateCommandOption::new(kind, name, "an option").required(required);
    let all = CreateCommand::new("all").description("every kind of option").set_options(vec![
        option(CommandOptionType::String, "text", true).max_length(10),
        option(CommandOptionType::Integer, "count", false).max_int_value(5),
        option(CommandOptionType::Boolean, "flag", false),
        option(CommandOptionType::User, "user", false),
        option(CommandOptionType::Role, "role", false),
        option(CommandOptionType::Channel, "channel", false),
        option(CommandOptionType::Mentionable, "who", false),
        option(CommandOptionType::String, "choice", false).add_string_choice("One", "1"),
        option(CommandOptionType::String, "repo", false).set_autocomplete(true),
    ]);
    let grant = option(CommandOptionType::SubCommand, "grant", false).add_sub_option(option(
        CommandOptionType::Mentionable,
        "who",
        true,
    ));
    let list = option(CommandOptionType::SubCommand, "list", false);
    let permission = CreateCommand::new("permission").description("rules").add_option(grant).add_option(list);
    json!([all, permission])
}

pub async fn put_commands(discord: &FakeDiscord, commands: &Value) -> (StatusCode, Value) {
    let path = format!("applications/{}/guilds/{}/commands", discord.application_id(), discord.guild_id());
    call(discord, Method::PUT, &path, commands).await
}

/// One REST request as a well-behaved bot sends it.
pub async fn call(discord: &FakeDiscord, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    let response = send(discord, method, path, body).await.unwrap();
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
}

pub async fn send(
    discord: &FakeDiscord,
    method: Method,
    path: &str,
    body: &Value,
) -> reqwest::Result<reqwest::Response> {
    let request = reqwest::Client::new()
        .request(method, format!("{}/api/v10/{path}", discord.url()))
        .header("authorization", format!("Bot {}", discord.token()))
        .header("user-agent", "DiscordBot (https://example.invalid, 1)");
    let request = if body.is_null() { request } else { request.json(body) };
    request.send().await
}

pub fn callback_path(interaction: &Interaction) -> String {
    format!("interactions/{}/{}/callback", interaction.id, interaction.token)
}

pub fn original_path(discord: &FakeDiscord, interaction: &Interaction) -> String {
    format!("webhooks/{}/{}/messages/@original", discord.application_id(), interaction.token)
}

pub fn text(content: &str) -> Value {
    json!({"content": content, "allowed_mentions": {"parse": []}})
}

/// Without a bot: an interaction that only the test's own requests answer.
pub async fn used_command(discord: &FakeDiscord) -> (Member, Interaction) {
    register(discord).await;
    let alice = discord.member("alice", &[]);
    let interaction = discord.interact_now(&alice, CommandCall::new("permission").sub("list"));
    (alice, interaction)
}
