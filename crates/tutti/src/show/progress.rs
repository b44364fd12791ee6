//! A sign of life on stderr while a run takes longer than a second.

use super::short;
use std::time::Duration;

/// Shows what a run does right now. Pure: gives back what to write.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    doing: String,
    shown: Option<String>,
}

impl Progress {
    /// On a terminal one line is written over; elsewhere each change is a line.
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        Self { terminal, doing: "queued".into(), shown: None }
    }

    /// Says what the run does now.
    pub fn doing(&mut self, what: &str) {
        self.doing = short(what, 60);
    }

    /// What to write after so much time.
    pub fn tick(&mut self, elapsed: Duration) -> String {
        if elapsed < Duration::from_secs(1) {
            return String::new();
        }
        if self.terminal {
            self.shown = Some(self.doing.clone());
            return format!("\r\x1b[K{} s · {}", elapsed.as_secs(), self.doing);
        }
        if self.shown.as_ref() == Some(&self.doing) {
            return String::new();
        }
        self.shown = Some(self.doing.clone());
        format!("{} s · {}\n", elapsed.as_secs(), self.doing)
    }

    /// What to write before something else is written.
    pub fn clear(&mut self) -> &'static str {
        if self.terminal && self.shown.take().is_some() { "\r\x1b[K" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_for_a_second_then_one_line_a_change() {
        let mut progress = Progress::new(false);
        progress.doing("writer is answering");
        assert_eq!(progress.tick(Duration::from_millis(900)), "");
        assert_eq!(progress.tick(Duration::from_millis(1_100)), "1 s · writer is answering\n");
        assert_eq!(progress.tick(Duration::from_millis(2_100)), "");
        assert_eq!(progress.clear(), "");
    }

    #[test]
    fn a_terminal_has_one_line_that_goes_away() {
        let mut progress = Progress::new(true);
        assert_eq!(progress.clear(), "");
        assert_eq!(progress.tick(Duration::from_secs(3)), "\r\x1b[K3 s · queued");
        assert_eq!(progress.clear(), "\r\x1b[K");
        assert_eq!(progress.clear(), "");
    }
}
