//! What is logged, and how.

use super::form::OneOf;
use super::setting::concern;

concern! {
    /// What is logged, and how.
    Log, "Logs" {
        LOG_FORMAT: format: &'static str = OneOf(&["text", "json"]), Some("text"),
            "Form of the log lines on stderr.";
        LOG_LEVEL: level: &'static str = OneOf(&["error", "warn", "info", "debug", "trace"]), Some("warn"),
            "Least severity that is logged.";
    }
}
