//! Where data is kept, and for how long.

use super::form::{Integer, Path};
use super::setting::concern;
use std::path::PathBuf;

concern! {
    /// Where data is kept.
    Data, "Data" {
        TUTTI_DATA: dir: PathBuf = Path, Some(".tutti"),
            "Directory of the store; one server at a time owns it.";
        RETENTION_DAYS: retention_days: u32 = Integer { min: 0_u32, max: 36_500 }, Some("30"),
            "Ended runs are removed after so many days; 0 keeps them whatever their age.";
        RETENTION_RUNS_MAX: retention_runs_max: u64 = Integer { min: 0_u64, max: 1_000_000_000 }, Some("1000000"),
            "Ended runs beyond this number are removed, oldest first; 0 sets no bound.";
    }
}
