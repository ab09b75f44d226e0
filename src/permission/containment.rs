//! Whether every text that one glob matches is matched by another too, and whether any is matched by both: decided on the
//! automata that the globs are, so that neither a clever pattern nor an odd one is taken for what it isn't. Pure.

use std::collections::HashSet;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};

/// How many pairs of states are looked at: far more than patterns that people write have, and done in some milliseconds.
const PAIRS_MAX: usize = 4_096;

/// A glob's regular expression as an automaton that says for a whole text whether it matches.
struct Automaton {
    dfa: DFA,
    cache: Cache,
}

impl Automaton {
    fn new(expression: &str) -> Option<Self> {
        let config = DFA::config().match_kind(MatchKind::All).cache_capacity(16 * 1024 * 1024);
        let dfa = DFA::builder()
            .configure(config)
            .syntax(syntax::Config::new().utf8(false))
            .thompson(thompson::Config::new().utf8(false))
            .build(expression)
            .ok()?;
        let cache = dfa.create_cache();
        Some(Self { dfa, cache })
    }

    fn start(&mut self) -> Option<LazyStateID> {
        self.dfa.start_state(&mut self.cache, &start::Config::new().anchored(Anchored::Yes)).ok()
    }

    fn next(&mut self, state: LazyStateID, byte: u8) -> Option<LazyStateID> {
        self.dfa.next_state(&mut self.cache, state, byte).ok()
    }

    /// Whether a text that has led to this state is matched.
    fn matches_at(&mut self, state: LazyStateID) -> Option<bool> {
        Some(self.dfa.next_eoi_state(&mut self.cache, state).ok()?.is_match())
    }

    /// A state's name means another one once the cache has been cleared.
    fn is_reliable(&self) -> bool {
        self.cache.clear_count() == 0
    }
}

/// Whether everything that `inner` matches is matched by `outer` too. Both are a glob's regular expression; nothing when that
/// would take too long to say.
pub fn is_inside(inner: &str, outer: &str) -> Option<bool> {
    walk(inner, outer, |inner, outer| inner && !outer).map(|found| !found)
}

/// Whether some text is matched by both.
pub fn overlap(a: &str, b: &str) -> Option<bool> {
    walk(a, b, |a, b| a && b)
}

/// Whether `wanted` holds for some text, by whether each of the two matches it. A text that the first one can't match any more
/// is of no interest to either question.
fn walk(first: &str, second: &str, wanted: impl Fn(bool, bool) -> bool) -> Option<bool> {
    let (mut first, mut second) = (Automaton::new(first)?, Automaton::new(second)?);
    let begin = (first.start()?, second.start()?);
    let bytes = representatives(&first.dfa, &second.dfa);
    let (mut seen, mut to_see) = (HashSet::from([begin]), vec![begin]);
    while let Some((a, b)) = to_see.pop() {
        if wanted(first.matches_at(a)?, second.matches_at(b)?) {
            return first_reliable(&first, &second, true);
        }
        for byte in &bytes {
            let next = (first.next(a, *byte)?, second.next(b, *byte)?);
            if !next.0.is_dead() && seen.insert(next) {
                to_see.push(next);
            }
        }
        if seen.len() > PAIRS_MAX {
            return None;
        }
    }
    first_reliable(&first, &second, false)
}

fn first_reliable(first: &Automaton, second: &Automaton, answer: bool) -> Option<bool> {
    (first.is_reliable() && second.is_reliable()).then_some(answer)
}

/// One byte of each kind that either automaton tells apart.
fn representatives(first: &DFA, second: &DFA) -> Vec<u8> {
    let mut kinds = HashSet::new();
    let (first, second) = (first.byte_classes(), second.byte_classes());
    (0..=u8::MAX).filter(|byte| kinds.insert((first.get(*byte), second.get(*byte)))).collect()
}
