//! What was measured of one bot, and the numbers that stand for it. It must not know how it was measured nor how it is shown.

use std::time::Duration;

use super::process::Memory;

/// How many people deploy in the same moment, and how often in one turn.
pub struct Load {
    pub people: usize,
    pub waves: usize,
}

/// Several hundred deploys a run each.
pub const LOADS: [Load; 3] =
    [Load { people: 1, waves: 150 }, Load { people: 20, waves: 12 }, Load { people: 50, waves: 8 }];

/// The measurements of all turns of one bot.
#[derive(Default)]
pub struct Figures {
    /// From the start of the process to its session on the gateway, for each turn.
    pub ready: Vec<Duration>,
    /// Connected and idle, for each turn.
    pub idle: Vec<Memory>,
    /// After the last deploy, for each turn.
    pub after: Vec<Memory>,
    /// From each event to its acknowledgement, for each of [`LOADS`].
    pub acknowledged: [Vec<Duration>; LOADS.len()],
    /// Processor time of the bot, and of the stage meanwhile, over this many deploys.
    pub cpu: Duration,
    pub stage_cpu: Duration,
    pub deploys: usize,
}

impl Figures {
    /// Start to ready in milliseconds: the median turn.
    pub fn ready_ms(&self) -> f64 {
        milliseconds(quantile(&self.ready, 0.5))
    }

    /// Idle resident memory in megabytes: the median turn.
    pub fn idle_rss_mb(&self) -> f64 {
        megabytes(self.idle.iter().map(|memory| memory.rss).collect())
    }

    /// The same as a proportional set.
    pub fn idle_pss_mb(&self) -> f64 {
        megabytes(self.idle.iter().map(|memory| memory.pss).collect())
    }

    /// Resident memory after the deploys.
    pub fn after_rss_mb(&self) -> f64 {
        megabytes(self.after.iter().map(|memory| memory.rss).collect())
    }

    /// Milliseconds to the acknowledgement at this load, for a quantile of the people.
    pub fn acknowledged_ms(&self, load: usize, share: f64) -> f64 {
        milliseconds(quantile(&self.acknowledged[load], share))
    }

    /// Milliseconds of processor time for one deploy.
    pub fn cpu_ms(&self) -> f64 {
        milliseconds(self.cpu) / self.deploys as f64
    }

    /// The same, of the stage.
    pub fn stage_cpu_ms(&self) -> f64 {
        milliseconds(self.stage_cpu) / self.deploys as f64
    }
}

/// The smallest value that this share of all values does not exceed.
pub fn quantile<T: Copy + Ord>(values: &[T], share: f64) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn megabytes(bytes: Vec<u64>) -> f64 {
    quantile(&bytes, 0.5) as f64 / 1_000_000.0
}
