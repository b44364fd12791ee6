//! Where a data directory lies, and why that may be a bad place.

use std::path::Path;

/// What to know about the file system below a directory, if anything.
pub(super) fn doubt(dir: &Path) -> Option<&'static str> {
    kind(dir).and_then(about)
}

#[cfg(target_os = "linux")]
fn kind(dir: &Path) -> Option<u32> {
    // The numbers of statfs(2) have 32 bits, whatever the width of the field.
    rustix::fs::statfs(dir).ok().map(|found| found.f_type as u32)
}

#[cfg(not(target_os = "linux"))]
fn kind(_: &Path) -> Option<u32> {
    None
}

fn about(kind: u32) -> Option<&'static str> {
    match kind {
        0x0102_1994 | 0x8584_58f6 => Some("lies in memory: nothing in it outlives this machine"),
        0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 | 0x0102_1997 | 0x00c3_6400 | 0x5346_414f => {
            Some("lies on a network file system: what was accepted may be lost; use a local disk")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_networks_are_doubted_and_disks_are_not() {
        let (tmpfs, nfs, ext4, btrfs, overlay) = (0x0102_1994, 0x6969, 0xef53, 0x9123_683e, 0x794c_7630);
        assert!(about(tmpfs).is_some_and(|said| said.contains("memory")));
        assert!(about(nfs).is_some_and(|said| said.contains("network")));
        assert!([ext4, btrfs, overlay].into_iter().all(|kind| about(kind).is_none()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_is_asked() {
        assert_eq!(kind(Path::new("/proc")), Some(0x9fa0));
        assert_eq!(kind(Path::new("/nowhere/at/all")), None);
    }
}
