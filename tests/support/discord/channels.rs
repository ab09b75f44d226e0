//! The routes that a bot calls with its token: messages in channels, commands, the gateway's address, and reads of what
//! exists. It must not know about interactions.

use std::time::Duration;

use serde_json::{Value, json};

use super::form::FormErrors;
use super::limits;
use super::people::{Member, bot_user};
use super::registration;
use super::respond::{check_mentions, edit_message, empty_message, is_empty};
use super::rest::{Answer, Request};
use super::route::Route;
use super::view::{StoredMessage, pings};
use super::world::{APPLICATION_ID, Shared, World};

/// How long a nonce with `enforce_nonce` is remembered ("a few minutes").
const NONCE_LIFE: Duration = Duration::from_secs(180);

/// The effect of a request on the bot's routes.
pub fn answer(shared: &Shared, world: &mut World, request: &Request) -> Answer {
    let body = &request.body;
    match &request.route {
        Route::PostMessage { channel } => post(world, *channel, body),
        Route::ReadMessages { channel } => read_messages(world, *channel, &request.query),
        Route::EditMessage { channel, message } => {
            on_message(world, *channel, *message, |world| edit_as_bot(world, *message, body))
        }
        Route::ReadMessage { channel, .. } if world.hidden.contains(channel) => {
            Answer::refused(403, 50013, "Missing Permissions")
        }
        Route::ReadMessage { channel, message } => {
            on_message(world, *channel, *message, |world| Answer::ok(world.messages[message].to_json()))
        }
        Route::DeleteMessage { channel, message } => on_message(world, *channel, *message, |world| {
            world.messages.remove(message);
            Answer::no_content()
        }),
        Route::Pin { channel, message, pinned } => on_message(world, *channel, *message, |world| {
            world.pins.retain(|pin| *pin != (*channel, *message));
            if *pinned {
                world.pins.push((*channel, *message));
            }
            Answer::no_content()
        }),
        Route::ReadCommands { application, guild } => match check_owner(world, *application, *guild) {
            Some(refusal) => refusal,
            None => Answer::ok(json!(world.commands.get(guild).cloned().unwrap_or_default())),
        },
        Route::PutCommands { application, guild } => match check_owner(world, *application, *guild) {
            Some(refusal) => refusal,
            None => put_commands(world, *guild, body),
        },
        Route::Gateway => Answer::ok(json!({"url": shared.gateway_url})),
        Route::GatewayBot => Answer::ok(json!({
            "url": shared.gateway_url, "shards": 1, "session_start_limit": world.gateway.start_limit(),
        })),
        Route::CurrentUser => Answer::ok(bot_user()),
        Route::CurrentApplication => Answer::ok(application()),
        Route::Guild { guild } => {
            let known = world.people.guilds.iter().find(|known| known.id == *guild);
            found(known.map(|guild| world.people.guild_json(guild)), 10004, "Unknown Guild")
        }
        Route::GuildRoles { guild } => {
            let known = world.people.guilds.iter().find(|known| known.id == *guild);
            let roles = known.map(|guild| world.people.guild_json(guild)["roles"].take());
            found(roles, 10004, "Unknown Guild")
        }
        Route::Channel { channel } => {
            let known = world.people.guild_of_channel(*channel);
            found(known.map(|_| world.people.channel_json(*channel)), 10003, "Unknown Channel")
        }
        Route::Member { guild, user } => {
            let member = world.people.find_member(*guild, *user).map(Member::with_user);
            found(member, 10007, "Unknown Member")
        }
        _ => Answer::refused(404, 0, "404: Not Found"),
    }
}

fn found(body: Option<Value>, code: u64, message: &str) -> Answer {
    body.map_or_else(|| Answer::refused(404, code, message), Answer::ok)
}

fn application() -> Value {
    json!({
        "id": APPLICATION_ID.to_string(), "name": "slipway", "icon": null, "description": "",
        "bot_public": false, "bot_require_code_grant": false, "verify_key": "0".repeat(64), "flags": 0,
        "owner": bot_user(), "team": null, "summary": "", "hook": true, "tags": [],
    })
}

fn post(world: &mut World, channel: u64, body: &Value) -> Answer {
    if world.people.guild_of_channel(channel).is_none() {
        return Answer::refused(404, 10003, "Unknown Channel");
    }
    check_mentions(world, "PostMessage", body);
    let mut errors = FormErrors::default();
    limits::check_message(body, false, &mut errors);
    if body["flags"].as_u64().unwrap_or(0) & limits::EPHEMERAL != 0 {
        let message = "Only answers to interactions are ephemeral";
        errors.add("flags", "MESSAGE_FLAGS_INVALID", message);
    }
    if !errors.is_empty() {
        return Answer::bad_form(world, "PostMessage", &errors);
    }
    if is_empty(body) {
        return empty_message(world, "PostMessage");
    }
    let nonce = (body["enforce_nonce"] == true && !body["nonce"].is_null()).then(|| body["nonce"].to_string());
    let now = world.now();
    let posted = nonce.as_ref().and_then(|nonce| world.nonces.get(nonce));
    let posted = posted.filter(|(_, at)| now.saturating_sub(*at) < NONCE_LIFE);
    if let Some(message) = posted.and_then(|(id, _)| world.messages.get(id)) {
        return Answer::ok(message.to_json());
    }
    let (id, timestamp) = (world.snowflake(Duration::ZERO), world.timestamp());
    let flags = body["flags"].as_u64().unwrap_or(0);
    let mut message = StoredMessage::new(id, channel, flags, timestamp);
    message.view.apply(body);
    message.view.pings = pings(body);
    message.nonce = body["nonce"].clone();
    let json = message.to_json();
    world.messages.insert(id, message);
    if let Some(nonce) = nonce {
        world.nonces.insert(nonce, (id, now));
    }
    Answer::ok(json)
}

/// The messages after one, nearest first, as a page of at most 100 that shows the newest first (resources/message, "Get Channel
/// Messages").
fn read_messages(world: &World, channel: u64, query: &str) -> Answer {
    if world.people.guild_of_channel(channel).is_none() {
        return Answer::refused(404, 10003, "Unknown Channel");
    }
    if world.hidden.contains(&channel) {
        return Answer::ok(json!([]));
    }
    let number =
        |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    let (after, limit): (u64, usize) = (number("after").unwrap_or(0), number("limit").unwrap_or(50) as usize);
    if !(1..=100).contains(&limit) {
        return Answer::refused(400, 50035, "Invalid Form Body");
    }
    let visible = |message: &&StoredMessage| message.view.channel_id == channel && !message.view.ephemeral;
    let mut found: Vec<&StoredMessage> =
        world.messages.values().filter(visible).filter(|message| message.view.id > after).collect();
    found.sort_by_key(|message| message.view.id);
    found.truncate(limit);
    Answer::ok(found.iter().rev().map(|message| message.to_json()).collect())
}

fn edit_as_bot(world: &mut World, message: u64, body: &Value) -> Answer {
    let answer = edit_message(world, "EditMessage", message, body);
    if answer.status == 200 {
        let records = world.interactions.values_mut();
        records.filter(|record| record.original == Some(message)).for_each(|record| record.deferred = false);
    }
    answer
}

/// Acts on a message that the bot can see with its token: ephemeral ones it never can.
fn on_message(world: &mut World, channel: u64, id: u64, act: impl FnOnce(&mut World) -> Answer) -> Answer {
    if world.people.guild_of_channel(channel).is_none() {
        return Answer::refused(404, 10003, "Unknown Channel");
    }
    let visible =
        world.messages.get(&id).is_some_and(|message| message.view.channel_id == channel && !message.view.ephemeral);
    if !visible {
        return Answer::refused(404, 10008, "Unknown Message");
    }
    act(world)
}

fn check_owner(world: &World, application: u64, guild: Option<u64>) -> Option<Answer> {
    if application != APPLICATION_ID {
        return Some(Answer::refused(403, 20012, "You are not authorized to perform this action on this application"));
    }
    let known = |id: u64| world.people.guilds.iter().any(|guild| guild.id == id);
    guild.filter(|id| !known(*id)).map(|_| Answer::refused(403, 50001, "Missing Access"))
}

fn put_commands(world: &mut World, guild: Option<u64>, body: &Value) -> Answer {
    let mut errors = FormErrors::default();
    registration::check_commands(body, &mut errors);
    if !errors.is_empty() {
        return Answer::bad_form(world, "Commands", &errors);
    }
    let before = world.commands.remove(&guild).unwrap_or_default();
    let mut commands = Vec::new();
    for command in body.as_array().into_iter().flatten() {
        // A command of the same name keeps its id; what changed gets a new version.
        let same = before.iter().find(|known| known["name"] == command["name"]);
        let number = |key: &str| same.and_then(|known| known[key].as_str()?.parse::<u64>().ok());
        let id = number("id").unwrap_or_else(|| world.snowflake(Duration::ZERO));
        let kept_version = number("version").unwrap_or(0);
        let kept = registration::stored(command, id, kept_version, APPLICATION_ID, guild);
        if same == Some(&kept) {
            commands.push(kept);
            continue;
        }
        let version = world.snowflake(Duration::ZERO);
        commands.push(registration::stored(command, id, version, APPLICATION_ID, guild));
    }
    world.commands.insert(guild, commands.clone());
    Answer::ok(json!(commands))
}
