//! Interactions: the events that tell a bot what somebody did, and the handle by which a test sees what the bot answers. It
//! must not know which answers are allowed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::people::{Guild, Member};
use super::view::MessageView;
use super::world::{APPLICATION_ID, Ack, InteractionRecord, Shared, World};

const COMMAND: u8 = 2;
const COMPONENT: u8 = 3;
const AUTOCOMPLETE: u8 = 4;
const MODAL_SUBMIT: u8 = 5;
/// What a bot with the usual invite may do in a channel.
const APP_PERMISSIONS: &str = "562949953863680";
/// 10 MiB.
pub const ATTACHMENT_SIZE_LIMIT: u64 = 10_485_760;

/// What somebody did.
pub enum Deed {
    /// A command's `data`, and how long ago it was typed.
    Command(Value, Duration),
    Autocomplete(Value),
    /// A component of this message, and its `data`.
    Component(u64, Value),
    /// A modal's `data`, and the message it was opened from.
    Modal(Option<u64>, Value),
}

/// Makes an interaction, dispatches its event and keeps it for what the bot answers.
pub fn dispatch(world: &mut World, who: &Member, deed: Deed) -> (u64, String) {
    let (kind, data, source, age) = match deed {
        Deed::Command(data, age) => (COMMAND, data, None, age),
        Deed::Autocomplete(data) => (AUTOCOMPLETE, data, None, Duration::ZERO),
        Deed::Component(message, data) => (COMPONENT, data, Some(message), Duration::ZERO),
        Deed::Modal(message, data) => (MODAL_SUBMIT, data, message, Duration::ZERO),
    };
    let id = world.snowflake(age);
    let token = token(id);
    let mut channel = world.people.channel_json(who.channel_id);
    channel["permissions"] = json!(who.permissions.to_string());
    let guild = who.guild_id.to_string();
    let mut event = json!({
        "id": id.to_string(), "application_id": APPLICATION_ID.to_string(), "type": kind, "data": data,
        "guild": {"id": guild, "locale": "en-US", "features": []}, "guild_id": guild,
        "channel": channel, "channel_id": who.channel_id.to_string(), "member": who.with_user(),
        "token": token, "version": 1, "app_permissions": APP_PERMISSIONS,
        "locale": "en-US", "guild_locale": "en-US", "entitlements": [], "entitlement_sku_ids": [],
        "authorizing_integration_owners": {"0": guild}, "context": 0,
        "attachment_size_limit": ATTACHMENT_SIZE_LIMIT,
    });
    if let Some(message) = source.and_then(|id| world.messages.get(&id)) {
        event["message"] = message.to_json();
    }
    let name = event["data"]["name"].as_str().unwrap_or("").to_owned();
    let dispatched_at = world.now();
    let is_away = !world.gateway.sessions.is_empty() && !world.gateway.is_ready();
    world.gateway.dispatch("INTERACTION_CREATE", &event);
    world.interactions.insert(
        id,
        InteractionRecord {
            id,
            token: token.clone(),
            kind,
            event,
            channel_id: who.channel_id,
            user_id: who.id,
            name,
            dispatched_at,
            extra_age: age,
            excused: age > Duration::ZERO || is_away,
            ack: None,
            ephemeral: false,
            deferred: false,
            original: None,
            source,
            followups: Vec::new(),
            choices: Vec::new(),
            modal: None,
            told_gone: false,
        },
    );
    (id, token)
}

/// Whether somebody sees a message: an ephemeral one only the person it answers.
pub fn sees(world: &World, who: &Member, message: &MessageView) -> bool {
    let answers =
        |record: &InteractionRecord| record.original == Some(message.id) || record.followups.contains(&message.id);
    let mut records = world.interactions.values();
    !message.ephemeral || records.any(|record| answers(record) && record.user_id == who.id)
}

/// The registered command that a person in that guild would use: the guild's own before a global one.
pub fn registered<'a>(world: &'a World, guild: u64, name: &str) -> Option<&'a Value> {
    let scopes = [Some(guild), None];
    let commands = scopes.iter().filter_map(|scope| world.commands.get(scope)).flatten();
    let mut commands = commands.filter(|command| command["type"] == 1);
    commands.find(|command| command["name"] == name)
}

/// A token as long and as opaque as Discord's, different for each interaction.
fn token(id: u64) -> String {
    let mut state = id;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    };
    let tail: String = (0..10).map(|_| format!("{:016x}", next())).collect();
    format!("aW50ZXJhY3Rpb246{tail}")
}

/// A guild as events announce it when the bot joins it.
pub fn announce(world: &mut World, guild: &Guild) {
    let event = world.people.guild_json(guild);
    world.gateway.dispatch("GUILD_CREATE", &event);
}

/// One interaction, and what the bot did with it.
#[derive(Clone)]
pub struct Interaction {
    pub id: u64,
    pub token: String,
    pub(super) shared: Arc<Shared>,
}

impl Interaction {
    /// Waits for the first answer, of whatever kind.
    pub async fn acknowledged(&self) -> Ack {
        self.until("the acknowledgement", |_, record| record.ack.clone()).await
    }

    /// Waits until the answer says something, which a deferral does not yet.
    pub async fn answer(&self) -> MessageView {
        self.answer_when(|_| true).await
    }

    /// Waits until the answer says something and looks as wanted.
    pub async fn answer_when(&self, wanted: impl Fn(&MessageView) -> bool) -> MessageView {
        let mut last = String::new();
        self.until("the wanted answer", |world, record| {
            let view = original(world, record).filter(|_| !record.deferred)?;
            last = view.text();
            wanted(view).then(|| view.clone())
        })
        .await
    }

    /// The answer as it stands: a deferral, a message, or none.
    pub fn original(&self) -> Option<MessageView> {
        self.read(|world, record| original(world, record).cloned())
    }

    /// No first answer has been accepted so far.
    pub fn never_acknowledged(&self) -> bool {
        self.read(|_, record| record.ack.is_none())
    }

    /// The follow-up messages so far.
    pub fn followups(&self) -> Vec<MessageView> {
        self.read(|world, record| {
            let messages = record.followups.iter().filter_map(|id| world.messages.get(id));
            messages.map(|message| message.view.clone()).collect()
        })
    }

    /// Waits for the choices that answer an autocompletion: names and values.
    pub async fn choices(&self) -> Vec<(String, Value)> {
        let name = |choice: &Value| choice["name"].as_str().unwrap_or("").to_owned();
        self.until("the choices", |_, record| {
            record.ack.as_ref().filter(|ack| ack.kind == 8)?;
            let choices = record.choices.iter();
            Some(choices.map(|choice| (name(choice), choice["value"].clone())).collect())
        })
        .await
    }

    /// Waits for the modal that answers.
    pub async fn modal(&self) -> Value {
        self.until("the modal", |_, record| record.modal.clone()).await
    }

    /// Makes the interaction older by this time: its 3 seconds or its token's 15 minutes run out sooner.
    pub fn age(&self, by: Duration) {
        self.shared.change(|world| {
            let record = world.interactions.get_mut(&self.id).expect("it was dispatched");
            record.excused = true;
            record.extra_age += by;
        });
    }

    async fn until<T>(&self, what: &str, mut look: impl FnMut(&World, &InteractionRecord) -> Option<T>) -> T {
        let what = format!("{what} to interaction {}", self.id);
        self.shared.until(&what, |world| look(world, &world.interactions[&self.id])).await
    }

    fn read<T>(&self, look: impl FnOnce(&World, &InteractionRecord) -> T) -> T {
        self.shared.read(|world| look(world, &world.interactions[&self.id]))
    }
}

fn original<'a>(world: &'a World, record: &InteractionRecord) -> Option<&'a MessageView> {
    let message = record.original.and_then(|id| world.messages.get(&id))?;
    Some(&message.view)
}
