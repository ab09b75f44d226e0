//! `/audit`: questions to the audit log, one entry in full, the proof of its chain, and the queries that are kept.

use std::str::FromStr;

use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape};
use crate::actor::Caller;
use crate::app::{App, Chat, NotDone, Request, Visibility};
use crate::audit::export::FileFormat;
use crate::audit::saved::Name;
use crate::audit::search::{Beyond, From};
use crate::audit::service::{Answer, Asked};
use crate::audit::{self, card};
use crate::id::{DeployId, EntryId};
use crate::invalid::Invalid;
use crate::permission::Action;
use crate::refusal::Refusal;
use crate::reply::{self, Attachment, Button, Reply, Text, Tone};
use crate::{text, words};

const QUERY: &str = "What to look for: actor:alice repo:acme/* -outcome:allowed since:7d \"free text\"";
const SEQ: OptionSpec = OptionSpec::required("seq", Kind::Text, "The entry's number: #12");
const NAME: OptionSpec = OptionSpec::required("name", Kind::Completed(Completes::SavedQuery), "Its name: weekly");

/// The most of a saved query that a list shows, in characters: ten of them fit in one message.
const LISTED_MAX: usize = 200;

/// The options that narrow a search down, beside its query.
const FILTERS: [OptionSpec; 8] = [
    OptionSpec::optional("query", Kind::Completed(Completes::Query), QUERY),
    OptionSpec::optional("user", Kind::User, "Only what this person did"),
    OptionSpec::optional("repo", Kind::Completed(Completes::Repo), "Only about this repository: acme/web, acme/*"),
    OptionSpec::optional(
        "action",
        Kind::Completed(Completes::AuditAction),
        "Only this: deploy.denied, deploy, *.denied",
    ),
    OptionSpec::optional("environment", Kind::Completed(Completes::Environment), "Only about this environment"),
    OptionSpec::optional(
        "outcome",
        Kind::Completed(Completes::Outcome),
        "Only with this outcome: denied, failed,error",
    ),
    OptionSpec::optional("since", Kind::Text, "From then on: 7d, 2026-01-31, 2026-01-31T17:30:00Z"),
    OptionSpec::optional("until", Kind::Text, "Up to then; a day is meant to its end"),
];

/// The options of an export.
const EXPORTED: [OptionSpec; 9] = {
    let [query, user, repo, action, environment, outcome, since, until] = FILTERS;
    let format = OptionSpec::optional(
        "format",
        Kind::Choice(&["csv", "jsonl"]),
        "csv for spreadsheets (unless said), jsonl for programs and for proof",
    );
    [format, query, user, repo, action, environment, outcome, since, until]
};

/// Where another page of a search begins; only its buttons name these.
const TURNS: [OptionSpec; 3] = [
    OptionSpec::optional("again", Kind::Text, "The search whose page it is"),
    OptionSpec::optional("before", Kind::Text, "Only entries before this one"),
    OptionSpec::optional("after", Kind::Text, "Only entries after this one"),
];

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "audit",
    description: "Who did what, when, and who let them; and the proof that nobody changed it",
    shape: Shape::Group(&[
        (
            "search",
            Leaf {
                description: "Ask the audit log; without terms every entry, the newest first",
                needs: Needs::Holds(Action::Audit),
                options: &FILTERS,
                pages: true,
                pressed: false,
                in_lines: &TURNS,
                asks: &[],
                example: "/audit search \"action:deploy -outcome:allowed since:7d\"",
                parse: |arguments| Ok(Command::Private(Private::AuditSearch(Search::parse(arguments)?))),
            },
        ),
        (
            "show",
            Leaf {
                description: "Show one entry with every field, its hash and links",
                needs: Needs::Holds(Action::Audit),
                options: &[SEQ],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/audit show #1",
                parse: |arguments| Ok(Command::Private(Private::AuditShow(Show(arguments.required("seq")?)))),
            },
        ),
        (
            "verify",
            Leaf {
                description: "Check the whole chain: that no entry was changed, removed, inserted or reordered",
                needs: Needs::Holds(Action::Audit),
                options: &[OptionSpec::optional(
                    "head",
                    Kind::Text,
                    "A hash that was noted earlier and must still be there",
                )],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/audit verify",
                parse: |arguments| Ok(Command::Private(Private::AuditVerify(Verify(arguments.optional("head")?)))),
            },
        ),
        (
            "export",
            Leaf {
                description: "Give entries out as a file, the oldest first",
                needs: Needs::Holds(Action::Audit),
                options: &EXPORTED,
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/audit export csv since:30d",
                parse: |arguments| {
                    let format = match arguments.text("format") {
                        Some("jsonl") => FileFormat::Jsonl,
                        _ => FileFormat::Csv,
                    };
                    Ok(Command::AuditExport(Export { format, line: line(arguments) }))
                },
            },
        ),
        (
            "save",
            Leaf {
                description: "Keep a query under a name, by which it is asked then",
                needs: Needs::Holds(Action::Audit),
                options: &[NAME, OptionSpec::required("query", Kind::Completed(Completes::Query), QUERY)],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/audit save weekly \"since:7d -outcome:allowed\"",
                parse: |arguments| {
                    let query = arguments.text("query").unwrap_or_default().to_owned();
                    Ok(Command::Private(Private::AuditSave(Save { name: arguments.required("name")?, query })))
                },
            },
        ),
        (
            "saved",
            Leaf {
                description: "List the queries that are kept",
                needs: Needs::Holds(Action::Audit),
                options: &[],
                pages: true,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/audit saved",
                parse: |arguments| Ok(Command::Private(Private::AuditSaved(Saved { page: arguments.page() }))),
            },
        ),
        (
            "forget",
            Leaf {
                description: "Remove a query that is kept",
                needs: Needs::Holds(Action::Audit),
                options: &[NAME],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/audit forget weekly",
                parse: |arguments| Ok(Command::Private(Private::AuditForget(Forget(arguments.required("name")?)))),
            },
        ),
    ]),
};

/// A noted head.
#[derive(Debug, Clone)]
struct NotedHead(String);

impl FromStr for NotedHead {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        audit::chain::noted(text).map(Self)
    }
}

#[derive(Debug)]
pub enum Search {
    /// A new one.
    New(Asked),
    /// Another page of one that was asked before.
    Turn { search: i64, from: From },
}

impl Search {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let seq = |name| arguments.optional::<EntryId>(name).map(|seq| seq.map(|EntryId(seq)| seq));
        let from = match (seq("before")?, seq("after")?) {
            (Some(seq), _) => From::Before(seq),
            (None, Some(seq)) => From::After(seq),
            (None, None) => From::Newest,
        };
        Ok(match seq("again")? {
            Some(search) => Search::Turn { search, from },
            None => Search::New(Asked { line: line(arguments), from }),
        })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let answer = match self {
            Search::New(asked) => app.audit.search(caller, asked).await?,
            Search::Turn { search, from } => app.audit.turn(caller, search, from).await?,
        };
        Ok(shown(&answer))
    }
}

/// The query and the options beside it as one query.
fn line(arguments: &Arguments) -> String {
    let query = arguments.text("query").map(str::to_owned);
    let user = arguments.user("user").ok().map(|person| format!("actor:{}", person.id));
    let keys = ["repo", "action", "environment", "outcome", "since", "until"];
    let others = keys.into_iter().filter_map(|key| {
        let value = arguments.text(key).filter(|value| !value.is_empty())?;
        Some(words::quote(&format!("{key}:{value}")))
    });
    query.into_iter().chain(user).chain(others).collect::<Vec<_>>().join(" ")
}

fn shown(answer: &Answer) -> Reply {
    let rows = &answer.page.rows;
    let mut body = Text::default();
    if !answer.query.terms.is_empty() {
        body = body.code(&answer.query).line();
    }
    body = body.then(Text::join(rows.iter().map(card::line), &Text::default().line()));
    let searched = |seq: i64| format!("Everything as far as #{seq} was looked through, which took its time.");
    match answer.page.beyond {
        Beyond::Unknown(seq) if rows.is_empty() => {
            body = body.plain(format!("{} Nothing was found there; `Older` goes on.", searched(seq)));
        }
        Beyond::Unknown(seq) => body = body.line().plain(format!("{} There may be more beyond.", searched(seq))),
        Beyond::More | Beyond::Nothing if rows.is_empty() => body = body.plain("No entry matches."),
        Beyond::More | Beyond::Nothing => {}
    }
    let upwards = matches!(answer.from, From::After(_));
    let (newest, oldest) = (rows.first().map(|row| row.seq), rows.last().map(|row| row.seq));
    let beyond = match answer.page.beyond {
        Beyond::Unknown(seq) => Some(seq),
        Beyond::More if upwards => newest,
        Beyond::More => oldest,
        Beyond::Nothing => None,
    };
    // Where a page was come to from, there is another one.
    let behind = match answer.from {
        From::Newest => None,
        From::Before(seq) => newest.or(Some(seq - 1)),
        From::After(seq) => oldest.or(Some(seq + 1)),
    };
    let (newer, older) = if upwards { (beyond, behind) } else { (behind, beyond) };
    let turn = |label, to: &str, seq: i64| Button::Page {
        label,
        line: format!("/audit search again:{} {to}:{seq}", answer.search),
    };
    let mut reply = Reply::new(Tone::Neutral, "Audit log").body(body);
    reply.buttons.extend(newer.map(|seq| turn("Newer", "after", seq)));
    reply.buttons.extend(older.map(|seq| turn("Older", "before", seq)));
    reply
}

#[derive(Debug)]
pub struct Show(EntryId);

impl Show {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let row = app.audit.show(caller, self.0.0).await?;
        let mut reply = card::full(&row);
        let deploy = match row.deploy_id {
            Some(id) => app.deploys.numbered(caller.guild, DeployId(id)).await?,
            None => None,
        };
        if let Some(url) = deploy.as_ref().and_then(|deploy| deploy.url.clone()) {
            reply = reply.button(Button::Link { label: "Build", url });
        }
        let message = deploy.as_ref().and_then(|deploy| deploy.channel.zip(deploy.message));
        if let Some((channel, message)) = message {
            let url = format!("https://discord.com/channels/{}/{channel}/{message}", caller.guild);
            reply = reply.button(Button::Link { label: "Message", url });
        }
        Ok(reply)
    }
}

#[derive(Debug)]
pub struct Verify(Option<NotedHead>);

impl Verify {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let noted: Vec<String> = self.0.into_iter().map(|NotedHead(hash)| hash).collect();
        let checked = app.audit.verify(caller, &noted).await?;
        Ok(card::checked(&checked, &noted))
    }
}

#[derive(Debug)]
pub struct Export {
    format: FileFormat,
    line: String,
}

impl Export {
    /// Answers with the file.
    pub async fn run<C: Chat>(self, app: &App, request: &Request, chat: &C) -> Result<(), NotDone> {
        chat.acknowledge(Visibility::Ephemeral).await?;
        let exported = app.audit.export(&request.caller, &self.line, self.format, chat.attachment_max()).await?;
        let mut body = Text::default();
        if !exported.query.terms.is_empty() {
            body = body.code(&exported.query).line();
        }
        let entries = card::counted(exported.entries);
        body = body.plain(entries.clone());
        if let Some(newest) = &exported.newest {
            body = body.plain(", the newest is ").code(format!("#{}", newest.seq)).plain(": ").code(&newest.hash);
        }
        let description = format!("{entries} of the audit log");
        let file = Attachment { name: exported.name, bytes: exported.bytes, description, is_shown: false };
        chat.answer(&Reply::new(Tone::Good, "Exported").body(body.plain(".")).file(file)).await;
        Ok(())
    }
}

#[derive(Debug)]
pub struct Save {
    name: Name,
    query: String,
}

impl Save {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let name = self.name.clone();
        let query = app.audit.save(caller, self.name, &self.query).await?;
        let body = Text::default().code(format!("@{}", name.as_str())).plain(" stands for ").code(query);
        Ok(Reply::new(Tone::Good, "The query is saved").body(body.plain(".")))
    }
}

#[derive(Debug)]
pub struct Saved {
    page: usize,
}

impl Saved {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let saved = app.audit.saved(caller).await?;
        let reply = Reply::new(Tone::Neutral, "Saved queries");
        if saved.is_empty() {
            return Ok(reply.body(Text::default().sentence("There is none. `/audit save` keeps one.")));
        }
        Ok(reply::page(reply, &saved, self.page, "/audit saved", |saved| {
            let query = saved.query.to_string();
            let line =
                Text::default().code(format!("@{}", saved.name)).plain(": ").code(text::clip(&query, LISTED_MAX));
            line.plain(", saved by ").plain(saved.made_by_name.clone()).plain(" ").time(saved.made_at)
        }))
    }
}

#[derive(Debug)]
pub struct Forget(Name);

impl Forget {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let name = self.0.as_str().to_owned();
        app.audit.forget(caller, self.0).await?;
        Ok(Reply::new(Tone::Good, "The query is forgotten")
            .body(Text::default().code(format!("@{name}")).plain(" stands for nothing now.")))
    }
}
