//! `slipway policy export | plan | apply`: a guild's policy as a file. Knows nothing of what stands in it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Complaint, Exit, open_existing, print, tell_wrong};
use crate::actor::{Actor, Caller};
use crate::config::{Base, Variables};
use crate::id::GuildId;
use crate::permission::Permissions;
use crate::policy::plan::Change;
use crate::policy::{Document, Policies};
use crate::text::one_line;
use crate::time::Clock;

/// The subcommands of `slipway policy`.
#[derive(Debug, clap::Subcommand)]
pub enum Policy {
    /// Print the policy as it stands: repositories, environments and rules, as TOML
    Export(Which),
    /// Tell what a policy would change, and change nothing
    Plan(File),
    /// Make the policy what the file says, all of it or nothing
    Apply(File),
}

/// Whose policy.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The guild that is meant; DISCORD_GUILD_ID unless said
    #[arg(long, value_name = "ID")]
    guild: Option<GuildId>,
}

/// A file with a policy.
#[derive(Debug, clap::Args)]
pub struct File {
    #[command(flatten)]
    which: Which,
    /// The policy's file, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs `slipway policy`.
pub async fn run(command: Policy, variables: &Variables) -> Result<Exit, Complaint> {
    let base = Base::read(variables).map_err(|wrong| tell_wrong(&wrong))?;
    let (Policy::Export(which) | Policy::Plan(File { which, .. }) | Policy::Apply(File { which, .. })) = &command;
    let Some(guild) = which.guild.or(base.guild) else {
        eprintln!(
            "Which guild? Say `--guild ID`, or set DISCORD_GUILD_ID. Example: slipway policy export --guild 81384788765712384"
        );
        return Ok(Exit::Misuse);
    };
    let document = match &command {
        Policy::Export(_) => None,
        Policy::Plan(File { file, .. }) | Policy::Apply(File { file, .. }) => match read(file)?.parse::<Document>() {
            Ok(document) => Some(document),
            Err(unreadable) => {
                eprintln!("{} is no policy. {}", file.display(), unreadable.to_string().trim_end());
                return Ok(Exit::Misuse);
            }
        },
    };
    let db = open_existing(&base).await?;
    let clock = Clock::system();
    let permissions = Permissions::new(db.clone(), base.owners.clone().into(), clock.clone());
    let policies = Policies::new(db.clone(), permissions, clock);
    let exit = match (command, document) {
        (Policy::Plan(_), Some(document)) => {
            let changes = policies.plan(guild, &document).await?;
            tell(&changes, "would change")?
        }
        (Policy::Apply(_), Some(document)) => {
            let actor = Actor::cli(&whoami::username().unwrap_or_else(|_| "unknown".to_owned()));
            match policies.apply(&Caller { guild, channel: None, actor }, &document).await {
                Ok(changes) => tell(&changes, "changed")?,
                Err(refusal) => return Err(Complaint(refusal.why())),
            }
        }
        (_, _) => {
            print(&policies.export(guild).await?.to_string())?;
            Exit::Done
        }
    };
    db.close().await;
    Ok(exit)
}

fn read(file: &Path) -> Result<String, Complaint> {
    let cannot = |error: io::Error| Complaint(format!("{} can't be read: {error}.", file.display()));
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(cannot)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(cannot)
}

/// A change as lines that can't move the cursor.
fn shown(change: &Change) -> String {
    change.to_string().lines().map(|line| format!("{}\n", one_line(line))).collect()
}

fn tell(changes: &[Change], done: &str) -> Result<Exit, Complaint> {
    let lines: String = changes.iter().map(shown).collect();
    let count = match changes.len() {
        0 => "Nothing differs.".to_owned(),
        1 => format!("1 thing {done}."),
        count => format!("{count} things {done}."),
    };
    print(&format!("{lines}{count}\n"))?;
    Ok(Exit::Done)
}
