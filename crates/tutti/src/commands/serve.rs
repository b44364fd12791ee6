//! `tutti serve`: runs the server until it is asked to stop.

use super::{Place, Usage};
use crate::config::{Loaded, Settings};
use crate::role::Role;
use crate::show;
use crate::watch::interrupted;
use crate::wiring::{self, Running, Stop};

/// Where, and in which role.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where it listens.
    #[command(flatten)]
    pub place: Place,
    /// Part of the work that this process does; api and worker need PostgreSQL
    #[arg(long, value_name = "ROLE", default_value = "all", value_enum)]
    role: Role,
    /// Let every machine do everything without a key, and warn of it at each start
    #[arg(long)]
    insecure_allow_unauthenticated: bool,
}

/// Runs the server until Ctrl-C or SIGTERM.
pub async fn run(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let is_unprotected = args.insecure_allow_unauthenticated;
    let settings = Settings { role: args.role, is_unprotected, ..super::settings(loaded)? };
    if args.role != Role::All && settings.backends.postgres().is_none() {
        let role = args.role.as_str();
        return Err(Usage(format!(
            "--role {role} needs a store that several processes share; set POSTGRES_DSN or POSTGRES_HOST, or use --role all"
        ))
        .into());
    }
    let running = wiring::start(&settings).await?;
    announce(&settings, &running.url);
    remark(&settings, &running);
    stay(running.stop).await;
    Ok(())
}

/// One line that says where the server is.
pub fn announce(settings: &Settings, url: &str) {
    let (version, data, model) = (env!("CARGO_PKG_VERSION"), data(settings), settings.model.answering());
    if settings.log.format == "json" {
        let line = serde_json::json!({"level": "INFO", "message": "listening", "url": url, "version": version,
            "data": data, "model": model, "role": settings.role.as_str()});
        show::err(&format!("{line}\n"));
    } else {
        show::err(&format!("tutti {version} listens on {url} · data in {data} · model: {model}\n"));
    }
}

/// Where runs are kept.
fn data(settings: &Settings) -> String {
    match settings.backends.postgres() {
        Some(dsn) => crate::config::form::hide_password(&dsn),
        None => settings.data.dir.display().to_string(),
    }
}

/// What an operator should know of a server that other machines can reach. Not a log line: no level hides it.
pub fn remark(settings: &Settings, running: &Running) {
    let (level, message) = if settings.is_unprotected {
        let message = "WARNING: whoever can reach this server may do everything here, without a key \
                       (--insecure-allow-unauthenticated)";
        ("WARN", message)
    } else if running.key.is_some() {
        ("INFO", "other machines, and proxies of this one, need the admin key; `tutti key show` prints it")
    } else {
        return;
    };
    if settings.log.format == "json" {
        show::err(&format!("{}\n", serde_json::json!({"level": level, "message": message})));
    } else {
        show::err(&format!("tutti: {message}\n"));
    }
}

/// Waits for Ctrl-C or SIGTERM, then stops the server.
pub async fn stay(stop: Stop) {
    interrupted().await;
    show::err("tutti: stopping; open runs go on at the next start\n");
    end(stop).await;
}

/// Stops the server in good order; another Ctrl-C ends the process at once.
pub async fn end(stop: Stop) {
    tokio::select! {
        () = stop() => {}
        () = interrupted() => {}
    }
}
