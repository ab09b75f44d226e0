//! That the gateway's connection costs nothing while nothing happens, also after the close frame
//! that makes serenity's own loop spin. Alone in its file: it measures the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/scripted_gateway.rs"]
#[allow(dead_code, reason = "shared with tests that need more")]
mod scripted_gateway;

use std::time::Duration;

use scripted_gateway::ScriptedGateway;
use slipway::discord::gateway::{GatewayOptions, Incoming, Limits, run};
use slipway::health::Health;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// User and system time of this process, in ticks of 10 ms: fields 14 and 15 of proc_pid_stat(5).
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn nothing_spins_after_an_empty_close_frame() {
    let gateway = ScriptedGateway::open().await;
    let (sender, mut incoming) = unbounded_channel();
    let stop = CancellationToken::new();
    let limits = Limits { retry_min: Duration::from_millis(20), ..Limits::default() };
    let options = GatewayOptions { url: gateway.url(), token: "a.bot.token".into(), limits, health: Health::default() };
    let running = tokio::spawn(run(options, sender, stop.clone()));
    let peer = gateway.accept_session(45_000).await;
    assert!(matches!(incoming.recv().await, Some(Incoming::Ready { .. })));
    peer.close_without_code().await;
    let mut peer = gateway.accept_resume(1).await;
    peer.resumed(2).await;
    assert!(matches!(incoming.recv().await, Some(Incoming::Resumed)));

    let before = cpu_ticks();
    tokio::select! {
        message = peer.next() => panic!("{message:?}"),
        connections = gateway.count(Duration::from_secs(3)) => assert_eq!(connections, 0),
        () = sleep(Duration::from_secs(2)) => {}
    }
    let ticks = cpu_ticks() - before;
    assert!(ticks < 10, "{ticks} ticks of CPU in 2 s");
    stop.cancel();
    running.await.unwrap().unwrap();
}
