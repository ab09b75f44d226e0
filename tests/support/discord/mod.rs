//! A fake Discord for tests: a real REST server and a real gateway on loopback that behave, and refuse, as Discord's
//! documentation says (discord/discord-api-docs). It speaks only Discord's protocol and must know nothing of any bot's code.
//!
//! A test starts one, points the bot at [`FakeDiscord::url`], lets members use commands, and reads what the bot answered.
//! Whatever the bot did that Discord refuses or forbids is in [`FakeDiscord::violations`]. It lives on a runtime and a thread
//! of its own, so that a frozen bot does not freeze it; everything ends with the last handle.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of the vocabulary")]

mod buckets;
mod call;
mod channels;
mod fault;
mod form;
mod gateway;
mod interaction;
mod limits;
mod meddle;
mod observe;
mod people;
mod registration;
mod respond;
mod rest;
mod route;
mod socket;
mod upload;
mod view;
mod world;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub use call::CommandCall;
pub use fault::{Fault, RouteKind, Scope};
pub use gateway::{GatewayMode, Identify, Resume};
pub use interaction::Interaction;
pub use people::{Guild, Member};
pub use rest::RecordedRequest;
pub use view::{Button, MessageView};
pub use world::Ack;

use interaction::Deed;
use world::{APPLICATION_ID, Shared, TOKEN, World};

/// As many times as it is asked for, until [`FakeDiscord::clear_faults`].
pub const ALWAYS: usize = usize::MAX;

/// A handle to one fake Discord.
#[derive(Clone)]
pub struct FakeDiscord {
    shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

/// Owns the runtime with all servers and connections, and ends them.
struct Owner(Option<Runtime>);

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl FakeDiscord {
    /// Starts REST and gateway on free loopback ports. There are a guild, a channel, an application and its bot token.
    pub async fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fake-discord")
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let (rest, rest_address) = listen();
        let (gateway, gateway_address) = listen();
        let (resume, resume_address) = listen();
        let shared = Arc::new(Shared::new(
            runtime.handle().clone(),
            format!("http://{rest_address}"),
            format!("ws://{gateway_address}"),
            format!("ws://{resume_address}"),
        ));
        let entered = runtime.enter();
        let listener = |socket| TcpListener::from_std(socket).expect("a runtime is entered");
        runtime.spawn(rest::serve(listener(rest), shared.clone()));
        runtime.spawn(socket::serve(listener(gateway), shared.clone(), false));
        runtime.spawn(socket::serve(listener(resume), shared.clone(), true));
        drop(entered);
        Self { shared, _owner: Arc::new(Owner(Some(runtime))) }
    }

    /// The root: REST lives under `/api/v10` there.
    pub fn url(&self) -> String {
        self.shared.rest_url.clone()
    }

    /// The gateway's address, which `GET /gateway/bot` answers too.
    pub fn gateway_url(&self) -> String {
        self.shared.gateway_url.clone()
    }

    /// The bot's token, without the prefix `Bot `.
    pub fn token(&self) -> &str {
        TOKEN
    }

    /// The id of the application, which is the bot user's too.
    pub fn application_id(&self) -> u64 {
        APPLICATION_ID
    }

    /// The home guild, which is also the id of its role *everyone*.
    pub fn guild_id(&self) -> u64 {
        self.shared.read(|world| world.people.home().id)
    }

    /// The home guild's first channel, where people speak unless told.
    pub fn channel_id(&self) -> u64 {
        self.shared.read(|world| world.people.home().channel_id)
    }

    /// Moves the fake's clock on: deadlines, token lives, limits and nonces with it.
    pub fn advance(&self, by: Duration) {
        self.shared.change(|world| world.advance(by));
    }
}

/// Who and what exists.
impl FakeDiscord {
    /// The member of that name in the home guild, with these roles from now on. The same name is the same id in every run.
    pub fn member(&self, name: &str, roles: &[u64]) -> Member {
        self.shared.change(|world| world.people.member(&world.people.home(), name, roles))
    }

    /// The same in another guild: a person has one id in all of them.
    pub fn member_of(&self, guild: &Guild, name: &str, roles: &[u64]) -> Member {
        self.shared.change(|world| world.people.member(guild, name, roles))
    }

    /// The id of the home guild's role of that name.
    pub fn role(&self, name: &str) -> u64 {
        self.shared.change(|world| world.people.role(&world.people.home(), name))
    }

    /// The id of another guild's role of that name.
    pub fn role_of(&self, guild: &Guild, name: &str) -> u64 {
        self.shared.change(|world| world.people.role(guild, name))
    }

    /// The id of another channel of the home guild.
    pub fn channel(&self, name: &str) -> u64 {
        self.shared.change(|world| world.people.channel(name))
    }

    /// Another guild that the bot is in.
    pub fn guild(&self, name: &str) -> Guild {
        self.shared.change(|world| {
            let (guild, is_new) = world.people.guild(name);
            if is_new {
                interaction::announce(world, &guild);
            }
            guild
        })
    }
}

/// What people do.
impl FakeDiscord {
    /// Waits until the bot is connected and has registered commands, then uses one as `who`. Panics when Discord would not let
    /// it be sent.
    pub async fn interact(&self, who: &Member, call: CommandCall) -> Interaction {
        self.ready().await;
        self.registered().await;
        self.interact_now(who, call)
    }

    /// Uses a command without waiting for a connection: a session that is away gets it when it resumes.
    pub fn interact_now(&self, who: &Member, call: CommandCall) -> Interaction {
        self.does(who, |world| Deed::Command(command_data(world, who, &call), call.age))
    }

    /// Asks for the choices of the option that `call` is [typing](CommandCall::typing).
    pub async fn autocomplete(&self, who: &Member, call: CommandCall) -> Interaction {
        self.ready().await;
        self.registered().await;
        self.does(who, |world| Deed::Autocomplete(command_data(world, who, &call)))
    }

    /// Presses a button by its label or its `custom_id`. Panics when the message as it stands has no such button that can be
    /// pressed.
    pub async fn press(&self, who: &Member, message: &MessageView, button: &str) -> Interaction {
        self.ready().await;
        let id = message.id;
        self.does(who, |world| {
            let stored = world.messages.get(&id).expect("the message still stands");
            let sees = interaction::sees(world, who, &stored.view);
            assert!(sees, "{} does not see that ephemeral message", who.name);
            let buttons = stored.view.buttons();
            let meant = |b: &&Button| b.label == button || b.custom_id.as_deref() == Some(button);
            let found = buttons.iter().find(meant);
            let found = found.unwrap_or_else(|| panic!("no button {button} among {buttons:?}"));
            assert!(!found.disabled, "the button {button} is disabled");
            let custom_id = found.custom_id.as_deref().expect("link buttons reach no bot");
            Deed::Component(id, json!({"custom_id": custom_id, "component_type": 2, "id": 1}))
        })
    }

    /// Sends a press of a button that the message doesn't have, as an altered client can.
    pub async fn press_forged(&self, who: &Member, message: &MessageView, custom_id: &str) -> Interaction {
        self.ready().await;
        self.does(who, |_| Deed::Component(message.id, json!({"custom_id": custom_id, "component_type": 2, "id": 1})))
    }

    /// Submits the modal that answered `opened`, with these texts by their inputs' `custom_id`.
    pub async fn submit(&self, who: &Member, opened: &Interaction, texts: &[(&str, &str)]) -> Interaction {
        let modal = opened.modal().await;
        let rows = texts.iter().map(|(id, text)| {
            let mut inputs = modal["components"].as_array().into_iter().flatten().map(|row| &row["components"][0]);
            let input = inputs.find(|input| input["custom_id"] == json!(id));
            let input = input.unwrap_or_else(|| panic!("the modal has no input {id}"));
            let max = input["max_length"].as_u64().unwrap_or(4_000);
            assert!(text.chars().count() as u64 <= max, "Discord lets nobody type more than {max} characters there");
            json!({"type": 1, "id": 1, "components": [{"type": 4, "id": 2, "custom_id": id, "value": text}]})
        });
        let data = json!({"custom_id": modal["custom_id"], "components": rows.collect::<Vec<_>>()});
        self.does(who, |world| Deed::Modal(world.interactions[&opened.id].source, data))
    }

    /// Delivers the very same event again: same id, same token.
    pub async fn redeliver(&self, interaction: &Interaction) {
        self.ready().await;
        self.shared.change(|world| {
            let record = world.interactions.get_mut(&interaction.id).expect("it was dispatched");
            record.excused = true;
            let event = record.event.clone();
            world.gateway.dispatch("INTERACTION_CREATE", &event);
        });
    }

    /// Lets an interaction's token run out: `401`, code 50027.
    pub fn expire(&self, interaction: &Interaction) {
        interaction.age(Duration::from_secs(15 * 60 + 1));
    }

    fn does(&self, who: &Member, deed: impl FnOnce(&World) -> Deed) -> Interaction {
        let (id, token) = self.shared.change(|world| {
            let deed = deed(world);
            interaction::dispatch(world, who, deed)
        });
        Interaction { id, token, shared: self.shared.clone() }
    }
}

fn command_data(world: &World, who: &Member, call: &CommandCall) -> Value {
    let command = interaction::registered(world, who.guild_id, &call.name);
    let command = command.unwrap_or_else(|| panic!("no command /{} is registered", call.name));
    call.data(who, command, &world.people)
}

fn listen() -> (StdListener, SocketAddr) {
    let listener = StdListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.set_nonblocking(true).expect("a socket can be non-blocking");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}
