//! What a guild can set, and reading it as people type it. Pure.

use jiff::tz::TimeZone;

use crate::id::ChannelId;
use crate::invalid::Invalid;
use crate::vocabulary::vocabulary;

vocabulary! {
    /// Something that a guild can set.
    Setting, "setting", "time_zone" {
        /// Whose days a date means.
        TimeZone = "time_zone",
        /// Where each entry of the audit log is shown, too.
        AuditChannel = "audit_channel",
    }
}

/// What turns a setting off.
pub const NONE: &str = "none";

impl Setting {
    /// What it is for, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Setting::TimeZone => "Whose days a date means, as in `since:2026-01-31`.",
            Setting::AuditChannel => {
                "A channel that receives each entry of the audit log as one line, and its head once a day."
            }
        }
    }

    /// What it is unless it is set.
    pub fn default_value(self) -> &'static str {
        match self {
            Setting::TimeZone => "UTC",
            Setting::AuditChannel => NONE,
        }
    }

    /// Reads a value as it is kept: `Europe/Berlin`, a channel's id, `none`.
    pub fn read(self, text: &str) -> Result<String, Invalid> {
        match self {
            Setting::TimeZone => zone(text).and_then(|zone| zone.iana_name().map(str::to_owned)).ok_or_else(|| {
                Invalid::new(
                    "time zone",
                    "There is no time zone of that name. They are named as the IANA does.",
                    "Europe/Berlin",
                )
            }),
            Setting::AuditChannel if text.eq_ignore_ascii_case(NONE) => Ok(NONE.to_owned()),
            Setting::AuditChannel => channel(text).map(|id| id.to_string()).ok_or_else(|| {
                Invalid::new(
                    "channel",
                    "A channel is its mention as Discord completes it, or its id; `none` turns it off.",
                    "41771983423143937",
                )
            }),
        }
    }
}

/// What a guild has set.
#[derive(Debug, Clone)]
pub struct GuildSettings {
    /// Whose days a date means.
    pub time_zone: TimeZone,
    /// Where entries of the audit log are shown, too.
    pub audit_channel: Option<ChannelId>,
}

impl GuildSettings {
    /// What is kept, by name. A time zone that this machine doesn't know any more is taken for UTC.
    pub fn of(kept: &[(String, String)]) -> Self {
        let value = |setting: Setting| {
            let found = kept.iter().find(|(name, _)| name == setting.as_str());
            found.map_or(setting.default_value(), |(_, value)| value.as_str())
        };
        Self {
            time_zone: zone(value(Setting::TimeZone)).unwrap_or(TimeZone::UTC),
            audit_channel: channel(value(Setting::AuditChannel)),
        }
    }
}

fn zone(text: &str) -> Option<TimeZone> {
    if text.eq_ignore_ascii_case("utc") {
        return Some(TimeZone::UTC);
    }
    TimeZone::get(text).ok()
}

/// A mention as Discord's clients write it, or an id.
fn channel(text: &str) -> Option<ChannelId> {
    text.strip_prefix("<#").and_then(|rest| rest.strip_suffix('>')).unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_kept() {
        for (setting, typed, kept) in [
            (Setting::TimeZone, "europe/berlin", Some("Europe/Berlin")),
            (Setting::TimeZone, "utc", Some("UTC")),
            (Setting::TimeZone, "Mars/Olympus", None),
            (Setting::TimeZone, "", None),
            (Setting::AuditChannel, "<#41771983423143937>", Some("41771983423143937")),
            (Setting::AuditChannel, "41771983423143937", Some("41771983423143937")),
            (Setting::AuditChannel, "None", Some("none")),
            (Setting::AuditChannel, "#audit", None),
            (Setting::AuditChannel, "<#0>", None),
        ] {
            assert_eq!(setting.read(typed).ok().as_deref(), kept, "{setting} {typed}");
        }
        // A container without the package tzdata knows them too.
        assert!(jiff::tz::TimeZoneDatabase::bundled().get("Europe/Berlin").is_ok());
        let none = GuildSettings::of(&[]);
        assert_eq!((none.time_zone, none.audit_channel), (TimeZone::UTC, None));
    }
}
