//! What a step costs on disk.

use crate::places::Places;
use crate::report::{Report, Row, Samples};
use crate::tutti::Server;
use anyhow::Result;
use std::path::Path;

/// Runs of five steps, as `durable_steps_…` has them; and as many steps in long runs.
const SHAPES: [(&str, u32, u32); 2] = [("bytes_per_step", 4_000, 5), ("bytes_per_step_long", 20, 1_000)];

/// All bytes of the data directory after a clean stop (the write-ahead log is folded back then), less those of one in which
/// nothing was ever run, less the payload, divided by the steps. Indexes, run rows, queue entries and page slack are all in it.
/// Payload is what the caller gave and the steps returned: the input `{"steps":5}`, `null` for each step, the output `5`.
pub fn bytes_per_step(places: &Places, report: &mut Report) -> Result<()> {
    let nothing = stored(places, 0, 0)?;
    for (name, runs, steps) in SHAPES {
        let count = f64::from(runs) * f64::from(steps);
        let payload = format!("{{\"steps\":{steps}}}").len() + "null".len() * steps as usize + steps.to_string().len();
        let used = stored(places, runs, steps)? - nothing - payload as f64 * f64::from(runs);
        let mut samples = Samples::default();
        samples.push(used / count);
        report.row(Row::of(name, samples, "B beyond payload").goal("≤ 80"));
    }
    Ok(())
}

fn stored(places: &Places, runs: u32, steps: u32) -> Result<f64> {
    let data = places.empty("disk")?;
    let server = Server::start(places, &data)?;
    // Eight at once, so that it does not take long.
    std::thread::scope(|scope| {
        let server = &server;
        let workers: Vec<_> =
            (0..8).map(|n| scope.spawn(move || (n..runs).step_by(8).try_for_each(|_| server.noop(steps)))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("a client panicked")))
    })?;
    server.process.stop()?;
    bytes(&data)
}

fn bytes(dir: &Path) -> Result<f64> {
    let mut sum = 0.0;
    for file in std::fs::read_dir(dir)? {
        let file = file?;
        let about = file.metadata()?;
        sum += if about.is_dir() { bytes(&file.path())? } else { about.len() as f64 };
    }
    Ok(sum)
}
