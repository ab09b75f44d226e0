//! How a team deploys, in numbers: the four measures of DORA as far as what Slipway knows goes, and a picture of them. `docs/stats.md`
//! defines each.

pub mod chart;
pub mod measure;
pub mod service;
mod store;

pub use measure::{Figures, Known};
pub use service::{Asked, Measured, Stats};
