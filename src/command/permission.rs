//! `/permission`: the rules.

use jiff::tz::TimeZone;

use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape};
use crate::actor::{Actor, Caller};
use crate::app::App;
use crate::deploy::Reason;
use crate::id::{GuildId, RuleId};
use crate::permission::service::Grant as NewRule;
use crate::permission::{Action, Ask, Because, Effect, Pattern, Rule, Scope, Subject};
use crate::refusal::Refusal;
use crate::reply::{self, Reply, Text, Tone};
use crate::repo::{Branch, EnvironmentName, RepoName};
use crate::time::{self, Timestamp};

const ACTION: Kind = Kind::Choice(Action::WORDS);
const WHO: &str = "The person or role";

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "permission",
    description: "Who may do what",
    shape: Shape::Group(&[
        (
            "grant",
            Leaf {
                description: "Add a rule; patterns are globs, and everything unless said",
                needs: Needs::Holds(Action::Admin),
                options: &[
                    OptionSpec::required("who", Kind::Mentionable, WHO),
                    OptionSpec::required("action", ACTION, "What they may do, or may not"),
                    OptionSpec::optional("repo", Kind::Completed(Completes::Repo), "Repositories, as a glob: acme/*"),
                    OptionSpec::optional(
                        "branch",
                        Kind::Completed(Completes::Branch),
                        "Branches, as a glob: release/*",
                    ),
                    OptionSpec::optional(
                        "environment",
                        Kind::Completed(Completes::Environment),
                        "Environments, as a glob: staging*",
                    ),
                    OptionSpec::optional(
                        "effect",
                        Kind::Choice(Effect::WORDS),
                        "allow unless said; one deny outweighs every allow",
                    ),
                    OptionSpec::optional("expires", Kind::Text, "When it ends: 8h, 7d, 2026-12-31; never unless said"),
                    OptionSpec::optional("reason", Kind::Text, "Why; kept in the audit log"),
                ],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/permission grant guest deploy repo:acme/web branch:main expires:8h",
                parse: |arguments| Ok(Command::Private(Private::PermissionGrant(Grant::parse(arguments)?))),
            },
        ),
        (
            "revoke",
            Leaf {
                description: "Remove a rule",
                needs: Needs::Holds(Action::Admin),
                options: &[OptionSpec::required("id", Kind::Completed(Completes::Rule), "The rule's number: #12")],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/permission revoke #1",
                parse: |arguments| Ok(Command::Private(Private::PermissionRevoke(Revoke(arguments.required("id")?)))),
            },
        ),
        (
            "list",
            Leaf {
                description: "List the rules that you may see: your own, and those you administer",
                needs: Needs::HoldsUnlessOneself(Action::Admin),
                options: &[
                    OptionSpec::optional("who", Kind::Mentionable, "Only rules about this person or role"),
                    OptionSpec::optional(
                        "repo",
                        Kind::Completed(Completes::Repo),
                        "Only rules that touch this repository",
                    ),
                ],
                pages: true,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/permission list",
                parse: |arguments| Ok(Command::Private(Private::PermissionList(List::parse(arguments)?))),
            },
        ),
        (
            "check",
            Leaf {
                description: "Tell whether a person may do something, and the rules that decide it",
                needs: Needs::HoldsUnlessOneself(Action::Admin),
                options: &[
                    OptionSpec::required("user", Kind::User, "The person"),
                    OptionSpec::required("repo", Kind::Completed(Completes::Repo), "The repository: org/repo"),
                    OptionSpec::optional(
                        "branch",
                        Kind::Completed(Completes::Branch),
                        "The branch; every branch unless said",
                    ),
                    OptionSpec::optional(
                        "environment",
                        Kind::Completed(Completes::Environment),
                        "The environment; every one unless said",
                    ),
                    OptionSpec::optional("action", ACTION, "deploy unless said"),
                ],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/permission check guest acme/web main",
                parse: |arguments| Ok(Command::Private(Private::PermissionCheck(Check::parse(arguments)?))),
            },
        ),
    ]),
};

#[derive(Debug)]
pub struct Grant {
    subject: Subject,
    effect: Effect,
    action: Action,
    scope: Scope,
    expires: Option<String>,
    reason: Option<Reason>,
}

impl Grant {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let pattern = |name| Ok::<_, Refusal>(arguments.optional(name)?.unwrap_or_else(Pattern::any));
        Ok(Self {
            subject: arguments.subject("who").ok_or_else(|| super::arguments::missing("who"))?,
            effect: arguments.optional("effect")?.unwrap_or(Effect::Allow),
            action: arguments.required("action")?,
            scope: Scope { repo: pattern("repo")?, branch: pattern("branch")?, environment: pattern("environment")? },
            expires: arguments.optional_with("expires", |text| Ok(text.to_owned()))?,
            reason: arguments.optional("reason")?,
        })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let expires_at = match self.expires {
            Some(text) => Some(end(&text, app.clock.now(), &app.settings.of(caller.guild).await?.time_zone)?),
            None => None,
        };
        let grant = NewRule {
            subject: self.subject,
            effect: self.effect,
            action: self.action,
            scope: self.scope,
            expires_at,
            reason: self.reason.map(|reason| reason.as_str().to_owned()),
        };
        let rule = app.permissions.grant(caller, grant).await?;
        let mut body = line(&rule, caller.guild);
        // The rule is made: a database that fails only now takes nothing of it away.
        let unfit = app.repos.fits_nothing(caller.guild, &rule.scope).await.unwrap_or_else(|error| {
            tracing::warn!("Whether a new rule fits anything can't be read: {error}");
            None
        });
        if let Some((what, pattern)) = unfit {
            let note = format!(" fits no registered {what} yet, so the rule does nothing until one does.");
            body = body.line().strong("Warning: ").code(pattern).plain(note);
        }
        Ok(Reply::new(Tone::Good, format!("Rule {} is made", rule.id)).body(body))
    }
}

/// When a rule ends: a day is meant in the guild's time `zone`.
fn end(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Refusal> {
    time::point_in_the_future(text, now, zone).map_err(|invalid| Refusal::Invalid {
        option: "expires".to_owned(),
        given: text.to_owned(),
        invalid,
    })
}

#[derive(Debug)]
pub struct Revoke(RuleId);

impl Revoke {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let rule = app.permissions.revoke(caller, self.0).await?;
        let body = Text::of("It was: ").then(line(&rule, caller.guild));
        Ok(Reply::new(Tone::Good, format!("Rule {} is revoked", rule.id)).body(body))
    }
}

#[derive(Debug)]
pub struct List {
    who: Option<Subject>,
    repo: Option<Pattern>,
    page: usize,
}

impl List {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        Ok(Self { who: arguments.subject("who"), repo: arguments.optional("repo")?, page: arguments.page() })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let mut rules = app.permissions.visible_about(caller, self.who, self.repo.as_ref()).await?;
        rules.reverse();
        let reply = Reply::new(Tone::Neutral, "Rules");
        if rules.is_empty() {
            return Ok(
                reply.body(Text::of("No rule that you may see fits that. Without a rule, nothing is permitted."))
            );
        }
        let mut command = "/permission list".to_owned();
        if let Some(who) = self.who {
            command.push_str(&match who {
                Subject::User(id) => format!(" who:<@{id}>"),
                Subject::Role(id) => format!(" who:<@&{id}>"),
            });
        }
        if let Some(repo) = &self.repo {
            command.push_str(&format!(" repo:{}", crate::words::quote(repo.as_str())));
        }
        Ok(reply::page(reply, &rules, self.page, &command, |rule| line(rule, caller.guild)))
    }
}

#[derive(Debug)]
pub struct Check {
    user: Actor,
    repo: RepoName,
    branch: Option<Branch>,
    environment: Option<EnvironmentName>,
    action: Action,
}

impl Check {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        Ok(Self {
            user: arguments.user("user")?.clone(),
            repo: arguments.required("repo")?,
            branch: arguments.optional("branch")?,
            environment: arguments.optional("environment")?,
            action: arguments.optional("action")?.unwrap_or(Action::Deploy),
        })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let ask = Ask {
            repo: Some(self.repo.as_str()),
            branch: self.branch.as_ref().map(Branch::as_str),
            environment: self.environment.as_ref().map(EnvironmentName::as_str),
        };
        let (decision, rules) = app.permissions.check(caller, &self.user, self.action, ask).await?;
        let allowed = decision.is_allowed();
        let mut body = Text::of(&self.user.name)
            .plain(if allowed { " may " } else { " may not " })
            .code(self.action)
            .plain(" ")
            .code(&self.repo)
            .plain(", ")
            .then(part("branch", "every branch", ask.branch))
            .plain(", ")
            .then(part("environment", "every environment", ask.environment))
            .plain(": ")
            .plain(match decision.because {
                Because::Owner => "they have an owner's rights (SLIPWAY_OWNERS).",
                Because::Allowed(_) => "permitted by",
                Because::Denied(_) => "denied, whatever else permits it, by",
                Because::NoRule => "no rule permits it.",
            });
        for rule in &rules {
            body = body.line().then(line(rule, caller.guild));
        }
        let (tone, title) = if allowed { (Tone::Good, "Allowed") } else { (Tone::Bad, "Not allowed") };
        Ok(Reply::new(tone, title).body(body))
    }
}

fn part(what: &str, every: &str, name: Option<&str>) -> Text {
    name.map_or_else(|| Text::of(every), |name| Text::of(format!("{what} ")).code(name))
}

/// A rule in one line.
fn line(rule: &Rule, guild: GuildId) -> Text {
    let mut line = Text::default()
        .code(rule.id)
        .plain(" ")
        .subject(rule.subject, guild)
        .plain(match rule.effect {
            Effect::Allow => " may ",
            Effect::Deny => " may not ",
        })
        .code(rule.action);
    let places = [("repo", &rule.scope.repo), ("branch", &rule.scope.branch), ("environment", &rule.scope.environment)];
    for (what, pattern) in places.into_iter().filter(|(_, pattern)| **pattern != Pattern::any()) {
        line = line.plain(format!(" {what} ")).code(pattern);
    }
    if let Some(end) = rule.expires_at {
        line = line.plain(" until ").time(end);
    }
    line = line.plain(", by ").plain(&rule.made_by_name);
    match &rule.reason {
        Some(reason) => line.plain(": ").plain(reason),
        None => line,
    }
}
