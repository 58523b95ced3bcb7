//! Open files: all taken, closed though they are others', or written to though nobody asked.

#[cfg(unix)]
pub(super) use on_unix::{close_from, eat, unblock_sockets, write_to_sockets};

#[cfg(unix)]
mod on_unix {
    use super::super::refused;
    use inferhost_plugin_api::Error;
    use libc::c_int;
    use std::fs::File;

    /// No descriptor above this is looked at.
    const MOST: c_int = 65_536;

    pub(in crate::fault) fn eat() -> Result<(), Error> {
        while let Ok(file) = File::open("/dev/null") {
            std::mem::forget(file);
        }
        Ok(())
    }

    pub(in crate::fault) fn close_from(first: c_int) -> Result<(), Error> {
        for descriptor in first..MOST {
            // SAFETY: breaks whoever uses the descriptor, and that is the point; no memory is touched.
            unsafe { libc::close(descriptor) };
        }
        Ok(())
    }

    pub(in crate::fault) fn unblock_sockets() -> Result<(), Error> {
        for socket in sockets() {
            // SAFETY: takes values, and touches no memory.
            if unsafe { libc::fcntl(socket, libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
                return Err(refused("unblock a socket"));
            }
        }
        Ok(())
    }

    /// Text, as a log would write that holds a descriptor which has become another's.
    pub(in crate::fault) fn write_to_sockets(times: u32) -> Result<(), Error> {
        const TEXT: &[u8] = b"[INFO] a line of a log that went astray: 0123456789\n";
        let sockets = sockets();
        for time in 0..times {
            for &socket in &sockets {
                // SAFETY: the text outlives the call, and its length is its own.
                let sent =
                    unsafe { libc::send(socket, TEXT.as_ptr().cast(), TEXT.len(), libc::MSG_NOSIGNAL) };
                if sent < 0 && time == 0 {
                    return Err(refused("write to a socket"));
                }
            }
        }
        Ok(())
    }

    fn sockets() -> Vec<c_int> {
        let is_socket = |&descriptor: &c_int| {
            // SAFETY: zeros are a valid `stat`, and the call fills it or fails.
            unsafe {
                let mut stat = std::mem::zeroed::<libc::stat>();
                libc::fstat(descriptor, &mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFSOCK
            }
        };
        (3..MOST).filter(is_socket).collect()
    }
}

#[cfg(not(unix))]
pub(super) use elsewhere::{close_from, eat, unblock_sockets, write_to_sockets};

#[cfg(not(unix))]
mod elsewhere {
    use super::super::not_here;
    use inferhost_plugin_api::Error;

    pub(in crate::fault) fn eat() -> Result<(), Error> {
        not_here("eat_descriptors")
    }

    pub(in crate::fault) fn close_from(_: i32) -> Result<(), Error> {
        not_here("close_descriptors")
    }

    pub(in crate::fault) fn unblock_sockets() -> Result<(), Error> {
        not_here("nonblocking")
    }

    pub(in crate::fault) fn write_to_sockets(_: u32) -> Result<(), Error> {
        not_here("channel_garbage")
    }
}
