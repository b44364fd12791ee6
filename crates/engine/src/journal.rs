//! How a run's history is written: entries as frames, frames as rows.

pub mod body;
pub mod frame;

pub use frame::{Frame, Row as EncodedRow, decode_part, decode_row, encode_row};
