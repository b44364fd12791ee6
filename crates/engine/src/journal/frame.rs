//! The row format, version 1. Additive changes only; golden journals hold it.
//!
//! ```text
//! row   = version:u8  frame{last-first+1}  chain:[u8;16]
//! frame = kind:u8 flags:u8 at:zigzag(ms since row.at) key:len+bytes [args:u64] body:len+bytes crc32c:u32
//! ```
//! Integers without a width are LEB128. `flags`: 1 = `args` present, 2 = body erased (its hash stands there),
//! 4 = body is the SHA-256 of a blob. The chain covers every frame's header and the hash of its body, so a body can be
//! erased without breaking it: `chain' = SHA-256(chain | kind | at | key | args | SHA-256(body))[..16]` over the row's frames.

use crate::event::Kind;
use crate::run::Time;
use bytes::{Buf, Bytes};
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const FLAG_ARGS: u8 = 1;
const FLAG_ERASED: u8 = 2;
const FLAG_BLOB: u8 = 4;
const CHAIN_LEN: usize = 16;
/// Bodies longer than this live in a blob.
pub const BODY_INLINE_BYTES_MAX: usize = 32 * 1024;

/// The running hash over a run's frames.
pub type Chain = [u8; CHAIN_LEN];

/// Where a frame's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// JSON text; empty is `null`.
    Here(Bytes),
    /// In the blob with this hash.
    Blob([u8; 32]),
    /// Removed on request; its hash stays.
    Erased([u8; 32]),
}

impl Body {
    /// The JSON text; `null` when empty, or when it is not (any longer) here.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        match self {
            Self::Here(b) if !b.is_empty() => b,
            _ => b"null",
        }
    }

    fn hash(&self) -> [u8; 32] {
        match self {
            Self::Here(b) => Sha256::digest(b).into(),
            Self::Blob(h) | Self::Erased(h) => *h,
        }
    }
}

/// One journal entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What happened.
    pub kind: Kind,
    /// Which step; empty for entries of the run itself.
    pub key: Box<str>,
    /// When.
    pub at: Time,
    /// Hash of a command's name and arguments.
    pub args: Option<u64>,
    /// What about it.
    pub body: Body,
}

/// The encoded row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The bytes to store.
    pub body: Bytes,
    /// The chain after this row.
    pub chain: Chain,
}

/// Why a row cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Written by a newer version.
    #[error("journal format {0} is newer than this program's {VERSION}")]
    Newer(u8),
    /// Cut short.
    #[error("the row ends in the middle of entry {0}")]
    Short(u32),
    /// Bits have changed.
    #[error("entry {0} fails its checksum")]
    Checksum(u32),
    /// An entry of a kind this program does not know.
    #[error("entry {0} is of unknown kind {1}")]
    Kind(u32, u8),
    /// Entries were changed, removed or put in.
    #[error("the hash chain breaks in the row of entry {0}")]
    Chain(u32),
}

/// Writes frames as one row.
#[must_use]
pub fn encode_row(at: Time, frames: &[Frame], chain: Chain) -> Row {
    let mut out = Vec::with_capacity(
        1 + CHAIN_LEN + frames.iter().map(|f| 24 + f.key.len() + f.body.text().len()).sum::<usize>(),
    );
    out.push(VERSION);
    for frame in frames {
        encode_frame(&mut out, at, frame);
    }
    let chain = extend(chain, frames);
    out.extend_from_slice(&chain);
    Row { body: out.into(), chain }
}

fn encode_frame(out: &mut Vec<u8>, row_at: Time, frame: &Frame) {
    let start = out.len();
    let (flag, body): (u8, &[u8]) = match &frame.body {
        Body::Here(b) => (0, b),
        Body::Erased(h) => (FLAG_ERASED, h),
        Body::Blob(h) => (FLAG_BLOB, h),
    };
    out.push(frame.kind.code());
    out.push(flag | if frame.args.is_some() { FLAG_ARGS } else { 0 });
    let delta = frame.at.0.wrapping_sub(row_at.0);
    put_varint(out, ((delta << 1) ^ (delta >> 63)).cast_unsigned());
    put_bytes(out, frame.key.as_bytes());
    if let Some(args) = frame.args {
        out.extend_from_slice(&args.to_le_bytes());
    }
    put_bytes(out, body);
    let sum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Reads a row back. `first` is its first entry's number, `count` how many it must hold; `chain` is the chain before it.
///
/// # Errors
/// [`FrameError`] names the entry that is damaged.
pub fn decode_row(
    at: Time,
    first: u32,
    count: u32,
    body: &Bytes,
    chain: Chain,
) -> Result<(Vec<Frame>, Chain), FrameError> {
    let (frames, rest) = decode_frames(at, first, count, body)?;
    let after = extend(chain, &frames);
    if rest.as_ref() != after.as_slice() {
        return Err(FrameError::Chain(first));
    }
    Ok((frames, after))
}

/// As [`decode_row`], from the middle of a journal: checksums are verified, the chain is not.
///
/// # Errors
/// [`FrameError`] names the entry that is damaged.
pub fn decode_part(at: Time, first: u32, count: u32, body: &Bytes) -> Result<Vec<Frame>, FrameError> {
    decode_frames(at, first, count, body).map(|(frames, _)| frames)
}

fn decode_frames(at: Time, first: u32, count: u32, body: &Bytes) -> Result<(Vec<Frame>, Bytes), FrameError> {
    let mut rest = body.clone();
    let version = take_u8(&mut rest).ok_or(FrameError::Short(first))?;
    if version != VERSION {
        return Err(FrameError::Newer(version));
    }
    let mut frames = Vec::with_capacity(count as usize);
    for seq in first..first + count {
        frames.push(decode_frame(&mut rest, at, seq)?);
    }
    Ok((frames, rest))
}

fn decode_frame(rest: &mut Bytes, row_at: Time, seq: u32) -> Result<Frame, FrameError> {
    let whole = rest.clone();
    let short = || FrameError::Short(seq);
    let code = take_u8(rest).ok_or_else(short)?;
    let flags = take_u8(rest).ok_or_else(short)?;
    let zigzag = take_varint(rest).ok_or_else(short)?;
    let key = take_bytes(rest).ok_or_else(short)?;
    let args = if flags & FLAG_ARGS == 0 {
        None
    } else {
        if rest.len() < 8 {
            return Err(short());
        }
        Some(rest.get_u64_le())
    };
    let body = take_bytes(rest).ok_or_else(short)?;
    let used = whole.len() - rest.len();
    if rest.len() < 4 {
        return Err(short());
    }
    if crc32c::crc32c(&whole[..used]) != rest.get_u32_le() {
        return Err(FrameError::Checksum(seq));
    }
    let kind = Kind::from_code(code).ok_or(FrameError::Kind(seq, code))?;
    let key = std::str::from_utf8(&key).map_err(|_| FrameError::Checksum(seq))?.into();
    let delta = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
    let hash = |b: &Bytes| <[u8; 32]>::try_from(b.as_ref()).map_err(|_| FrameError::Checksum(seq));
    let body = match flags & (FLAG_ERASED | FLAG_BLOB) {
        0 => Body::Here(body),
        FLAG_ERASED => Body::Erased(hash(&body)?),
        _ => Body::Blob(hash(&body)?),
    };
    Ok(Frame { kind, key, at: Time(row_at.0.wrapping_add(delta)), args, body })
}

fn extend(chain: Chain, frames: &[Frame]) -> Chain {
    let mut hash = Sha256::new().chain_update(chain);
    for frame in frames {
        hash.update([frame.kind.code()]);
        hash.update(frame.at.0.to_le_bytes());
        hash.update((frame.key.len() as u64).to_le_bytes());
        hash.update(frame.key.as_bytes());
        hash.update(frame.args.unwrap_or_default().to_le_bytes());
        hash.update(frame.body.hash());
    }
    let mut out = [0; CHAIN_LEN];
    out.copy_from_slice(&hash.finalize()[..CHAIN_LEN]);
    out
}

fn put_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push((v & 0x7f) as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_u8(b: &mut Bytes) -> Option<u8> {
    b.has_remaining().then(|| b.get_u8())
}

fn take_varint(b: &mut Bytes) -> Option<u64> {
    let mut v = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_u8(b)?;
        v |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(v);
        }
    }
    None
}

fn take_bytes(b: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(take_varint(b)?).ok()?;
    (len <= b.len()).then(|| b.split_to(len))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> Vec<Frame> {
        let f = |kind, key: &str, at, args, body: &str| Frame {
            kind,
            key: key.into(),
            at: Time(at),
            args,
            body: Body::Here(Bytes::copy_from_slice(body.as_bytes())),
        };
        vec![
            f(Kind::RunQueued, "", 1_000, None, r#"{"input":"hi"}"#),
            f(Kind::StepStarted, "a/b[1]", 999, Some(7), ""),
            f(Kind::StepCompleted, "a/b[1]", 5_000_000, None, "1"),
        ]
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let row = encode_row(Time(1_000), &frames(), [0; 16]);
        let (back, chain) = decode_row(Time(1_000), 1, 3, &row.body, [0; 16]).unwrap();
        assert_eq!((back, chain), (frames(), row.chain));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let row = encode_row(Time(1_000), &frames(), [3; 16]);
        for i in 0..row.body.len() {
            let mut bytes = row.body.to_vec();
            bytes[i] ^= 0x20;
            assert!(decode_row(Time(1_000), 1, 3, &bytes.into(), [3; 16]).is_err(), "byte {i}");
        }
    }

    #[test]
    fn an_erased_body_keeps_the_chain() {
        let row = encode_row(Time(1_000), &frames(), [0; 16]);
        let mut erased = frames();
        erased[0].body = Body::Erased(erased[0].body.hash());
        assert_eq!(encode_row(Time(1_000), &erased, [0; 16]).chain, row.chain);
    }

    #[test]
    fn a_no_op_step_costs_a_dozen_bytes() {
        let step =
            Frame { kind: Kind::StepValue, key: "s#2".into(), at: Time(0), args: None, body: Body::Here(Bytes::new()) };
        let one = encode_row(Time(0), std::slice::from_ref(&step), [0; 16]).body.len();
        let two = encode_row(Time(0), &[step.clone(), step], [0; 16]).body.len();
        assert!(two - one <= 12, "{}", two - one);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0u32..5) {
            let _ = decode_row(Time(0), 1, count, &bytes.into(), [0; 16]);
        }
    }
}
