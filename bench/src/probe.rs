//! The ceiling probe: built here from a copy of its source, so that nothing is written where it came from.

use crate::child::{Running, until_works};
use crate::http;
use crate::places::Places;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use tutti_tests::backends::postgres::Postgres;

/// The probe, ready to run.
pub struct Probe {
    binary: PathBuf,
}

impl Probe {
    /// Builds it; says why where that cannot be.
    pub fn build(places: &Places) -> Result<Self> {
        if let Some(binary) = std::env::var_os("LIMITS") {
            return Ok(Self { binary: binary.into() });
        }
        let Some(peers) = &places.peers else { bail!("there is no folder peers in TUTTI_SHARED (default ../shared)") };
        Ok(Self { binary: build(places, peers, "limits")? })
    }

    /// Serves `POST /five`: five rows, one after the other, each durable before the next.
    pub fn serve(&self, places: &Places) -> Result<(Running, String)> {
        let dir = places.empty("probe")?;
        let address = free_address()?;
        let mut command = Command::new(&self.binary);
        command.env("LOG", "1").args(["serve", "sqlite"]).arg(&dir).arg(&address);
        let running = Running::quietly(&mut command, &places.scratch.join("probe.log"))?;
        until_works("the probe to answer", || http::request(&address, "POST", "/five", ""))?;
        Ok((running, address))
    }

    /// As [`serve`](Self::serve), on PostgreSQL.
    pub fn serve_postgres(&self, places: &Places, postgres: &Postgres) -> Result<(Running, String)> {
        let dir = places.empty("probe-pg")?;
        let address = free_address()?;
        let dsn = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", postgres.port());
        let mut command = Command::new(&self.binary);
        command.env("LOG", "1").env("PG_DSN", dsn).args(["serve", "pg"]).arg(&dir).arg(&address);
        let running = Running::quietly(&mut command, &places.scratch.join("probe-pg.log"))?;
        until_works("the probe to answer", || http::request(&address, "POST", "/five", ""))?;
        Ok((running, address))
    }

    /// Rows a second that so many tasks can make durable with group commit, no HTTP.
    pub fn group_commit(&self, places: &Places, clients: u32) -> Result<f64> {
        let dir = places.empty("probe-group")?;
        let mut command = Command::new(&self.binary);
        command.env("LOG", "1").arg("sqlite-group").arg(&dir).args([places.secs.to_string(), clients.to_string()]);
        let output = command.output().context("the probe cannot be run")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let result: Value = serde_json::from_str(text.trim()).with_context(|| format!("the probe wrote {text:?}"))?;
        result["rows_per_s"].as_f64().with_context(|| format!("no rows_per_s in {result}"))
    }
}

/// Copies a peer's source below the target directory and builds it there.
pub fn build(places: &Places, peers: &Path, name: &str) -> Result<PathBuf> {
    let copy = places.target.join("peers").join(name);
    std::fs::create_dir_all(copy.join("src"))?;
    let manifest = std::fs::read_to_string(peers.join(name).join("Cargo.toml"))
        .with_context(|| format!("the source of {name}"))?;
    // A workspace of its own, since it lies inside ours.
    std::fs::write(copy.join("Cargo.toml"), format!("{manifest}\n[workspace]\n"))?;
    std::fs::copy(peers.join(name).join("src/main.rs"), copy.join("src/main.rs"))?;
    let target = places.target.join("peers/target");
    println!("building {name} below {}", target.display());
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--quiet", "--manifest-path"]).arg(copy.join("Cargo.toml"));
    let status = command.arg("--target-dir").arg(&target).status().context("cargo cannot be run")?;
    if !status.success() {
        bail!("{name} could not be built");
    }
    Ok(target.join("release").join(name))
}

/// An address that was free a moment ago.
pub fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
