//! Real PostgreSQL, Redis and RabbitMQ for tests: started on free loopback ports in directories of their own, stopped with their
//! owners, by process id. Where a machine has none, tests skip aloud.

pub mod amqp;
pub mod postgres;
pub mod rabbitmq;
pub mod redis;
mod shared;
mod slot;

use crate::process::Process;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use tempfile::TempDir;

/// A port that nobody listens on now.
///
/// # Panics
/// When the machine has none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// Says that a test does nothing, and why.
pub fn skip(what: &str) {
    eprintln!("skipped: {what} is not on this machine; `make backends` installs it where it may");
}

/// A temporary directory that `user` can write when we are root: servers that refuse to run as root keep their files in it.
pub(crate) fn dir_of(user: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    if rustix::process::geteuid().is_root() {
        let owned = Command::new("chown").arg(user).arg(dir.path()).status();
        assert!(owned.is_ok_and(|status| status.success()), "the directory cannot be given to {user}");
    }
    dir
}

/// A command that runs as `user` when we are root, and that ends with this process, however that ends.
pub(crate) fn as_user(user: &str, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.arg(program);
    command
}

/// Starts a process from a thread that lives as long as this process: the kernel tells a child of the death of the *thread* that
/// started it, and a test's thread ends with its test.
pub(crate) fn start(command: Command) -> Process {
    type Job = Box<dyn FnOnce() + Send>;
    static KEEPER: OnceLock<Sender<Job>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (jobs, todo) = channel::<Job>();
        std::thread::spawn(move || todo.iter().for_each(|job| job()));
        jobs
    });
    let (tell, told) = channel();
    let mut command = command;
    let job = move || {
        let _ = tell.send(Process::start(&mut command));
    };
    keeper.send(Box::new(job)).expect("the keeper lives as long as we do");
    told.recv().expect("the keeper answers")
}
