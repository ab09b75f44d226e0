//! `slipway stats`: the numbers of `/stats`, for every guild or one.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::audit::Format;
use super::operate::{as_text, in_json, open, operator};
use super::{Complaint, Exit, print, tell_wrong};
use crate::actor::Caller;
use crate::app::App;
use crate::command::stats::{lines, what};
use crate::config::{Base, Variables};
use crate::console::people::People;
use crate::id::GuildId;
use crate::refusal::Refusal;
use crate::repo::{EnvironmentName, RepoName};
use crate::stats::{Asked, Measured, chart};
use crate::whole_file::WholeFile;

/// Deploys a day, success rate, lead and recovery times
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Only of this repository: org/repo
    #[arg(long, value_name = "NAME")]
    repo: Option<RepoName>,
    /// Only of this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<EnvironmentName>,
    /// Since when: 7d, 2026-01-31 [default: 30d]
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Also draw the chart into this file (PNG); needs one guild
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// How to print the numbers
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Which guild [default: DISCORD_GUILD_ID, else all]
    #[arg(long, value_name = "ID")]
    guild: Option<GuildId>,
}

/// Prints the numbers.
pub async fn run(args: StatsArgs, variables: &Variables) -> Result<Exit, Complaint> {
    let base = Base::read(variables).map_err(|wrong| tell_wrong(&wrong))?;
    let app = open(&base, variables).await?;
    let ran = show(&app, &args, base.guild).await;
    app.db().close().await;
    ran
}

async fn show(app: &App, args: &StatsArgs, guild: Option<GuildId>) -> Result<Exit, Complaint> {
    let guilds = match args.guild.or(guild) {
        Some(guild) => vec![guild],
        None => app.stats.guilds().await?,
    };
    if args.chart.is_some() && guilds.len() != 1 {
        eprintln!("A chart is of one guild. Say `--guild ID`, or set DISCORD_GUILD_ID.");
        return Ok(Exit::Misuse);
    }
    let asked = Asked { repo: args.repo.clone(), environment: args.environment.clone(), since: args.since.clone() };
    let mut told = Vec::new();
    for guild in guilds {
        let caller = Caller { guild, channel: None, actor: operator() };
        match app.stats.measure(&caller, &asked).await {
            Ok(measured) => told.push((guild, measured)),
            Err(refusal) => {
                eprint!("{}", as_text(&refusal.reply(), &People::new(guild, Vec::new()), &app.clock));
                return Ok(if matches!(refusal, Refusal::Invalid { .. }) { Exit::Misuse } else { Exit::Failed });
            }
        }
    }
    if let (Some(path), Some((_, measured))) = (&args.chart, told.first()) {
        let bytes = chart::png(&measured.figures, &what(&asked))?;
        let mut file = WholeFile::begin(path)?;
        file.write_all(&bytes)?;
        file.finish()?;
    }
    match args.format {
        Format::Table => {
            let mut text = String::new();
            for (guild, measured) in &told {
                text.push_str(&format!("Guild {guild}, {}, since {}\n", what(&asked), measured.since));
                for (name, value) in lines(&measured.figures) {
                    text.push_str(&format!("  {name:<25}{value}\n"));
                }
            }
            print(if text.is_empty() { "There are no deploys.\n" } else { &text })?;
        }
        Format::Json => {
            print(&in_json(&told.iter().map(|(guild, measured)| object(*guild, measured)).collect()))?;
        }
    }
    Ok(Exit::Done)
}

fn object(guild: GuildId, measured: &Measured) -> serde_json::Value {
    let figures = &measured.figures;
    let days = figures
        .days
        .iter()
        .map(|day| serde_json::json!({ "day": day.day.to_string(), "succeeded": day.succeeded, "failed": day.failed }));
    serde_json::json!({
        "guild_id": guild.to_string(), "since": measured.since.to_string(), "until": measured.until.to_string(),
        "succeeded": figures.succeeded, "failed": figures.failed, "rolled_back": figures.rolled_back,
        "deploys_a_day": figures.a_day(), "success_rate": figures.success_rate(),
        "change_failure_rate": figures.change_failure_rate(),
        "median_lead_time_s": figures.lead.map(|lead| lead.as_secs()),
        "median_time_to_recovery_s": figures.recovery.map(|recovery| recovery.as_secs()),
        "unrecovered": figures.unrecovered, "days": days.collect::<Vec<_>>(),
    })
}
