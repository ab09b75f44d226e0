//! What a CircleCI was seen to lack: a server has neither API v3 nor Insights, and answers 404, or 500 as to some paths
//! that only the cloud has. Learned by reads, project by project, and forgotten after a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::address::Slug;
use super::error::{self, ReadError};
use super::v2::Pipelines;
use crate::time::Timestamp;

/// How many projects are remembered.
const KNOWN_MAX: usize = 1_000;

/// A part of the API that a server may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// API v3.
    V3,
    /// `GET /insights/{slug}/branches`.
    Insights,
}

/// What is lacking, and since when that is known.
#[derive(Debug, Default)]
pub(super) struct Lacking(Mutex<HashMap<(Part, Slug), Timestamp>>);

impl Pipelines {
    /// Reads something unless it is known to be lacking; that it is, an answer tells.
    pub(super) async fn unless_lacking<T>(
        &self,
        part: Part,
        slug: &Slug,
        read: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        let now = self.http.clock.now();
        let key = (part, slug.clone());
        let seen = self.known_to_lack().get(&key).copied();
        if seen.is_some_and(|seen| now.since(seen) < self.http.patience.definitions) {
            return Err(ReadError::Unreadable { why: error::lacking() });
        }
        let result = read.await;
        let absent = match &result {
            Err(ReadError::Unavailable { status: Some(500), .. }) => true,
            Err(ReadError::Refused(refusal)) => refusal.status == Some(404),
            _ => false,
        };
        let mut known = self.known_to_lack();
        if absent {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(key, now);
        } else if result.is_ok() {
            known.remove(&key);
        }
        drop(known);
        result
    }

    fn known_to_lack(&self) -> std::sync::MutexGuard<'_, HashMap<(Part, Slug), Timestamp>> {
        self.lacking.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
