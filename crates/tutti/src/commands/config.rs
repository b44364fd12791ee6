//! `tutti config`: the effective configuration, and where each value comes from.

use crate::config::setting::{Setting, Use};
use crate::config::{Loaded, concerns, example::example};
use crate::show::{self, table::table};
use serde_json::{Value, json};

/// How to show it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// JSON for programs
    #[arg(long)]
    json: bool,
    /// Print .env.example instead: every setting with its default
    #[arg(long, conflicts_with = "json")]
    example: bool,
}

/// Shows the configuration; fails when a server would not start with it.
pub fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    if args.example {
        return Ok(show::out(&example())?);
    }
    if args.json {
        show::json(&as_json(loaded))?;
    } else {
        show::out(&as_text(loaded))?;
    }
    for note in &loaded.notes {
        show::err(&format!("tutti: note: {note}\n"));
    }
    loaded.server()?;
    Ok(())
}

/// What may be shown of a setting: its text, "(hidden)", or nothing.
fn shown(loaded: &Loaded, setting: &Setting) -> Option<String> {
    let text = loaded.value(setting.name)?.text.as_deref()?;
    Some(setting.form.show(text))
}

fn from(loaded: &Loaded, setting: &Setting) -> String {
    loaded.value(setting.name).map_or_else(|| "not usable, see below".into(), crate::config::values::Value::from)
}

fn as_text(loaded: &Loaded) -> String {
    let concerns = concerns();
    let used = |s: &&Setting| matches!(s.used, Use::Now) || !loaded.is_default(s.name);
    let settings = concerns.iter().flat_map(|concern| concern.settings).filter(used);
    let mut rows: Vec<Vec<String>> = settings
        .map(|s| vec![s.name.into(), shown(loaded, s).unwrap_or_else(|| "-".into()), from(loaded, s)])
        .collect();
    let agent = |name: &String| vec![format!("[agents.{name}]"), "set".into(), loaded.file_name().into()];
    rows.extend(loaded.agents().keys().map(agent));
    table(show::paint(), &["SETTING", "VALUE", "FROM"], &rows)
}

fn as_json(loaded: &Loaded) -> Value {
    let settings: Vec<Value> = concerns()
        .iter()
        .flat_map(|concern| concern.settings)
        .map(|s| {
            json!({
                "name": s.name,
                "value": shown(loaded, s),
                "from": from(loaded, s),
                "set": !loaded.is_default(s.name),
                "secret": s.form.is_secret(),
                "used": matches!(s.used, Use::Now),
                "wants": s.form.wants(),
                "about": s.about,
            })
        })
        .collect();
    let problems: Vec<String> = loaded.problems().iter().map(ToString::to_string).collect();
    json!({"settings": settings, "agents": loaded.agents(), "problems": problems, "notes": loaded.notes})
}
