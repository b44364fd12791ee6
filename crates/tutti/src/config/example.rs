//! `.env.example`, written from the list of settings.

use super::setting::{Setting, Use};
use std::fmt::Write as _;

/// The text of `.env.example`.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of Tutti, with their defaults. Copy to .env and change what you need.\n\
         # Flags beat the environment, which beats .env, which beats tutti.toml (the same names in lower case).\n\
         # Made by `tutti config --example`; not edited by hand.\n",
    );
    for concern in super::concerns() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n# --- {} ---\n", concern.title);
        for setting in concern.settings {
            let _ = write!(text, "\n{}", entry(setting));
        }
    }
    text
}

fn entry(setting: &Setting) -> String {
    let mut wants = setting.form.wants();
    if let Some(first) = wants.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    let file = if setting.form.is_secret() {
        format!(" {}_FILE names a file that holds it.", setting.name)
    } else {
        String::new()
    };
    let used = match setting.used {
        Use::Now | Use::Later => String::new(),
        Use::Refused(why) => format!("# Stops the start: {why}.\n"),
    };
    let default = setting.default.unwrap_or_default();
    format!("# {}\n# {wants}.{file}\n{used}#{}={default}\n", setting.about, setting.name)
}
