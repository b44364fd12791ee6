//! Restate, where `RESTATE` names its server: the same five steps, durable with its default settings.

use crate::child::{Running, until_works};
use crate::http;
use crate::places::Places;
use crate::probe;
use anyhow::{Result, bail};
use serde_json::json;
use std::process::Command;

/// A Restate server with its service.
pub struct Restate {
    _service: Running,
    _server: Running,
}

impl Restate {
    /// Where five steps are asked for. Its ports are its own.
    pub const FIVE: &str = "http://127.0.0.1:8080/Bench/five";

    /// Starts both; `None` where it is not installed.
    pub fn start(places: &Places) -> Result<Option<Self>> {
        let Some(binary) = std::env::var_os("RESTATE") else { return Ok(None) };
        let Some(peers) = &places.peers else {
            bail!("RESTATE is set, but there is no folder peers to build its service from")
        };
        let service = probe::build(places, peers, "restate-svc")?;
        let address = probe::free_address()?;
        let mut command = Command::new(service);
        let service = Running::quietly(command.env("SVC_ADDR", &address), &places.scratch.join("restate-svc.log"))?;
        let mut command = Command::new(binary);
        command.envs([("RESTATE_DISABLE_TELEMETRY", "true"), ("DO_NOT_TRACK", "1"), ("RUST_LOG", "warn")]);
        command.args(["--node-name", "n1", "--bind-ip", "127.0.0.1", "--base-dir"]).arg(places.empty("restate")?);
        let server = Running::quietly(command.current_dir(&places.scratch), &places.scratch.join("restate.log"))?;
        let deployment = json!({"uri": format!("http://{address}")});
        until_works("Restate to know its service", || http::post("127.0.0.1:9070", "/deployments", &deployment))?;
        until_works("Restate to answer", || http::request("127.0.0.1:8080", "POST", "/Bench/five", ""))?;
        Ok(Some(Self { _service: service, _server: server }))
    }
}
