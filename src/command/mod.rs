//! The table of commands: the one source for Discord's registration, the console's parser, `/help` and
//! `docs/commands.md`. Each command has a file of its own: its options, its typed arguments, what it does.

mod access;
mod arguments;
mod audit;
mod confirm;
mod deploy;
mod deploys;
pub mod docs;
mod dry_run;
mod environment;
mod help;
mod permission;
mod repo;
mod rollback;
mod settings;
pub mod stats;
mod whoami;

pub use access::Access;
pub use arguments::{Arguments, Value};
pub use audit::Export as AuditExport;
pub use deploy::Deploy;
pub use deploys::Retry;
pub use rollback::Rollback;

use crate::app::App;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::{actor::Caller, permission::Action};

/// A command of the table.
#[derive(Debug)]
pub struct CommandSpec {
    /// Its name: `deploy`.
    pub name: &'static str,
    /// What it does, in a sentence of at most 100 characters.
    pub description: &'static str,
    /// Its options, or its subcommands.
    pub shape: Shape,
}

/// What stands under a command's name.
#[derive(Debug)]
pub enum Shape {
    /// The command itself.
    Single(Leaf),
    /// Subcommands.
    Group(&'static [(&'static str, Leaf)]),
}

/// Something that can be run: a command, or a subcommand.
#[derive(Debug)]
pub struct Leaf {
    /// What it does, in a sentence of at most 100 characters.
    pub description: &'static str,
    /// What the person must hold, for the docs; the service asks for it.
    pub needs: Needs,
    /// Its options, required ones first.
    pub options: &'static [OptionSpec],
    /// Whether it lists, so that a button may turn its pages.
    pub pages: bool,
    /// Whether a button may run it, with the presser's own permissions; the answer is a message of its own.
    pub pressed: bool,
    /// Options that only the console's lines and buttons name; required ones a button must name, and a line need not.
    pub in_lines: &'static [OptionSpec],
    /// Options that a button leaves out, so that a form asks for them.
    pub asks: &'static [&'static str],
    /// A line that works in the sandbox, for the docs.
    pub example: &'static str,
    parse: fn(&Arguments) -> Result<Command, Refusal>,
}

/// What a person must hold to run a command.
#[derive(Debug, Clone, Copy)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// This action for what is named.
    Holds(Action),
    /// This action, or nothing where it is about oneself.
    HoldsUnlessOneself(Action),
}

/// An option of a command.
#[derive(Debug)]
pub struct OptionSpec {
    /// Its name.
    pub name: &'static str,
    /// What it is, in at most 100 characters.
    pub description: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
}

impl Leaf {
    /// Whether its pages have numbers, which a line may name; those of others are turned by their buttons alone.
    pub fn has_numbered_pages(&self) -> bool {
        self.pages && self.in_lines.is_empty()
    }
}

impl OptionSpec {
    const fn required(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, description, kind, required: true }
    }

    const fn optional(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, description, kind, required: false }
    }
}

/// What an option holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text that is completed as it is typed.
    Completed(Completes),
    /// Yes or no.
    Flag,
    /// A person.
    User,
    /// A person or a role.
    Mentionable,
}

/// What completes an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completes {
    /// The repositories that the person may see.
    Repo,
    /// The branches of the repository named before.
    Branch,
    /// The environments of the repository named before.
    Environment,
    /// The rules that the person may see.
    Rule,
    /// The open requests for access with which the command can do something.
    Request,
    /// The recent deploys for which the command can do something.
    Deploy,
    /// The deploys that succeeded in the repository and environment named before.
    Succeeded,
    /// What the environment named before declares.
    Parameters,
    /// The commands.
    Command,
    /// The terms of an audit query and the saved ones, behind what is typed already.
    Query,
    /// The saved audit queries.
    SavedQuery,
    /// The values of the setting named before.
    SettingValue,
    /// The actions of the audit log.
    AuditAction,
    /// The outcomes of the audit log.
    Outcome,
}

/// Every command, in the order in which help lists them.
pub static COMMANDS: &[CommandSpec] = &[
    deploy::SPEC,
    rollback::SPEC,
    deploys::SPEC,
    permission::SPEC,
    access::SPEC,
    repo::SPEC,
    environment::SPEC,
    stats::SPEC,
    audit::SPEC,
    settings::SPEC,
    whoami::SPEC,
    help::SPEC,
];

/// The page of a list: only the console's lines and buttons name it.
pub const PAGE_OPTION: &str = "page";

/// A command with its arguments, parsed.
#[derive(Debug)]
pub enum Command {
    /// `/deploy`, which answers in public and in several steps.
    Deploy(Deploy),
    /// `/rollback`, which answers as `/deploy` does, or asks first.
    Rollback(Rollback),
    /// `/deploys retry`, which answers as `/deploy` does.
    Retry(Retry),
    /// What of `/access` may have to ask for more words first.
    Access(Access),
    /// `/audit export`, whose file may be as large as the chat takes.
    AuditExport(AuditExport),
    /// Any other: one answer, for the person who asked.
    Private(Private),
}

/// A command with one answer, which only the person who asked sees.
#[derive(Debug)]
pub enum Private {
    DeploysList(deploys::List),
    DeploysShow(deploys::Show),
    DeploysCancel(deploys::Cancel),
    DeploysRerun(deploys::Retry),
    DeploysApprove(deploys::Approve),
    PermissionGrant(permission::Grant),
    PermissionRevoke(permission::Revoke),
    PermissionList(permission::List),
    PermissionCheck(permission::Check),
    AccessApprove(access::Approve),
    AccessWithdraw(access::Withdraw),
    AccessList(access::List),
    RepoAdd(repo::Add),
    RepoList(repo::List),
    RepoShow(repo::Show),
    RepoEdit(repo::Edit),
    RepoRemove(repo::Remove),
    EnvironmentSet(environment::Set),
    EnvironmentParameter(environment::Parameter),
    EnvironmentList(environment::List),
    EnvironmentShow(environment::Show),
    EnvironmentRemove(environment::Remove),
    AuditSearch(audit::Search),
    AuditShow(audit::Show),
    AuditVerify(audit::Verify),
    AuditSave(audit::Save),
    AuditSaved(audit::Saved),
    AuditForget(audit::Forget),
    Stats(stats::Stats),
    SettingsShow(settings::Show),
    SettingsSet(settings::Set),
    Whoami(whoami::Whoami),
    Help(help::Help),
}

impl Private {
    /// Does it.
    pub async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        match self {
            Private::DeploysList(list) => list.run(app, caller).await,
            Private::DeploysShow(show) => show.run(app, caller).await,
            Private::DeploysCancel(cancel) => cancel.run(app, caller).await,
            Private::DeploysRerun(retry) => retry.run_failed(app, caller).await,
            Private::DeploysApprove(approve) => approve.run(app, caller).await,
            Private::PermissionGrant(grant) => grant.run(app, caller).await,
            Private::PermissionRevoke(revoke) => revoke.run(app, caller).await,
            Private::PermissionList(list) => list.run(app, caller).await,
            Private::PermissionCheck(check) => check.run(app, caller).await,
            Private::AccessApprove(approve) => approve.run(app, caller).await,
            Private::AccessWithdraw(withdraw) => withdraw.run(app, caller).await,
            Private::AccessList(list) => list.run(app, caller).await,
            Private::RepoAdd(add) => add.run(app, caller).await,
            Private::RepoList(list) => list.run(app, caller).await,
            Private::RepoShow(show) => show.run(app, caller).await,
            Private::RepoEdit(edit) => edit.run(app, caller).await,
            Private::RepoRemove(remove) => remove.run(app, caller).await,
            Private::EnvironmentSet(set) => set.run(app, caller).await,
            Private::EnvironmentParameter(parameter) => parameter.run(app, caller).await,
            Private::EnvironmentList(list) => list.run(app, caller).await,
            Private::EnvironmentShow(show) => show.run(app, caller).await,
            Private::EnvironmentRemove(remove) => remove.run(app, caller).await,
            Private::AuditSearch(search) => search.run(app, caller).await,
            Private::AuditShow(show) => show.run(app, caller).await,
            Private::AuditVerify(verify) => verify.run(app, caller).await,
            Private::AuditSave(save) => save.run(app, caller).await,
            Private::AuditSaved(saved) => saved.run(app, caller).await,
            Private::AuditForget(forget) => forget.run(app, caller).await,
            Private::Stats(stats) => stats.run(app, caller).await,
            Private::SettingsShow(show) => show.run(app, caller).await,
            Private::SettingsSet(set) => set.run(app, caller).await,
            Private::Whoami(whoami) => whoami.run(app, caller).await,
            Private::Help(help) => Ok(help.run()),
        }
    }
}

/// The words that name a command: `["permission", "grant"]`.
pub type Path = Vec<String>;

/// The table's row for `path`, if there is one.
pub fn find<S: AsRef<str>>(path: &[S]) -> Option<&'static Leaf> {
    let (name, rest) = path.split_first()?;
    let spec = COMMANDS.iter().find(|spec| spec.name == name.as_ref())?;
    match (&spec.shape, rest) {
        (Shape::Single(leaf), []) => Some(leaf),
        (Shape::Group(leaves), [sub]) => leaves.iter().find(|(name, _)| *name == sub.as_ref()).map(|(_, leaf)| leaf),
        _ => None,
    }
}

/// Every row with the words that name it.
pub fn leaves() -> impl Iterator<Item = (Vec<&'static str>, &'static Leaf)> {
    COMMANDS.iter().flat_map(|spec| match &spec.shape {
        Shape::Single(leaf) => vec![(vec![spec.name], leaf)],
        Shape::Group(leaves) => leaves.iter().map(|(name, leaf)| (vec![spec.name, *name], leaf)).collect(),
    })
}

/// Reads the arguments of the command that `path` names.
pub fn parse<S: AsRef<str>>(path: &[S], arguments: &Arguments) -> Result<Command, Refusal> {
    let leaf = find(path).ok_or_else(|| {
        Refusal::conflict("There is no such command in this version of Slipway.", "`/help` lists those there are.")
    })?;
    (leaf.parse)(arguments)
}

/// The audit log's word for a refusal of the command that `path` names; none where a refusal is no act to be recorded.
pub fn denied_action<S: AsRef<str>>(path: &[S]) -> Option<crate::audit::Action> {
    match path.first().map(AsRef::as_ref) {
        Some("deploy" | "deploys" | "rollback" | "stats") => Some(crate::audit::Action::DeployDenied),
        Some("permission") => Some(crate::audit::Action::PermissionDenied),
        Some("access") => Some(crate::audit::Action::AccessDenied),
        Some("repo") => Some(crate::audit::Action::RepoDenied),
        Some("audit") => Some(crate::audit::Action::AuditDenied),
        Some("settings") => Some(crate::audit::Action::SettingsDenied),
        Some("environment") => Some(crate::audit::Action::EnvironmentDenied),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_keeps_discords_rules() {
        for (path, leaf) in leaves() {
            let names: Vec<_> = leaf.options.iter().chain(leaf.in_lines).map(|option| option.name).collect();
            let required_first = leaf.options.is_sorted_by_key(|option| !option.required);
            assert!(required_first && names.len() <= 25, "{path:?}");
            let words = path.iter().copied().chain(names.iter().copied());
            let legal = |word: &str| {
                (1..=32).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            };
            assert!(words.clone().all(legal), "{path:?}");
            let descriptions = leaf.options.iter().map(|option| option.description).chain([leaf.description]);
            for description in descriptions {
                assert!((1..=100).contains(&description.chars().count()), "{path:?}: {description}");
            }
            assert!(leaf.asks.iter().all(|asked| leaf.options.iter().any(|option| option.name == *asked)), "{path:?}");
            let unique: std::collections::HashSet<_> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{path:?}");
        }
    }

    #[test]
    fn every_command_that_needs_something_leaves_a_trace_when_it_is_refused() {
        for (path, leaf) in leaves() {
            let leaves_none = denied_action(&path).is_none();
            assert!(!leaves_none || matches!(leaf.needs, Needs::Nothing), "{path:?}");
        }
    }
}
