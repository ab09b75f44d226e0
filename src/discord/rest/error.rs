//! What can happen to a request to Discord, as sentences that an operator or a person can act on.
//! Neither tokens nor URLs come in here; what Discord said was cleaned before.

/// Why a call did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// 401 on a route of the bot's: the token is dead, and nothing more is sent with it.
    #[error(
        "Discord does not accept the bot's token. Reset it on the Bot page of Discord's developer \
         portal, put the new one into DISCORD_TOKEN and start again"
    )]
    Unauthorized,
    /// 404 or 401 (codes 10015, 10062, 50027) on an interaction's endpoint: its 15 minutes are
    /// over, or nobody acknowledged it. Do not call it again: each try counts towards a ban.
    #[error(
        "Discord no longer knows this interaction, so its answer cannot be changed any more. Run \
         the command again"
    )]
    Gone,
    /// 404: what was named is not there (a message somebody deleted, a channel, a guild).
    #[error("Discord found nothing there ({message}). It was deleted, or the bot cannot see it")]
    NotFound {
        /// Discord's error code (0: none given).
        code: u64,
        /// What Discord said.
        message: String,
    },
    /// 403: the bot lacks a permission.
    #[error(
        "Discord does not let the bot do this ({message}). Give the bot's role the permission in \
         that channel or server"
    )]
    Forbidden {
        /// Discord's error code (0: none given).
        code: u64,
        /// What Discord said.
        message: String,
    },
    /// Another definite no: a body that Discord does not take is a mistake of ours.
    #[error(
        "Discord refused the request with status {status}: {message} (code {code}). This is a \
         mistake in Slipway; please report it"
    )]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Discord's error code (0: none given).
        code: u64,
        /// The first reason in Discord's error tree, and the field it is about.
        message: String,
    },
    /// No answer, or only 5xx, until the deadline.
    #[error("Discord did not answer in time ({cause}). Look at discordstatus.com and try again later")]
    Unavailable {
        /// What the last try met.
        #[source]
        cause: Trouble,
    },
    /// A call that must not be repeated blindly met trouble: it may have been taken.
    #[error(
        "It is not known whether Discord took the message ({cause}). Look at the channel before \
         sending it again"
    )]
    FateUnknown {
        /// What the only try met.
        #[source]
        cause: Trouble,
    },
    /// Discord's rate limit lasts beyond the deadline; nothing was sent, or it was not taken.
    #[error("Discord's rate limit lasts longer than this request may wait. Try again in a minute")]
    TooSlow,
    /// A success whose body is not what Discord documents.
    #[error(
        "Discord's answer could not be understood. If DISCORD_API_URL is set, check that it leads \
         to Discord's API"
    )]
    Garbled,
    /// The body could not be written as JSON; nothing was sent.
    #[error("The request could not be written down. This is a mistake in Slipway; please report it")]
    Unsendable,
}

/// Why an interaction's first answer was not accepted, by what may be done about the interaction.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// Nobody saw an answer and nobody will: the interaction must not be acted on.
    #[error("Nobody saw an answer to this interaction: {cause}. Run the command again")]
    NotSeen {
        /// How that is known.
        #[source]
        cause: Unseen,
    },
    /// 400 with code 40060: an earlier delivery of the same interaction was acknowledged.
    #[error("This interaction was acknowledged already, so it is being dealt with elsewhere")]
    AlreadyAcknowledged,
    /// It may have been accepted: editing the answer tells. [`RestError::Gone`] or
    /// [`RestError::NotFound`] there means that it was not.
    #[error(
        "It is not known whether Discord took the answer ({cause}). Edit the answer to find out \
         before acting on it"
    )]
    FateUnknown {
        /// What the only try met.
        #[source]
        cause: Trouble,
    },
    /// Another definite no: a body that Discord does not take is a mistake of ours.
    #[error(
        "Discord refused the answer with status {status}: {message} (code {code}). This is a \
         mistake in Slipway; please report it"
    )]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Discord's error code (0: none given).
        code: u64,
        /// The first reason in Discord's error tree, and the field it is about.
        message: String,
    },
    /// The body could not be written as JSON; nothing was sent.
    #[error("The answer could not be written down. This is a mistake in Slipway; please report it")]
    Unsendable,
}

/// How it is known that nobody saw an answer.
#[derive(Debug, thiserror::Error)]
pub enum Unseen {
    /// 404 (10062) or 401 (50027): the three seconds, or the token's 15 minutes, are over. It
    /// also happens now and then without fault (discord-api-docs issue 5558).
    #[error("Discord no longer knows it (status {status}, code {code})")]
    Unknown {
        /// The HTTP status.
        status: u16,
        /// Discord's error code (0: none given).
        code: u64,
    },
    /// No connection came about before the deadline, so nothing was sent.
    #[error("Discord could not be reached in time")]
    Unreached,
    /// The deadline was over before anything was sent.
    #[error("its time was over before an answer could be sent")]
    TooLate,
    /// A 429, which takes nothing, lasts beyond the deadline.
    #[error("Discord's rate limit lasts longer than an interaction may wait")]
    TooSlow,
}

/// What a try met that says nothing about whether it was taken, save [`Trouble::Unreached`].
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// 5xx.
    #[error("it answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// No answer in the time there was.
    #[error("no answer came in time")]
    TimedOut,
    /// The connection ended before the answer.
    #[error("the connection broke off")]
    Lost(#[source] reqwest::Error),
    /// There was no connection: the request was not sent.
    #[error("it could not be reached")]
    Unreached(#[source] reqwest::Error),
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not a character that a header may hold.
    #[error(
        "DISCORD_TOKEN contains characters that no token has. Copy it again from the Bot page of \
         Discord's developer portal"
    )]
    Token,
    /// Not an address.
    #[error("DISCORD_API_URL must be an http or https address, such as https://discord.com")]
    Root,
    /// TLS could not be set up.
    #[error("The HTTP client could not be set up. Check this machine's TLS settings")]
    Client(#[source] reqwest::Error),
}
