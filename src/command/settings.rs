//! `/settings`: what this guild has set for itself.

use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape};
use crate::actor::Caller;
use crate::app::App;
use crate::guild::Setting;
use crate::guild::settings::Standing;
use crate::invalid::Invalid;
use crate::permission::Action;
use crate::refusal::Refusal;
use crate::reply::{Reply, Text, Tone};

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "settings",
    description: "What this server has set for itself",
    shape: Shape::Group(&[
        (
            "show",
            Leaf {
                description: "Show what is set, and what can be",
                needs: Needs::Holds(Action::Admin),
                options: &[],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/settings show",
                parse: |_| Ok(Command::Private(Private::SettingsShow(Show))),
            },
        ),
        (
            "set",
            Leaf {
                description: "Change one setting",
                needs: Needs::Holds(Action::Admin),
                options: &[
                    OptionSpec::required("name", Kind::Choice(Setting::WORDS), "Which one"),
                    OptionSpec::required(
                        "value",
                        Kind::Completed(Completes::SettingValue),
                        "What it is from now on: Europe/Berlin, a channel's mention or id, none",
                    ),
                ],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/settings set time_zone Europe/Berlin",
                parse: |arguments| Ok(Command::Private(Private::SettingsSet(Set::parse(arguments)?))),
            },
        ),
    ]),
};

#[derive(Debug)]
pub struct Show;

impl Show {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let (settings, standing) = app.settings.show(caller).await?;
        let line = |(setting, value): &(Setting, String)| {
            Text::default().code(setting).plain(" is ").code(value).plain(". ").sentence(setting.about())
        };
        let body = Text::join(settings.iter().map(line), &Text::default().line());
        let Some(Standing { waiting, why }) = standing else {
            return Ok(Reply::new(Tone::Neutral, "Settings").body(body));
        };
        let waiting = match waiting {
            1 => "1 entry waits".to_owned(),
            waiting => format!("{waiting} entries wait"),
        };
        Ok(match why {
            Some(why) => Reply::new(Tone::Warning, "Settings").body(
                body.line()
                    .strong("Nothing arrives in the audit channel")
                    .plain(format!(": {why}. {waiting} for it; "))
                    .plain("it is tried again, at the latest after 10 minutes, and at once when a setting is changed."),
            ),
            None => Reply::new(Tone::Neutral, "Settings")
                .body(body.line().plain(format!("{waiting} for the audit channel."))),
        })
    }
}

#[derive(Debug)]
pub struct Set {
    setting: Setting,
    value: String,
}

impl Set {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let setting = arguments.optional_with("name", |name| {
            name.parse().map_err(|_| {
                Invalid::new("setting", "There is no such setting; `/settings show` lists them.", "time_zone")
            })
        })?;
        let setting = setting.ok_or_else(|| super::arguments::missing("name"))?;
        let value = arguments.text("value").filter(|value| !value.trim().is_empty());
        Ok(Self { setting, value: value.ok_or_else(|| super::arguments::missing("value"))?.trim().to_owned() })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let changed = app.settings.set(caller, self.setting, &self.value).await?;
        let body = Text::default().code(self.setting).plain(" is ").code(&changed.after);
        let body = body.plain(" from now on; it was ").code(&changed.before).plain(".");
        let body = match (self.setting, changed.after.as_str()) {
            (Setting::AuditChannel, after) if after != crate::guild::setting::NONE => body.plain(
                " Each entry of the audit log is shown there too, whoever may look at that channel, and this one first. If nothing comes, `/settings show` tells why.",
            ),
            _ => body,
        };
        Ok(Reply::new(Tone::Good, "Set").body(body))
    }
}
