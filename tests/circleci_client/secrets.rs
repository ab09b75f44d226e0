//! No token is ever told: not in errors, not in links, not in the log at its most talkative.

use serde_json::json;
use slipway::circleci::TriggerError;

use crate::circleci::{FakeCircleCi, Fault, Route};
use crate::{access, client, hasty, job, logs, pipeline, project, search, told, unclaimed, with};

#[tokio::test]
async fn no_token_in_any_error_or_log_line() {
    let (user, shared, own) = ("user-0f3a9c51", "shared-0f3a9c52", "own-0f3a9c53");
    let mut fake = FakeCircleCi::start().await;
    fake.replace_token(user);
    fake.change_project("acme/web", |project| *project = project.clone().token(own));
    let mut access = access(fake.url(), user);
    access.project_token = Some(shared.to_owned().into());
    access.project_tokens.insert("ACME_WEB".to_owned(), own.to_owned().into());
    let circleci = with(access.clone(), hasty());

    let mut shown = format!("{access:?}");
    for order in [job("main"), pipeline("main")] {
        let run = circleci.trigger(&order).await.unwrap();
        shown.push_str(&format!("{run:?}"));
        circleci.read(&project(), &run.id).await.unwrap();
        circleci.look_for(&search(&order, &unclaimed)).await.unwrap();
        let echo = json!({"message": format!("Invalid token provided: {user} {shared} {own}")});
        for fault in [Fault::Status(401, echo.clone()), Fault::Status(418, echo), Fault::DropBefore, Fault::Html502] {
            fake.fault(Route::TriggerJob, fault.clone(), 1);
            fake.fault(Route::RunPipeline, fault, 1);
            let error = circleci.trigger(&order).await.unwrap_err();
            shown.push_str(&format!("{} {error} {error:?}", told(&error)));
            if let TriggerError::Refused(refusal) = &error {
                assert_eq!(refusal.said.as_deref(), Some("Invalid token provided: [token] [token] [token]"));
            }
            fake.clear_faults();
        }
    }
    circleci.branches(&project()).await.unwrap();
    assert!(client(&fake).trigger(&job("main")).await.is_ok());

    let logged = logs().text();
    assert!(logged.contains("CircleCI answered") && logged.contains("TRACE"), "the log was listened to");
    for secret in [user, shared, own] {
        assert!(!shown.contains(secret), "{secret} is shown");
        // In the basic authentication of v1.1 it is written otherwise.
        let encoded = base64(&format!("{secret}:"));
        let ours = logged
            .lines()
            .filter(|line| !line.contains("DEBUG sqlx"))
            .find(|line| line.contains(secret) || line.contains(&encoded));
        assert_eq!(ours, None, "{secret} is logged");
    }
}

/// RFC 4648, for one test.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            encoded.push(if digit > chunk.len() { '=' } else { char::from(DIGITS[index as usize]) });
        }
    }
    encoded
}
