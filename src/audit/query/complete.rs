//! What could stand next in a query that is being typed. Knows nothing of who types it.

use super::{KEYS, Kind};

/// The whole query with each term that its last word may become, `saved` being the names of saved queries.
pub fn complete(typed: &str, saved: &[String]) -> Vec<String> {
    let begins = typed.char_indices().rfind(|(_, c)| c.is_whitespace()).map_or(0, |(at, space)| at + space.len_utf8());
    let (before, word) = typed.split_at(begins);
    let (sign, word) = word.strip_prefix('-').map_or(("", word), |word| ("-", word));
    let terms: Vec<String> = match word.split_once(':') {
        Some((key, value)) => {
            // Of a list the last one is being typed.
            let listed = value.rsplit_once(',').map_or("", |(listed, _)| listed);
            let comma = if listed.is_empty() { "" } else { "," };
            values(key).iter().map(|value| format!("{key}:{listed}{comma}{value}")).collect()
        }
        None => {
            let saved = saved.iter().filter(|_| sign.is_empty()).map(|name| format!("@{name}"));
            KEYS.iter().map(|key| format!("{}:", key.word)).chain(saved).collect()
        }
    };
    let fits = |term: &String| term.to_lowercase().starts_with(&word.to_lowercase());
    terms.into_iter().filter(fits).map(|term| format!("{before}{sign}{term}")).collect()
}

fn values(key: &str) -> Vec<&'static str> {
    match KEYS.iter().find(|known| known.word.eq_ignore_ascii_case(key)).map(|known| known.kind) {
        Some(Kind::Since) => vec!["24h", "7d", "30d"],
        Some(kind) => kind.words(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_and_saved_queries_are_offered_behind_what_stands_already() {
        let saved = ["weekly".to_owned()];
        assert_eq!(complete("since:7d out", &saved), ["since:7d outcome:"]);
        assert_eq!(complete("-outcome:failed,er", &saved), ["-outcome:failed,error"]);
        assert_eq!(complete("repo:acme/* @", &saved), ["repo:acme/* @weekly"]);
        assert_eq!(complete("action:policy", &saved), ["action:policy.applied"]);
        assert!(complete("", &saved).contains(&"actor:".to_owned()));
        assert_eq!(complete("nothing:x", &saved), [""; 0]);
    }
}
