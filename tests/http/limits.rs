//! Clients that send too much, too slowly, or no HTTP: they are turned away and hold up nobody.

use std::time::{Duration, Instant};

use slipway::http::{BODY_BYTES_MAX, BODY_WITHIN};
use tokio::io::AsyncWriteExt;

use crate::server::{Server, answer, head_of, signed};

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read_and_one_more_byte_is_not() {
    let server = Server::start(8).await;
    let body = format!("{{\"type\":\"job-completed\",\"x\":\"{}\"}}", "a".repeat(BODY_BYTES_MAX - 32));
    let body = format!("{body}{}", " ".repeat(BODY_BYTES_MAX - body.len()));
    assert_eq!(body.len(), BODY_BYTES_MAX);
    assert_eq!(server.posts_signed(&body).await.status, 200);
    assert_eq!(server.posts_signed(&(body.clone() + " ")).await.status, 413);
    // One that doesn't say how long it is.
    let chunk = format!("{:x}\r\n{body} \r\n0\r\n\r\n", body.len() + 1);
    let head = "POST /webhooks/circleci HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(server.sends(format!("{head}{chunk}")).await.status, 413);
    assert_eq!(server.counted("too_large"), 2);
}

#[tokio::test]
async fn a_body_that_announces_more_than_memory_is_refused_at_once() {
    let server = Server::start(8).await;
    let since = Instant::now();
    let head = head_of("", 99_999_999_999);
    assert_eq!(server.sends(head).await.status, 413);
    assert!(since.elapsed() < BODY_WITHIN);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_on() {
    let server = Server::start(8).await;
    let mut slow = server.connect().await;
    let body = "{\"type\":\"job-completed\"}";
    slow.write_all(head_of(&signed(body), body.len()).as_bytes()).await.unwrap();
    slow.write_all(&body.as_bytes()[..10]).await.unwrap();
    let since = Instant::now();
    assert_eq!(answer(&mut slow).await.status, 408);
    assert!(since.elapsed() < BODY_WITHIN + Duration::from_secs(3));
    assert_eq!(server.counted("too_slow"), 1);
}

#[tokio::test]
async fn those_who_hold_back_their_heads_hold_up_nobody_and_are_let_go() {
    let mut server = Server::start(8).await;
    // More than there are places.
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
        slow.push(stream);
    }
    let since = Instant::now();
    assert_eq!(server.gets("/healthz?live").await.status, 200);
    assert_eq!(server.posts_signed("{}").await.status, 200);
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());

    // The oldest made way; the newest is let go when its time is over, however it drips.
    assert_eq!(answer(&mut slow[0]).await.status, 0);
    let mut newest = slow.pop().unwrap();
    let dripping = async {
        while newest.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(15), dripping).await.is_ok(), "it was let in for ever");

    let since = Instant::now();
    server.stops().await;
    assert!(since.elapsed() < Duration::from_secs(2), "slow clients hold up the end: {:?}", since.elapsed());
}

#[tokio::test]
async fn bodies_on_their_way_do_not_take_the_places_of_health_and_metrics() {
    let server = Server::start(8).await;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut stream = server.connect().await;
        stream.write_all(head_of("", 1000).as_bytes()).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(server.gets("/healthz?live").await.status, 200);
    assert_eq!(server.gets("/metrics").await.status, 200);
    // Those who found no place are asked to come again, before anybody's time is over.
    let turned_away = async {
        while server.counted("busy") < 8 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(BODY_WITHIN, turned_away).await.unwrap();
}

#[tokio::test]
async fn what_is_no_http_is_turned_away() {
    let server = Server::start(8).await;
    for nonsense in [&b"\x16\x03\x01\x02\x00"[..], b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0xff; 64]] {
        let mut stream = server.connect().await;
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(matches!(answer.status, 0 | 400), "{answer:?}");
    }
    // A head without an end.
    let endless = format!("GET /{} HTTP/1.1\r\n", "x".repeat(1_000_000));
    assert!(matches!(server.sends(endless).await.status, 0 | 414 | 431));
    assert_eq!(server.gets("/healthz?live").await.status, 200);
}
