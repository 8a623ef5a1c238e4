//! Which process something was made in: after a fork its threads are not there, and its locks may be held for ever.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(u32);

impl Origin {
    pub fn here() -> Self {
        Self(std::process::id())
    }

    /// False in a child that was forked later.
    #[inline]
    pub fn is_here(self) -> bool {
        self.0 == std::process::id()
    }
}
