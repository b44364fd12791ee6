//! Where a page of a list ended, as an opaque text.

use crate::FieldError;
use crate::failure::Failure;
use crate::json::hash_parts;

/// A place in a list: two numbers, of which the second may be 0.
pub(crate) type At = (i64, u32);

/// The cursor of a place in a list.
pub(crate) fn write(list: &str, (major, minor): At) -> String {
    format!("{major:x}.{minor:x}.{:04x}", seal(list, (major, minor)))
}

/// Not a secret: it only tells a mistyped cursor, or another list's, from one of ours.
fn seal(list: &str, (major, minor): At) -> u16 {
    let hash = hash_parts(&[list, &major.to_string(), &minor.to_string()]);
    u16::from_be_bytes([hash[0], hash[1]])
}

/// The place that a cursor names.
///
/// # Errors
/// A cursor that this list did not give.
pub(crate) fn read(list: &str, text: &str) -> Result<At, Failure> {
    let parse = || {
        let mut parts = text.split('.');
        let (major, minor, sealed) = (parts.next()?, parts.next()?, parts.next()?);
        let at = (i64::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
        let sealed = u16::from_str_radix(sealed, 16).ok()?;
        (parts.next().is_none() && seal(list, at) == sealed).then_some(at)
    };
    let wrong = || FieldError::value(vec!["query".into(), "cursor".into()], "this cursor was not given by this list");
    parse().ok_or_else(|| Failure::invalid(vec![wrong()]))
}

/// The cursor of a place in a list by name.
pub(crate) fn write_name(list: &str, name: &str) -> String {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}.{:04x}", seal_name(list, name))
}

fn seal_name(list: &str, name: &str) -> u16 {
    let hash = hash_parts(&[list, name]);
    u16::from_be_bytes([hash[0], hash[1]])
}

/// The name that a cursor stands for.
///
/// # Errors
/// A cursor that this list did not give.
pub(crate) fn read_name(list: &str, text: &str) -> Result<String, Failure> {
    let parse = || {
        let (hex, sealed) = text.split_once('.')?;
        let pairs = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let name = String::from_utf8(pairs.collect::<Option<Vec<u8>>>()?).ok()?;
        (seal_name(list, &name) == u16::from_str_radix(sealed, 16).ok()?).then_some(name)
    };
    let wrong = || FieldError::value(vec!["query".into(), "cursor".into()], "this cursor was not given by this list");
    parse().ok_or_else(|| Failure::invalid(vec![wrong()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_others_do_not() {
        for at in [(1, 0), (255, 3), (1_000_000_007, u32::MAX)] {
            assert_eq!(read("runs", &write("runs", at)).unwrap(), at);
            assert!(read("sessions", &write("runs", at)).is_err());
        }
        for name in ["", "a", "ünder.writing_01"] {
            assert_eq!(read_name("agents", &write_name("agents", name)).unwrap(), name);
            assert!(read_name("runs", &write_name("agents", name)).is_err());
        }
        for wrong in ["", ".", "a.0", "zz.0000", "ä.€", "61.zzzz"] {
            assert!(read_name("agents", wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "x", "1", "1.0", "1.0.0000", "zzzz.z.zzzz", "ä.€.ö", "-1.0.ffff", "1.0.0000.0"] {
            assert!(read("runs", wrong).is_err(), "{wrong}");
        }
    }
}
