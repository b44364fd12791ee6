//! What passes between the two processes: one frame each way, a length of four bytes (little end first) before that many
//! bytes of JSON.

use crate::job::{Job, Stopped};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of the length.
pub const HEAD: usize = 4;
/// Most bytes of a job.
pub const JOB_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the worker is asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub job: Job,
}

/// What the worker says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The value of the last expression, and what was printed.
    Done { output: Value, printed: String },
    /// Why there is none.
    Stopped(Stopped),
}

/// A frame; none where its value cannot be written, or is too long for its head.
pub fn write<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    serde_json::to_writer(&mut bytes, value).ok()?;
    let length = u32::try_from(bytes.len() - HEAD).ok()?;
    bytes[..HEAD].copy_from_slice(&length.to_le_bytes());
    Some(bytes)
}

/// The length that a head tells.
pub fn length(head: [u8; HEAD]) -> usize {
    u32::from_le_bytes(head) as usize
}

/// A whole frame's value.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (head, body) = bytes.split_first_chunk::<HEAD>()?;
    if body.len() != length(*head) {
        return None;
    }
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_and_broken_ones_do_not() {
        let frame = write(&Answer::Done { output: Value::from(7), printed: "é\n".into() }).unwrap();
        assert!(matches!(read(&frame), Some(Answer::Done { output, printed }) if output == 7 && printed == "é\n"));
        for broken in [&frame[..3], &frame[..frame.len() - 1], &[frame.as_slice(), b" "].concat(), b"\x02\0\0\0{]"] {
            assert!(read::<Answer>(broken).is_none());
        }
    }
}
