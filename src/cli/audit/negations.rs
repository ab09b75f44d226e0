//! Terms that begin with a negation, among arguments where a parser of command lines takes what begins with a hyphen for an option.

use std::ffi::OsString;

/// The arguments of this process, the terms of `slipway audit search` and `export` that begin with a negation put behind `--`. Terms are
/// and-ed, so their order means nothing. Of an option's letter (`-h`) and of whole words (`--limit`) nothing is changed.
pub fn last(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut kept: Vec<OsString> = arguments.into_iter().collect();
    let asks = kept.get(1).is_some_and(|word| word == "audit")
        && kept.get(2).is_some_and(|word| word == "search" || word == "export");
    if !asks {
        return kept;
    }
    let end = kept.iter().position(|argument| argument == "--").unwrap_or(kept.len());
    let behind = kept.split_off(end);
    let (negations, mut kept): (Vec<OsString>, Vec<OsString>) = kept.into_iter().partition(is_negation);
    if !negations.is_empty() || !behind.is_empty() {
        kept.push("--".into());
        kept.extend(negations);
        kept.extend(behind.into_iter().skip(1));
    }
    kept
}

fn is_negation(argument: &OsString) -> bool {
    let bytes = argument.as_encoded_bytes();
    bytes.len() > 2 && bytes.starts_with(b"-") && !bytes.starts_with(b"--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negation_is_a_term_wherever_it_stands() {
        for (typed, read) in [
            ("audit search -outcome:allowed --limit 5 since:7d", "audit search --limit 5 since:7d -- -outcome:allowed"),
            ("audit search -a:b -- -c:d --e", "audit search -- -a:b -c:d --e"),
            ("audit export --format csv -- -c:d", "audit export --format csv -- -c:d"),
            ("audit search -h", "audit search -h"),
            ("audit search since:7d --limt 5", "audit search since:7d --limt 5"),
            ("audit verify -head", "audit verify -head"),
            ("deploy -x:y", "deploy -x:y"),
            ("", ""),
        ] {
            let arguments = ["slipway"].into_iter().chain(typed.split_whitespace()).map(OsString::from);
            let expected = ["slipway"].into_iter().chain(read.split_whitespace()).map(OsString::from);
            assert_eq!(last(arguments), expected.collect::<Vec<_>>(), "{typed}");
        }
    }
}
