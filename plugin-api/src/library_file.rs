//! Whether a shared library's file is all there: the system's loader maps one that was cut off and is killed when it
//! reads beyond the end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Refuses a file that ends before its segments do. Only 64-bit ELF is looked at; anything else is the loader's matter.
///
/// # Errors
/// How long the file is and how long it should be, for "cannot use PATH: …".
pub fn check_whole(path: &Path) -> Result<(), String> {
    let Some((found, needed)) = File::open(path).ok().and_then(|mut file| lengths(&mut file)) else {
        return Ok(());
    };
    if found >= needed {
        return Ok(());
    }
    Err(format!("the file was cut off: it has {found} bytes of at least {needed}; fetch it again"))
}

/// Of the file, and of what its program headers lay claim to; none where it is no 64-bit ELF of this byte order.
fn lengths(file: &mut File) -> Option<(u64, u64)> {
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() {
        return None;
    }
    let mut header = [0; 64];
    file.read_exact(&mut header).ok()?;
    // ELF, 64 bits, little endian.
    if header[..6] != [0x7f, b'E', b'L', b'F', 2, 1] || cfg!(target_endian = "big") {
        return None;
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    let (start, size, count) = (number(&header[32..40]), number(&header[54..56]), number(&header[56..58]));
    let mut needed = start.checked_add(size.checked_mul(count)?)?;
    if size < 56 || needed > metadata.len() {
        return Some((metadata.len(), needed.max(64)));
    }
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut table = vec![0; usize::try_from(size * count).ok()?];
    file.read_exact(&mut table).ok()?;
    for segment in table.chunks_exact(usize::try_from(size).ok()?) {
        needed = needed.max(number(&segment[8..16]).saturating_add(number(&segment[32..40])));
    }
    Some((metadata.len(), needed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
    #[test]
    fn a_program_that_was_cut_off_is_told_from_a_whole_one() {
        let own = std::env::current_exe().unwrap();
        check_whole(&own).unwrap();
        let whole = std::fs::read(&own).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut");
        for length in [64, 100, 4096] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = check_whole(&path).unwrap_err();
            assert!(error.contains(&format!("it has {length} bytes of at least")), "{error}");
        }
    }

    #[test]
    fn what_is_no_elf_is_the_loaders_matter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        for content in [&b""[..], b"text", &[0x7f; 200]] {
            std::fs::write(&path, content).unwrap();
            check_whole(&path).unwrap();
        }
        check_whole(folder.path()).unwrap();
        check_whole(&folder.path().join("absent")).unwrap();
    }
}
