//! Invariant 11: only valid refs are sent, each segment percent-encoded.

use super::*;

#[tokio::test]
async fn what_git_refuses_is_refused_and_what_it_allows_is_encoded() {
    for stage in [Stage::start().await, Stage::start_with_job().await] {
        let bad =
            ["a..b", "-x", "main.lock", "a b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b", "a//b", "@", "a@{b"];
        for bad in bad {
            let answer = stage.alice().deploys("acme/web", bad).await.answer().await;
            assert!(answer.text().contains("Not a usable branch"), "{bad}: {}", answer.text());
        }
        assert_eq!(stage.circleci.requests().len(), 0);

        let branch = "a/%2E%2e;b!c#d";
        stage.circleci.change_project("acme/web", |project| {
            project.branches.insert(branch.to_owned(), "1".repeat(40));
        });
        let asked = stage.alice().deploys("acme/web", branch).await;
        asked.answer_when(|card| card.text().contains("is queued")).await;
        for request in stage.circleci.requests_to(Route::TriggerJob) {
            assert_eq!(request.raw, "/api/v1.1/project/github/acme/web/tree/a%2F%252E%252e%3Bb%21c%23d");
        }
        for request in stage.circleci.requests_to(Route::RunPipeline) {
            assert_eq!(request.json.unwrap()["checkout"]["branch"], branch);
        }
        stage.finish().await;
    }
}
