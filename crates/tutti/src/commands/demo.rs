//! `tutti demo`: five teams at work on real questions, one per pattern, over HTTP like any client's; then the server stays up.

use super::{Place, serve};
use crate::client::{Client, segment};
use crate::config::{Access, Loaded, Settings};
use crate::show::{self, Ink, Paint, line};
use crate::watch::{Over, View, watch};
use crate::wiring;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::net::TcpListener;
use std::time::Duration;

/// Where the server listens, and whether it stays.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the server listens.
    #[command(flatten)]
    pub place: Place,
    /// End after the five teams instead of keeping the server up
    #[arg(long)]
    exit: bool,
}

/// A team and its question: the same file that `tutti run FILE` takes.
struct Scene {
    title: &'static str,
    request: &'static str,
}

const SCENES: [Scene; 5] = [
    // The question is a real customer's, from BANKING77 (PolyAI, CC BY 4.0).
    Scene {
        title: "A bank's customer writes; the case goes to whom it belongs",
        request: include_str!("../../demos/support.json"),
    },
    Scene {
        title: "Two designs are compared at once; an architect decides and says who said what",
        request: include_str!("../../demos/designs.json"),
    },
    Scene {
        title: "An incident is reviewed in a discussion; a scribe follows silently",
        request: include_str!("../../demos/incident.json"),
    },
    Scene {
        title: "A move is planned: a manager writes the plan, the team carries it out",
        request: include_str!("../../demos/plan.json"),
    },
    Scene {
        title: "A letter is translated, reviewed and edited, one after the other",
        request: include_str!("../../demos/translation.json"),
    },
];

/// Ports after the usual one that are tried when it is taken.
const PORTS_TRIED: u16 = 50;
/// The offline model's pause after each word, where a person reads along.
const PACE: Duration = Duration::from_millis(25);

/// Shows all scenes, then keeps the server up until Ctrl-C.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let mut settings = super::settings(loaded)?;
    let moved = if loaded.is_default("AGENT_ORCHESTRATOR_PORT") { free_port(&mut settings) } else { None };
    if std::io::stdout().is_terminal() {
        settings.offline_pace = PACE;
    }
    let running = wiring::start(&settings).await?;
    serve::remark(&settings, &running);
    // On an address of its own, the server takes even us for another machine.
    let access = Access { url: running.url.clone(), named: true, key: running.key.clone() };
    let shown = async {
        show::out(&banner(show::paint(), &settings, &running.url, moved))?;
        let client = Client::new(access)?;
        let runs = scenes(&client).await?;
        if let Some(runs) = &runs {
            show::out(&farewell(show::paint(), &running.url, runs, args.exit))?;
        }
        anyhow::Ok(runs)
    };
    let shown = Box::pin(shown).await;
    if args.exit || !matches!(shown, Ok(Some(_))) {
        serve::end(running.stop).await;
    } else {
        serve::stay(running.stop).await;
    }
    let failed = shown?.unwrap_or_default().iter().filter(|run| !run.completed).count();
    if args.exit && failed > 0 {
        anyhow::bail!("{failed} of {} runs did not complete", SCENES.len());
    }
    Ok(())
}

/// A run that was shown.
struct Shown {
    id: String,
    completed: bool,
}

/// Runs the scenes one after the other; `None` after Ctrl-C.
async fn scenes(client: &Client) -> anyhow::Result<Option<Vec<Shown>>> {
    let mut runs = Vec::new();
    for (n, scene) in SCENES.iter().enumerate() {
        let request: Value = serde_json::from_str(scene.request)?;
        show::out(&heading(show::paint(), n + 1, scene, &request))?;
        let follow = client.stream("/orchestrate/stream", &request).await?;
        let watched = watch(client, follow, None, View::story()).await?;
        let completed = match watched.over {
            Over::Detached => return Ok(None),
            Over::Ended(event) => event.kind == "run.completed",
            Over::Blocked | Over::Closed => false,
        };
        runs.push(Shown { id: watched.run_id.unwrap_or_default(), completed });
    }
    Ok(Some(runs))
}

/// Moves to the next free port when the usual one is taken; says from where.
fn free_port(settings: &mut Settings) -> Option<u16> {
    let wanted = settings.listen.port;
    let is_free = |port: &u16| TcpListener::bind((settings.listen.host.as_str(), *port)).is_ok();
    let port = (wanted..wanted.saturating_add(PORTS_TRIED)).find(is_free)?;
    settings.listen.port = port;
    (port != wanted).then_some(wanted)
}

fn banner(paint: Paint, settings: &Settings, url: &str, moved: Option<u16>) -> String {
    let mut text =
        paint.ink(Ink::Bold, &format!("Tutti {} · five teams, five real questions", env!("CARGO_PKG_VERSION")));
    let model = settings.model.answering();
    if settings.model.base_url.is_none() && settings.model.provider.is_none() {
        let _ = write!(
            text,
            "\nmodel    {}: no key, no network. It picks sentences from what it is",
            paint.ink(Ink::Care, &model)
        );
        text.push_str("\n         given and does not reason; LLM_BASE_URL and LLM_DEFAULT_MODEL set a real one.");
    } else {
        let _ = write!(text, "\nmodel    {model}");
    }
    let _ = write!(text, "\nserver   {url}");
    if let Some(port) = moved {
        let _ = write!(text, " (port {port} is taken)");
    }
    let _ = write!(text, "\njournal  {}\n", settings.data.dir.display());
    text
}

fn heading(paint: Paint, n: usize, scene: &Scene, request: &Value) -> String {
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    let head = paint.ink(Ink::Bold, &format!("{n} · {} · {}", text("pattern"), scene.title));
    let mut out = format!("\n{head}\n");
    let mut wrap = show::wrap::Wrap::new("  ", show::width());
    wrap.push(&format!("“{}”", text("input")), &mut out);
    wrap.finish(&mut out);
    out
}

fn farewell(paint: Paint, url: &str, runs: &[Shown], exit: bool) -> String {
    let mut text = format!("\n{}\n", paint.ink(Ink::Bold, "Every step is in the journal"));
    if exit {
        for run in runs {
            let _ = writeln!(text, "  run {}", line(&run.id));
        }
        text.push_str("  tutti serve, then: tutti runs get RUN --journal\n");
        return text;
    }
    for run in runs {
        let _ = writeln!(text, "  curl {url}/v1/runs/{}", segment(&run.id));
    }
    if let Some(run) = runs.first() {
        let _ = writeln!(text, "  curl -N {url}/v1/runs/{}/events", segment(&run.id));
    }
    let _ = writeln!(text, "{}", paint.ink(Ink::Bold, "Ask a team yourself"));
    let _ = writeln!(text, "  curl {url}/orchestrate -H 'content-type: application/json' -d '{ASK}'");
    let _ = writeln!(text, "The server stays up at {url}; Ctrl-C ends it.");
    text
}

const ASK: &str = r#"{"pattern":"concurrent","input":"Why was I charged twice?","agents":[{"name":"billing","instructions":"You know card payments."},{"name":"tone","instructions":"You judge the mood of the customer."}]}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_are_files_that_run_takes() {
        for scene in &SCENES {
            let request: Value = serde_json::from_str(scene.request).unwrap();
            assert!(request["agents"].as_array().unwrap().len() >= 3);
            assert!(heading(Paint::PLAIN, 1, scene, &request).contains(request["pattern"].as_str().unwrap()));
        }
        assert!(serde_json::from_str::<Value>(ASK).is_ok() && !ASK.contains('\''), "it stands in single quotes");
    }

    #[test]
    fn the_banner_says_which_model_answers() {
        let settings = |file: &str| {
            let sources = crate::config::sources::Sources { file: file.parse().unwrap(), ..Default::default() };
            crate::config::read(&sources).server().unwrap()
        };
        let offline = banner(Paint::PLAIN, &settings(""), "http://h", Some(8000));
        assert!(offline.contains("tutti-offline") && offline.contains("port 8000 is taken"), "{offline}");
        let real = settings("llm_base_url = 'https://me:pw@llm.example/v1'\nllm_default_model = 'm'");
        let real = banner(Paint::PLAIN, &real, "http://h", None);
        assert!(real.contains("m at https://***@llm.example/v1") && !real.contains("offline"), "{real}");
    }
}
