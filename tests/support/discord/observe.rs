//! What a test sees of the bot: its requests, messages and commands, what it did on the gateway, and what it should not have
//! done. It must not change anything.

use std::time::Duration;

use serde_json::Value;

use super::FakeDiscord;
use super::fault::RouteKind;
use super::gateway::{Identify, Resume};
use super::rest::RecordedRequest;
use super::view::MessageView;
use super::world::World;

/// What the bot did over REST.
impl FakeDiscord {
    /// The registered commands, of the home guild and global ones, as Discord returns them.
    pub fn commands(&self) -> Vec<Value> {
        self.shared.read(|world| {
            let scopes = [Some(world.people.home().id), None];
            scopes.iter().filter_map(|scope| world.commands.get(scope)).flatten().cloned().collect()
        })
    }

    /// How many times the set of commands was put.
    pub fn puts(&self) -> usize {
        self.requests_to(RouteKind::Commands).iter().filter(|r| r.method == "PUT").count()
    }

    /// Waits until a command is registered, for any guild or globally.
    pub async fn registered(&self) {
        let any = |world: &World| world.commands.values().any(|set| !set.is_empty()).then_some(());
        self.shared.until("commands to be registered", any).await;
    }

    /// Every request, in the order they came.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.read(|world| world.requests.clone())
    }

    /// The requests of one kind.
    pub fn requests_to(&self, route: RouteKind) -> Vec<RecordedRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.route == route);
        requests
    }

    /// Waits until this many requests to a route have come, answered or not.
    pub async fn requested(&self, route: RouteKind, count: usize) {
        let what = format!("{count} requests to {route:?}");
        self.until(&what, |fake| fake.requests_to(route).len() >= count).await;
    }

    /// The messages of a channel, the oldest first, ephemeral ones included.
    pub fn messages(&self, channel: u64) -> Vec<MessageView> {
        self.shared.read(|world| {
            let views = world.messages.values().map(|message| &message.view);
            views.filter(|view| view.channel_id == channel).cloned().collect()
        })
    }

    /// A message as it stands now.
    pub fn message(&self, id: u64) -> Option<MessageView> {
        self.shared.read(|world| world.messages.get(&id).map(|message| message.view.clone()))
    }

    /// Waits until some message of the channel looks as wanted.
    pub async fn message_when(&self, channel: u64, wanted: impl Fn(&MessageView) -> bool) -> MessageView {
        let look = |world: &World| {
            let mut views = world.messages.values().map(|message| &message.view);
            views.find(|view| view.channel_id == channel && wanted(view)).cloned()
        };
        self.shared.until("a message in the channel", look).await
    }

    /// Pinned messages of a channel.
    pub fn pins(&self, channel: u64) -> Vec<u64> {
        self.shared.read(|world| world.pins.iter().filter(|pin| pin.0 == channel).map(|pin| pin.1).collect())
    }

    /// What the bot did that Discord refuses or forbids, in words.
    pub fn violations(&self) -> Vec<String> {
        self.shared.read(|world| world.violations.clone())
    }

    /// The same, for a test that provoked them: they are not told again.
    pub fn take_violations(&self) -> Vec<String> {
        self.shared.change(|world| std::mem::take(&mut world.violations))
    }

    /// Answers that Discord counts against the address: 401, 403, 429.
    pub fn invalid_answers(&self) -> usize {
        self.shared.read(|world| world.invalid_answers)
    }

    /// What happened so far, in lines without secrets, for a test's own messages.
    pub fn story(&self) -> String {
        self.shared.read(World::story)
    }

    /// Waits for anything; `what` is for the message when it does not come.
    pub async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        self.shared.until_found(what, || is_so(self).then_some(())).await;
    }
}

/// What the bot did on the gateway.
impl FakeDiscord {
    /// Waits until a session is connected.
    pub async fn ready(&self) {
        let ready = |world: &World| world.gateway.is_ready().then_some(());
        self.shared.until("a connected gateway session", ready).await;
    }

    /// Waits until no session is connected: the bot is gone, or thinks that it is.
    pub async fn disconnected(&self) {
        let away = |world: &World| (!world.gateway.is_ready()).then_some(());
        self.shared.until("the gateway session to end", away).await;
    }

    /// Whether a session is connected now.
    pub fn is_ready(&self) -> bool {
        self.shared.read(|world| world.gateway.is_ready())
    }

    /// Every identify since the start, refused ones included.
    pub fn identifies(&self) -> Vec<Identify> {
        self.shared.read(|world| world.gateway.identifies.clone())
    }

    /// Waits for this many identifies since the start.
    pub async fn identified(&self, count: usize) {
        let what = format!("{count} identifies");
        let look = |world: &World| (world.gateway.identifies.len() >= count).then_some(());
        self.shared.until(&what, look).await;
    }

    /// Every resume since the start, refused ones included.
    pub fn resumes(&self) -> Vec<Resume> {
        self.shared.read(|world| world.gateway.resumes.clone())
    }

    /// Waits for this many accepted resumes since the start.
    pub async fn resumed(&self, count: usize) {
        let what = format!("{count} resumes");
        let accepted = |world: &World| world.gateway.resumes.iter().filter(|r| r.accepted).count();
        self.shared.until(&what, |world| (accepted(world) >= count).then_some(())).await;
    }

    /// TCP connections that were made to the gateway since the start.
    pub fn connections(&self) -> u64 {
        self.shared.read(|world| world.gateway.opened)
    }

    /// WebSocket connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.read(|world| world.gateway.connections.len())
    }

    /// Waits for this many TCP connections since the start.
    pub async fn connected(&self, count: u64) {
        let what = format!("{count} gateway connections");
        let look = |world: &World| (world.gateway.opened >= count).then_some(());
        self.shared.until(&what, look).await;
    }

    /// Heartbeats since the start, on the fake's clock.
    pub fn heartbeats(&self) -> Vec<Duration> {
        self.shared.read(|world| world.gateway.heartbeats.clone())
    }

    /// When the last heartbeat came, on the fake's clock.
    pub fn last_heartbeat(&self) -> Option<Duration> {
        self.heartbeats().last().copied()
    }

    /// The codes of the close frames that clients sent.
    pub fn client_closes(&self) -> Vec<Option<u16>> {
        self.shared.read(|world| world.gateway.client_closes.clone())
    }
}
