//! Secrets in a build's output, recognized by their form and replaced. Pure. It would rather mask a word too many than
//! show a secret; a commit's id and a UUID stay, because people look for them.

/// What stands in the place of a secret.
const MASKED: &str = "[masked]";

/// How a name is written, in lower case and without separators, of what is a secret.
const NAMES: [&str; 9] =
    ["token", "password", "passwd", "pwd", "passphrase", "secret", "credential", "authorization", "signature"];
/// Parameters of addresses that let in whoever knows them, besides those of a secret name.
const QUERY_NAMES: [&str; 4] = ["sig", "code", "auth", "jwt"];
/// How tokens of well-known services begin.
const PREFIXES: [&str; 23] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "xoxa-",
    "xoxb-",
    "xoxe-",
    "xoxo-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "CCIPAT_",
    "CCIPRJ_",
    "npm_",
    "dop_v1_",
    "sk_live_",
    "rk_live_",
    "hvs.",
    "pypi-",
];
/// Others, of which the rest must look like a key's id too.
const KEY_IDS: [&str; 4] = ["AKIA", "ASIA", "AROA", "AIza"];
/// How long a token is at least after its beginning, in characters.
const AFTER_PREFIX_MIN: usize = 8;
/// From how many characters on a word without a meaning counts as a secret.
const RANDOM_CHARS_MIN: usize = 32;

/// The lines of an output with every secret masked.
pub(super) fn lines(lines: Vec<String>) -> Vec<String> {
    without_private_keys(lines).iter().map(|masked| line(masked)).collect()
}

/// One line with every secret masked.
pub(super) fn line(line: &str) -> String {
    words(&addresses(&assignments(&schemes(line))))
}

/// PEM blocks of private keys become one line; one whose beginning is cut off, too.
fn without_private_keys(lines: Vec<String>) -> Vec<String> {
    let (mut kept, mut inside) = (Vec::with_capacity(lines.len()), false);
    for line in lines {
        let marks = |word: &str| line.find(word).filter(|at| line[*at..].contains("PRIVATE KEY"));
        match (marks("-----BEGIN"), marks("-----END")) {
            (Some(at), end) => {
                kept.push(format!("{}{MASKED}", &line[..at]));
                inside = end.is_none();
            }
            (None, Some(_)) if inside => inside = false,
            (None, Some(_)) => {
                let body = |line: &String| {
                    let line = line.trim();
                    !line.is_empty() && line.chars().all(is_base64)
                };
                while kept.last().is_some_and(body) {
                    kept.pop();
                }
                kept.push(MASKED.to_owned());
            }
            (None, None) if inside => {}
            (None, None) => kept.push(line),
        }
    }
    kept
}

/// What follows `Authorization:`, `Bearer` and `Basic`.
fn schemes(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((at, len)) = first_scheme(rest) {
        let (before, after) = rest.split_at(at + len);
        masked.push_str(before);
        let gap = after.len() - after.trim_start().len();
        masked.push_str(&after[..gap]);
        let after = &after[gap..];
        let end = after.find(|c: char| c.is_whitespace() || "\"'`,;)".contains(c)).unwrap_or(after.len());
        // `bearer of bad news` is no header.
        let looks = end >= AFTER_PREFIX_MIN && after[..end].chars().any(|c| !c.is_ascii_lowercase());
        masked.push_str(if looks { MASKED } else { &after[..end] });
        rest = &after[end..];
    }
    masked.push_str(rest);
    masked
}

/// Where a scheme of HTTP authentication stands, as a word of its own before a space.
fn first_scheme(line: &str) -> Option<(usize, usize)> {
    let lower = line.to_ascii_lowercase();
    let find = |word: &str| lower.find(word).map(|at| (at, word.len()));
    [find("bearer "), find("basic "), find("token ")].into_iter().flatten().min()
}

/// The values of what has a secret's name: `A_TOKEN=x`, `"password": "x"`, `secret: x`, `--api-key x`.
fn assignments(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(is_name) {
        let end = rest[start..].find(|c| !is_name(c)).map_or(rest.len(), |length| start + length);
        let name = &rest[start..end];
        let value = if is_secret_name(name) { value_after(name, &rest[end..]) } else { None };
        let Some((gap, length)) = value else {
            masked.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        };
        masked.push_str(&rest[..end + gap]);
        masked.push_str(MASKED);
        rest = &rest[end + gap + length..];
    }
    masked.push_str(rest);
    masked
}

/// Where the value of a name begins in what follows it, and how long it is; `None` when there is none.
fn value_after(name: &str, after: &str) -> Option<(usize, usize)> {
    // The quote that closes the name, the sign, and the spaces around it.
    let at_sign = after.trim_start_matches(['"', '\'', '`', '\\', ']']).trim_start();
    let signs = at_sign.len() - at_sign.trim_start_matches([':', '=', '>']).len();
    let flag = name.starts_with('-') && after.starts_with(char::is_whitespace);
    if signs == 0 && !flag {
        return None;
    }
    let value = at_sign[signs..].trim_start();
    let value = value.strip_prefix('\\').unwrap_or(value);
    let quote = value.chars().next().filter(|c| "\"'`".contains(*c));
    let begin = after.len() - value.len() + quote.map_or(0, char::len_utf8);
    let value = &after[begin..];
    let length = match quote {
        Some(quote) => end_of_quote(value, quote),
        None => value.find(|c: char| c.is_whitespace() || "\"'`,;)}&|".contains(c)).unwrap_or(value.len()),
    };
    // An address with a query is dealt with as such; a flag may be followed by another one.
    let empty = length == 0 || (flag && signs == 0 && value.starts_with('-'));
    (!empty && !value.starts_with(MASKED)).then_some((begin, length))
}

/// How long a quoted text is, by the first quote that is not escaped; without one, to the end.
fn end_of_quote(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at,
            _ => {}
        }
    }
    text.len()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.".contains(c)
}

fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    // `key` alone is the end of many a harmless word, so it must be a part of the name.
    let key = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let part = lower.strip_suffix("key").or_else(|| lower.strip_suffix("keys"));
        part.is_some_and(|before| before.is_empty() || before.ends_with(['_', '-', '.', 'i']) || name.contains("Key"))
    };
    NAMES.iter().any(|secret| plain.contains(secret)) || key(name)
}

/// User names and passwords, and secret parameters, of addresses.
fn addresses(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c)).unwrap_or(after.len());
        address(&after[..end], &mut masked);
        rest = &after[end..];
    }
    masked.push_str(rest);
    masked
}

fn address(address: &str, masked: &mut String) {
    let authority = address.find(['/', '?', '#']).unwrap_or(address.len());
    let (host, rest) = address.split_at(authority);
    match host.rfind('@') {
        Some(at) => masked.extend([MASKED, &host[at..]]),
        None => masked.push_str(host),
    }
    let query = rest.find(['?', '#']).map_or(rest.len(), |at| at + 1);
    masked.push_str(&rest[..query]);
    for pair in rest[query..].split_inclusive(['&', ';']) {
        let (pair, sign) = match pair.char_indices().next_back() {
            Some((at, '&' | ';')) => pair.split_at(at),
            _ => (pair, ""),
        };
        match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_secret_parameter(name) => {
                masked.extend([name, "=", MASKED]);
            }
            _ => masked.push_str(pair),
        }
        masked.push_str(sign);
    }
}

fn is_secret_parameter(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.starts_with("x-amz-")
        || lower.starts_with("x-goog-")
        || QUERY_NAMES.contains(&lower.as_str())
        || is_secret_name(name)
}

/// Words that are secrets by themselves.
fn words(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(is_token) {
        let end = rest[start..].find(|c| !is_token(c)).map_or(rest.len(), |length| start + length);
        masked.push_str(&rest[..start]);
        word(&rest[start..end], &mut masked);
        rest = &rest[end..];
    }
    masked.push_str(rest);
    masked
}

/// One word: a token that begins as such, a JSON web token, or what looks drawn by lot.
fn word(word: &str, masked: &mut String) {
    let known = PREFIXES.iter().filter_map(|prefix| word.find(prefix).map(|at| (at, prefix.len())));
    let ids = KEY_IDS.iter().filter_map(|prefix| {
        let at = word.find(prefix)?;
        let rest = &word[at + prefix.len()..];
        (rest.bytes().take_while(u8::is_ascii_alphanumeric).count() >= 12).then_some((at, prefix.len()))
    });
    let token = known.chain(ids).filter(|(at, length)| word.len() - at - length >= AFTER_PREFIX_MIN).min();
    if let Some((at, _)) = token {
        masked.extend([&word[..at], MASKED]);
        return;
    }
    if let Some(at) = word.find("eyJ").filter(|at| word[*at..].matches('.').count() >= 2 && word.len() - at >= 20) {
        masked.extend([&word[..at], MASKED]);
        return;
    }
    // A dot parts words as a file's name has them; what is drawn by lot has none.
    for (index, part) in word.split('.').enumerate() {
        if index > 0 {
            masked.push('.');
        }
        masked.push_str(if is_random(part) { MASKED } else { part });
    }
}

fn is_token(c: char) -> bool {
    is_base64(c) || c == '.'
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=_-".contains(c)
}

/// Whether a word is long and changes between letters, capitals and digits as no name does.
fn is_random(word: &str) -> bool {
    let word = word.trim_matches(['-', '_', '=', '/']);
    if word.len() < RANDOM_CHARS_MIN || is_commit_or_uuid(word) {
        return false;
    }
    if word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    }
    let kind = |byte: u8| match byte {
        b'a'..=b'z' => Some(0u8),
        b'A'..=b'Z' => Some(1),
        b'0'..=b'9' => Some(2),
        b'+' => Some(3),
        _ => None,
    };
    let bytes = word.as_bytes();
    let changes = bytes.windows(2).filter(|pair| match (kind(pair[0]), kind(pair[1])) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    });
    // One in five; names in several words, with numbers, have less than one in eight.
    changes.count() * 5 >= bytes.len()
}

fn is_commit_or_uuid(word: &str) -> bool {
    let hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let groups: Vec<&str> = word.split('-').collect();
    let is_uuid = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|group| hex(group));
    is_uuid || (word.len() == 40 && hex(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_masked_in_every_form() {
        for (raw, shown) in [
            ("NPM_TOKEN=abc123 npm publish", "NPM_TOKEN=[masked] npm publish"),
            ("export DB_PASSWORD='a b\\'c' X=1", "export DB_PASSWORD='[masked]' X=1"),
            (r#"{"apiKey": "abc", "user": "bob"}"#, r#"{"apiKey": "[masked]", "user": "bob"}"#),
            ("  client_secret: hunter2", "  client_secret: [masked]"),
            ("mysql --user root --password hunter2 -h db", "mysql --user root --password [masked] -h db"),
            ("deploy --api-key=hunter2", "deploy --api-key=[masked]"),
            ("> Authorization: Bearer abc.DEF-123456", "> Authorization: [masked] [masked]"),
            ("curl -H 'Circle-Token: abc12345'", "curl -H 'Circle-Token: [masked]'"),
            ("used bearer AbCdEf123456 there", "used bearer [masked] there"),
            ("git clone https://bob:hunter2@github.com/acme/web", "git clone https://[masked]@github.com/acme/web"),
            (
                "GET https://s3.example.com/x?X-Amz-Signature=abc&part=1&token=d#top",
                "GET https://s3.example.com/x?X-Amz-Signature=[masked]&part=1&token=[masked]",
            ),
            ("login with ghp_abcdefgh0123", "login with [masked]"),
            ("xoxb-1234567890-abc AKIAIOSFODNN7EXAMPLE", "[masked] [masked]"),
            ("CCIPAT_abcdefghijk eyJhbGciOiJI.eyJzdWIiOi.SflKxwRJ", "[masked] [masked]"),
            ("key is wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY ok", "key is [masked] ok"),
            ("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "sha256:[masked]"),
        ] {
            assert_eq!(line(raw), shown);
        }
    }

    #[test]
    fn what_people_look_for_stays() {
        for kept in [
            "HEAD is now at 1dc6aa69429bff4806ad6afe58d3d8f57e25973e Fix the key of the cache",
            "deploy 018f3b4c-9a7e-7c31-8f5e-0123456789ab",
            "/home/circleci/project/node_modules/.pnpm/webpack@5.88.2/lib/NormalModuleFactory.js:12",
            "error[E0277]: the trait bound `Foo: std::fmt::Display` is not satisfied",
            "pulled registry.example.com/acme/my-application-server:release-2026-11-24-build-130",
            "================================================================",
            "AssertionError: expected 200 to equal 503 (monkey=george)",
            "see https://app.circleci.com/pipelines/github/acme/web/130?branch=main",
            "a basic understanding of token rings",
        ] {
            assert_eq!(line(kept), kept);
        }
    }

    #[test]
    fn private_keys_are_masked_with_and_without_their_beginning() {
        let own = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        let block =
            own(&["a", "-----BEGIN RSA PRIVATE KEY-----", "MIIE", "abcd", "-----END RSA PRIVATE KEY-----", "b"]);
        assert_eq!(lines(block.clone()), ["a", "[masked]", "b"]);
        assert_eq!(lines(block[2..].to_vec()), ["[masked]", "b"]);
        assert_eq!(lines(block[..3].to_vec()), ["a", "[masked]"]);
    }

    proptest! {
        #[test]
        fn no_long_random_word_is_shown(word in "[A-Za-z0-9]{40,80}", before in "( |x=|\"|/|: )?") {
            // A word of few letters, to which a failure would be shrunk, is none that was drawn by lot.
            prop_assume!(word.bytes().collect::<std::collections::HashSet<_>>().len() > 20);
            prop_assume!(!is_commit_or_uuid(&word));
            let shown = line(&format!("out {before}{word} end"));
            prop_assert!(!shown.contains(&word[4..36]), "{}", shown);
        }

        #[test]
        fn no_value_of_a_secret_name_is_shown(value in "[a-zA-Z0-9+/_.~!-]{3,40}", form in 0usize..7) {
            let value = format!("zq{value}");
            let raw = [
                format!("MY_TOKEN={value}"), format!("MY_PASSWORD='{value}'"), format!("{{\"secret\":\"{value}\"}}"),
                format!("api_key: {value}"), format!("--password {value}"), format!("--token={value}"),
                format!("https://x.example/?access_token={value}&a=1"),
            ];
            prop_assert!(!line(&raw[form]).contains(&value), "{}", line(&raw[form]));
        }

        #[test]
        fn no_line_panics(text in "(\\PC|[=:\"'\\\\@?&]|://|token|Bearer |key|-----BEGIN PRIVATE KEY-----){0,80}") {
            let _ = line(&text);
            let _ = lines(vec![text.clone(), text]);
        }
    }
}
