//! What is noted of each block of a chain's entries, so that a search can pass it by: which values stand together in one of them. A
//! note may say so of values that don't, seldom, and never the opposite. Pure but for its store.
//!
//! How a note is made (the facets' order, the hash, the bits) is kept in databases: whoever changes it empties `audit_met` in a
//! migration, or `verify` takes every note for tampered with.

pub(super) mod store;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::Hasher;

use fnv::FnvHasher;

use super::chain::Row;

/// How many numbers are one block.
pub const BLOCK: i64 = 4_096;
/// Numbers that `audit_span` tells the times of together.
pub const SPAN: i64 = 1_024;
/// Bits of a note for each pair of values, and how many of them stand for one: one pair in seven hundred that isn't there seems to be.
const BITS: usize = 14;
const BITS_SET: u32 = 8;

/// A column whose values many entries have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    Actor,
    Name,
    Action,
    Outcome,
    Repo,
    Environment,
    Branch,
}

const FACETS: [Facet; 7] =
    [Facet::Actor, Facet::Name, Facet::Action, Facet::Outcome, Facet::Repo, Facet::Environment, Facet::Branch];

impl Facet {
    /// That of a column of `audit_log`.
    pub fn of(column: &str) -> Option<Self> {
        Some(match column {
            "actor_id" => Facet::Actor,
            "actor_name" => Facet::Name,
            "action" => Facet::Action,
            "outcome" => Facet::Outcome,
            "repo" => Facet::Repo,
            "environment" => Facet::Environment,
            "branch" => Facet::Branch,
            _ => return None,
        })
    }
}

/// A value of a facet. The letters A to Z count in either case, as they do to a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    /// Of which it is.
    pub facet: Facet,
    hash: u64,
}

impl Value {
    /// What stands for `text`.
    pub fn new(facet: Facet, text: &str) -> Self {
        let mut hasher = FnvHasher::default();
        text.bytes().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
        Self { facet, hash: hasher.finish() }
    }
}

/// Which two facets the values of a pair are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(usize);

/// Numbers below which all kinds are.
const KINDS: usize = FACETS.len() * FACETS.len();

impl Kind {
    fn new(one: Facet, other: Facet) -> Self {
        Self(one.min(other) as usize * FACETS.len() + one.max(other) as usize)
    }

    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |place: usize| FACETS[..place].iter().map(move |other| Self::new(FACETS[place], *other));
        (0..FACETS.len()).flat_map(of)
    }

    /// As it stands in the database.
    pub fn number(self) -> i64 {
        self.0 as i64
    }
}

/// Two values of different facets that stand together in an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// Of which facets.
    pub kind: Kind,
    mixed: u64,
}

impl Pair {
    /// These two, in either order.
    pub fn new(one: Value, other: Value) -> Self {
        // The finalizer of SplitMix64 (Steele, Lea, Flood 2014) over both: FNV's low bits alone would be too much alike.
        let mut mixed = one.min(other).hash.rotate_left(29) ^ one.max(other).hash;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self { kind: Kind::new(one.facet, other.facet), mixed: mixed ^ (mixed >> 31) }
    }

    /// All those of an entry.
    pub fn of(row: &Row) -> impl Iterator<Item = Self> {
        let value = |facet, text: Option<&str>| text.map(|text| Value::new(facet, text));
        let values = FACETS.map(|facet| match facet {
            Facet::Actor => value(facet, row.actor_id.as_deref()),
            Facet::Name => value(facet, row.actor_name.as_deref()),
            Facet::Action => value(facet, Some(&row.action)),
            Facet::Outcome => value(facet, Some(&row.outcome)),
            Facet::Repo => value(facet, row.repo.as_deref()),
            Facet::Environment => value(facet, row.environment.as_deref()),
            Facet::Branch => value(facet, row.branch.as_deref()),
        });
        let places = (0..values.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
        places.filter_map(move |(one, other)| Some(Self::new(values[one]?, values[other]?)))
    }

    /// Which bits stand for it among so many. A product's upper half instead of a remainder: a check asks for 168 of them at each entry.
    fn bits(self, of: u64) -> impl Iterator<Item = usize> {
        let (first, step) = ((self.mixed >> 32) as u32, self.mixed as u32 | 1);
        (0..BITS_SET).map(move |turn| ((u64::from(first.wrapping_add(turn.wrapping_mul(step))) * of) >> 32) as usize)
    }
}

/// The pairs of one kind of the entries of a block: a Bloom filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs(Vec<u8>);

impl Pairs {
    /// A note of these.
    pub fn noted(pairs: &HashSet<Pair>) -> Self {
        let mut bytes = vec![0; (pairs.len() * BITS).div_ceil(8).max(8)];
        let of = bytes.len() as u64 * 8;
        for bit in pairs.iter().flat_map(|pair| pair.bits(of)) {
            bytes[bit / 8] |= 1 << (bit % 8);
        }
        Self(bytes)
    }

    /// Whether an entry may have both. A note that is none excludes nothing.
    pub fn may_hold(&self, pair: Pair) -> bool {
        self.0.is_empty() || pair.bits(self.0.len() as u64 * 8).all(|bit| self.0[bit / 8] & (1 << (bit % 8)) != 0)
    }
}

/// What is noted of some entries, by their blocks: the times between which they lie, and the pairs.
#[derive(Debug, Default)]
pub struct Notes {
    spans: Vec<(i64, i64, i64)>,
    pairs: BTreeMap<i64, [Option<Pairs>; KINDS]>,
}

impl Notes {
    /// What the tables say: blocks with their first and last times, and blocks with a kind's pairs.
    fn new(spans: Vec<(i64, i64, i64)>, noted: impl IntoIterator<Item = (i64, i64, Pairs)>) -> Self {
        let mut pairs: BTreeMap<i64, [Option<Pairs>; KINDS]> = BTreeMap::new();
        for (block, kind, noted) in noted {
            let kinds = pairs.entry(block).or_insert_with(|| std::array::from_fn(|_| None));
            if let Some(kind) = usize::try_from(kind).ok().and_then(|kind| kinds.get_mut(kind)) {
                *kind = Some(noted);
            }
        }
        Self { spans, pairs }
    }

    /// The table, and which block of it, by which a search may pass by an entry of a chain that goes on to `newest`: none when nobody
    /// has changed them.
    pub fn hide(&self, row: &Row, newest: i64) -> Option<(&'static str, i64)> {
        let block = row.seq.div_euclid(SPAN);
        let is_whole = numbers(block, SPAN).1 <= newest.saturating_add(1);
        let is_within = match self.spans.iter().find(|span| span.0 == block) {
            Some((_, first, last)) => (*first..=*last).contains(&row.at),
            None => !is_whole,
        };
        if !is_within {
            return Some(("audit_span", block));
        }
        let block = row.seq.div_euclid(BLOCK);
        let is_there = self.pairs.get(&block).is_none_or(|kinds| {
            Pair::of(row).all(|pair| kinds[pair.kind.0].as_ref().is_none_or(|noted| noted.may_hold(pair)))
        });
        (!is_there).then_some(("audit_met", block))
    }
}

/// The numbers of a block of so many: the first one, and the one after the last. Whoever changes a log may have put any number there.
pub fn numbers(block: i64, of: i64) -> (i64, i64) {
    (block.saturating_mul(of), block.saturating_add(1).saturating_mul(of))
}

/// What is left of `ranges` (each from the first number to the one after the last) without the blocks `passed_by`, both lowest first.
pub fn without(ranges: &[(i64, i64)], passed_by: &BTreeSet<i64>) -> Vec<(i64, i64)> {
    let mut left = Vec::new();
    for &(mut first, end) in ranges {
        for block in passed_by {
            let (begins, ends) = numbers(*block, BLOCK);
            let (begins, ends) = (begins.max(first), ends.min(end));
            if begins < ends {
                left.push((first, begins));
                first = ends;
            }
        }
        left.push((first, end));
    }
    left.retain(|(first, end)| first < end);
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(number: usize) -> Pair {
        Pair::new(
            Value::new(Facet::Actor, &format!("actor {}", number % 97)),
            Value::new(Facet::Repo, &number.to_string()),
        )
    }

    #[test]
    fn what_stands_together_is_always_found_and_hardly_anything_else() {
        for count in [0, 1, 10, 1_000, 10_000] {
            let noted = Pairs::noted(&(0..count).map(pair).collect());
            assert!((0..count).all(|number| noted.may_hold(pair(number))), "{count}");
            let wrong = (count..count + 10_000).filter(|number| noted.may_hold(pair(*number))).count();
            assert!(wrong < 40, "{wrong} of 10,000 seem to stand among {count}");
        }
        assert!(Pairs(Vec::new()).may_hold(pair(1)));
    }

    #[test]
    fn the_order_and_the_case_of_letters_do_not_matter_and_the_column_does() {
        let (alice, web) = (Value::new(Facet::Name, "Alice"), Value::new(Facet::Repo, "acme/Web"));
        assert_eq!(
            Pair::new(alice, web),
            Pair::new(Value::new(Facet::Repo, "ACME/web"), Value::new(Facet::Name, "alice"))
        );
        assert_ne!(alice, Value::new(Facet::Repo, "alice"));
    }

    proptest! {
        #[test]
        fn nothing_but_blocks_is_passed_by(
            cuts in prop::collection::btree_set(0..10 * BLOCK, 0..8), gone in prop::collection::btree_set(0i64..10, 0..6)
        ) {
            let cuts: Vec<i64> = cuts.into_iter().collect();
            let ranges: Vec<(i64, i64)> = cuts.chunks_exact(2).map(|cut| (cut[0], cut[1])).collect();
            let left = without(&ranges, &gone);
            let within = |ranges: &[(i64, i64)], seq| ranges.iter().any(|range| (range.0..range.1).contains(&seq));
            for seq in cuts.iter().flat_map(|cut| [cut - 1, *cut, cut + 1]).chain((0..10).map(|block| block * BLOCK)) {
                prop_assert_eq!(within(&left, seq), within(&ranges, seq) && !gone.contains(&seq.div_euclid(BLOCK)), "{}", seq);
            }
            prop_assert!(left.windows(2).all(|two| two[0].1 < two[1].0));
        }
    }
}
