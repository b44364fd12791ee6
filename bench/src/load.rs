//! Under load: durable steps and durable submissions, ours and theirs in turns.

use crate::places::Places;
use crate::probe::Probe;
use crate::report::{Report, Row, Samples};
use crate::restate::Restate;
use crate::tutti::{FIVE, Server, check};
use crate::wrk::{self, Load};
use anyhow::Result;
use std::collections::BTreeMap;

const CLIENTS: [u32; 4] = [1, 16, 64, 256];
const SUBMITTERS: u32 = 64;

/// All loads of one contender at one number of clients.
#[derive(Default)]
struct Loads {
    per_s: Samples,
    p50_ms: Samples,
    p99_ms: Samples,
}

impl Loads {
    fn push(&mut self, load: Load) {
        self.per_s.push(load.per_s);
        self.p50_ms.push(load.p50_ms);
        self.p99_ms.push(load.p99_ms);
    }
}

/// Who is measured, and where.
struct Contender {
    name: &'static str,
    url: String,
    script: std::path::PathBuf,
}

/// Measures everything that needs `wrk`.
pub fn measure(places: &Places, report: &mut Report) -> Result<()> {
    let probe =
        Probe::build(places).map_err(|why| report.note(&format!("no ceiling probe, so no ratios: {why:#}"))).ok();
    let serving = probe.as_ref().map(|probe| probe.serve(places)).transpose()?;
    let restate = Restate::start(places).unwrap_or_else(|why| {
        report.note(&format!("no Restate beside us: {why:#}"));
        None
    });
    let data = places.empty("tutti")?;
    let server = Server::start(places, &data)?;
    check(&server.address)?;

    let five = wrk::script(&places.scratch, "five", Some(FIVE))?;
    let empty = wrk::script(&places.scratch, "empty", None)?;
    let us =
        Contender { name: "tutti", url: format!("http://{}/v1/runs?wait=10", server.address), script: five.clone() };
    let mut contenders = vec![us];
    if let Some((_, address)) = &serving {
        contenders.push(Contender { name: "probe", url: format!("http://{address}/five"), script: empty.clone() });
    }
    if restate.is_some() {
        contenders.push(Contender { name: "restate", url: Restate::FIVE.into(), script: empty });
    }

    let mut all: BTreeMap<(&str, u32), Loads> = BTreeMap::new();
    let (mut submits, mut commits, mut rss) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..places.rounds {
        for clients in CLIENTS {
            for contender in &contenders {
                let load = wrk::run(&contender.script, &contender.url, clients, places.secs)?;
                let (name, rate, p50) = (contender.name, load.per_s, load.p50_ms);
                println!("round {} · {clients:>3} clients · {name:<7} {rate:>8.0} runs/s · p50 {p50:.2} ms", round + 1);
                all.entry((contender.name, clients)).or_default().push(load);
            }
            // Who went first last time goes last this time.
            contenders.rotate_left(1);
        }
        rss.push(server.process.rss_mb()?);
        let submit = wrk::run(&five, &format!("http://{}/v1/runs", server.address), SUBMITTERS, places.secs)?;
        println!("round {} · {SUBMITTERS:>3} clients · submit  {:>8.0} runs/s", round + 1, submit.per_s);
        rss.push(server.process.rss_mb()?);
        submits.push(submit.per_s);
        server.drained()?;
        if let Some(probe) = &probe {
            commits.push(probe.group_commit(places, SUBMITTERS)?);
        }
    }
    for clients in CLIENTS {
        steps(report, clients, &mut all);
    }
    report.row(Row::of("submit_sqlite_c64", submits, "runs/s").ceiling(commits).goal("≥ 20000 or ratio ≥ 0.5"));
    report.row(Row::of("rss_loaded_mb", rss, "MB"));
    server.process.stop()
}

/// The rows of one number of clients.
fn steps(report: &mut Report, clients: u32, all: &mut BTreeMap<(&str, u32), Loads>) {
    let mut of = |name| all.remove(&(name, clients)).unwrap_or_default();
    let (us, probe, restate) = (of("tutti"), of("probe"), of("restate"));
    let goal = match clients {
        1 => "≥ 15× Restate",
        64 => "ratio ≥ 0.5, ≥ 15× Restate",
        _ => "",
    };
    let rate = Row::of(&format!("durable_steps_sqlite_c{clients}"), us.per_s, "runs/s");
    report.row(rate.ceiling(probe.per_s).peer("restate", restate.per_s).goal(goal));
    let p50 = Row::of(&format!("durable_p50_ms_c{clients}"), us.p50_ms, "ms");
    let goal = if clients == 1 { "ratio ≤ 0.6" } else { "" };
    report.row(p50.ceiling(probe.p50_ms).peer("restate", restate.p50_ms).goal(goal));
    let p99 = Row::of(&format!("durable_p99_ms_c{clients}"), us.p99_ms, "ms");
    report.row(p99.ceiling(probe.p99_ms).peer("restate", restate.p99_ms));
}
