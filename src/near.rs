//! Which of some words somebody may have meant. Pure.

/// The words that are close to `typed`, or that it begins, the closest first.
pub fn near<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let typed = typed.to_lowercase();
    let mistakes_max = (typed.chars().count() / 3).clamp(1, 2);
    let mut close: Vec<(usize, &str)> = words
        .into_iter()
        .filter_map(|word| {
            let begun = typed.len() >= 2 && word.starts_with(&typed);
            let mistakes = if begun { 1 } else { strsim::levenshtein(&typed, word) };
            (mistakes <= mistakes_max).then_some((mistakes, word))
        })
        .collect();
    close.sort_by_key(|(mistakes, _)| *mistakes);
    close.into_iter().map(|(_, word)| word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_close_and_another_word_is_not() {
        let words = ["deploy", "permission", "repo", "help"];
        assert_eq!(near("depoly", words), ["deploy"]);
        assert_eq!(near("perm", words), ["permission"]);
        assert_eq!(near("Repo", words), ["repo"]);
        assert_eq!(near("status", words), [""; 0]);
    }
}
