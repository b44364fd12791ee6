//! `tutti approvals list`: what waits for a person.

use super::page::Page;
use crate::config::Loaded;
use clap::Subcommand;

/// What to do with what waits.
#[derive(Debug, Subcommand)]
pub enum Approvals {
    /// List what waits for a person, newest first; `tutti runs approve RUN APPROVAL` answers
    List(Page),
}

/// Lists it.
pub async fn run(page: &Page, loaded: &Loaded) -> anyhow::Result<()> {
    let columns = [
        ("RUN", "/run_id"),
        ("APPROVAL", "/approval_id"),
        // What is asked stands before what a narrow terminal may cut off.
        ("ABOUT", "/request/act|/request"),
        ("UNTIL", "/deadline"),
        ("SINCE", "/requested_at"),
        ("HASH", "/hash"),
    ];
    page.show(loaded, "/v1/approvals", "approvals that wait", &columns).await
}
