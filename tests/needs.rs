//! Every command of the table asks for what it needs: nobody without any right gets anything done or learns anything by it.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

#[allow(dead_code, reason = "the console's own tests use the rest")]
#[path = "console/stage.rs"]
mod stage;

use slipway::command::{Needs, leaves};
use stage::Stage;

/// How each command says that there is nothing here for the person.
const REFUSALS: [&str; 3] = ["Not permitted", "that you may see", "nothing is permitted"];

#[tokio::test]
async fn without_a_right_every_command_is_refused() {
    let mut lines = ["/deploy acme/web main", "/permission revoke 1", "/as guest"].join("\n");
    let mut asked = Vec::new();
    for (path, leaf) in leaves() {
        // About themselves they may ask, and of their own deploys.
        let line = leaf.example.replace("guest", "you");
        if !matches!(leaf.needs, Needs::Nothing) {
            lines.push_str(&format!("\n{line}"));
            asked.push((path.join(" "), line));
        }
    }
    assert!(asked.len() >= 17, "the table has more commands than these: {asked:?}");

    let (shown, _) = Stage::new().types(&lines).await;

    for (command, line) in asked {
        let answer = shown.split(&format!("> {line}\n")).nth(1).unwrap_or_else(|| panic!("{line} is not in {shown}"));
        let answer = answer.split("\n> ").next().unwrap();
        assert!(REFUSALS.iter().any(|words| answer.contains(words)), "/{command} is not refused:\n{answer}");
    }
}
