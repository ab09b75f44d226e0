//! Commands, completion, buttons and modals as a real serenity client gets and answers them, and what a test cannot send.

use reqwest::Method;
use serde_json::json;
use serenity::all::{
    CreateActionRow, CreateAllowedMentions, CreateButton, CreateEmbed, CreateInteractionResponse,
    CreateInteractionResponseMessage, EditInteractionResponse, HttpError, Interaction as Event, ResolvedValue,
};

use crate::bot::{Bot, call, callback_path, register, test_commands, text};
use crate::discord::{CommandCall, FakeDiscord};

#[tokio::test]
async fn a_bot_acknowledges_a_command_and_edits_its_answer() {
    let discord = FakeDiscord::start().await;
    let mut bot = Bot::start(&discord, discord.token()).await;
    register(&discord).await;
    let alice = discord.member("alice", &[discord.role("deployers")]);

    let interaction = discord.interact(&alice, CommandCall::new("all").string("text", "hello")).await;
    let (context, command) = bot.command().await;
    assert_eq!(command.user.name, "alice");
    assert_eq!(command.member.as_ref().unwrap().roles[0].get(), discord.role("deployers"));
    command.defer(&context).await.unwrap();
    assert!(interaction.original().unwrap().is_loading());
    let edit = EditInteractionResponse::new()
        .content("Done")
        .embed(CreateEmbed::new().title("Card").field("State", "running", true))
        .components(vec![CreateActionRow::Buttons(vec![
            CreateButton::new("cancel:1").label("Cancel"),
            CreateButton::new_link("https://example.invalid/1").label("Build"),
        ])])
        .allowed_mentions(CreateAllowedMentions::new());
    command.edit_response(&context, edit).await.unwrap();

    let ack = interaction.acknowledged().await;
    assert_eq!((ack.kind, ack.ephemeral), (5, false));
    let answer = interaction.answer().await;
    assert_eq!(answer.text(), "Done\n# Card\nState: running\n[Cancel](cancel:1) [Build](https://example.invalid/1)");
    assert_eq!(answer.history.len(), 1);
    assert_eq!(discord.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn every_kind_of_option_arrives_typed_and_resolved() {
    let discord = FakeDiscord::start().await;
    let mut bot = Bot::start(&discord, discord.token()).await;
    register(&discord).await;
    let role = discord.role("deployers");
    let (alice, bob) = (discord.member("alice", &[]), discord.member("bob", &[role]));

    let call = CommandCall::new("all")
        .string("text", "hello")
        .integer("count", 5)
        .boolean("flag", true)
        .user("user", &alice)
        .role("role", role)
        .channel("channel", discord.channel_id())
        .mentionable("who", bob.id)
        .string("choice", "1");
    discord.interact(&alice, call).await;
    let (_, command) = bot.command().await;
    let options = command.data.options();
    let value = |name: &str| options.iter().find(|option| option.name == name).unwrap().value.clone();
    assert!(matches!(value("text"), ResolvedValue::String("hello")));
    assert!(matches!(value("count"), ResolvedValue::Integer(5)));
    assert!(matches!(value("flag"), ResolvedValue::Boolean(true)));
    assert!(matches!(value("user"), ResolvedValue::User(user, Some(_)) if user.name == "alice"));
    assert!(matches!(value("role"), ResolvedValue::Role(found) if found.name == "deployers"));
    assert!(matches!(value("channel"), ResolvedValue::Channel(_)));
    let ResolvedValue::User(user, Some(member)) = value("who") else { panic!("{:?}", value("who")) };
    assert_eq!((user.id.get(), member.roles[0].get()), (bob.id, role));

    for id in [role, discord.guild_id()] {
        discord.interact(&alice, CommandCall::new("permission").sub("grant").mentionable("who", id)).await;
        let (_, command) = bot.command().await;
        let options = command.data.options();
        let ResolvedValue::SubCommand(inner) = &options[0].value else { panic!("{options:?}") };
        assert!(matches!(inner[0].value, ResolvedValue::Role(found) if found.id.get() == id));
    }
}

#[tokio::test]
async fn an_event_delivered_twice_can_be_acknowledged_once() {
    let discord = FakeDiscord::start().await;
    let mut bot = Bot::start(&discord, discord.token()).await;
    register(&discord).await;
    let interaction = discord.interact(&discord.member("alice", &[]), CommandCall::new("permission").sub("list")).await;
    let (context, command) = bot.command().await;
    command.defer_ephemeral(&context).await.unwrap();
    assert!(interaction.acknowledged().await.ephemeral);

    discord.redeliver(&interaction).await;
    let (context, again) = bot.command().await;
    assert_eq!((again.id, &again.token), (command.id, &command.token));
    let message = CreateInteractionResponseMessage::new().content("again").allowed_mentions(Default::default());
    let refused = again.create_response(&context, CreateInteractionResponse::Message(message)).await;
    let Err(serenity::Error::Http(HttpError::UnsuccessfulRequest(error))) = refused else { panic!("{refused:?}") };
    assert_eq!((error.status_code.as_u16(), error.error.code), (400, 40060));
    assert_eq!(discord.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn completion_buttons_and_modals_reach_a_bot() {
    let discord = FakeDiscord::start().await;
    let mut bot = Bot::start(&discord, discord.token()).await;
    register(&discord).await;
    let alice = discord.member("alice", &[]);

    let completion = discord.autocomplete(&alice, CommandCall::new("all").typing("repo", "ac")).await;
    let (_, Event::Autocomplete(event)) = bot.event().await else { panic!("not a completion") };
    assert_eq!(event.data.autocomplete().unwrap().value, "ac");
    let choices = json!({"type": 8, "data": {"choices": [{"name": "acme/web", "value": "acme/web"}]}});
    call(&discord, Method::POST, &callback_path(&completion), &choices).await;
    assert_eq!(completion.choices().await, [("acme/web".to_owned(), json!("acme/web"))]);

    let mut card = text("card");
    card["components"] =
        json!([{"type": 1, "components": [{"type": 2, "style": 4, "label": "Cancel", "custom_id": "cancel:1"}]}]);
    let asked = discord.interact(&alice, CommandCall::new("permission").sub("list")).await;
    call(&discord, Method::POST, &callback_path(&asked), &json!({"type": 4, "data": card})).await;
    bot.command().await;
    let pressed = discord.press(&alice, &asked.answer().await, "Cancel").await;
    let (_, Event::Component(event)) = bot.event().await else { panic!("not a button") };
    assert_eq!((event.data.custom_id.as_str(), event.message.content.as_str()), ("cancel:1", "card"));
    let input = json!({"type": 1, "components": [{"type": 4, "custom_id": "why", "style": 1, "label": "Why"}]});
    let modal = json!({"type": 9, "data": {"title": "Why?", "custom_id": "why:1", "components": [input]}});
    call(&discord, Method::POST, &callback_path(&pressed), &modal).await;
    let submitted = discord.submit(&alice, &pressed, &[("why", "because")]).await;
    let (_, Event::Modal(event)) = bot.event().await else { panic!("not a modal") };
    assert_eq!(event.data.custom_id, "why:1");
    let update = json!({"type": 7, "data": text("canceled")});
    assert_eq!(call(&discord, Method::POST, &callback_path(&submitted), &update).await.0, 204);
    assert_eq!(discord.message(asked.answer().await.id).unwrap().content, "canceled");
    assert_eq!(discord.violations(), Vec::<String>::new());
}

#[tokio::test]
#[should_panic(expected = "needs the option \"text\"")]
async fn a_required_option_cannot_be_left_out() {
    let discord = FakeDiscord::start().await;
    register(&discord).await;
    discord.interact_now(&discord.member("alice", &[]), CommandCall::new("all"));
}

#[tokio::test]
#[should_panic(expected = "is of type 4")]
async fn an_option_takes_only_its_own_type() {
    let discord = FakeDiscord::start().await;
    register(&discord).await;
    discord.interact_now(&discord.member("alice", &[]), CommandCall::new("all").string("count", "five"));
}

#[tokio::test]
#[should_panic(expected = "no command /deploy is registered")]
async fn an_unregistered_command_cannot_be_used() {
    let discord = FakeDiscord::start().await;
    discord.interact_now(&discord.member("alice", &[]), CommandCall::new("deploy"));
}

#[tokio::test]
async fn a_text_beyond_its_length_is_sent_only_unchecked() {
    let discord = FakeDiscord::start().await;
    register(&discord).await;
    let long = CommandCall::new("all").string("text", "longer than ten").unchecked();
    discord.interact_now(&discord.member("alice", &[]), long);
}

#[tokio::test]
async fn guilds_have_their_own_roles_and_share_people() {
    let discord = FakeDiscord::start().await;
    let mut bot = Bot::start(&discord, discord.token()).await;
    let elsewhere = discord.guild("elsewhere");
    let path = format!("applications/{}/commands", discord.application_id());
    call(&discord, Method::PUT, &path, &test_commands()).await;

    let (role, other) = (discord.role("deployers"), discord.role_of(&elsewhere, "deployers"));
    assert_ne!(role, other);
    let here = discord.member("alice", &[role]);
    let there = discord.member_of(&elsewhere, "alice", &[other]);
    assert_eq!(here.id, there.id);
    discord.interact(&there, CommandCall::new("permission").sub("grant").mentionable("who", here.id)).await;
    let (_, command) = bot.command().await;
    assert_eq!(command.guild_id.unwrap().get(), elsewhere.id);
    let resolved = command.data.resolved.members.values().next().unwrap();
    assert_eq!(resolved.roles[0].get(), other);
}
