//! What completes an option while it is typed: only what the person may act on, or see where they only look, ranked, within the chat's deadline even when
//! CircleCI is slow or down.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::AccessRequest;
use crate::actor::Caller;
use crate::app::App;
use crate::audit;
use crate::circleci::{CircleCi, Project};
use crate::command::{self, Arguments, Completes, Kind};
use crate::deploy::Deploy;
use crate::deploy::history::Purpose;
use crate::deploy::plan::meant;
use crate::guild;
use crate::permission::{Action, Ask, Case, Rule, Scope};
use crate::refusal::Refusal;
use crate::repo::{Environment, EnvironmentName, RepoName, Revision, declared};
use crate::text;

/// The most choices that Discord takes.
pub const CHOICES_MAX: usize = 25;
/// The longest choice in UTF-16 units.
const CHOICE_LENGTH_MAX: usize = 100;
/// How long CircleCI is waited for when its branches are not known yet: Discord wants an answer within 3 s.
const FIRST_WAIT: Duration = Duration::from_millis(1_500);
/// How old branches may be before they are asked for again (they still complete meanwhile).
const FRESH: Duration = Duration::from_secs(60);
/// How many repositories' branches are kept.
const KEPT_MAX: usize = 500;
/// How many branches of past deploys are offered.
const PAST_MAX: i64 = 50;

/// Something that completes an option.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Choice {
    /// What is shown.
    pub label: String,
    /// What is then given.
    pub value: String,
}

impl Choice {
    fn of(text: impl Into<String>) -> Self {
        let label = text.into();
        Self { value: label.clone(), label }
    }
}

/// What completes the option `option` of the command `path`, where `typed` stands so far.
pub async fn complete(
    app: &App,
    caller: &Caller,
    path: &[String],
    arguments: &Arguments,
    option: &str,
    typed: &str,
) -> Vec<Choice> {
    let kind =
        command::find(path).and_then(|leaf| leaf.options.iter().find(|spec| spec.name == option)).map(|spec| spec.kind);
    let candidates = match kind {
        Some(Kind::Completed(completes)) => {
            candidates(app, caller, path, arguments, (completes, typed)).await.unwrap_or_else(|refusal| {
                tracing::debug!(option, refused_for = refusal.kind(), "Nothing completes that");
                Vec::new()
            })
        }
        Some(Kind::Choice(choices)) => choices.iter().map(|choice| Choice::of(*choice)).collect(),
        Some(Kind::Flag) => ["True", "False"].map(Choice::of).to_vec(),
        _ => Vec::new(),
    };
    rank(candidates, typed)
}

async fn candidates(
    app: &App,
    caller: &Caller,
    path: &[String],
    arguments: &Arguments,
    (completes, typed): (Completes, &str),
) -> Result<Vec<Choice>, Refusal> {
    let repo = || arguments.text("repo").and_then(|name| name.parse::<RepoName>().ok());
    let plain: Vec<String> = match completes {
        Completes::Repo => {
            let mut names: Vec<String> = match acts(path) {
                None => app.repos.list(caller).await?.into_iter().map(|repo| repo.name.to_string()).collect(),
                Some(action) => {
                    let places = app.repos.standings(caller, &[action]).await?;
                    let acted = places.iter().filter(|place| !place.actions.is_empty());
                    acted.map(|place| place.repo.to_string()).collect()
                }
            };
            let recent = app.deploys.recent_repos(caller).await?;
            names
                .sort_by_key(|name| recent.iter().position(|one| one.eq_ignore_ascii_case(name)).unwrap_or(usize::MAX));
            names
        }
        Completes::Environment => {
            let name = repo().or_else(|| arguments.text("name").and_then(|name| name.parse().ok()));
            let Some(name) = name else { return Ok(vec![]) };
            match acts(path) {
                None => {
                    let (_, environments) = app.repos.show(caller, &name).await?;
                    environments.into_iter().map(|environment| environment.name.to_string()).collect()
                }
                Some(action) => {
                    let places = app.repos.standings(caller, &[action]).await?;
                    let here =
                        places.iter().filter(|place| place.repo.key() == name.key() && !place.actions.is_empty());
                    here.map(|place| place.environment.to_string()).collect()
                }
            }
        }
        Completes::Branch => {
            let Some(name) = repo() else { return Ok(vec![]) };
            let (repo, environments) = app.repos.show(caller, &name).await?;
            let mut branches: Vec<String> = repo.default_branch.iter().map(ToString::to_string).collect();
            branches.extend(app.deploys.branches(caller, &repo.name, PAST_MAX).await?);
            branches.extend(app.branches.of(&app.repos.project(&repo).await?).await);
            let named = arguments.text("environment").and_then(|name| name.parse::<EnvironmentName>().ok());
            match (acts(path), meant(&environments, named.as_ref())) {
                (Some(action), Some(meant)) => {
                    let Environment { name, branches: taken, .. } = &environments[meant];
                    branches.retain(|branch| taken.matches(branch, Case::Kept));
                    let holdings = app.permissions.holdings(caller, &[action]).await?;
                    branches.retain(|branch| {
                        let (repo, environment) = (Some(repo.name.as_str()), Some(name.as_str()));
                        holdings.allow(action, Ask { repo, branch: Some(branch), environment })
                    });
                    branches
                }
                _ => branches,
            }
        }
        Completes::Rule => {
            let rules = app.permissions.visible(caller).await?;
            let scopes: Vec<Scope> = rules.iter().map(|rule| rule.scope.clone()).collect();
            let administered = app.permissions.administered(caller, &scopes).await?;
            let theirs = rules.iter().zip(administered).rev().filter(|(_, administered)| *administered);
            return Ok(theirs.map(|(rule, _)| numbered(rule)).collect());
        }
        Completes::Request => {
            let own = path.last().is_some_and(|word| word == "withdraw");
            let requests = app.requests.visible(caller).await?;
            let fits = requests.iter().filter(|request| request.is_by(&caller.actor) == own);
            return Ok(fits.map(asked).collect());
        }
        Completes::Parameters => {
            let Some(name) = repo() else { return Ok(vec![]) };
            let named = arguments.text("environment").and_then(|name| name.parse::<EnvironmentName>().ok());
            let (_, known) = app.repos.show(caller, &name).await?;
            let Some(environment) = meant(&known, named.as_ref()) else { return Ok(vec![]) };
            declared::complete(&known[environment].declared, typed)
        }
        Completes::Query => audit::query::complete(typed, &saved_queries(app, caller).await?),
        Completes::SavedQuery => saved_queries(app, caller).await?.into_iter().map(|name| format!("@{name}")).collect(),
        Completes::AuditAction => {
            let mut actions: Vec<String> = audit::Action::ALL.iter().map(ToString::to_string).collect();
            let mut categories: Vec<String> =
                audit::Action::ALL.iter().map(|action| action.category().to_owned()).collect();
            categories.dedup();
            actions.splice(0..0, categories);
            actions
        }
        Completes::SettingValue => match arguments.text("name") {
            Some("time_zone") => jiff::tz::db().available().map(|name| name.to_string()).collect(),
            Some("audit_channel") => vec![guild::setting::NONE.to_owned()],
            _ => Vec::new(),
        },
        Completes::Outcome => audit::Outcome::ALL.iter().map(ToString::to_string).collect(),
        Completes::Command => command::leaves().map(|(path, _)| path.join(" ")).collect(),
        Completes::Deploy => {
            let deploys = app.deploys.offered(caller, purpose(path)).await?;
            return Ok(deploys.iter().map(deploy).collect());
        }
        Completes::Succeeded => {
            let Some(name) = repo() else { return Ok(vec![]) };
            let named = arguments.text("environment").and_then(|name| name.parse::<EnvironmentName>().ok());
            let (_, mut known) = app.repos.show(caller, &name).await?;
            let only = if known.len() == 1 { known.pop() } else { None };
            let environment = named.or(only.map(|only| only.name)).unwrap_or_else(EnvironmentName::production);
            let deploys = app.deploys.succeeded(caller, &name, &environment).await?;
            let known = deploys.iter().enumerate().filter(|(_, deploy)| deploy.revision.is_some());
            return Ok(known.map(|(index, deploy)| succeeded(deploy, index == 0)).collect());
        }
    };
    Ok(plain.into_iter().map(Choice::of).collect())
}

async fn saved_queries(app: &App, caller: &Caller) -> Result<Vec<String>, Refusal> {
    Ok(app.audit.saved(caller).await?.into_iter().map(|saved| saved.name).collect())
}

/// What somebody does to a place that they name in a command; nothing where they only look, or write a pattern.
fn acts(path: &[String]) -> Option<Action> {
    match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["deploy"] => Some(Action::Deploy),
        ["rollback"] => Some(Action::Rollback),
        ["repo", "edit" | "remove"] | ["environment", "set" | "parameter" | "remove"] => Some(Action::Admin),
        _ => None,
    }
}

/// What a command wants a deploy for.
fn purpose(path: &[String]) -> Purpose {
    match path.last().map(String::as_str) {
        Some("cancel") => Purpose::Cancel,
        Some("retry") => Purpose::Retry,
        Some("approve") => Purpose::Approve,
        _ => Purpose::See,
    }
}

fn numbered(rule: &Rule) -> Choice {
    let Rule { id, effect, action, scope, .. } = rule;
    labelled(
        &format!(
            "{id} {effect} {action} repo {} branch {} environment {}",
            scope.repo, scope.branch, scope.environment
        ),
        id.0,
    )
}

fn asked(request: &AccessRequest) -> Choice {
    let AccessRequest { id, user_name, action, repo, environment, .. } = request;
    labelled(&format!("{id} {user_name}: {action} in {environment} of {repo}"), id.0)
}

fn deploy(deploy: &Deploy) -> Choice {
    let Deploy { id, repo, branch, environment, state, .. } = deploy;
    labelled(&format!("{id} {repo} {branch} → {environment} ({state})"), id.0)
}

fn succeeded(deploy: &Deploy, is_live: bool) -> Choice {
    let commit = deploy.revision.as_ref().map(Revision::short).unwrap_or_default();
    let live = if is_live { " (live)" } else { "" };
    let subject = deploy.subject.as_ref().map(|subject| format!(" {subject}")).unwrap_or_default();
    labelled(&format!("{}{live} {} {commit}{subject}", deploy.id, deploy.branch), deploy.id.0)
}

fn labelled(label: &str, number: i64) -> Choice {
    Choice { label: text::clip(&text::one_line(label), CHOICE_LENGTH_MAX).into_owned(), value: number.to_string() }
}

/// The candidates that fit what is typed, best first: the same, those that begin so, those that hold it; in each, the order
/// in which they came.
fn rank(candidates: Vec<Choice>, typed: &str) -> Vec<Choice> {
    let typed = typed.to_lowercase();
    let mut ranked: Vec<(usize, Choice)> = Vec::new();
    let mut known = HashSet::new();
    for candidate in candidates {
        let (label, value) = (candidate.label.to_lowercase(), candidate.value.to_lowercase());
        let rank = if label == typed || value == typed {
            0
        } else if label.starts_with(&typed) || value.starts_with(&typed) {
            1
        } else if label.contains(&typed) {
            2
        } else {
            continue;
        };
        // Git allows names that a terminal would obey, or that hide what they say.
        let Choice { label, value } = &candidate;
        let harmless = text::one_line(label) == label.as_str() && text::one_line(value) == value.as_str();
        let short = |text: &str| !text.is_empty() && text.encode_utf16().count() <= CHOICE_LENGTH_MAX;
        let fits = short(label) && short(value);
        if fits && harmless && known.insert(candidate.clone()) {
            ranked.push((rank, candidate));
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(CHOICES_MAX).map(|(_, candidate)| candidate).collect()
}

/// The branches that CircleCI knows, kept for a while and asked for again behind the person's back.
#[derive(Clone)]
pub struct Branches {
    circleci: CircleCi,
    kept: Arc<Mutex<HashMap<String, Kept>>>,
    asking: TaskTracker,
    stopping: CancellationToken,
}

#[derive(Clone)]
struct Kept {
    asked_at: Instant,
    names: Vec<String>,
}

impl Branches {
    /// Branches as `circleci` tells them, until `stopping`.
    pub fn new(circleci: CircleCi, stopping: CancellationToken) -> Self {
        Self { circleci, kept: Arc::default(), asking: TaskTracker::new(), stopping }
    }

    /// The branches of a project, as far as they are known in time.
    pub async fn of(&self, project: &Project) -> Vec<String> {
        let key = format!("{}/{}", project.vcs, project.slug.clone().unwrap_or_else(|| project.repo.key()));
        let kept = self.lock().get(&key).cloned();
        match kept {
            Some(kept) if kept.asked_at.elapsed() < FRESH => kept.names,
            Some(kept) => {
                self.ask(key, project);
                kept.names
            }
            None => {
                let asked = self.ask(key.clone(), project);
                let _ = timeout(FIRST_WAIT, asked).await;
                self.lock().get(&key).map(|kept| kept.names.clone()).unwrap_or_default()
            }
        }
    }

    /// Waits until nothing is asked any more, which `stopping` ends.
    pub async fn close(&self) {
        self.asking.close();
        self.asking.wait().await;
    }

    fn ask(&self, key: String, project: &Project) -> tokio::task::JoinHandle<()> {
        // Noted before the answer: a slow CircleCI is asked once a while, not at every key that is typed.
        let before = self.lock().get(&key).map(|kept| kept.names.clone()).unwrap_or_default();
        self.keep(key.clone(), before);
        let (this, project) = (self.clone(), project.clone());
        self.asking.spawn(async move {
            let asked = tokio::select! {
                asked = this.circleci.branches(&project) => asked,
                () = this.stopping.cancelled() => return,
            };
            match asked {
                Ok(branches) => this.keep(key, branches.iter().map(ToString::to_string).collect()),
                Err(error) => tracing::debug!(repo = %project.repo, "CircleCI did not tell the branches: {error}"),
            }
        })
    }

    fn keep(&self, key: String, names: Vec<String>) {
        let mut kept = self.lock();
        if kept.len() >= KEPT_MAX && !kept.contains_key(&key) {
            kept.clear();
        }
        kept.insert(key, Kept { asked_at: Instant::now(), names });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_fit_comes_first_and_each_once() {
        let rank = |candidates: Vec<String>, typed: &str| -> Vec<String> {
            let choices = candidates.into_iter().map(Choice::of).collect();
            super::rank(choices, typed).into_iter().map(|choice| choice.value).collect()
        };
        let candidates = ["old-main", "main", "maintenance", "main", "develop"].map(str::to_owned).to_vec();
        assert_eq!(rank(candidates.clone(), "MAIN"), ["main", "maintenance", "old-main"]);
        assert!(rank(vec!["a\u{9b}31m".to_owned(), "a\u{202e}b".to_owned()], "a").is_empty());
        assert_eq!(rank(candidates, ""), ["old-main", "main", "maintenance", "develop"]);
        assert_eq!(rank((0..40).map(|n| format!("b{n}")).collect(), "b").len(), CHOICES_MAX);
    }
}
