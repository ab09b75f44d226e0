//! Why a request was not carried out, and the one place where that becomes words for the person who asked: what happened,
//! why, and what to do next.

use crate::audit::BadQuery;
use crate::db::DbError;
use crate::id::{ChannelId, GuildId};
use crate::invalid::Invalid;
use crate::permission::{Action, Because, Subject};
use crate::reply::{Button, Piece, Reply, Text, Tone};
use crate::text;

/// The longest part of somebody's input that is shown back to them, in characters.
const SHOWN_MAX: usize = 100;

/// Why a request was not carried out.
#[derive(Debug)]
pub enum Refusal {
    /// The person may not do that.
    Denied(Denied),
    /// An option of the command can't be used.
    Invalid {
        /// The option's name.
        option: String,
        /// What was given.
        given: String,
        /// Why it can't be used.
        invalid: Invalid,
    },
    /// A query to the audit log can't be read.
    BadQuery {
        /// The query, whole.
        line: String,
        /// What is wrong with it, and where.
        bad: Box<BadQuery>,
    },
    /// What was asked for doesn't fit what is there: two sentences, what is wrong and what to do.
    Conflict {
        /// What is wrong. Backticks set off names, which must be parsed ones.
        why: String,
        /// What to do next.
        next: String,
        /// A page to look at, where there is one.
        page: Option<String>,
    },
    /// An environment is deployed from another channel.
    Elsewhere {
        /// The repository.
        repo: String,
        /// The environment.
        environment: String,
        /// The channel.
        channel: ChannelId,
    },
    /// The database failed, so nothing was done.
    Database(DbError),
    /// Slipway is stopping and takes no new work.
    Stopping,
}

/// A refusal for want of permission.
#[derive(Debug)]
pub struct Denied {
    /// The guild in which it was asked.
    pub guild: GuildId,
    /// The action that was missing.
    pub action: Action,
    /// What it was wanted for, in parsed names: `acme/web`, branch `main`, environment `production`.
    pub place: Vec<(&'static str, String)>,
    /// Why.
    pub because: Because,
    /// Who can grant it.
    pub grantors: Vec<Subject>,
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        Refusal::Database(error)
    }
}

impl Refusal {
    /// Refuses because of `why`; `next` says what to do.
    pub fn conflict(why: impl Into<String>, next: impl Into<String>) -> Self {
        Refusal::Conflict { why: why.into(), next: next.into(), page: None }
    }

    /// Refuses a query to the audit log.
    pub fn bad_query(line: &str, bad: BadQuery) -> Self {
        Refusal::BadQuery { line: line.to_owned(), bad: Box::new(bad) }
    }

    /// With a page to look at, where there is one and it is a conflict.
    pub fn with_page(self, page: Option<String>) -> Self {
        match self {
            Refusal::Conflict { why, next, .. } => Refusal::Conflict { why, next, page },
            other => other,
        }
    }

    /// The name of the place, such as the environment, for which a permission was missing.
    pub fn place(&self, what: &str) -> Option<String> {
        let Refusal::Denied(denied) = self else { return None };
        denied.place.iter().find(|(kind, _)| *kind == what).map(|(_, name)| name.clone())
    }

    /// The word for it in the audit log's `detail`.
    pub fn kind(&self) -> &'static str {
        match self {
            Refusal::Denied(_) => "permission",
            Refusal::Invalid { .. } | Refusal::BadQuery { .. } => "invalid",
            Refusal::Conflict { .. } => "conflict",
            Refusal::Elsewhere { .. } => "channel",
            Refusal::Database(_) => "database",
            Refusal::Stopping => "stopping",
        }
    }

    /// Why, in short.
    pub fn why(&self) -> String {
        match self {
            Refusal::Denied(denied) => match &denied.because {
                Because::Denied(_) => format!("The permission {} is denied.", denied.action),
                _ => format!("The permission {} is missing.", denied.action),
            },
            Refusal::Invalid { invalid, .. } => invalid.why.to_string(),
            Refusal::BadQuery { bad, .. } => bad.why.clone(),
            Refusal::Conflict { why, .. } => why.clone(),
            Refusal::Elsewhere { channel, .. } => format!("It is deployed from the channel {channel} only."),
            Refusal::Database(error) => error.to_string(),
            Refusal::Stopping => "Slipway was stopping.".to_owned(),
        }
    }

    /// What the audit log keeps of it. Input is clipped: it is hostile and may be long.
    pub fn detail(&self) -> serde_json::Value {
        let mut detail = serde_json::json!({ "refused_for": self.kind(), "why": self.why() });
        match self {
            Refusal::Denied(denied) => {
                detail["missing"] = denied.action.as_str().into();
                if let Because::Denied(rules) = &denied.because {
                    detail["rules"] = rules.iter().map(|rule| rule.0).collect();
                }
            }
            Refusal::Invalid { option, given, .. } => {
                detail["option"] = option.as_str().into();
                // What was refused for looking like a secret must not be kept for years.
                if option != "parameters" {
                    detail["given"] = text::clip(given, SHOWN_MAX).into();
                }
            }
            Refusal::BadQuery { line, .. } => detail["query"] = text::clip(line, SHOWN_MAX).into(),
            Refusal::Conflict { .. } | Refusal::Elsewhere { .. } | Refusal::Database(_) | Refusal::Stopping => {}
        }
        detail
    }

    /// What the person is told.
    pub fn reply(&self) -> Reply {
        match self {
            Refusal::Denied(denied) => denied.reply(),
            Refusal::Invalid { option, given, invalid } => {
                let body = Text::default()
                    .code(text::clip(given, SHOWN_MAX))
                    .plain(" can't be used as ")
                    .code(option)
                    .sentence(&format!(". {} Example: `{}`. Nothing was done.", invalid.why, invalid.example));
                Reply::new(Tone::Bad, format!("Not a usable {}", invalid.what)).body(body)
            }
            Refusal::BadQuery { line, bad } => {
                let pointer = bad.pointer(line).map(|(shown, marks)| Piece::Block(format!("{shown}\n{marks}")));
                let body = pointer.map_or_else(Text::default, |pointer| Text::default().piece(pointer).line());
                Reply::new(Tone::Bad, "Not a query").body(body.sentence(&bad.sentence()).plain(" Nothing was done."))
            }
            Refusal::Conflict { why, next, page } => {
                let body = Text::default().sentence(&format!("{why} {next}"));
                let reply = Reply::new(Tone::Bad, "Not done");
                match page {
                    None => reply.body(body),
                    Some(page) => reply
                        .body(body.plain(" ").piece(Piece::Link(page.clone())))
                        .button(Button::Link { label: "Build", url: page.clone() }),
                }
            }
            Refusal::Elsewhere { repo, environment, channel } => Reply::new(Tone::Bad, "Not in this channel").body(
                Text::default()
                    .sentence(&format!("`{environment}` of `{repo}` is deployed from "))
                    .piece(Piece::Channel(*channel))
                    .plain(" only. Ask there. Nothing was done."),
            ),
            Refusal::Database(error) => Reply::new(Tone::Bad, "Not done: the database failed").body(
                Text::of(format!("{error} Because nothing could be recorded, nothing was done. ")).plain(
                    "Try again in a moment; if it stays so, tell whoever runs Slipway: its log has the details.",
                ),
            ),
            Refusal::Stopping => Reply::new(Tone::Warning, "Slipway is restarting")
                .body(Text::of("It takes no new work just now and nothing was done. Ask again in a minute.")),
        }
    }
}

impl Denied {
    fn reply(&self) -> Reply {
        let mut body = Text::of("You need the permission ").code(self.action);
        for (index, (what, name)) in self.place.iter().enumerate() {
            body = body.plain(if index == 0 { " for " } else { ", " });
            if !what.is_empty() {
                body = body.plain(format!("{what} "));
            }
            body = body.code(name);
        }
        let grantors = self.grantors.iter().map(|subject| Text::default().subject(*subject, self.guild));
        let grantors = Text::join(grantors, &Text::of(", "));
        body = match &self.because {
            Because::Denied(rules) => {
                let rules = Text::join(rules.iter().map(|rule| Text::default().code(rule)), &Text::of(", "));
                let body = body.plain(", but it is denied by rule ").then(rules);
                body.sentence(". One denial outweighs every grant: it ends with `/permission revoke`.")
            }
            _ => body.plain(", and no rule gives it to you."),
        };
        body = match (&self.because, self.grantors.is_empty()) {
            (_, true) => body.sentence(
                " Nobody here can change that yet: whoever runs Slipway must name an owner in `SLIPWAY_OWNERS`.",
            ),
            (Because::Denied(_), false) => body.plain(" That can be done by ").then(grantors).plain("."),
            (_, false) => body.plain(" It can be granted by ").then(grantors).plain("."),
        };
        let reply = Reply::new(Tone::Bad, "Not permitted").body(body.plain(" Nothing was done."));
        match self.request() {
            Some(line) => reply.button(Button::Run { label: "Request access".to_owned(), line }),
            None => reply,
        }
    }

    /// The line that asks for what was missing, where it can be asked for: in one environment of a repository that the person may
    /// see, and where no rule refuses it.
    fn request(&self) -> Option<String> {
        let named = |what: &str| self.place.iter().find(|(kind, _)| *kind == what).map(|(_, name)| name);
        let (repo, environment) = (named("")?, named("environment")?);
        let can = self.because == Because::NoRule && !self.grantors.is_empty();
        can.then(|| format!("/access request {repo} environment:{environment} action:{}", self.action))
    }
}
