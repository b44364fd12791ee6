//! Bounds on a request's head. (The body's are in `body.rs`, time's in `serve.rs`.)

use axum::extract::Request;
use tutti_app::{Class, Failure};

/// Most bytes of header names and values together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of path and query.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Refuses a head that is too large.
pub fn check(request: &Request) -> Result<(), Failure> {
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > HEADER_BYTES_MAX {
        return Err(Failure::new(
            Class::HeadersTooLarge,
            format!("the request's headers take {headers} bytes; at most {HEADER_BYTES_MAX} are read"),
        ));
    }
    let target = request.uri().path_and_query().map_or(0, |t| t.as_str().len());
    if target > TARGET_BYTES_MAX {
        return Err(Failure::new(
            Class::BadRequest,
            format!("the address takes {target} bytes; at most {TARGET_BYTES_MAX} are read"),
        ));
    }
    Ok(())
}
