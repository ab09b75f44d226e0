//! The settings, each named once: read from the environment and a `.env` file, checked before anything starts. Knows
//! nothing of what they are used for.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use secrecy::SecretString;

use crate::circleci::{Access, CIRCLECI_URL};
use crate::db::DatabaseUrl;
use crate::id::{GuildId, UserId};

/// The variables, and an example of each.
const DISCORD_TOKEN: Variable =
    Variable("DISCORD_TOKEN", "DISCORD_TOKEN=MTk4NjIy… (Discord's developer portal, your application, Bot)");
const DISCORD_GUILD_ID: Variable = Variable("DISCORD_GUILD_ID", "DISCORD_GUILD_ID=81384788765712384");
const DISCORD_API_URL: Variable = Variable("DISCORD_API_URL", "DISCORD_API_URL=http://127.0.0.1:8000");
const CIRCLE_API_USER_TOKEN: Variable =
    Variable("CIRCLE_API_USER_TOKEN", "CIRCLE_API_USER_TOKEN=CCIPAT_… (CircleCI, User Settings, Personal API Tokens)");
const CIRCLE_API_PROJECT_TOKEN: Variable =
    Variable("CIRCLE_API_PROJECT_TOKEN", "CIRCLE_API_PROJECT_TOKEN=… (CircleCI, Project Settings, API Permissions)");
const CIRCLECI_URL_VARIABLE: Variable = Variable("CIRCLECI_URL", "CIRCLECI_URL=https://circleci.example.com");
const DATABASE_URL: Variable = Variable("DATABASE_URL", "DATABASE_URL=sqlite://slipway.db");
const SLIPWAY_OWNERS: Variable = Variable("SLIPWAY_OWNERS", "SLIPWAY_OWNERS=175928847299117063,80351110224678912");
const SLIPWAY_HTTP_ADDR: Variable = Variable("SLIPWAY_HTTP_ADDR", "SLIPWAY_HTTP_ADDR=127.0.0.1:8080");
const CIRCLECI_WEBHOOK_SECRET: Variable = Variable("CIRCLECI_WEBHOOK_SECRET", "CIRCLECI_WEBHOOK_SECRET=…");
const RUST_LOG: Variable = Variable("RUST_LOG", "RUST_LOG=info");

/// Every variable, for the check that `.env.example` and the README list them.
pub const VARIABLES: [&str; 11] = [
    DISCORD_TOKEN.0,
    DISCORD_GUILD_ID.0,
    DISCORD_API_URL.0,
    CIRCLE_API_USER_TOKEN.0,
    CIRCLE_API_PROJECT_TOKEN.0,
    CIRCLECI_URL_VARIABLE.0,
    DATABASE_URL.0,
    SLIPWAY_OWNERS.0,
    SLIPWAY_HTTP_ADDR.0,
    CIRCLECI_WEBHOOK_SECRET.0,
    RUST_LOG.0,
];

/// The database of the sandbox, so that playing never touches what is real.
const SANDBOX_DATABASE: &str = "sqlite://slipway-sandbox.db";
const DATABASE: &str = "sqlite://slipway.db";

struct Variable(&'static str, &'static str);

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {what}. Example: {example}")]
pub struct Wrong {
    /// The variable.
    pub variable: String,
    /// What is wrong with it; never its value, which may be a secret.
    pub what: String,
    /// How it is written.
    pub example: String,
}

/// The environment's variables, those of a `.env` file behind them.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The process's own, and those of the `.env` file in this folder or one above.
    pub fn load() -> Result<Self, Wrong> {
        let mut variables = BTreeMap::new();
        let wrong = |error: dotenvy::Error| Wrong {
            variable: "The file .env".to_owned(),
            what: match error {
                // The line itself may hold a secret.
                dotenvy::Error::LineParse(_, at) => format!("has a line that can't be read, near its character {at}"),
                other => format!("can't be read: {other}"),
            },
            example: "NAME=value on each line, quotes round values with spaces".to_owned(),
        };
        match dotenvy::dotenv_iter() {
            Ok(lines) => {
                for line in lines {
                    let (name, value) = line.map_err(wrong)?;
                    variables.insert(name, value);
                }
            }
            Err(error) if error.not_found() => {}
            Err(error) => return Err(wrong(error)),
        }
        let own =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        // An empty variable counts as missing, so it hides nothing.
        variables.extend(own.filter(|(_, value)| !value.trim().is_empty()));
        Ok(Self(variables))
    }

    /// These variables and no others.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// What tracing-subscriber is told (`RUST_LOG`), where it is told anything.
    pub fn log_filter(&self) -> Option<&str> {
        self.get(&RUST_LOG)
    }

    /// Every secret that is set, so that none can reach a log.
    pub fn secrets(&self) -> Vec<String> {
        let secret = |name: &str| {
            [DISCORD_TOKEN.0, CIRCLE_API_USER_TOKEN.0, CIRCLECI_WEBHOOK_SECRET.0].contains(&name)
                || name.starts_with(CIRCLE_API_PROJECT_TOKEN.0)
        };
        self.0
            .iter()
            .filter(|(name, _)| secret(name))
            .map(|(_, value)| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// Whether there is a token for the real CircleCI.
    pub fn has_circleci_token(&self) -> bool {
        self.get(&CIRCLE_API_USER_TOKEN).is_some()
    }

    /// The variables that begin like ours and mean nothing.
    pub fn unknown(&self) -> Vec<&str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with("SLIPWAY_") && !VARIABLES.contains(name))
            .collect()
    }

    /// What the operator should know when only one of the two settings for webhooks is there.
    pub fn half_of_webhooks(&self) -> Option<&'static str> {
        match (self.get(&SLIPWAY_HTTP_ADDR), self.get(&CIRCLECI_WEBHOOK_SECRET)) {
            (None, Some(_)) => Some(
                "CIRCLECI_WEBHOOK_SECRET is set without SLIPWAY_HTTP_ADDR, so no port is opened and no webhook can arrive",
            ),
            (Some(_), None) => Some(
                "SLIPWAY_HTTP_ADDR is set without CIRCLECI_WEBHOOK_SECRET, so /healthz and /metrics are served and webhooks are not taken",
            ),
            _ => None,
        }
    }

    /// An empty variable counts as missing.
    fn get(&self, variable: &Variable) -> Option<&str> {
        self.0.get(variable.0).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

/// What `slipway run` needs.
#[derive(Debug)]
pub struct Settings {
    /// Discord.
    pub discord: Discord,
    /// CircleCI.
    pub circleci: Access,
    /// The HTTP server; none where no address is set, and then no port is opened.
    pub http: Option<Http>,
    /// What every command of the command line needs too.
    pub base: Base,
}

/// Discord's settings.
#[derive(Debug)]
pub struct Discord {
    /// The bot's token.
    pub token: SecretString,
    /// The guild in which commands are registered at once; none for everywhere.
    pub guild: Option<GuildId>,
    /// Another root than Discord's own.
    pub api_url: Option<String>,
}

/// The HTTP server's settings.
#[derive(Debug)]
pub struct Http {
    /// Where it listens.
    pub addr: SocketAddr,
    /// With which CircleCI signs its webhooks; without it none is taken.
    pub webhook_secret: Option<SecretString>,
}

/// What every command of the command line needs.
#[derive(Debug, Clone)]
pub struct Base {
    /// The database.
    pub database: DatabaseUrl,
    /// Who may do everything.
    pub owners: Vec<UserId>,
    /// The guild that the command line means.
    pub guild: Option<GuildId>,
}

impl Settings {
    /// Reads what `slipway run` needs.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(variables: &Variables) -> Result<Self, Vec<Wrong>> {
        let mut reader = Reader { variables, wrong: Vec::new() };
        let token = reader.required(&DISCORD_TOKEN, "is missing");
        reader.check_token(&DISCORD_TOKEN, &token);
        let discord = Discord { token: token.into(), guild: reader.guild(), api_url: reader.url(&DISCORD_API_URL) };
        let circleci = reader.circleci();
        let base = reader.base(DATABASE);
        let http = reader.http();
        reader.done(Self { discord, circleci, http, base })
    }
}

impl Base {
    /// Reads what every command of the command line needs.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(variables: &Variables) -> Result<Self, Vec<Wrong>> {
        let mut reader = Reader { variables, wrong: Vec::new() };
        let base = reader.base(DATABASE);
        reader.done(base)
    }

    /// Reads what the sandbox needs: a database of its own, and no owner but its `you`.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read_for_sandbox(variables: &Variables) -> Result<Self, Vec<Wrong>> {
        let mut reader = Reader { variables, wrong: Vec::new() };
        let base = reader.base(SANDBOX_DATABASE);
        reader.done(base)
    }
}

/// Reads what is needed to speak to the real CircleCI.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn circleci(variables: &Variables) -> Result<Access, Vec<Wrong>> {
    let mut reader = Reader { variables, wrong: Vec::new() };
    let access = reader.circleci();
    reader.done(access)
}

struct Reader<'a> {
    variables: &'a Variables,
    wrong: Vec<Wrong>,
}

impl Reader<'_> {
    fn done<T>(self, settings: T) -> Result<T, Vec<Wrong>> {
        if self.wrong.is_empty() { Ok(settings) } else { Err(self.wrong) }
    }

    fn complain(&mut self, variable: &Variable, what: impl Into<String>) {
        self.wrong.push(Wrong { variable: variable.0.to_owned(), what: what.into(), example: variable.1.to_owned() });
    }

    fn required(&mut self, variable: &Variable, missing: &str) -> String {
        let value = self.variables.get(variable).map(str::to_owned);
        value.unwrap_or_else(|| {
            self.complain(variable, missing);
            String::new()
        })
    }

    fn check_token(&mut self, variable: &Variable, token: &str) {
        if token.contains(|c: char| !c.is_ascii_graphic()) {
            self.complain(variable, "holds characters that no token has; copy it again");
        }
    }

    fn guild(&mut self) -> Option<GuildId> {
        let text = self.variables.get(&DISCORD_GUILD_ID)?;
        let guild = text.parse().ok();
        if guild.is_none() {
            self.complain(&DISCORD_GUILD_ID, "is not a server's id, which is a number (in Discord: Copy Server ID)");
        }
        guild
    }

    fn url(&mut self, variable: &Variable) -> Option<String> {
        let text = self.variables.get(variable)?.trim_end_matches('/').to_owned();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let fits = rest.is_some_and(|rest| {
            !rest.is_empty()
                && !rest.starts_with('/')
                && rest.chars().all(|c| c.is_ascii_graphic() && !"?#@\\".contains(c))
        });
        if !fits {
            self.complain(
                variable,
                "is not the root of a service: http or https, a host, and neither user, query nor fragment",
            );
        }
        Some(text)
    }

    fn circleci(&mut self) -> Access {
        let user_token = self.required(&CIRCLE_API_USER_TOKEN, "is missing");
        self.check_token(&CIRCLE_API_USER_TOKEN, &user_token);
        let user_token = user_token.into();
        let url = self.url(&CIRCLECI_URL_VARIABLE).unwrap_or_else(|| CIRCLECI_URL.to_owned());
        let project_token = self.variables.get(&CIRCLE_API_PROJECT_TOKEN).map(str::to_owned);
        self.check_token(&CIRCLE_API_PROJECT_TOKEN, project_token.as_deref().unwrap_or_default());
        let project_token = project_token.map(SecretString::from);
        let mut project_tokens = HashMap::new();
        for (name, value) in &self.variables.0 {
            let Some(suffix) = name.strip_prefix("CIRCLE_API_PROJECT_TOKEN_") else { continue };
            if value.trim().is_empty() {
                continue;
            }
            if suffix.is_empty() || !suffix.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
                self.wrong.push(Wrong {
                    variable: name.clone(),
                    what: "doesn't name a repository: after the last underscore comes org_repo in upper case"
                        .to_owned(),
                    example: "CIRCLE_API_PROJECT_TOKEN_ACME_WEB=…".to_owned(),
                });
            }
            project_tokens.insert(suffix.to_owned(), SecretString::from(value.trim().to_owned()));
        }
        Access { url, user_token, project_token, project_tokens }
    }

    fn base(&mut self, database: &str) -> Base {
        let fallback: DatabaseUrl = database.parse().expect("the default database is a well-formed one");
        let database = match self.variables.get(&DATABASE_URL).map(str::parse) {
            Some(Ok(url)) => url,
            Some(Err(invalid)) => {
                let invalid: crate::invalid::Invalid = invalid;
                self.complain(&DATABASE_URL, format!("can't be used: {}", invalid.why.trim_end_matches('.')));
                fallback
            }
            None => fallback,
        };
        Base { database, owners: self.owners(), guild: self.guild_once() }
    }

    /// The guild without a second complaint about the same variable.
    fn guild_once(&mut self) -> Option<GuildId> {
        let complained = self.wrong.iter().any(|wrong| wrong.variable == DISCORD_GUILD_ID.0);
        if complained { None } else { self.guild() }
    }

    fn owners(&mut self) -> Vec<UserId> {
        let Some(list) = self.variables.get(&SLIPWAY_OWNERS) else { return Vec::new() };
        let ids: Vec<Option<UserId>> =
            list.split(',').map(str::trim).filter(|id| !id.is_empty()).map(|id| id.parse().ok()).collect();
        if ids.iter().any(Option::is_none) {
            self.complain(
                &SLIPWAY_OWNERS,
                "is not a list of Discord user ids, which are numbers with commas between them",
            );
        }
        ids.into_iter().flatten().collect()
    }

    fn http(&mut self) -> Option<Http> {
        let Ok(addr) = self.variables.get(&SLIPWAY_HTTP_ADDR)?.parse() else {
            self.complain(&SLIPWAY_HTTP_ADDR, "is not an IP address and a port");
            return None;
        };
        let secret = self.variables.get(&CIRCLECI_WEBHOOK_SECRET);
        Some(Http { addr, webhook_secret: secret.map(|secret| SecretString::from(secret.to_owned())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 2] = [("DISCORD_TOKEN", "secret-discord"), ("CIRCLE_API_USER_TOKEN", "secret-circle")];

    fn read(more: &[(&str, &str)]) -> Result<Settings, Vec<Wrong>> {
        Settings::read(&Variables::of(GOOD.into_iter().chain(more.iter().copied())))
    }

    #[test]
    fn two_tokens_are_enough() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.circleci.url, "https://circleci.com");
        assert_eq!(settings.base.database, "sqlite://slipway.db".parse().unwrap());
        assert!(settings.base.owners.is_empty() && settings.discord.guild.is_none());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_and_no_value_is_shown() {
        let wrong = Settings::read(&Variables::of([
            ("DISCORD_TOKEN", ""),
            ("DISCORD_GUILD_ID", "my-guild"),
            ("DISCORD_API_URL", "ftp://x"),
            ("CIRCLE_API_PROJECT_TOKEN_acme/web", "secret-project"),
            ("CIRCLECI_URL", "https://user:secret@x"),
            ("DATABASE_URL", "postgres://u:secret@x"),
            ("SLIPWAY_OWNERS", "1,alice"),
            ("SLIPWAY_HTTP_ADDR", "8080"),
        ]))
        .unwrap_err();
        let text = wrong.iter().map(|wrong| format!("{wrong}\n")).collect::<String>();
        assert!(!text.contains("secret"), "{text}");
        insta::assert_snapshot!(text, @r"
        DISCORD_TOKEN is missing. Example: DISCORD_TOKEN=MTk4NjIy… (Discord's developer portal, your application, Bot)
        DISCORD_GUILD_ID is not a server's id, which is a number (in Discord: Copy Server ID). Example: DISCORD_GUILD_ID=81384788765712384
        DISCORD_API_URL is not the root of a service: http or https, a host, and neither user, query nor fragment. Example: DISCORD_API_URL=http://127.0.0.1:8000
        CIRCLE_API_USER_TOKEN is missing. Example: CIRCLE_API_USER_TOKEN=CCIPAT_… (CircleCI, User Settings, Personal API Tokens)
        CIRCLECI_URL is not the root of a service: http or https, a host, and neither user, query nor fragment. Example: CIRCLECI_URL=https://circleci.example.com
        CIRCLE_API_PROJECT_TOKEN_acme/web doesn't name a repository: after the last underscore comes org_repo in upper case. Example: CIRCLE_API_PROJECT_TOKEN_ACME_WEB=…
        DATABASE_URL can't be used: The database is `sqlite://` and the path of a file; other databases are not supported yet. Example: DATABASE_URL=sqlite://slipway.db
        SLIPWAY_OWNERS is not a list of Discord user ids, which are numbers with commas between them. Example: SLIPWAY_OWNERS=175928847299117063,80351110224678912
        SLIPWAY_HTTP_ADDR is not an IP address and a port. Example: SLIPWAY_HTTP_ADDR=127.0.0.1:8080
        ");
    }

    #[test]
    fn http_is_served_where_an_address_is_set_and_half_of_it_is_noticed() {
        let (address, secret) = (("SLIPWAY_HTTP_ADDR", "[::1]:8080"), ("CIRCLECI_WEBHOOK_SECRET", " secret-webhook "));
        let half = |set: &[(&str, &str)]| Variables::of(set.iter().copied()).half_of_webhooks();

        let http = read(&[address, secret]).unwrap().http.unwrap();
        assert_eq!(http.addr.to_string(), "[::1]:8080");
        assert_eq!(secrecy::ExposeSecret::expose_secret(&http.webhook_secret.unwrap()), "secret-webhook");
        assert_eq!((half(&[]), half(&[address, secret])), (None, None));

        assert!(read(&[address]).unwrap().http.unwrap().webhook_secret.is_none());
        assert!(half(&[address]).unwrap().contains("webhooks are not taken"));
        assert!(read(&[secret]).unwrap().http.is_none());
        assert!(half(&[secret, ("SLIPWAY_HTTP_ADDR", " ")]).unwrap().contains("no port is opened"));
    }

    #[test]
    fn settings_cannot_be_printed_with_their_secrets() {
        let printed = format!(
            "{:?}",
            read(&[
                ("CIRCLE_API_PROJECT_TOKEN_ACME_WEB", "secret-project"),
                ("SLIPWAY_HTTP_ADDR", "127.0.0.1:0"),
                ("CIRCLECI_WEBHOOK_SECRET", "secret-webhook"),
            ])
            .unwrap()
        );
        assert!(!printed.contains("secret-"), "{printed}");
    }

    #[test]
    fn unknown_variables_of_ours_are_noticed() {
        let variables = Variables::of([("SLIPWAY_OWNER", "1"), ("SLIPWAY_OWNERS", "1"), ("PATH", "/bin")]);
        assert_eq!(variables.unknown(), ["SLIPWAY_OWNER"]);
    }
}
