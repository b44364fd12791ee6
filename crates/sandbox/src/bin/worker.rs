//! A worker by itself, for those who embed the sandbox without our binary, and for its tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    tutti_sandbox::worker::main()
}
