//! A measured process, looked at from outside: what `/proc` tells of it while it runs, and once more when it has ended
//! and nobody has asked for its exit code yet. Nothing is asked of the program itself.

use crate::failure::Failure;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The unit in which Linux tells processor time: the same on all machines that matter since 2.6.
const TICKS_EACH_SECOND: f64 = 100.0;

/// A process that ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    started: Instant,
    log: PathBuf,
    latest: Usage,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of processor time in the program, and in the kernel for it.
    pub(crate) user_s: f64,
    pub(crate) system_s: f64,
    /// Seconds since its start.
    pub(crate) wall_s: f64,
    /// The most memory that it had resident, in MB of a million bytes.
    pub(crate) peak_mb: f64,
    /// Whether it has ended.
    pub(crate) ended: bool,
}

impl Usage {
    /// Seconds of processor time.
    pub(crate) fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }
}

impl Process {
    /// Starts a program whose output goes to a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Process, Failure> {
        let place = || format!("log {}", log.display());
        let output = File::create(log).map_err(|e| Failure::at(place(), e))?;
        let errors = output.try_clone().map_err(|e| Failure::at(place(), e))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|e| Failure(format!("`{program}` cannot be started: {e}")))?;
        Ok(Process { child, started: Instant::now(), log: log.to_owned(), latest: Usage::default() })
    }

    /// What it has used until now.
    pub(crate) fn usage(&mut self) -> Result<Usage, Failure> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let wall_s = self.started.elapsed().as_secs_f64();
        let stat = fs::read_to_string(folder.join("stat")).map_err(|e| Failure::at(folder.display(), e))?;
        let Some((ended, user, system)) = times(&stat) else {
            return Err(Failure(format!("{}/stat is not as expected: {stat}", folder.display())));
        };
        // A process that has ended has no memory to tell of.
        let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
        let peak_mb = peak(&status).unwrap_or_default().max(self.latest.peak_mb);
        let (user_s, system_s) = (user as f64 / TICKS_EACH_SECOND, system as f64 / TICKS_EACH_SECOND);
        self.latest = Usage { user_s, system_s, wall_s, peak_mb, ended };
        Ok(self.latest)
    }

    /// How many bytes it has handed to disks so far.
    pub(crate) fn written_bytes(&self) -> Result<u64, Failure> {
        let path = format!("/proc/{}/io", self.child.id());
        let text = fs::read_to_string(&path).map_err(|e| Failure::at(&path, e))?;
        let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"));
        let bytes = line.and_then(|bytes| bytes.trim().parse().ok());
        bytes.ok_or_else(|| Failure(format!("{path} tells no bytes written: {text}")))
    }

    /// Asks it to end in good order.
    pub(crate) fn ask_to_end(&self) -> Result<(), Failure> {
        // The shell's own `kill`: a minimal system has no other.
        let id = self.child.id().to_string();
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &id]).status();
        match asked {
            Ok(status) if status.success() => Ok(()),
            _ => Err(Failure(format!("process {id} cannot be asked to end"))),
        }
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Takes note of an end that `usage` has told; a failure where it was not a good one.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        let status = self.child.wait().map_err(|e| Failure::at("a measured process", e))?;
        if status.success() {
            return Ok(());
        }
        Err(self.failure(format!("it ended with {status}")))
    }

    /// A failure with the last lines of the log.
    pub(crate) fn failure(&self, what: impl std::fmt::Display) -> Failure {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n    ");
        Failure(format!("{what}; its last words, in {}:\n    {last}", self.log.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits between two looks at a process.
pub(crate) fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// From `/proc/ID/stat`: whether it has ended, and its ticks in the program and in the kernel.
fn times(stat: &str) -> Option<(bool, u64, u64)> {
    // The name of the program stands in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some((matches!(*fields.first()?, "Z" | "X"), fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?))
}

/// From `/proc/ID/status`: the most that was resident.
fn peak(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::{Process, pause, peak, times};
    use std::process::Command;

    #[test]
    fn what_linux_tells_is_read() {
        let stat = "42 (a) b) R 1 42 42 0 -1 4194304 90 0 0 0 250 31 0 0 20 0 9 0 100 1 2";
        assert_eq!(times(stat), Some((false, 250, 31)));
        assert_eq!(times(&stat.replace(") R", ") Z")), Some((true, 250, 31)));
        assert_eq!(peak("VmPeak:\t  900 kB\nVmHWM:\t    1000 kB\n"), Some(1.024));
    }

    #[test]
    fn times_outlive_the_process_until_it_is_taken_note_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 3"]);
        let mut process = Process::start(command, &folder.path().join("log")).expect("a shell");
        let last = loop {
            let usage = process.usage().expect("it is there");
            if usage.ended {
                break usage;
            }
            pause(1);
        };
        assert!(last.cpu_s() > 0.0 && last.peak_mb > 0.0, "{last:?}");
        assert!(process.end().expect_err("a bad end").to_string().contains("exit status: 3"));
    }
}
