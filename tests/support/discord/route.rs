//! Which of Discord's routes a request means. It must not know what is done there.

use super::fault::RouteKind;

/// A route with the ids in its path.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    Callback { id: u64, token: String },
    EditWebhookMessage { application: u64, token: String, message: WebhookMessage },
    ReadWebhookMessage { application: u64, token: String, message: WebhookMessage },
    DeleteWebhookMessage { application: u64, token: String, message: WebhookMessage },
    Followup { application: u64, token: String },
    PostMessage { channel: u64 },
    ReadMessages { channel: u64 },
    EditMessage { channel: u64, message: u64 },
    ReadMessage { channel: u64, message: u64 },
    DeleteMessage { channel: u64, message: u64 },
    Pin { channel: u64, message: u64, pinned: bool },
    ReadCommands { application: u64, guild: Option<u64> },
    PutCommands { application: u64, guild: Option<u64> },
    Gateway,
    GatewayBot,
    CurrentUser,
    CurrentApplication,
    Guild { guild: u64 },
    GuildRoles { guild: u64 },
    Channel { channel: u64 },
    Member { guild: u64, user: u64 },
    Unknown,
}

/// Which message of an interaction's webhook.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WebhookMessage {
    Original,
    Id(u64),
}

impl Route {
    /// Reads method and path. The path begins with `/api/v10`, else the route is unknown.
    pub fn parse(method: &str, path: &str) -> Self {
        let Some(path) = path.strip_prefix("/api/v10/") else {
            return Self::Unknown;
        };
        let steps: Vec<&str> = path.split('/').collect();
        Self::read(method, &steps).unwrap_or(Self::Unknown)
    }

    fn read(method: &str, steps: &[&str]) -> Option<Self> {
        let id = |text: &str| text.parse::<u64>().ok();
        let webhook_message = |text: &str| match text {
            // Libraries differ in whether they escape the sign.
            "@original" | "%40original" => Some(WebhookMessage::Original),
            other => id(other).map(WebhookMessage::Id),
        };
        Some(match (method, steps) {
            ("POST", ["interactions", interaction, token, "callback"]) => {
                Self::Callback { id: id(interaction)?, token: (*token).to_owned() }
            }
            ("POST", ["webhooks", application, token]) => {
                Self::Followup { application: id(application)?, token: (*token).to_owned() }
            }
            (_, ["webhooks", application, token, "messages", message]) => {
                let (application, token) = (id(application)?, (*token).to_owned());
                let message = webhook_message(message)?;
                match method {
                    "PATCH" => Self::EditWebhookMessage { application, token, message },
                    "GET" => Self::ReadWebhookMessage { application, token, message },
                    "DELETE" => Self::DeleteWebhookMessage { application, token, message },
                    _ => return None,
                }
            }
            ("POST", ["channels", channel, "messages"]) => Self::PostMessage { channel: id(channel)? },
            ("GET", ["channels", channel, "messages"]) => Self::ReadMessages { channel: id(channel)? },
            ("PUT" | "DELETE", ["channels", channel, "pins", message])
            | ("PUT" | "DELETE", ["channels", channel, "messages", "pins", message]) => {
                Self::Pin { channel: id(channel)?, message: id(message)?, pinned: method == "PUT" }
            }
            (_, ["channels", channel, "messages", message]) => {
                let (channel, message) = (id(channel)?, id(message)?);
                match method {
                    "PATCH" => Self::EditMessage { channel, message },
                    "GET" => Self::ReadMessage { channel, message },
                    "DELETE" => Self::DeleteMessage { channel, message },
                    _ => return None,
                }
            }
            ("GET" | "PUT", ["applications", application, "commands"]) => {
                Self::commands(method, id(application)?, None)
            }
            ("GET" | "PUT", ["applications", application, "guilds", guild, "commands"]) => {
                Self::commands(method, id(application)?, Some(id(guild)?))
            }
            ("GET", ["gateway"]) => Self::Gateway,
            ("GET", ["gateway", "bot"]) => Self::GatewayBot,
            ("GET", ["users", "@me"]) => Self::CurrentUser,
            ("GET", ["applications", "@me"] | ["oauth2", "applications", "@me"]) => Self::CurrentApplication,
            ("GET", ["guilds", guild]) => Self::Guild { guild: id(guild)? },
            ("GET", ["guilds", guild, "roles"]) => Self::GuildRoles { guild: id(guild)? },
            ("GET", ["guilds", guild, "members", user]) => Self::Member { guild: id(guild)?, user: id(user)? },
            ("GET", ["channels", channel]) => Self::Channel { channel: id(channel)? },
            _ => return None,
        })
    }

    fn commands(method: &str, application: u64, guild: Option<u64>) -> Self {
        match method {
            "PUT" => Self::PutCommands { application, guild },
            _ => Self::ReadCommands { application, guild },
        }
    }

    pub fn kind(&self) -> RouteKind {
        match self {
            Self::Callback { .. } => RouteKind::Callback,
            Self::EditWebhookMessage { .. } => RouteKind::EditOriginal,
            Self::ReadWebhookMessage { .. } => RouteKind::ReadOriginal,
            Self::DeleteWebhookMessage { .. } => RouteKind::DeleteOriginal,
            Self::Followup { .. } => RouteKind::Followup,
            Self::PostMessage { .. } => RouteKind::PostMessage,
            Self::EditMessage { .. } => RouteKind::EditMessage,
            Self::ReadMessage { .. } | Self::ReadMessages { .. } => RouteKind::ReadMessage,
            Self::DeleteMessage { .. } => RouteKind::DeleteMessage,
            Self::ReadCommands { .. } | Self::PutCommands { .. } => RouteKind::Commands,
            Self::Gateway | Self::GatewayBot => RouteKind::Gateway,
            _ => RouteKind::Other,
        }
    }

    /// The interaction's token in the path.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Callback { token, .. }
            | Self::EditWebhookMessage { token, .. }
            | Self::ReadWebhookMessage { token, .. }
            | Self::DeleteWebhookMessage { token, .. }
            | Self::Followup { token, .. } => Some(token),
            _ => None,
        }
    }

    /// The resource that the route's bucket belongs to: an interaction's token, a channel, a guild.
    pub fn resource(&self) -> String {
        if let Some(token) = self.token() {
            return token.to_owned();
        }
        match self {
            Self::PostMessage { channel }
            | Self::ReadMessages { channel }
            | Self::EditMessage { channel, .. }
            | Self::ReadMessage { channel, .. }
            | Self::DeleteMessage { channel, .. }
            | Self::Pin { channel, .. }
            | Self::Channel { channel } => channel.to_string(),
            Self::ReadCommands { guild: Some(guild), .. }
            | Self::PutCommands { guild: Some(guild), .. }
            | Self::Guild { guild }
            | Self::GuildRoles { guild }
            | Self::Member { guild, .. } => guild.to_string(),
            _ => String::new(),
        }
    }

    /// Whether the route wants the bot's token.
    pub fn wants_bot(&self) -> bool {
        self.token().is_none() && *self != Self::Gateway
    }
}
