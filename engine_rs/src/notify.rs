//! Waking Python's event loop: a file descriptor that is readable while something waits.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// An eventfd on Linux, a socket pair elsewhere. `raise` from any thread, `clear` by the reader before it reads.
pub struct Notify {
    reader: OwnedFd,
    writer: Option<OwnedFd>,
    raised: AtomicBool,
}

impl Notify {
    #[cfg(target_os = "linux")]
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers; the result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let reader = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { reader, writer: None, raised: AtomicBool::new(false) })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn new() -> io::Result<Self> {
        Self::pair()
    }

    /// The portable form.
    #[cfg(any(test, not(target_os = "linux")))]
    pub fn pair() -> io::Result<Self> {
        let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader: reader.into(), writer: Some(writer.into()), raised: AtomicBool::new(false) })
    }

    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Make the descriptor readable. Cheap when it already is.
    #[inline]
    pub fn raise(&self) {
        if self.raised.swap(true, Ordering::AcqRel) {
            return;
        }
        let one = 1_u64.to_ne_bytes();
        let (fd, length) = match &self.writer {
            Some(writer) => (writer.as_raw_fd(), 1),
            None => (self.reader.as_raw_fd(), one.len()),
        };
        // SAFETY: `one` outlives the call and is at least `length` bytes long. A full buffer means it is readable.
        unsafe { libc::write(fd, one.as_ptr().cast(), length) };
    }

    /// Forget earlier raises. What was handed over before one of them is seen by a read after this.
    #[inline]
    pub fn clear(&self) {
        let mut buffer = [0_u8; 8];
        // SAFETY: the buffer is as long as said. Nothing to read is no error here.
        unsafe { libc::read(self.reader.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        self.raised.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(notify: &Notify) -> bool {
        let mut poll = libc::pollfd { fd: notify.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }

    #[test]
    fn readable_from_raise_to_clear() {
        for notify in [Notify::new().unwrap(), Notify::pair().unwrap()] {
            assert!(!readable(&notify));
            for _ in 0..1000 {
                notify.raise();
            }
            assert!(readable(&notify));
            notify.clear();
            assert!(!readable(&notify));
            notify.raise();
            assert!(readable(&notify));
        }
    }
}
