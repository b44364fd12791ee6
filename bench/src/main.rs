//! `make bench`: the release binary beside the ceiling probe (`limits`, a program that does nothing but make rows durable) and,
//! where it is installed, Restate. All in one run, in turns, so that ratios share the same noise of the machine.
//!
//! Needs `target/release/tutti` (`make bench` builds it), `wrk`, and for ratios the folder `peers` in `TUTTI_SHARED` (default
//! `../shared`). What is missing is said, and its numbers are left out rather than guessed.
//!
//! `BENCH_SECS` (3) and `BENCH_ROUNDS` (3) shorten or lengthen it. `LIMITS` names a probe that is built already, `RESTATE` the
//! binary of a Restate server, `MAF` a Python with Microsoft's Agent Framework, `MOCKLLM` a model server that is built already.
//! `BENCH_ONLY=load|teams|desk|cluster` measures one part; `BASELINE` is the desk's, `LG_PY`, `DBOS_PY` and `AMQP_PY` are the
//! cluster's (see there).

mod child;
mod cluster;
mod desk;
mod disk;
mod http;
mod load;
mod places;
mod probe;
mod report;
mod restate;
mod teams;
mod tutti;
mod wrk;

use anyhow::Result;
use places::Places;
use report::Report;

/// Whether `BENCH_ONLY` (`load`, `teams`, `desk`, `cluster`) leaves this part in.
fn wants(part: &str) -> bool {
    std::env::var("BENCH_ONLY").map_or(true, |only| only.is_empty() || only == part)
}

fn main() -> Result<()> {
    let places = Places::find()?;
    let mut report = Report::default();
    tutti::cold_start(&places, &mut report)?;
    disk::bytes_per_step(&places, &mut report)?;
    if wrk::is_installed() {
        if wants("load") {
            load::measure(&places, &mut report)?;
        }
        if wants("teams") {
            teams::measure(&places, &mut report)?;
        }
        if wants("desk") {
            desk::measure(&places, &mut report)?;
        }
        if wants("cluster") {
            cluster::measure(&places, &mut report)?;
        }
    } else {
        report.note("wrk is not installed (Debian: apt-get install wrk): no load was measured");
    }
    places.clean();
    print!("{}", report.table());
    let path = places.target.join("bench.json");
    std::fs::write(&path, report.json()?)?;
    println!("written to {}", path.display());
    Ok(())
}
