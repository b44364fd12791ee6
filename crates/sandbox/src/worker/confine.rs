//! What this process gives up before it runs a job, for good: files, processes, the network, memory and time beyond its limits.

use crate::job::Limits;
use libc::{PROT_EXEC, c_long};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, setsid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::os::fd::RawFd;

/// The interpreter's own stack: a thousand calls deep, whatever the shell that started the server allows.
const STACK_BYTES: u64 = 64 * 1024 * 1024;
/// Seconds of processor time beyond the job's own, for reading and answering.
const CPU_EXTRA_S: u64 = 2;

/// System calls that computing, answering and ending take. Every other one fails with `EPERM`.
const ALLOWED: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    // How `abort` ends it.
    libc::SYS_tgkill,
];

/// Gives it up.
///
/// # Errors
/// In words: the machine does not let it.
pub fn confine(limits: &Limits) -> Result<(), String> {
    let has_now = mapped_bytes()?;
    close_inherited()?;
    match setsid() {
        // It leads its session already.
        Ok(_) | Err(Errno::PERM) => {}
        Err(e) => return Err(format!("no session of its own: {e}")),
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| format!("its memory stays readable: {e}"))?;
    let seconds = limits.time.as_secs() + CPU_EXTRA_S;
    let bounds = [
        (Resource::Core, 0),
        (Resource::Nproc, 0),
        (Resource::Nofile, 0),
        (Resource::Fsize, 0),
        (Resource::Stack, STACK_BYTES),
        (Resource::Cpu, seconds),
        (Resource::As, has_now + limits.memory_bytes as u64),
    ];
    for (resource, most) in bounds {
        // Only the mighty may raise what somebody else has bounded.
        let most = getrlimit(resource).maximum.map_or(most, |bound| bound.min(most));
        let both = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, both).map_err(|e| format!("its limit of {resource:?} cannot be set: {e}"))?;
    }
    let filter = filter().map_err(|e| format!("its system calls cannot be filtered: {e}"))?;
    // Sets `no_new_privs`, too.
    seccompiler::apply_filter(&filter).map_err(|e| format!("its system calls cannot be filtered: {e}"))
}

/// What the process has mapped so far: the program and its libraries.
fn mapped_bytes() -> Result<u64, String> {
    let statm = std::fs::read_to_string("/proc/self/statm").map_err(|e| format!("/proc/self/statm: {e}"))?;
    let pages = statm.split(' ').next().and_then(|n| n.parse::<u64>().ok()).ok_or("/proc/self/statm is strange")?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Closes what a careless parent left open. Ours leaves nothing.
fn close_inherited() -> Result<(), String> {
    let open = std::fs::read_dir("/proc/self/fd").map_err(|e| format!("/proc/self/fd: {e}"))?;
    let open: Vec<RawFd> = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        #[expect(
            unsafe_code,
            reason = "nothing in this process owns these: it has just begun and opened none of them"
        )]
        // SAFETY: closing by number; that of the listing above is closed already and answers EBADF.
        unsafe {
            libc::close(fd)
        };
    }
    Ok(())
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let only = |arg, op, value| -> Result<SeccompRule, seccompiler::BackendError> {
        SeccompRule::new(vec![SeccompCondition::new(arg, SeccompCmpArgLen::Dword, op, value)?])
    };
    // Memory is never made executable.
    let not_executable = || only(2, SeccompCmpOp::MaskedEq(PROT_EXEC as u64), 0);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_read, vec![only(0, SeccompCmpOp::Eq, 0)?]);
    rules.insert(libc::SYS_write, vec![only(0, SeccompCmpOp::Eq, 1)?, only(0, SeccompCmpOp::Eq, 2)?]);
    rules.insert(libc::SYS_mmap, vec![not_executable()?]);
    rules.insert(libc::SYS_mprotect, vec![not_executable()?]);
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, refused, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use rustix::process::{Signal, getppid, kill_process};
    use std::fs::File;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::process::Command;

    /// The other half of the test below, in a process of its own: it cannot be undone.
    #[test]
    #[ignore = "run by the test below"]
    fn gives_up() {
        let mine = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = mine.local_addr().unwrap();
        let parent = getppid().unwrap();
        confine(&Limits::default()).unwrap();
        let refused = |what: &str, outcome: std::io::Result<()>| {
            let kind = outcome.expect_err(what).kind();
            assert_eq!(kind, ErrorKind::PermissionDenied, "{what}");
        };
        refused("a file", File::open("/etc/hostname").map(drop));
        refused("its own memory", File::open("/proc/self/mem").map(drop));
        refused("a new file", File::create("/dev/shm/tutti-sandbox-was-here").map(drop));
        refused("a folder", std::fs::read_dir("/").map(drop));
        refused("a removal", std::fs::remove_file("/dev/shm/tutti-sandbox-was-here"));
        refused("a connection", TcpStream::connect(at).map(drop));
        refused("a listener", TcpListener::bind("127.0.0.1:0").map(drop));
        refused("a datagram", UdpSocket::bind("127.0.0.1:0").map(drop));
        refused("a program", Command::new("/bin/true").status().map(drop));
        refused("a thread", std::thread::Builder::new().spawn(|| ()).map(drop));
        refused("a signal to its parent", kill_process(parent, Signal::TERM).map_err(Into::into));
        refused("a larger limit", setrlimit(Resource::As, Rlimit { current: None, maximum: None }).map_err(Into::into));
        assert!(Vec::<u8>::new().try_reserve_exact(128 * 1024 * 1024).is_err(), "more memory than allowed");
        // The listener's descriptor was closed under it, so nothing may close it again.
        std::mem::forget(mine);
        println!("all refused");
    }

    #[test]
    fn what_is_given_up_stays_given_up() {
        let mut this = Command::new(std::env::current_exe().unwrap());
        let asked = ["--exact", "worker::confine::tests::gives_up", "--ignored", "--nocapture"];
        let done = this.args(asked).env("RUST_BACKTRACE", "0").output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success() && out.contains("all refused"), "{}: {out}{err}", done.status);
    }
}
