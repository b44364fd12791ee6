//! `openai-server`: the model provider of the tests, as a process of its own. See `tutti_tests::openai`.
//!
//! `OPENAI_SERVER_LOG` names the file that a line a request is appended to; `OPENAI_SERVER_DELAY_MS` says how long an answer
//! takes (`20`, or `10..30`). It listens on a free loopback port and says which on stdout.

use std::path::PathBuf;
use tutti_tests::openai::log::Log;
use tutti_tests::openai::{Delay, router};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let log = std::env::var_os("OPENAI_SERVER_LOG").map(PathBuf::from);
    let log = log.ok_or_else(|| std::io::Error::other("OPENAI_SERVER_LOG must name the file to append to"))?;
    let delay = std::env::var("OPENAI_SERVER_DELAY_MS").unwrap_or_else(|_| "0".into());
    let delay = Delay::parse(&delay).ok_or_else(|| {
        std::io::Error::other(format!("OPENAI_SERVER_DELAY_MS is {delay:?}; it should be 20 or 10..30"))
    })?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router(delay, Log::append(&log)?)).await
}
