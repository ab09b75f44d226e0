//! `slipway permission …` and `slipway repo …`: commands of the table for the operator, with an owner's rights, beside a running
//! bot or without one. Knows no command by name but what it lists as JSON.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::{Complaint, Exit, open_existing, print, tell_wrong, token_names};
use crate::access::AccessRequest;
use crate::actor::{Actor, Caller};
use crate::app::{App, Chat, Request, Seen, Unseen, Visibility};
use crate::circleci::{Access, CircleCi, Patience};
use crate::command::Arguments;
use crate::config::{self, Base, Variables};
use crate::console::files;
use crate::console::parse::{self, Line};
use crate::console::people::People;
use crate::console::render::{self, Look};
use crate::deploy::{Deploy, Pace};
use crate::id::GuildId;
use crate::permission::{Rule, Subject};
use crate::refusal::Refusal;
use crate::reply::{Button, Form, Reply, Tone};
use crate::text;
use crate::time::Clock;
use crate::words;

/// How a command of the table is run from the command line.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The guild that is meant; DISCORD_GUILD_ID unless said
    #[arg(long, value_name = "ID")]
    guild: Option<GuildId>,
    /// Text for people, or JSON for programs
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The words of the command as in a chat, docs/commands.md lists them: grant '<@&ID>' deploy repo:acme/web
    #[arg(trailing_var_arg = true, required = true, value_name = "WORD")]
    words: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Runs the command `name` with the words that follow it.
pub async fn run(name: &str, args: Args, variables: &Variables) -> Result<Exit, Complaint> {
    let base = Base::read(variables).map_err(|wrong| tell_wrong(&wrong))?;
    let Some(guild) = args.guild.or(base.guild) else {
        eprintln!(
            "Which guild? Say `--guild ID`, or set DISCORD_GUILD_ID. Example: slipway {name} --guild 81384788765712384 list"
        );
        return Ok(Exit::Misuse);
    };
    let people = People::new(guild, Vec::new());
    let line = args.words.iter().fold(format!("/{name}"), |line, word| format!("{line} {}", quoted(word)));
    let (path, arguments) = match parse::parse(&line, &people) {
        Ok(Line::Command { path, arguments }) => (path, arguments),
        Ok(_) => return Ok(Exit::Misuse),
        Err(misread) => {
            eprint!("{}", as_text(&misread.reply(), &people, &Clock::system()));
            return Ok(Exit::Misuse);
        }
    };
    let app = open(&base, variables).await?;
    let caller = Caller { guild, channel: None, actor: operator() };
    let exit = if args.format == Format::Json && path.last().is_some_and(|word| word == "list") {
        let listed = list(&app, &caller, name, &arguments).await.map_err(|refusal| Complaint(refusal.why()))?;
        print(&in_json(&listed))?;
        Exit::Done
    } else {
        carry_out(&app, Request { interaction: None, path, arguments, caller }, args.format, &people).await?
    };
    app.db().close().await;
    Ok(exit)
}

/// Whoever runs the command line, as the audit log names them.
pub(super) fn operator() -> Actor {
    Actor::cli(&whoami::username().unwrap_or_else(|_| "unknown".to_owned()))
}

/// A word of the shell as a word of a line: one with spaces was quoted there, and `reason:two words` names its option still.
fn quoted(word: &str) -> String {
    match word.split_once(':') {
        Some((name, value))
            if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') =>
        {
            format!("{name}:{}", words::quote(value))
        }
        _ => words::quote(word),
    }
}

/// The services on the database that the bot uses. CircleCI is never asked.
pub(super) async fn open(base: &Base, variables: &Variables) -> Result<std::sync::Arc<App>, Complaint> {
    let access = config::circleci(variables).unwrap_or_else(|_| Access {
        url: crate::circleci::CIRCLECI_URL.to_owned(),
        user_token: "unset".to_owned().into(),
        project_token: None,
        project_tokens: Default::default(),
    });
    let (clock, names) = (Clock::system(), token_names(&access));
    let circleci = CircleCi::new(access, Patience::default(), clock.clone())?;
    let db = open_existing(base).await?;
    let (owners, never) = (base.owners.clone(), CancellationToken::new());
    Ok(App::new(db, circleci, owners, names, clock, Pace::default(), never).await?)
}

/// Carries out a command; of a list, every page.
async fn carry_out(app: &App, mut request: Request, format: Format, people: &People) -> Result<Exit, Complaint> {
    loop {
        let terminal = Terminal::default();
        app.handle(&request, &terminal).await;
        let Some(reply) = terminal.0.into_inner().unwrap_or_else(PoisonError::into_inner) else {
            return Ok(Exit::Failed);
        };
        let went_wrong = reply.tone == Tone::Bad;
        let text = match format {
            Format::Json => in_json(&as_json(&reply, people, &app.clock)),
            Format::Table => as_text(&without_pages(&reply), people, &app.clock),
        };
        let text = text + &files::save_all(Path::new("."), &reply.files);
        if went_wrong && format == Format::Table {
            eprint!("{text}");
        } else {
            print(&text)?;
        }
        let older = reply.buttons.iter().find_map(|button| match button {
            Button::Page { label: "Older", line } => parse::parse(line, people).ok(),
            _ => None,
        });
        match older {
            Some(Line::Command { path, arguments }) => request = Request { path, arguments, ..request },
            _ => return Ok(if went_wrong { Exit::Failed } else { Exit::Done }),
        }
    }
}

/// What the command answers.
#[derive(Default)]
struct Terminal(Mutex<Option<Reply>>);

impl Chat for Terminal {
    async fn acknowledge(&self, _: Visibility) -> Result<Seen, Unseen> {
        Ok(Seen::default())
    }

    fn becomes_card(&self, _: &Deploy) {
        // None of these commands makes a deploy.
    }

    fn becomes_request(&self, _: &AccessRequest) {
        // Nor a request for access.
    }

    async fn ask(&self, form: &Form) -> Result<(), Unseen> {
        self.answer(&form.as_line()).await;
        Ok(())
    }

    async fn answer(&self, reply: &Reply) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply.clone());
    }
}

fn without_pages(reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    reply.buttons.retain(|button| !matches!(button, Button::Page { .. }));
    reply
}

/// An answer as the terminal shows it.
pub(super) fn as_text(reply: &Reply, people: &People, clock: &Clock) -> String {
    render::render(reply, Look { people, now: clock.now(), colour: false })
}

fn as_json(reply: &Reply, people: &People, clock: &Clock) -> serde_json::Value {
    let text = as_text(&Reply { buttons: Vec::new(), ..reply.clone() }, people, clock);
    let lines: Vec<&str> = text.lines().skip(1).map(str::trim_start).collect();
    serde_json::json!({ "done": reply.tone != Tone::Bad, "title": reply.title, "text": lines.join("\n") })
}

/// JSON for programs.
pub(super) fn in_json(value: &serde_json::Value) -> String {
    format!("{}\n", text::json(&format!("{value:#}")))
}

/// Everything that the command lists, as an array.
async fn list(app: &App, caller: &Caller, name: &str, arguments: &Arguments) -> Result<serde_json::Value, Refusal> {
    match name {
        "permission" => {
            let (who, repo) = (arguments.subject("who"), arguments.optional("repo")?);
            let rules = app.permissions.visible_about(caller, who, repo.as_ref()).await?;
            Ok(rules.iter().map(|rule| as_object(rule, caller.guild)).collect())
        }
        _ => {
            let repos = app.repos.list(caller).await?;
            let repo = |repo: &crate::repo::Repo| {
                serde_json::json!({
                    "name": repo.name.as_str(), "vcs": repo.vcs.as_str(),
                    "project": repo.project.as_ref().map(|slug| slug.as_str()),
                    "default_branch": repo.default_branch.as_ref().map(|branch| branch.as_str()),
                })
            };
            Ok(repos.iter().map(repo).collect())
        }
    }
}

fn as_object(rule: &Rule, guild: GuildId) -> serde_json::Value {
    let (kind, id) = match rule.subject {
        subject if subject == Subject::everyone(guild) => ("everyone", guild.to_string()),
        Subject::User(id) => ("user", id.to_string()),
        Subject::Role(id) => ("role", id.to_string()),
    };
    serde_json::json!({
        "id": rule.id.0, "subject": { "kind": kind, "id": id }, "effect": rule.effect.as_str(),
        "action": rule.action.as_str(), "repo": rule.scope.repo.as_str(), "branch": rule.scope.branch.as_str(),
        "environment": rule.scope.environment.as_str(), "expires_at": rule.expires_at.map(|at| at.to_string()),
        "reason": rule.reason, "made_by": rule.made_by, "made_by_name": rule.made_by_name, "made_at": rule.made_at.to_string(),
    })
}
