//! The chain that makes the log tamper-evident: the bytes that are hashed. `docs/audit.md` specifies them.
//! Pure: knows nothing of the database, of time and of randomness.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::entry::Entry;
use crate::invalid::Invalid;

/// The version of what is hashed.
pub const FORMAT: i64 = 1;
/// What the first entry of a chain has as `prev_hash`.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Random bytes in a salt.
pub const SALT_BYTES: usize = 16;
/// The largest integer that a JSON number holds exactly (RFC 7493, section 2.2).
const EXACT_MAX: u64 = (1 << 53) - 1;

/// One row of `audit_log`, column by column, as the database has it: perhaps not as Slipway wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Whose chain.
    pub guild_id: i64,
    /// The number in its chain: 1, 2, 3 …
    pub seq: i64,
    /// The version of what is hashed.
    pub format: i64,
    /// When, in UTC milliseconds since 1970.
    pub at: i64,
    /// The channel.
    pub channel_id: Option<i64>,
    /// Who.
    pub actor_id: Option<String>,
    /// What they were called then.
    pub actor_name: Option<String>,
    /// What was done.
    pub action: String,
    /// The repository.
    pub repo: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The commit.
    pub revision: Option<String>,
    /// The deploy's number.
    pub deploy_id: Option<i64>,
    /// How it came out.
    pub outcome: String,
    /// The reason given.
    pub reason: Option<String>,
    /// Whatever else belongs to it: JSON.
    pub detail: Option<String>,
    /// 32 hexadecimal digits.
    pub salt: Option<String>,
    /// Stands for `actor_name`, `reason` and `detail` in the hash.
    pub seal: String,
    /// The hash of the entry before.
    pub prev_hash: String,
    /// The hash of this entry.
    pub hash: String,
}

/// The newest entry of a chain: note it somewhere else, and nobody can cut off what came before it unseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The entry's number; 0 before the first.
    pub seq: i64,
    /// The entry's hash.
    pub hash: String,
}

impl Head {
    /// What comes before the first entry of a chain.
    pub fn beginning() -> Self {
        Self { seq: 0, hash: BEGINNING.to_owned() }
    }
}

/// Reads a hash that was noted as a head, in lower case.
pub fn noted(text: &str) -> Result<String, Invalid> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Invalid::new(
        "head",
        "A head is the 64 hexadecimal digits that the check of the audit log prints.",
        "cd4a9c4ef2a19be4eae7ecd3ea4cc1df15c89c7bd0b3b3f0b7c35e0c3e2a5f10",
    ))
}

/// Makes the row that follows `newest` in the chain of the entry's guild.
pub fn link(entry: &Entry, newest: &Head, salt: [u8; SALT_BYTES]) -> Row {
    let mut row = Row {
        guild_id: entry.guild.row(),
        // Behind the last number that there is, where somebody put an entry, nothing can be: the database refuses a second one.
        seq: newest.seq.saturating_add(1),
        format: FORMAT,
        at: entry.at.millis(),
        channel_id: entry.channel.map(|channel| channel.row()),
        actor_id: Some(storable(&entry.actor.to_string())),
        actor_name: Some(storable(&entry.actor_name)),
        action: entry.action.as_str().to_owned(),
        repo: entry.repo.as_deref().map(storable),
        environment: entry.environment.as_deref().map(storable),
        branch: entry.branch.as_deref().map(storable),
        revision: entry.revision.as_deref().map(storable),
        deploy_id: entry.deploy.map(|deploy| deploy.0),
        outcome: entry.outcome.as_str().to_owned(),
        reason: entry.reason.as_deref().map(storable),
        detail: entry.detail.as_ref().map(canonical),
        salt: Some(hex::encode(salt)),
        seal: String::new(),
        prev_hash: newest.hash.clone(),
        hash: String::new(),
    };
    row.seal = row.expected_seal().unwrap_or_default();
    row.hash = row.expected_hash();
    row
}

/// PostgreSQL keeps no NUL in a text, and SQLite's LIKE stops at one.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// What the seal is taken over.
#[derive(Serialize)]
struct Sealed<'a> {
    actor_name: Option<&'a str>,
    detail: Option<&'a str>,
    reason: Option<&'a str>,
}

/// What the hash is taken over.
#[derive(Serialize)]
struct Hashed<'a> {
    action: &'a str,
    actor_id: Option<&'a str>,
    at: i64,
    branch: Option<&'a str>,
    channel_id: Option<String>,
    deploy_id: Option<i64>,
    environment: Option<&'a str>,
    format: i64,
    guild_id: String,
    outcome: &'a str,
    repo: Option<&'a str>,
    revision: Option<&'a str>,
    seal: &'a str,
    seq: i64,
}

impl Row {
    /// The canonical JSON that follows the salt in what the seal is taken over.
    pub fn sealed_json(&self) -> String {
        plain(&Sealed {
            actor_name: self.actor_name.as_deref(),
            detail: self.detail.as_deref(),
            reason: self.reason.as_deref(),
        })
    }

    /// The canonical JSON that follows `prev_hash` in what the hash is taken over.
    pub fn hashed_json(&self) -> String {
        let write = if self.has_exact_numbers() { plain::<Hashed<'_>> } else { canonical };
        write(&Hashed {
            action: &self.action,
            actor_id: self.actor_id.as_deref(),
            at: self.at,
            branch: self.branch.as_deref(),
            channel_id: self.channel_id.map(|id| id.to_string()),
            deploy_id: self.deploy_id,
            environment: self.environment.as_deref(),
            format: self.format,
            guild_id: self.guild_id.to_string(),
            outcome: &self.outcome,
            repo: self.repo.as_deref(),
            revision: self.revision.as_deref(),
            seal: &self.seal,
            seq: self.seq,
        })
    }

    /// The seal that the row should have; `None` when its salt is gone.
    pub fn expected_seal(&self) -> Option<String> {
        self.salt.as_ref().map(|salt| sha256(salt, &self.sealed_json()))
    }

    /// The hash that the row should have.
    pub fn expected_hash(&self) -> String {
        sha256(&self.prev_hash, &self.hashed_json())
    }

    /// The row as the newest of its chain.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }

    /// Whether JSON holds each of its numbers exactly: otherwise two of them could have the same hash.
    pub fn has_exact_numbers(&self) -> bool {
        let exact = |number: i64| number.unsigned_abs() <= EXACT_MAX;
        exact(self.seq) && exact(self.at) && self.deploy_id.is_none_or(exact)
    }
}

/// The same as [`canonical`], sooner: for texts and exact integers under names that stand in their order, which these two are.
fn plain<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("texts and integers are JSON")
}

/// RFC 8785 canonical JSON.
fn canonical<T: Serialize>(value: &T) -> String {
    serde_json_canonicalizer::to_string(value).expect("texts, integers and finite numbers have a canonical form")
}

fn sha256(prefix: &str, json: &str) -> String {
    hex::encode(Sha256::new().chain_update(prefix).chain_update(json).finalize())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::actor::Actor;
    use crate::audit::entry::{Action, Outcome};
    use crate::id::GuildId;
    use crate::time::Timestamp;

    const GUILD: GuildId = GuildId::PROCESS;

    pub fn chain(length: usize) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for index in 0..length {
            let at = Timestamp::from_millis(1_764_000_000_000);
            let entry = Entry::new(GUILD, at, &Actor::cli("root"), Action::SlipwayStarted, Outcome::Allowed)
                .reason(Some(format!("number {index}")));
            rows.push(link(&entry, &rows.last().map_or(Head::beginning(), Row::head), [index as u8; SALT_BYTES]));
        }
        rows
    }

    proptest::proptest! {
        #[test]
        fn what_is_hashed_is_canonical(text in ".*", number in -(1i64 << 60)..(1i64 << 60), small in -9_000i64..9_000) {
            let row = Row {
                seq: small, at: number, actor_name: Some(text.clone()), detail: Some(text.clone()), reason: None,
                repo: Some(text.clone()), branch: Some(text), channel_id: Some(number), ..chain(1).remove(0)
            };
            let again = |json: &str| canonical(&serde_json::from_str::<serde_json::Value>(json).unwrap());
            proptest::prop_assert_eq!(again(&row.sealed_json()), row.sealed_json());
            proptest::prop_assert_eq!(again(&row.hashed_json()), row.hashed_json());
        }
    }

    #[test]
    fn a_nul_is_kept_as_a_sign_that_every_database_can_hold() {
        let entry =
            Entry::new(GUILD, Timestamp::from_millis(0), &Actor::cli("a\0b"), Action::RepoDenied, Outcome::Denied)
                .repo("\0")
                .detail(serde_json::json!({"b": "\0", "a": 1.0}));
        let row = link(&entry, &Head::beginning(), [0; SALT_BYTES]);
        assert_eq!(row.repo.as_deref(), Some("\u{fffd}"));
        assert_eq!(row.actor_id.as_deref(), Some("cli:a\u{fffd}b"));
        assert_eq!(row.detail.as_deref(), Some(r#"{"a":1,"b":"\u0000"}"#));
        assert!(row.has_exact_numbers() && row.expected_hash() == row.hash);
    }
}
