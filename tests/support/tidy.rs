//! What differs from run to run in what people see, found in text. It must not know the stage.

/// Whether it is a whole commit hash.
pub fn is_commit(word: &str) -> bool {
    word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub fn is_short(word: &str) -> bool {
    word.len() == 7 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub fn replace_between(text: &str, before: &str, after: &str, with: &str) -> String {
    let mut tidy = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(before) {
        tidy.push_str(&rest[..at]);
        tidy.push_str(with);
        rest = rest[at..].find(after).map_or("", |end| &rest[at + end + after.len()..]);
    }
    tidy + rest
}
