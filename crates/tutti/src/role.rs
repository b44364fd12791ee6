//! Which part of the work a process does.

/// See `tutti serve --role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Accepts requests, and works runs.
    All,
    /// Accepts requests, and leaves the runs to workers.
    Api,
    /// Works runs; of the API it has only health and metrics.
    Worker,
}

impl Role {
    /// The word of the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}
