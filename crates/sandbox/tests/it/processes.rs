//! The parent's half: what becomes of processes, however they behave.

use super::{LIMITS, job};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tutti_sandbox::{Job, Limits, Sandbox, Stopped};

const WORKER: &str = env!("CARGO_BIN_EXE_tutti-sandbox-worker");
const AT_ONCE: usize = 3;

/// Workers that are a shell's script.
fn shell(script: &str) -> Sandbox {
    Sandbox::new("/bin/sh".into(), &["-c", script], AT_ONCE)
}

/// What this process takes of the machine's memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_worker_that_misbehaves_is_an_error_of_its_job_alone() {
    let limits = Limits { time: Duration::from_millis(200), ..LIMITS };
    let of = |script: &'static str| async move { shell(script).run(Job { limits, ..job("1") }).await };
    assert!(matches!(of("kill -9 $$").await, Err(Stopped::Crashed { how }) if how.contains('9')));
    assert!(matches!(of("echo help >&2; exit 3").await, Err(Stopped::Crashed { how }) if how.contains("help")));
    assert!(matches!(of("echo not a frame").await, Err(Stopped::Crashed { .. })));
    assert_eq!(of("exec yes").await, Err(Stopped::Output { limit_bytes: LIMITS.output_bytes }));
    assert_eq!(of("exec sleep 1000").await, Err(Stopped::Time { limit_ms: 200 }));
    // It closes its pipes and lives on.
    assert_eq!(of("exec sleep 1000 >&- 2>&- <&-").await, Err(Stopped::Time { limit_ms: 200 }));
    let none = Sandbox::new(PathBuf::from("/does/not/exist"), &[], 1).run(job("1")).await;
    assert!(matches!(none, Err(Stopped::NotAvailable { why }) if why.contains("cannot be started")));
}

#[tokio::test]
async fn a_job_that_nobody_waits_for_takes_its_process_along() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    // A rename, so that a pid that is there is there whole.
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", pid.display());
    let sandbox = Sandbox::new("/bin/sh".into(), &["-c", &format!("PATH=/bin:/usr/bin; {script}")], 1);
    let running = tokio::spawn({
        let sandbox = sandbox.clone();
        async move { sandbox.run(Job { limits: Limits { time: Duration::from_secs(600), ..LIMITS }, ..job("1") }).await }
    });
    let read = async {
        loop {
            match std::fs::read_to_string(&pid) {
                Ok(pid) => return pid.trim().to_owned(),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let pid = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
    running.abort();
    let gone = async {
        let stat = format!("/proc/{pid}/stat");
        // Gone, or dead and not yet buried.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    // Its seat is free again.
    assert!(matches!(
        sandbox.run(Job { limits: Limits { time: Duration::from_millis(50), ..LIMITS }, ..job("1") }).await,
        Err(Stopped::Time { .. })
    ));
}

#[tokio::test]
async fn two_hundred_jobs_take_turns_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let sandbox = shell(&format!("echo + >> {0}; {WORKER}; echo - >> {0}", log.display()));
    let kinds =
        ["inputs * 2", "while True: pass", "x = []\nwhile True: x.append('x' * 1000)", "while True: print('x' * 100)"];
    let limits = Limits { time: Duration::from_millis(200), ..LIMITS };
    // What the first job takes for good (the runtime, buffers) is no growth.
    sandbox.run(Job { inputs: json!(1), ..job(kinds[0]) }).await.unwrap();
    let before = resident();
    let jobs = (0..200).map(|n| {
        let (sandbox, code) = (sandbox.clone(), kinds[if n % 8 < 5 { 0 } else { n % 8 - 4 }]);
        let limits = if n % 8 < 5 { LIMITS } else { limits };
        tokio::spawn(async move { (n, sandbox.run(Job { code: code.into(), inputs: json!(n), limits }).await) })
    });
    for done in jobs.collect::<Vec<_>>() {
        let (n, outcome) = done.await.unwrap();
        match n % 8 {
            0..5 => assert_eq!(outcome.unwrap().output, Value::from(n * 2)),
            5 => assert_eq!(outcome, Err(Stopped::Time { limit_ms: 200 })),
            6 => assert!(matches!(outcome, Err(Stopped::Memory { .. } | Stopped::Time { .. })), "{outcome:?}"),
            _ => assert!(matches!(outcome, Err(Stopped::Output { .. } | Stopped::Time { .. })), "{outcome:?}"),
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "the parent has grown by {grown} bytes");
    let (mut open, mut most) = (0_usize, 0);
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        open = if line == "+" { open + 1 } else { open - 1 };
        most = most.max(open);
    }
    assert!((2..=AT_ONCE).contains(&most), "{most} at once");
}
