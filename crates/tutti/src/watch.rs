//! Stays with a run until it ends, a person is needed, or Ctrl-C.

use crate::client::{Client, Event, Failure, Follow, Heard};
use crate::show::board::{Board, Live};
use crate::show::progress::Progress;
use crate::show::{self, Story, facts, quoted, short};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::time::Instant;

/// How a run is shown meanwhile.
pub enum View {
    /// As a story on stdout.
    Story(Box<Story>),
    /// As a board that is drawn over and over on the terminal.
    Board(Box<Live>),
    /// Each event as a line of JSON on stdout.
    Lines,
    /// Not at all, save for a sign of life on stderr.
    Quiet,
}

impl View {
    /// A story in the terminal's colours and width.
    #[must_use]
    pub fn story() -> Self {
        Self::Story(Box::new(Story::new(show::paint(), show::width())))
    }

    /// A board on a terminal that can draw over itself, else a story.
    #[must_use]
    pub fn team() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !std::io::stdout().is_terminal() || is_dumb {
            return Self::story();
        }
        Self::Board(Box::new(Live::new(Board::new(show::paint(), show::width()))))
    }

    /// How often something moves without an event.
    fn beat(&self) -> Duration {
        Duration::from_millis(if matches!(self, Self::Board(_)) { 100 } else { 500 })
    }

    /// Ends the line on stdout before something is said on stderr.
    fn pause(&mut self) -> std::io::Result<()> {
        match self {
            Self::Story(story) => show::out(&story.pause()),
            Self::Board(live) => {
                live.pause();
                Ok(())
            }
            Self::Lines | Self::Quiet => Ok(()),
        }
    }
}

/// Why the watch is over.
#[derive(Debug)]
pub enum Over {
    /// The run ended with this event.
    Ended(Event),
    /// The stream closed: there is nothing to come.
    Closed,
    /// The run needs a person.
    Blocked,
    /// Ctrl-C. The run goes on.
    Detached,
}

/// The watched run and how the watch ended.
#[derive(Debug)]
pub struct Watched {
    /// The run, where the stream named it.
    pub run_id: Option<String>,
    /// Why the watch is over.
    pub over: Over,
}

impl Watched {
    /// The run as it stands, without its journal.
    pub async fn run(&self, client: &Client) -> Result<Value, Failure> {
        match &self.run_id {
            Some(id) => client.get(&format!("/v1/runs/{}?journal=false", crate::client::segment(id))).await,
            None => Ok(Value::Null),
        }
    }
}

/// Watches the stream of a run, whose id the stream tells where it is not known yet.
pub async fn watch(
    client: &Client,
    follow: Follow,
    mut run_id: Option<String>,
    mut view: View,
) -> anyhow::Result<Watched> {
    let mut heard = follow.listen();
    let mut progress = Progress::new(std::io::stderr().is_terminal());
    let begin = Instant::now();
    let mut tick = tokio::time::interval(view.beat());
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            next = heard.recv() => match next {
                None => return Ok(Watched { run_id, over: Over::Closed }),
                Some(heard) => {
                    show::err(progress.clear());
                    if heard.is_err() {
                        view.pause()?;
                    }
                    let event = match heard? {
                        Heard::Event(event) => event,
                        Heard::Cut { after } => {
                            // On a terminal the notice would stand in the middle of the story's line.
                            if std::io::stdout().is_terminal() {
                                view.pause()?;
                            }
                            show::err(&format!("tutti: the connection was cut after event {after}; resuming\n"));
                            continue;
                        }
                    };
                    if run_id.is_none() {
                        run_id = event.text("run_id").map(str::to_owned);
                    }
                    show_event(&mut view, &mut progress, &event, run_id.as_deref())?;
                    let over = if event.is_end() {
                        Over::Ended(event)
                    } else if event.kind == "run.blocked" && is_blocked(client, run_id.as_deref()).await? {
                        Over::Blocked
                    } else {
                        continue;
                    };
                    return Ok(Watched { run_id, over });
                }
            },
            _ = tick.tick() => match &mut view {
                View::Quiet => show::err(&progress.tick(begin.elapsed())),
                View::Board(live) => show::out(&live.tick(show::size()))?,
                View::Story(_) | View::Lines => {}
            },
            _ = &mut interrupt => {
                show::err(progress.clear());
                view.pause()?;
                return Ok(Watched { run_id, over: Over::Detached });
            }
        }
    }
}

fn show_event(view: &mut View, progress: &mut Progress, event: &Event, run_id: Option<&str>) -> std::io::Result<()> {
    match view {
        View::Story(story) => show::out(&story.tell(event)),
        View::Board(live) => show::out(&live.tell(event, show::size())),
        View::Lines => show::out(&format!("{}\n", line(event))),
        View::Quiet => {
            let key = event.text("key").unwrap_or_default();
            let name = || facts::agent(&event.data).map_or_else(|| facts::name_of_key(key), str::to_owned);
            match event.kind.as_str() {
                "run.started" => progress.doing("running"),
                "agent.started" => progress.doing(&format!("{} is asked", name())),
                "agent.delta" => progress.doing(&format!("{} is answering", name())),
                "agent.message" => progress.doing(&format!("{} has answered", name())),
                "step.retrying" => {
                    progress.doing(&format!("{} is tried again: {}", name(), facts::reason(&event.data)))
                }
                "run.waiting" => progress.doing("waiting"),
                "approval.requested" => {
                    let (run, id) = (run_id.unwrap_or("RUN"), event.text("approval_id").unwrap_or("ID"));
                    let (run, id) = (short(run, 100), quoted(&short(id, 200)));
                    show::err(&format!("tutti: a person is asked; answer with: tutti runs approve {run} {id}\n"));
                }
                _ => {}
            }
            Ok(())
        }
    }
}

/// An event on one line, its type and number with its fields.
fn line(event: &Event) -> Value {
    let mut line = json!({ "event": event.kind });
    if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), &event.data) {
        line.extend(fields.clone());
    }
    if let (Some(seq), None) = (event.seq, line.get("seq")) {
        line["seq"] = seq.into();
    }
    line
}

/// A blocked run may have been opened again since; only the present state counts.
async fn is_blocked(client: &Client, run_id: Option<&str>) -> Result<bool, Failure> {
    let Some(id) = run_id else { return Ok(true) };
    let run = client.get(&format!("/v1/runs/{}?journal=false", crate::client::segment(id))).await?;
    Ok(run.get("status").and_then(Value::as_str) == Some("blocked"))
}

/// Resolves at Ctrl-C or when the process is asked to end.
pub async fn interrupted() {
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = ctrl_c => {}
        () = terminate => {}
    }
}
