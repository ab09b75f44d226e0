//! Answers to interactions (interactions/receiving-and-responding): the callback, and the webhook of an interaction's token
//! with its edits and follow-ups. It must not know about channels or commands.

use std::time::Duration;

use serde_json::{Value, json};

use super::form::FormErrors;
use super::limits::{self, COMPONENTS_V2, EPHEMERAL, LOADING};
use super::rest::{Answer, Request};
use super::route::{Route, WebhookMessage};
use super::view::{StoredMessage, pings};
use super::world::{APPLICATION_ID, Ack, InteractionRecord, World};

/// The first answer must come within this time of the event.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long an interaction's token lives.
const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

const COMMAND: u8 = 2;
const COMPONENT: u8 = 3;
const AUTOCOMPLETE: u8 = 4;
const MODAL_SUBMIT: u8 = 5;

/// The effect of a request on an interaction's routes.
pub fn answer(world: &mut World, request: &Request) -> Answer {
    let answer = take_effect(world, request);
    let id = answer.body["id"].as_str().and_then(|id| id.parse().ok());
    if let Some(message) = id.and_then(|id: u64| world.messages.get_mut(&id))
        && request.body.get("attachments").is_some()
    {
        message.view.files.clone_from(&request.files);
    }
    answer
}

fn take_effect(world: &mut World, request: &Request) -> Answer {
    let body = &request.body;
    match &request.route {
        Route::Callback { id, token } => {
            let with_response =
                request.query.split('&').any(|part| matches!(part, "with_response=true" | "with_response=1"));
            callback(world, *id, token, body, with_response)
        }
        Route::Followup { application, token } => match webhook(world, *application, token) {
            Ok(id) => followup(world, id, body),
            Err(refusal) => refusal,
        },
        Route::EditWebhookMessage { application, token, message } => {
            on_message(world, *application, token, *message, |world, id, message| edit(world, id, message, body))
        }
        Route::ReadWebhookMessage { application, token, message } => {
            on_message(world, *application, token, *message, |world, _, message| {
                Answer::ok(world.messages[&message].to_json())
            })
        }
        Route::DeleteWebhookMessage { application, token, message } => {
            on_message(world, *application, token, *message, |world, _, message| {
                world.messages.remove(&message);
                Answer::no_content()
            })
        }
        _ => Answer::refused(404, 0, "404: Not Found"),
    }
}

fn callback(world: &mut World, id: u64, token: &str, body: &Value, with_response: bool) -> Answer {
    let unknown = || Answer::refused(404, 10062, "Unknown interaction");
    let now = world.now();
    let Some(record) = world.interactions.get(&id).filter(|record| record.token == token) else {
        return unknown();
    };
    let (after, excused, kind) = (record.age(now), record.excused, record.kind);
    if record.ack.is_some() {
        if !excused {
            world.violation("answered an interaction twice");
        }
        let message = "Interaction has already been acknowledged.";
        return Answer::refused(400, 40060, message);
    }
    if after > DEADLINE {
        if !excused {
            world.violation(format!("answered an interaction after {after:?}"));
        }
        return unknown();
    }
    let answer_kind = body["type"].as_u64().and_then(|kind| u8::try_from(kind).ok()).unwrap_or(0);
    let mut errors = FormErrors::default();
    check_callback(record, answer_kind, &body["data"], &mut errors);
    if !errors.is_empty() {
        return Answer::bad_form(world, "Callback", &errors);
    }
    if answer_kind == 4 && is_empty(&body["data"]) {
        return empty_message(world, "Callback");
    }
    check_mentions(world, "Callback", &body["data"]);
    take_callback(world, id, answer_kind, &body["data"], after);
    if !with_response {
        return Answer::no_content();
    }
    Answer::ok(callback_response(world, id, kind, answer_kind))
}

/// Which first answers fit which interaction, and whether the answer's data is within Discord's limits.
fn check_callback(record: &InteractionRecord, kind: u8, data: &Value, errors: &mut FormErrors) {
    let fits = match record.kind {
        COMMAND => matches!(kind, 4 | 5 | 9),
        COMPONENT => matches!(kind, 4..=7 | 9),
        AUTOCOMPLETE => kind == 8,
        MODAL_SUBMIT => matches!(kind, 4 | 5) || (matches!(kind, 6 | 7) && record.source.is_some()),
        _ => false,
    };
    if !fits {
        let message = format!("Callback type {kind} does not answer an interaction of type {}", record.kind);
        return errors.add("type", "BASE_TYPE_CHOICES", message);
    }
    match kind {
        4 | 7 => limits::check_message(data, false, errors),
        8 => limits::check_choices(data, errors),
        9 => limits::check_modal(data, errors),
        _ => {}
    }
}

fn take_callback(world: &mut World, id: u64, kind: u8, data: &Value, after: Duration) {
    let at = world.now();
    let Some(record) = world.interactions.get(&id) else {
        return;
    };
    let source = record.source;
    let source_is_ephemeral =
        source.and_then(|id| world.messages.get(&id)).is_some_and(|message| message.view.ephemeral);
    let flags = data["flags"].as_u64().unwrap_or(0);
    let ephemeral = match kind {
        6 | 7 => source_is_ephemeral,
        _ => flags & EPHEMERAL != 0,
    };
    let original = match kind {
        4 => Some(new_message(world, id, data, flags, false)),
        5 => Some(new_message(world, id, &Value::Null, flags & EPHEMERAL | LOADING, false)),
        6 => source,
        7 => {
            let timestamp = world.timestamp();
            if let Some(message) = source.and_then(|id| world.messages.get_mut(&id)) {
                message.edit(data, timestamp);
            }
            source
        }
        _ => None,
    };
    let Some(record) = world.interactions.get_mut(&id) else {
        return;
    };
    record.ack = Some(Ack { kind, ephemeral, at, after });
    record.ephemeral = ephemeral;
    record.deferred = matches!(kind, 5 | 6);
    record.original = original;
    record.told_gone = false;
    match kind {
        8 => record.choices = data["choices"].as_array().cloned().unwrap_or_default(),
        9 => record.modal = Some(data.clone()),
        _ => {}
    }
}

fn callback_response(world: &World, id: u64, kind: u8, answer_kind: u8) -> Value {
    let record = &world.interactions[&id];
    let mut interaction = json!({"id": id.to_string(), "type": kind});
    let mut resource = json!({"type": answer_kind});
    if let Some(message) = record.original.and_then(|id| world.messages.get(&id)) {
        interaction["response_message_id"] = json!(message.view.id.to_string());
        interaction["response_message_loading"] = json!(message.view.is_loading());
        interaction["response_message_ephemeral"] = json!(record.ephemeral);
        resource["message"] = message.to_json();
    }
    json!({"interaction": interaction, "resource": resource})
}

/// The interaction whose webhook this is, if its token lives and it was acknowledged.
fn webhook(world: &mut World, application: u64, token: &str) -> Result<u64, Answer> {
    let now = world.now();
    let invalid = Answer::refused(401, 50027, "Invalid Webhook Token");
    let found = world.interactions.values_mut().find(|record| record.token == token);
    let Some(record) = found.filter(|_| application == APPLICATION_ID) else {
        return Err(invalid);
    };
    if record.ack.is_some() && record.age(now) > TOKEN_LIFE {
        return Err(invalid);
    }
    if record.ack.is_none() || record.kind == AUTOCOMPLETE {
        let again = std::mem::replace(&mut record.told_gone, true);
        if again {
            world.violation("called an interaction's webhook again that had answered 404");
        }
        return Err(Answer::refused(404, 10015, "Unknown Webhook"));
    }
    Ok(record.id)
}

fn on_message(
    world: &mut World,
    application: u64,
    token: &str,
    message: WebhookMessage,
    act: impl FnOnce(&mut World, u64, u64) -> Answer,
) -> Answer {
    let id = match webhook(world, application, token) {
        Ok(id) => id,
        Err(refusal) => return refusal,
    };
    let record = &world.interactions[&id];
    let meant = match message {
        WebhookMessage::Original => record.original,
        WebhookMessage::Id(message) => {
            record.followups.iter().copied().chain(record.original).find(|known| *known == message)
        }
    };
    match meant.filter(|message| world.messages.contains_key(message)) {
        Some(message) => act(world, id, message),
        None => Answer::refused(404, 10008, "Unknown Message"),
    }
}

fn edit(world: &mut World, id: u64, message: u64, body: &Value) -> Answer {
    let answer = edit_message(world, "EditOriginal", message, body);
    if let Some(record) = world.interactions.get_mut(&id)
        && answer.status == 200
        && record.original == Some(message)
    {
        record.deferred = false;
    }
    answer
}

/// Edits a message if the result is one that Discord would take.
pub fn edit_message(world: &mut World, what: &str, id: u64, body: &Value) -> Answer {
    check_mentions(world, what, body);
    let message = &world.messages[&id];
    let mut errors = FormErrors::default();
    limits::check_message(body, message.view.flags & COMPONENTS_V2 != 0, &mut errors);
    if !errors.is_empty() {
        return Answer::bad_form(world, what, &errors);
    }
    let mut edited = message.clone();
    edited.edit(body, world.timestamp());
    if edited.view.is_empty() {
        return empty_message(world, what);
    }
    let json = edited.to_json();
    world.messages.insert(id, edited);
    Answer::ok(json)
}

fn followup(world: &mut World, id: u64, body: &Value) -> Answer {
    let record = &world.interactions[&id];
    // The first follow-up after a deferral acts as the edit of the original.
    let thinking = record.deferred && record.ack.as_ref().is_some_and(|ack| ack.kind == 5);
    if let Some(original) = record.original.filter(|_| thinking) {
        return edit(world, id, original, body);
    }
    check_mentions(world, "Followup", body);
    let mut errors = FormErrors::default();
    limits::check_message(body, false, &mut errors);
    if !errors.is_empty() {
        return Answer::bad_form(world, "Followup", &errors);
    }
    if is_empty(body) {
        return empty_message(world, "Followup");
    }
    let flags = body["flags"].as_u64().unwrap_or(0);
    let message = new_message(world, id, body, flags, true);
    if let Some(record) = world.interactions.get_mut(&id) {
        record.followups.push(message);
    }
    Answer::ok(world.messages[&message].to_json())
}

fn new_message(world: &mut World, id: u64, body: &Value, flags: u64, is_followup: bool) -> u64 {
    let (message_id, timestamp) = (world.snowflake(Duration::ZERO), world.timestamp());
    let record = &world.interactions[&id];
    let mut message = StoredMessage::new(message_id, record.channel_id, flags, timestamp);
    if body.is_object() {
        message.view.apply(body);
    }
    message.view.pings = pings(body);
    message.webhook = true;
    message.interaction_metadata = metadata(record, is_followup);
    world.messages.insert(message_id, message);
    message_id
}

fn metadata(record: &InteractionRecord, is_followup: bool) -> Value {
    let mut metadata = json!({
        "id": record.id.to_string(), "type": record.kind, "name": record.name,
        "user": record.event["member"]["user"],
        "authorizing_integration_owners": record.event["authorizing_integration_owners"],
    });
    if let Some(source) = record.source {
        metadata["interacted_message_id"] = json!(source.to_string());
    }
    if let Some(original) = record.original.filter(|_| is_followup) {
        metadata["original_response_message_id"] = json!(original.to_string());
    }
    if record.kind == MODAL_SUBMIT {
        let mut trigger = metadata.clone();
        trigger["type"] = json!(COMMAND);
        metadata["triggering_interaction_metadata"] = trigger;
    }
    metadata
}

/// Whether a body would make a message with nothing in it.
pub fn is_empty(body: &Value) -> bool {
    let mut message = StoredMessage::new(0, 0, 0, String::new());
    message.view.apply(body);
    message.view.is_empty()
}

pub fn empty_message(world: &mut World, what: &str) -> Answer {
    world.violation(format!("{what}: a message with nothing in it"));
    Answer::refused(400, 50006, "Cannot send an empty message")
}

/// Discord takes a body whose text may ping people; a bot that shows other people's text must not send one.
pub fn check_mentions(world: &mut World, what: &str, body: &Value) {
    if let Some(problem) = limits::unsafe_mentions(body) {
        world.violation(format!("{what}: {problem}"));
    }
}
