//! Lines as commands: by position and by name, quoted or not, and whatever people may type.

use proptest::prelude::*;
use slipway::actor::{Actor, ActorId};
use slipway::command::{self, Arguments, Value};
use slipway::console::SANDBOX_GUILD;
use slipway::console::parse::{Line, parse};
use slipway::console::people::People;
use slipway::id::UserId;
use slipway::words;

fn people() -> People {
    let person = |id, name: &str| Actor { id: ActorId::User(UserId::from_row(id)), name: name.into(), roles: vec![] };
    People::new(SANDBOX_GUILD, vec![("you", person(2, "you")), ("guest", person(3, "guest"))])
}

/// What a line means, in a form that can be compared.
fn meaning(line: &str) -> String {
    match parse(line, &people()) {
        Ok(Line::Command { path, arguments }) => format!("{path:?} {arguments:?}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn options_by_position_and_by_name_are_the_same_command() {
    for (one, other) in [
        ("/deploy acme/web main production", "deploy environment:production branch:main repo:acme/web"),
        ("/deploy repo:acme/web main", "/deploy acme/web branch:main"),
        ("/permission grant guest deploy acme/*", "/permission grant repo:acme/* who:<@3> action:deploy"),
        ("/permission grant @Guest deploy", "/permission grant 3 deploy"),
        ("/permission grant @everyone view", "/permission grant <@&1> view"),
        ("/help permission grant", "/help command:\"permission grant\""),
        ("/permission revoke #1", "  permission   revoke id:#1 "),
        (
            "/deploys approve 12 hold:0190c2a4-7d1e-7c3a-9b1f-2f7d3c5a1e00",
            "/deploys approve id:12 hold:0190c2a4-7d1e-7c3a-9b1f-2f7d3c5a1e00",
        ),
        ("/deploys retry 12 again True", "/deploys retry 12 failed:True reason:again"),
        ("/rollback acme/web production 9", "/rollback acme/web to:9 environment:production"),
    ] {
        // A role's name at the moment decides nothing.
        let same = |line| meaning(line).replace("\"<@&1>\"", "\"everyone\"");
        assert_eq!(same(one), same(other), "{one} | {other}");
        assert!(same(one).starts_with('['), "{}", same(one));
    }
}

#[test]
fn what_follows_an_unquoted_text_is_not_taken_for_another_option() {
    for line in ["/deploy acme/web main reason:promote staging", "/permission grant guest deploy reason:release night"]
    {
        assert!(meaning(line).contains("TooMany"), "{line}: {}", meaning(line));
    }
    assert!(meaning(r#"/deploy acme/web main reason:"promote it" staging"#).contains("staging"));
}

#[test]
fn a_colon_makes_no_option_of_a_text() {
    let reason = |line: &str| match parse(line, &people()).unwrap() {
        Line::Command { arguments, .. } => arguments.text("reason").map(str::to_owned),
        other => panic!("{other:?}"),
    };
    for (line, expected) in [
        (r#"/deploy acme/web main reason:"see: x""#, "see: x"),
        (r#"/deploy acme/web main reason:branch:x"#, "branch:x"),
        (r#"/deploy acme/web main production 1234567 A=1 see:x"#, "see:x"),
        (r#"/deploy acme/web main production 1234567 A=1 https://x.example"#, "https://x.example"),
        (r#"/deploy acme/web main production 1234567 A=1 "branch:x""#, "branch:x"),
    ] {
        assert_eq!(reason(line).as_deref(), Some(expected), "{line}");
    }
}

/// A command's arguments as a line, each by name or, as long as none was left out before it, by position.
fn print(path: &[&str], arguments: &[(&'static str, String)], positional: usize) -> String {
    let mut line = format!("/{}", path.join(" "));
    for (index, (name, value)) in arguments.iter().enumerate() {
        let quoted = words::quote(value);
        // What could be read as `name:value` is quoted, which makes it text.
        let quoted = if quoted == *value && value.contains(':') {
            format!("\"{}\"", value.replace('\\', "\\\\"))
        } else {
            quoted
        };
        line.push_str(&if index < positional { format!(" {quoted}") } else { format!(" {name}:{quoted}") });
    }
    line
}

proptest! {
    #[test]
    fn printing_and_parsing_a_line_are_inverse(
        row in 0..command::leaves().count(),
        values in prop::collection::vec("[^\\p{Cc}]{1,12}|[a-z]{1,8}:.{0,5}|branch:\"?x", 8),
        given in 0usize..=8,
        positional in 0usize..=8,
    ) {
        let (path, leaf) = command::leaves().nth(row).unwrap();
        let required = leaf.options.iter().filter(|option| option.required).count();
        let given: Vec<(&'static str, String)> = leaf
            .options
            .iter()
            .zip(values)
            .take(given.max(required))
            .map(|(option, value)| match option.kind {
                command::Kind::User | command::Kind::Mentionable => (option.name, "guest".to_owned()),
                _ if option.required && value.trim().is_empty() => (option.name, "x".to_owned()),
                _ => (option.name, value),
            })
            .collect();
        let line = print(&path, &given, positional);
        let Ok(Line::Command { path: read_path, arguments }) = parse(&line, &people()) else {
            return Err(TestCaseError::fail(format!("{line}: {:?}", parse(&line, &people()))));
        };
        let guest = people().person("guest").unwrap();
        let expected = given.into_iter().fold(Arguments::default(), |arguments, (name, value)| {
            let is_person = leaf.options.iter().any(|o| o.name == name && matches!(o.kind, command::Kind::User | command::Kind::Mentionable));
            arguments.with(name, if is_person { Value::User(guest.clone()) } else { Value::Text(value) })
        });
        prop_assert_eq!(read_path, path);
        prop_assert_eq!(format!("{arguments:?}"), format!("{expected:?}"), "{}", line);
    }

    #[test]
    fn no_line_panics_and_every_refusal_can_be_shown(line in "(/deploy |/permission grant |/repo )?.{0,60}") {
        if let Err(misread) = parse(&line, &people()) {
            prop_assert!(!misread.reply().title.is_empty());
        }
    }
}
