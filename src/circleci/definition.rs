//! Which pipeline definition of a project a deploy runs. Pure: knows nothing of how definitions are asked for.

use serde_json::Value;
use uuid::Uuid;

use super::said;

/// The configuration file of a project that has only one.
const USUAL_FILE: &str = ".circleci/config.yml";
/// Of several definitions of the usual file, the one that a project keeps when it moves to CircleCI's GitHub App.
const USUAL_PROVIDER: &str = "github_app";
/// How many definitions of a project are looked at; more than anybody has.
const DEFINITIONS_MAX: usize = 200;
/// How many are named to a person.
const NAMED_MAX: usize = 20;
/// The longest name that is shown, in UTF-16 units.
const NAME_UNITS_MAX: usize = 60;

/// A way to run a project's pipelines: which configuration, from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub id: Uuid,
    /// As CircleCI has it: clean it before it is shown.
    pub name: String,
    pub file_path: Option<String>,
    pub provider: Option<String>,
}

/// Why no definition could be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecided {
    /// The environment names one that isn't there.
    NotFound,
    /// Several would do.
    Ambiguous,
}

/// Reads the answer of `GET /projects/{id}/pipeline-definitions`; `None` when it is no list. What isn't a definition in
/// it is passed over.
pub(super) fn read(answer: &Value) -> Option<Vec<Definition>> {
    let text = |item: &Value, pointer: &str| item.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let definitions = answer.get("items")?.as_array()?.iter().take(DEFINITIONS_MAX).filter_map(|item| {
        Some(Definition {
            id: item.get("id")?.as_str()?.parse().ok()?,
            name: text(item, "/name").unwrap_or_default(),
            file_path: text(item, "/config_source/file_path"),
            provider: text(item, "/config_source/provider"),
        })
    });
    Some(definitions.collect())
}

/// The definition to run: the `wanted` one by id or name; else the only one; else that of `.circleci/config.yml`, of
/// several such the GitHub App's. `Ok(None)` when the project has none, which CircleCI then chooses itself.
pub(super) fn choose(wanted: Option<&str>, definitions: &[Definition]) -> Result<Option<Uuid>, Undecided> {
    if let Some(wanted) = wanted {
        let by_id = wanted.parse::<Uuid>().ok().and_then(|id| definitions.iter().find(|known| known.id == id));
        if let Some(definition) = by_id {
            return Ok(Some(definition.id));
        }
        return only(definitions.iter().filter(|known| known.name == wanted)).map(Some);
    }
    if definitions.is_empty() {
        return Ok(None);
    }
    let usual = || definitions.iter().filter(|known| known.file_path.as_deref() == Some(USUAL_FILE));
    let choice = only(definitions.iter())
        .or_else(|_| only(usual()))
        .or_else(|_| only(usual().filter(|known| known.provider.as_deref() == Some(USUAL_PROVIDER))));
    // Whatever the last rule found, there are several to choose from.
    choice.map(Some).map_err(|_| Undecided::Ambiguous)
}

fn only<'a>(mut some: impl Iterator<Item = &'a Definition>) -> Result<Uuid, Undecided> {
    let first = some.next().ok_or(Undecided::NotFound)?;
    match some.next() {
        None => Ok(first.id),
        Some(_) => Err(Undecided::Ambiguous),
    }
}

/// The definitions for a person to choose from, in CircleCI's words.
pub(super) fn listed(definitions: &[Definition]) -> Option<String> {
    let mut names: Vec<String> = definitions
        .iter()
        .take(NAMED_MAX)
        .map(|known| {
            let name = said::word(&known.name, NAME_UNITS_MAX);
            match &known.file_path {
                Some(path) => format!("{name} ({}, {})", said::word(path, NAME_UNITS_MAX), known.id),
                None => format!("{name} ({})", known.id),
            }
        })
        .collect();
    if definitions.len() > NAMED_MAX {
        names.push(format!("and {} more", definitions.len() - NAMED_MAX));
    }
    (!names.is_empty()).then(|| names.join("; "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn definition(number: u128, name: &str, file_path: &str, provider: &str) -> Definition {
        Definition {
            id: Uuid::from_u128(number),
            name: name.to_owned(),
            file_path: Some(file_path.to_owned()),
            provider: Some(provider.to_owned()),
        }
    }

    #[test]
    fn the_table_of_choices() {
        let build = definition(1, "build", USUAL_FILE, "github_app");
        let oauth = definition(2, "classic", USUAL_FILE, "github_oauth");
        let deploy = definition(3, "deploy", ".circleci/deploy.yml", "github_app");
        let twin = definition(4, "deploy", ".circleci/twin.yml", "github_app");
        let all = [build.clone(), oauth.clone(), deploy.clone()];
        let id = deploy.id.to_string();
        let upper = id.to_uppercase();
        let chosen = |definition: &Definition| Ok(Some(definition.id));

        // A named one, by id or name, whatever else there is.
        assert_eq!(choose(Some(&id), &all), chosen(&deploy));
        assert_eq!(choose(Some(&upper), &all), chosen(&deploy));
        assert_eq!(choose(Some("deploy"), &all), chosen(&deploy));
        assert_eq!(choose(Some("gone"), &all), Err(Undecided::NotFound));
        assert_eq!(choose(Some("gone"), &[]), Err(Undecided::NotFound));
        assert_eq!(choose(Some("deploy"), &[deploy.clone(), twin.clone()]), Err(Undecided::Ambiguous));
        // The only one, even of another file.
        assert_eq!(choose(None, std::slice::from_ref(&deploy)), chosen(&deploy));
        // The usual file.
        assert_eq!(choose(None, &[deploy.clone(), oauth.clone()]), chosen(&oauth));
        // Several of the usual file: the GitHub App's.
        assert_eq!(choose(None, &all), chosen(&build));
        // Nothing to go by.
        assert_eq!(choose(None, &[deploy, twin]), Err(Undecided::Ambiguous));
        assert_eq!(choose(None, &[build.clone(), build]), Err(Undecided::Ambiguous));
        assert_eq!(choose(None, &[]), Ok(None));
    }

    #[test]
    fn what_is_no_definition_is_passed_over() {
        let id = Uuid::from_u128(1);
        let answer =
            json!({"items": [7, {"id": "x"}, {"name": "n"}, {"id": id.to_string(), "name": 7, "config_source": "?"}]});
        let read = read(&answer).unwrap();
        assert_eq!(read, [Definition { id, name: String::new(), file_path: None, provider: None }]);
        assert_eq!(super::read(&json!({"message": "no"})), None);
    }

    proptest! {
        #[test]
        fn a_choice_is_one_of_the_definitions(
            kinds in proptest::collection::vec(
                (0u128..4, "[ab]", "(\\.circleci/config\\.yml|x)", "(github_app|github_oauth)"),
                0..5,
            ),
            wanted in proptest::option::of("[abc]"),
        ) {
            let definitions: Vec<_> =
                kinds.iter().map(|(id, name, file, by)| definition(*id, name, file, by)).collect();
            match choose(wanted.as_deref(), &definitions) {
                Ok(Some(id)) => prop_assert!(definitions.iter().any(|known| known.id == id)),
                Ok(None) => prop_assert!(definitions.is_empty() && wanted.is_none()),
                Err(_) => prop_assert!(wanted.is_some() || definitions.len() > 1),
            }
        }
    }
}
