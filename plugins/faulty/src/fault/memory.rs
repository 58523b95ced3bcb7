//! Harm to the process's own memory.

use super::process::hang;
use inferhost_plugin_api::Error;

const MB: usize = 1_000_000;

pub(super) fn segfault() -> ! {
    let unmapped = std::ptr::without_provenance_mut::<u8>(8);
    // SAFETY: not memory of this program, and that is the point: no system maps the first page, so the volatile
    // write ends the process before anything can depend on it.
    unsafe { unmapped.write_volatile(1) };
    // Where a system maps it after all, the process must still end.
    std::process::abort()
}

/// Takes memory and touches it. Where the system gives no more the process aborts, as Rust does; the limit is for
/// machines that would rather swap.
pub(super) fn leak(limit_mb: u64) -> ! {
    const CHUNK_MB: u64 = 16;
    for _ in 0..limit_mb.div_ceil(CHUNK_MB) {
        // Not zeros: those come from the system untouched.
        // Unseen, the optimiser would leave it out.
        std::hint::black_box(Vec::leak(vec![1u8; CHUNK_MB as usize * MB]));
    }
    hang()
}

pub(super) fn overflow_stack() -> ! {
    descend(0);
    std::process::abort()
}

fn descend(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 512]);
    if depth == u64::MAX {
        return 0;
    }
    // Used afterwards, so that no frame can be given back before.
    descend(depth + 1) + frame[511]
}

#[cfg(unix)]
pub(super) fn free_twice() -> Result<(), Error> {
    // SAFETY: the second call breaks the allocator's rules, and that is the point: it ends the process, or spoils
    // a heap that nobody uses any more.
    unsafe {
        let block = std::hint::black_box(libc::malloc(40));
        libc::free(block);
        libc::free(std::hint::black_box(block));
    }
    std::process::abort()
}

#[cfg(unix)]
pub(super) fn corrupt_heap() -> Result<(), Error> {
    // SAFETY: writes beyond a block, over the allocator's own notes and its neighbours, and that is the point:
    // the allocator ends the process when it comes across them, and if not, the next line does.
    unsafe {
        let block = std::hint::black_box(libc::malloc(40));
        if !block.is_null() {
            libc::memset(block, 0xff, 4096);
        }
        for size in [40, 400, 4_000, 40_000] {
            libc::free(std::hint::black_box(libc::malloc(size)));
        }
        libc::free(block);
    }
    std::process::abort()
}

#[cfg(not(unix))]
pub(super) fn free_twice() -> Result<(), Error> {
    super::not_here("double_free")
}

#[cfg(not(unix))]
pub(super) fn corrupt_heap() -> Result<(), Error> {
    super::not_here("heap_corruption")
}
