//! Keys that must never reach a log, an error or a debug print.

use std::fmt;

/// A credential. It can be read on purpose with `expose`, and in no other way.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_print_is_masked() {
        assert_eq!(format!("{:?}", Secret::new("s3cr3t".into())), "***");
    }
}
