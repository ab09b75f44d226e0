//! What each answer means, and that nothing is sent on after a definite one.

use secrecy::SecretString;
use serde_json::json;
use slipway::discord::rest::{CallbackError, Rest, RestError, Unseen};

use crate::nobody::Nobody;
use crate::server::{Server, Step, answer, error, too_many};
use crate::{APP, BOT_TOKEN, call_back, edit, post, soon, within};

#[tokio::test]
async fn an_interaction_that_nobody_saw_answered_is_told_apart() {
    for (status, code) in [(404, 10062), (401, 50027), (404, 0)] {
        let server = Server::start().await;
        server.on("POST", error(status, code));
        let CallbackError::NotSeen { cause: Unseen::Unknown { status: s, code: c } } =
            call_back(&server.rest(), soon()).await.unwrap_err()
        else {
            panic!("{status} {code}");
        };
        assert_eq!((s, c), (status, code));
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_second_acknowledgement_and_a_refused_body_are_told_apart() {
    let server = Server::start().await;
    let tree = json!({ "code": 50035, "message": "Invalid Form Body", "errors":
        { "data": { "content": { "_errors": [{ "code": "X", "message": "Too long." }] } } } });
    server.on("POST", error(400, 40060)).on("POST", answer(400, tree));
    let rest = server.rest();
    let first = call_back(&rest, soon()).await.unwrap_err();
    assert!(matches!(first, CallbackError::AlreadyAcknowledged), "{first:?}");
    let second = call_back(&rest, soon()).await.unwrap_err();
    assert!(second.to_string().contains("data.content: Too long."), "{second}");
}

#[tokio::test]
async fn a_callback_whose_fate_is_unknown_is_not_sent_again() {
    for step in [Step::Drop, Step::Hang, answer(500, ""), answer(503, "<html>")] {
        let server = Server::start().await;
        server.on("POST", step);
        let error = call_back(&server.rest(), within(300)).await.unwrap_err();
        assert!(matches!(error, CallbackError::FateUnknown { .. }), "{error:?}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_accepted_callback_stays_accepted_when_its_body_breaks_off_or_is_odd() {
    for step in [Step::Break, answer(204, ""), answer(200, "<html>"), answer(200, "[1]")] {
        let server = Server::start().await;
        server.on("POST", step);
        assert_eq!(call_back(&server.rest(), soon()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_callback_that_could_not_connect_was_seen_by_nobody() {
    let nobody = Nobody::new();
    let rest = Rest::new(SecretString::from(BOT_TOKEN), Some(&nobody.url())).unwrap();
    let error = call_back(&rest, within(2000)).await.unwrap_err();
    let unreached = matches!(error, CallbackError::NotSeen { cause: Unseen::Unreached });
    assert!(unreached, "{error:?}");
}

#[tokio::test]
async fn a_callback_is_sent_again_after_a_429_and_given_up_when_that_lasts_too_long() {
    for scope in ["user", "shared", "global"] {
        let server = Server::start().await;
        server.on("POST", too_many(scope, 0.02)).on("POST", answer(204, ""));
        server.on("POST", too_many(scope, 60.0));
        let rest = server.rest();
        assert_eq!(call_back(&rest, soon()).await.unwrap(), 0);
        assert_eq!(server.seen().len(), 2);
        let error = call_back(&rest, soon()).await.unwrap_err();
        let too_slow = matches!(error, CallbackError::NotSeen { cause: Unseen::TooSlow });
        assert!(too_slow, "{error:?}");
        assert_eq!(server.seen().len(), 3);
    }
}

#[tokio::test]
async fn refusals_of_interaction_routes_are_told_apart() {
    let server = Server::start().await;
    let rest = server.rest();
    for (status, code) in [(404, 10015), (401, 50027), (404, 10062), (404, 0)] {
        server.on("PATCH", error(status, code));
        let error = edit(&rest, soon()).await.unwrap_err();
        assert!(matches!(error, RestError::Gone), "{error:?}");
    }
    server.on("PATCH", error(404, 10008));
    let error_of_message = edit(&rest, soon()).await.unwrap_err();
    assert!(matches!(error_of_message, RestError::NotFound { code: 10008, .. }));
    // None of them was about the bot's token.
    server.on("POST", answer(200, "{}"));
    post(&rest, json!({}), soon()).await.unwrap();
}

#[tokio::test]
async fn refusals_of_bot_routes_are_told_apart() {
    let server = Server::start().await;
    server.on("POST", error(404, 10003)).on("POST", error(403, 50013));
    server.on("POST", error(400, 50006)).on("POST", answer(302, ""));
    let rest = server.rest();
    let mut errors = Vec::new();
    for _ in 0..4 {
        errors.push(post(&rest, json!({}), soon()).await.unwrap_err());
    }
    assert!(matches!(errors[0], RestError::NotFound { code: 10003, .. }));
    assert!(matches!(errors[1], RestError::Forbidden { code: 50013, .. }));
    assert!(matches!(errors[2], RestError::Refused { status: 400, code: 50006, .. }));
    assert!(matches!(errors[3], RestError::Refused { status: 302, .. }));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn after_one_401_no_bot_call_is_sent_and_whoever_watches_knows() {
    let server = Server::start().await;
    server.on("GET", error(401, 0)).on("PATCH", answer(200, "{}"));
    let rest = server.rest();
    let watching = tokio::spawn({
        let rest = rest.clone();
        async move { rest.unauthorized().await }
    });
    assert!(matches!(rest.gateway_bot().await.unwrap_err(), RestError::Unauthorized));
    watching.await.unwrap();
    rest.unauthorized().await;
    let body = json!({});
    for _ in 0..10 {
        let error = post(&rest, body.clone(), soon()).await.unwrap_err();
        assert!(matches!(error, RestError::Unauthorized), "{error:?}");
        assert!(rest.put_global_commands(APP, &body).await.is_err());
    }
    assert_eq!(server.seen().len(), 1);
    edit(&rest, soon()).await.expect("interactions need no bot token");
}

#[tokio::test]
async fn a_gateway_answer_that_is_not_discords_is_told() {
    let server = Server::start().await;
    server.on("GET", answer(200, "<html>hello</html>"));
    let error = server.rest().gateway_bot().await.unwrap_err();
    assert!(matches!(error, RestError::Garbled), "{error:?}");
}
