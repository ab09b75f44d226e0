//! Counts the changes of rules, repositories and environments, so that nobody goes on believing what was read before one.
//! Knows neither the database nor what is changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The changes of this process; clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    under_way: AtomicUsize,
    ended: AtomicU64,
}

/// A change that is under way until this is dropped: hold it from before the transaction begins until it is committed.
#[derive(Debug)]
pub struct Changing<'a>(&'a Count);

/// How many changes there had been at a moment at which none was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unchanged(u64);

impl Changes {
    /// A change begins.
    pub fn begin(&self) -> Changing<'_> {
        self.0.under_way.fetch_add(1, Ordering::SeqCst);
        Changing(&self.0)
    }

    /// The moment, to be compared with an earlier or a later one; none while a change is under way.
    pub fn now(&self) -> Option<Unchanged> {
        let ended = self.0.ended.load(Ordering::SeqCst);
        (self.0.under_way.load(Ordering::SeqCst) == 0).then_some(Unchanged(ended))
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        // In this order: whoever sees that none is under way sees the new count, too.
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_or_during_a_change_is_not_believed_after_it() {
        let changes = Changes::default();
        let before = changes.now();
        assert_eq!(changes.now(), before);
        let changing = changes.begin();
        assert_eq!(changes.now(), None);
        drop(changing);
        assert!(changes.now().is_some() && changes.now() != before);
    }
}
