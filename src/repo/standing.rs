//! What somebody may do in each environment of the repositories that they may see.

use super::{EnvironmentName, RepoName, Repos, store};
use crate::actor::Caller;
use crate::db::DbError;
use crate::permission::{Action, Branches};

/// What somebody may do in one environment.
#[derive(Debug)]
pub struct Standing {
    /// The repository.
    pub repo: RepoName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The actions that they may do there, each with the branches.
    pub actions: Vec<(Action, Branches)>,
}

impl Repos {
    /// Which of `actions` `caller` may do in each environment of the repositories that they may see, in the order of their names.
    pub async fn standings(&self, caller: &Caller, actions: &[Action]) -> Result<Vec<Standing>, DbError> {
        let repos = self.list(caller).await?;
        let environments = store::environments_of_guild(self.db.pool(), caller.guild).await?;
        let holdings = self.permissions.holdings(caller, actions).await?;
        let mut standings = Vec::new();
        for repo in repos {
            let key = repo.name.key();
            for (_, environment) in environments.iter().filter(|(of, _)| *of == key) {
                let may = |action| holdings.branches(action, repo.name.as_str(), environment.name.as_str());
                let actions = actions.iter().filter_map(|action| Some((*action, may(*action)?))).collect();
                standings.push(Standing { repo: repo.name.clone(), environment: environment.name.clone(), actions });
            }
        }
        Ok(standings)
    }
}
