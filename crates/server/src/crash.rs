//! Points at which a process kills itself, so that a test can see what a restart makes of it. Without
//! `VITALSIGN_CRASH_AT` nothing here does anything.

use std::io::Write;
use std::path::PathBuf;

/// The names of the points.
pub const POINTS: [&str; 5] = ["after-commit", "mid-publish", "mid-points", "mid-block", "catch-up"];

/// Where to end without a farewell. For tests alone.
#[derive(Debug, Default)]
pub struct Crash {
    point: Option<(String, u64)>,
    log: Option<PathBuf>,
    met: std::sync::atomic::AtomicU64,
}

impl Crash {
    /// Reads `NAME` or `NAME:N`, the Nth time that the point is met. Its name is appended to the file `log`
    /// before the process ends, so that a test can see that it was met.
    ///
    /// # Errors
    /// Where there is no such point.
    pub fn parse(text: &str, log: Option<PathBuf>) -> Result<Crash, String> {
        let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
        let nth = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(|| format!("`{nth}` is no count from 1"))?;
        if !POINTS.contains(&name) {
            return Err(format!("`{name}` is no crash point; there are {}", POINTS.join(", ")));
        }
        Ok(Crash { point: Some((name.to_owned(), nth)), log, ..Crash::default() })
    }

    /// Ends the process here, where this is the point and its time has come.
    pub(crate) fn here(&self, name: &str) {
        let Some((_, nth)) = self.point.as_ref().filter(|(point, _)| point == name) else { return };
        if self.met.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 != *nth {
            return;
        }
        if let Some(path) = &self.log {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            // A test that does not find the line fails; nothing better can be done here.
            let _ = file.and_then(|mut file| writeln!(file, "{name}"));
        }
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_named() {
        assert!(Crash::parse("mid-block", None).is_ok());
        assert!(Crash::parse("after-commit:3", None).is_ok());
        let refused = |text: &str| Crash::parse(text, None).expect_err("a refusal");
        assert_eq!(
            refused("before"),
            "`before` is no crash point; there are after-commit, mid-publish, mid-points, mid-block, catch-up"
        );
        assert_eq!(refused("catch-up:0"), "`0` is no count from 1");
    }
}
