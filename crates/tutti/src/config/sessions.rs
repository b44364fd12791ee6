//! Defaults of sessions.

use super::form::Integer;
use super::setting::concern;

concern! {
    /// Defaults of sessions.
    Sessions, "Sessions" {
        SESSION_WINDOW_MESSAGES: window_messages: u32 = Integer { min: 0_u32, max: 1_000 }, Some("20"),
            "Messages of its session that a run reads where its request says nothing.";
        SESSION_WINDOW_TOKENS: window_tokens: u32 = Integer { min: 0_u32, max: 1_000_000 }, Some("8000"),
            "Tokens of them, by estimate; whole turns only.";
    }
}
