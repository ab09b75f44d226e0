//! The bot on Discord: connects, registers the commands, carries out what arrives, and stops in good order.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use serenity::builder::{AutocompleteChoice, CreateAutocompleteResponse};
use serenity::model::application::{CommandInteraction, ComponentInteraction, Interaction, ModalInteraction};
use serenity::model::id::{ApplicationId, ChannelId, GuildId, InteractionId};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::audit_channel::AuditChannels;
use super::cards::Cards;
use super::conversation::Conversation;
use super::decode::{self, Undecodable};
use super::gateway::{self, GatewayOptions, Incoming};
use super::registration::{self, Registered};
use super::requests::RequestCards;
use super::rest::{GatewayBot, Rest, RestError, SetupError};
use crate::app::{App, Chat, Visibility};
use crate::command;
use crate::complete::complete;
use crate::config;
use crate::reply::{Reply, Text, Tone};

/// How long what is under way is waited for when Slipway stops; the process must end within 10 s.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How long the gateway may take to close afterwards.
const CLOSE_WITHIN: Duration = Duration::from_millis(1_500);
/// An autocompletion that is later than this is of no use.
const COMPLETE_WITHIN: Duration = Duration::from_millis(2_500);
/// The longest pause between two tries to find the gateway.
const FIND_AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);
/// The longest pause between two tries to register the commands.
const REGISTER_AGAIN_AFTER_MAX: Duration = Duration::from_secs(300);
/// `APPLICATION_COMMAND_AUTOCOMPLETE_RESULT`: an interaction callback type.
const CHOICES: u8 = 8;

/// Why the bot ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum BotError {
    /// The settings don't fit.
    #[error("{0}.")]
    Setup(#[from] SetupError),
    /// Discord doesn't accept the token.
    #[error("{0}.")]
    Rest(RestError),
    /// The gateway said "never again".
    #[error("{0}")]
    Gateway(gateway::Fatal),
}

/// The bot while it runs.
struct Bot {
    app: Arc<App>,
    rest: Rest,
    cards: Cards,
    requests: RequestCards,
    guild: Option<GuildId>,
}

/// Runs the bot until `app.stopping`, and then until what is under way is done, for some seconds at most.
///
/// # Errors
/// When Discord refuses the bot for good.
pub async fn run(app: Arc<App>, settings: config::Discord) -> Result<(), BotError> {
    let rest = Rest::new(settings.token.clone(), settings.api_url.as_deref())?;
    rest.count_in(app.metrics.clone());
    let Some(gateway) = find_gateway(&rest, &app.stopping).await? else { return Ok(()) };
    let (sender, mut incoming) = mpsc::unbounded_channel();
    let closing = CancellationToken::new();
    let options = GatewayOptions {
        url: gateway.url,
        token: settings.token,
        limits: gateway::Limits::default(),
        health: app.health.clone(),
    };
    let mut connection = AbortOnDropHandle::new(tokio::spawn(gateway::run(options, sender, closing.clone())));
    let cards = Cards::new(rest.clone(), app.metrics.clone());
    let requests = RequestCards::new(rest.clone());
    let guild = settings.guild.map(|guild| GuildId::new(guild.get()));
    let audit_channels = AuditChannels::new(rest.clone(), app.deliveries.clone(), app.settings.clone());
    let bot = Arc::new(Bot { guild, app, rest, cards, requests });
    let keeping = CancellationToken::new();
    let keeper = AbortOnDropHandle::new(tokio::spawn({
        let (bot, keeping) = (Arc::clone(&bot), keeping.clone());
        async move {
            tokio::join!(
                bot.cards.keep(&bot.app.deploys, &keeping),
                bot.requests.keep(&bot.app.requests, &keeping),
                audit_channels.keep(&keeping),
            );
        }
    }));
    let mut tasks = Tasks::default();

    let ended = loop {
        tokio::select! {
            // In this order: what has arrived is taken before the end is noticed.
            biased;
            Some(event) = incoming.recv() => tasks.take(&bot, event),
            ended = &mut connection => break Some(bot_ended(ended)),
            () = bot.rest.unauthorized() => break Some(Err(BotError::Rest(RestError::Unauthorized))),
            () = bot.app.stopping.cancelled() => break None,
            () = tasks.one_ends() => {}
        }
    };
    bot.app.stopping.cancel();
    let drained = async {
        while !tasks.0.is_empty() {
            tokio::select! {
                // Whoever asks now is told to come back.
                Some(event) = incoming.recv() => tasks.take(&bot, event),
                () = tasks.one_ends() => {}
            }
        }
    };
    if timeout(DRAIN_WITHIN, drained).await.is_err() {
        tracing::warn!(
            "Slipway stops before everything under way is done; what is recorded is taken up at the next start"
        );
    }
    // Only now has the last deploy changed that this process sends.
    keeping.cancel();
    if let Err(error) = keeper.await {
        tracing::error!("Keeping the cards ended badly: {error}. This is a mistake in Slipway; please report it");
    }
    closing.cancel();
    match ended {
        Some(ended) => ended,
        None => timeout(CLOSE_WITHIN, &mut connection).await.map_or(Ok(()), bot_ended),
    }
}

/// What is under way: a task for each interaction. They end with their owner.
#[derive(Default)]
struct Tasks(JoinSet<()>);

impl Tasks {
    /// Takes what has arrived.
    fn take(&mut self, bot: &Arc<Bot>, event: Incoming) {
        match event {
            Incoming::Ready { application, guilds, .. } => {
                tracing::info!(discord.application = application, discord.guilds = guilds.len(), "Slipway is ready");
                let bot = Arc::clone(bot);
                self.0.spawn(async move { bot.get_ready(ApplicationId::new(application)).await });
            }
            Incoming::Interaction(interaction) => {
                let bot = Arc::clone(bot);
                self.0.spawn(async move { bot.interact(*interaction).await });
            }
            // The gateway has logged both; neither can be answered.
            Incoming::Resumed | Incoming::Unreadable { .. } => {}
        }
    }

    /// Waits until a task ends; for ever when there is none.
    async fn one_ends(&mut self) {
        match self.0.join_next().await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!("A request ended badly: {error}. This is a mistake in Slipway; please report it")
            }
            None => std::future::pending().await,
        }
    }
}

/// What the end of the gateway's task means for the bot.
fn bot_ended(ended: Result<Result<(), gateway::Fatal>, JoinError>) -> Result<(), BotError> {
    match ended {
        Ok(ended) => ended.map_err(BotError::Gateway),
        Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => Ok(()),
    }
}

/// Asks Discord where its gateway is until it tells; nothing when Slipway is stopped before.
async fn find_gateway(rest: &Rest, stopping: &CancellationToken) -> Result<Option<GatewayBot>, BotError> {
    let asked = (|| rest.gateway_bot())
        .retry(patience(FIND_AGAIN_AFTER_MAX))
        .when(|error| !matches!(error, RestError::Unauthorized))
        .notify(|error, after| {
            tracing::warn!(retry_after_s = after.as_secs(), "Discord's gateway can't be found yet: {error}")
        });
    tokio::select! {
        found = asked => Ok(Some(found.map_err(BotError::Rest)?)),
        () = stopping.cancelled() => Ok(None),
    }
}

/// Pauses without an end, from a second to `longest`.
fn patience(longest: Duration) -> ExponentialBuilder {
    // Without backon's `std` feature its jitter would be the same in every process.
    let pauses = ExponentialBuilder::new().with_min_delay(Duration::from_secs(1)).with_max_delay(longest);
    pauses.without_max_times().with_jitter().with_jitter_seed(rand::random())
}

impl Bot {
    /// Once the bot is known to Discord: the commands. That doesn't hold up the next stop, for they are registered again at
    /// the next start.
    async fn get_ready(&self, application: ApplicationId) {
        tokio::select! {
            () = self.register(application) => {}
            () = self.app.stopping.cancelled() => {}
        }
    }

    async fn register(&self, application: ApplicationId) {
        let registered = (|| registration::register(&self.rest, application, self.guild))
            .retry(patience(REGISTER_AGAIN_AFTER_MAX))
            .when(|error| matches!(error, RestError::Unavailable { .. } | RestError::TooSlow | RestError::Garbled))
            .notify(|error, after| {
                tracing::warn!(retry_after_s = after.as_secs(), "The commands are not registered yet: {error}");
            })
            .await;
        match registered {
            Ok(Registered::Unchanged) => tracing::info!("The commands are registered already"),
            Ok(Registered::Replaced) => tracing::info!("The commands are registered"),
            Err(error) => tracing::error!("The commands could not be registered: {error}"),
        }
    }

    async fn interact(&self, interaction: Interaction) {
        match interaction {
            Interaction::Command(command) => self.command(&command).await,
            Interaction::Autocomplete(typed) => self.autocomplete(&typed).await,
            Interaction::Component(press) => self.press(&press).await,
            Interaction::Modal(form) => self.filled_in(&form).await,
            _ => tracing::warn!("Discord sent an interaction of a kind that Slipway doesn't use"),
        }
    }

    async fn command(&self, command: &CommandInteraction) {
        let chat = self.conversation(
            command.application_id,
            command.id,
            command.channel_id,
            &command.token,
            command.attachment_size_limit,
        );
        match decode::command(command) {
            Ok(request) => {
                self.app.handle(&request, &chat).await;
            }
            Err(undecodable) => refuse(&chat, &undecodable).await,
        }
    }

    async fn press(&self, press: &ComponentInteraction) {
        match decode::button(press) {
            Ok(request) => {
                // A page takes the place of the one before; whatever else is pressed stands on a card that stays.
                let updates = command::find(&request.path).is_some_and(|leaf| leaf.pages);
                let chat = self.answer_to_press(press).updating(updates);
                self.app.handle(&request, &chat).await;
            }
            Err(undecodable) => {
                let chat = self.answer_to_press(press);
                refuse(&chat, &undecodable).await;
            }
        }
    }

    async fn filled_in(&self, form: &ModalInteraction) {
        let chat =
            self.conversation(form.application_id, form.id, form.channel_id, &form.token, form.attachment_size_limit);
        match decode::form(form) {
            Ok(request) => {
                self.app.handle(&request, &chat).await;
            }
            Err(undecodable) => refuse(&chat, &undecodable).await,
        }
    }

    async fn autocomplete(&self, typed: &CommandInteraction) {
        let Some((option, text)) = decode::typed(typed) else { return };
        let Ok(request) = decode::command(typed) else { return };
        let completed = complete(&self.app, &request.caller, &request.path, &request.arguments, &option, &text);
        let choices = timeout(COMPLETE_WITHIN, completed).await.unwrap_or_default();
        let choices: Vec<AutocompleteChoice> =
            choices.into_iter().map(|choice| AutocompleteChoice::new(choice.label, choice.value)).collect();
        let body =
            serde_json::json!({ "type": CHOICES, "data": CreateAutocompleteResponse::new().set_choices(choices) });
        if let Err(error) = self.rest.callback(typed.id, &typed.token, &body, Instant::now() + COMPLETE_WITHIN).await {
            tracing::debug!(interaction.id = %typed.id, "Choices came too late: {error}");
        }
    }

    fn answer_to_press(&self, press: &ComponentInteraction) -> Conversation {
        let limit = press.attachment_size_limit;
        self.conversation(press.application_id, press.id, press.channel_id, &press.token, limit)
    }

    fn conversation(
        &self,
        application: ApplicationId,
        id: InteractionId,
        channel: ChannelId,
        token: &str,
        attachment_max: u32,
    ) -> Conversation {
        let shown = (self.cards.clone(), self.requests.clone());
        Conversation::new(self.rest.clone(), shown, application, id, channel, token, attachment_max)
    }
}

async fn refuse(chat: &Conversation, undecodable: &Undecodable) {
    if chat.acknowledge(Visibility::Ephemeral).await.is_ok() {
        let reply = Reply::new(Tone::Bad, "Not done").body(Text::of(undecodable.to_string()));
        chat.answer(&reply).await;
    }
}
