//! A bot's process as the kernel accounts for it (proc(5)): processor time, memory, and a good end. Linux only.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `/proc/PID/stat` counts in these: `sysconf(_SC_CLK_TCK)` is 100 on every Linux that there is.
const TICKS_A_SECOND: u32 = 100;
/// How long a bot may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What a process takes of the machine's memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident set: what `ps` and `top` show.
    pub rss: u64,
    /// Proportional set: pages shared with other processes count in part.
    pub pss: u64,
}

/// A bot.
pub struct Process(Child);

impl Process {
    /// Starts it; what it says goes to a file.
    pub fn start(command: &mut Command, log: &str) -> Self {
        let log = fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?} can't be started: {error}")))
    }

    /// The processor time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        cpu(&self.0.id().to_string())
    }

    /// The same of this process, which is the stage.
    pub fn own_cpu() -> Duration {
        cpu("self")
    }

    /// What it takes now.
    pub fn memory(&self) -> Memory {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id())).unwrap();
        let of = |name: &str| {
            let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
        };
        Memory { rss: of("Rss:"), pss: of("Pss:") }
    }

    /// Asks it to end, as a service manager does, and ends it if it doesn't.
    pub fn stop(mut self) {
        let asked = Instant::now();
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        while asked.elapsed() < END_WITHIN {
            if self.0.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cpu(pid: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field is the name in parentheses, which may hold spaces; utime and stime are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u32 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().unwrap()).sum();
    Duration::from_secs(1) * ticks / TICKS_A_SECOND
}
