//! What completes an option while it is typed: only what the person may see, ranked, within the chat's deadline even when
//! CircleCI is slow or down.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actor::Caller;
use crate::app::App;
use crate::circleci::{CircleCi, Project};
use crate::command::{self, Arguments, Completes, Kind};
use crate::refusal::Refusal;
use crate::repo::RepoName;
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

/// What completes the option `option` of the command `path`, where `typed` stands so far.
pub async fn complete(
    app: &App,
    caller: &Caller,
    path: &[String],
    arguments: &Arguments,
    option: &str,
    typed: &str,
) -> Vec<String> {
    let kind =
        command::find(path).and_then(|leaf| leaf.options.iter().find(|spec| spec.name == option)).map(|spec| spec.kind);
    let candidates = match kind {
        Some(Kind::Completed(completes)) => {
            candidates(app, caller, arguments, completes).await.unwrap_or_else(|refusal| {
                tracing::debug!(option, refused_for = refusal.kind(), "Nothing completes that");
                Vec::new()
            })
        }
        Some(Kind::Choice(choices)) => choices.iter().map(|choice| (*choice).to_owned()).collect(),
        _ => Vec::new(),
    };
    rank(candidates, typed)
}

async fn candidates(
    app: &App,
    caller: &Caller,
    arguments: &Arguments,
    completes: Completes,
) -> Result<Vec<String>, Refusal> {
    let repo = || arguments.text("repo").and_then(|name| name.parse::<RepoName>().ok());
    Ok(match completes {
        Completes::Repo => app.repos.list(caller).await?.into_iter().map(|repo| repo.name.to_string()).collect(),
        Completes::Environment => {
            let Some(name) = repo() else { return Ok(vec![]) };
            let (_, environments) = app.repos.show(caller, &name).await?;
            environments.into_iter().map(|environment| environment.name.to_string()).collect()
        }
        Completes::Branch => {
            let Some(name) = repo() else { return Ok(vec![]) };
            let (repo, _) = app.repos.show(caller, &name).await?;
            let mut branches: Vec<String> = repo.default_branch.iter().map(ToString::to_string).collect();
            branches.extend(app.deploys.branches(caller, &repo.name, PAST_MAX).await?);
            branches.extend(app.branches.of(&app.repos.project(&repo).await?).await);
            branches
        }
        Completes::Rule => app.permissions.visible(caller).await?.into_iter().map(|rule| rule.id.to_string()).collect(),
        Completes::Command => command::leaves().map(|(path, _)| path.join(" ")).collect(),
    })
}

/// The candidates that fit what is typed, best first: the same, those that begin so, those that hold it; in each, the order
/// in which they came.
fn rank(candidates: Vec<String>, typed: &str) -> Vec<String> {
    let typed = typed.to_lowercase();
    let mut ranked: Vec<(usize, String)> = Vec::new();
    let mut known = HashSet::new();
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        let rank = if lower == typed {
            0
        } else if lower.starts_with(&typed) {
            1
        } else if lower.contains(&typed) {
            2
        } else {
            continue;
        };
        // Git allows names that a terminal would obey, or that hide what they say.
        let harmless = text::one_line(&candidate) == candidate;
        let fits = !candidate.is_empty() && candidate.encode_utf16().count() <= CHOICE_LENGTH_MAX;
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
        let candidates = ["old-main", "main", "maintenance", "main", "develop"].map(str::to_owned).to_vec();
        assert_eq!(rank(candidates.clone(), "MAIN"), ["main", "maintenance", "old-main"]);
        assert!(rank(vec!["a\u{9b}31m".to_owned(), "a\u{202e}b".to_owned()], "a").is_empty());
        assert_eq!(rank(candidates, ""), ["old-main", "main", "maintenance", "develop"]);
        assert_eq!(rank((0..40).map(|n| format!("b{n}")).collect(), "b").len(), CHOICES_MAX);
    }
}
