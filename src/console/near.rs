//! Which of some words somebody may have meant. Pure.

/// The words that are close to `typed`, or that it begins, the closest first.
pub fn near<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let typed = typed.to_lowercase();
    let mistakes_max = (typed.chars().count() / 3).clamp(1, 2);
    let mut close: Vec<(usize, &str)> = words
        .into_iter()
        .filter_map(|word| {
            let begun = typed.len() >= 2 && word.starts_with(&typed);
            let mistakes = if begun { 1 } else { distance(&typed, word) };
            (mistakes <= mistakes_max).then_some((mistakes, word))
        })
        .collect();
    close.sort_by_key(|(mistakes, _)| *mistakes);
    close.into_iter().map(|(_, word)| word).collect()
}

/// Levenshtein's distance: how many letters must be put in, taken out or exchanged.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
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
        assert_eq!((distance("", "abc"), distance("kitten", "sitting"), distance("same", "same")), (3, 3, 0));
    }
}
