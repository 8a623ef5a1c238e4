//! What a reply means: accepted, rejected or unknown for a command; a body or an error for a read.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Accepted { status: u16, body: Bytes, request_id: Option<String> },
    Rejected { status: u16, code: Option<i64>, message: String, body: Bytes, request_id: Option<String> },
    Unknown { reason: String, status: Option<u16>, sent: bool },
}

impl Outcome {
    pub fn unknown(reason: impl Into<String>, sent: bool) -> Self {
        Self::Unknown { reason: reason.into(), status: None, sent }
    }
}

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    Refused { status: u16, code: Option<i64>, message: String, request_id: Option<String> },
    Unavailable { reason: String },
}

impl ReadError {
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into() }
    }
}

/// Why a request has no reply. `sent`: whether it may have reached the venue.
#[derive(Debug)]
pub struct Failure {
    pub reason: String,
    pub status: Option<u16>,
    pub sent: bool,
}

impl Failure {
    /// `kind`, and the innermost cause: the outer ones repeat it, or the URL.
    pub fn broken(kind: &str, error: &(dyn std::error::Error + 'static), status: Option<u16>) -> Self {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self { reason: format!("{kind}: {cause}"), status, sent: true }
    }

    pub fn timeout(after: Duration) -> Self {
        Self { reason: format!("timeout: no reply within {after:?}"), status: None, sent: true }
    }

    pub fn unsent(reason: String) -> Self {
        Self { reason, status: None, sent: false }
    }
}

/// Statuses after which the command may or may not have been carried out, and a read is worth another try.
pub fn is_unsettled(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || status >= 500
}

/// Judge the reply to a command. `needs_body`: success without readable JSON says nothing about what was made.
pub fn judge(status: u16, body: Bytes, request_id: Option<String>, needs_body: bool) -> Outcome {
    match status {
        200..=299 => {
            let readable = if body.is_empty() { !needs_body } else { is_json(&body) };
            if readable {
                Outcome::Accepted { status, body, request_id }
            } else {
                Outcome::Unknown { reason: "the reply could not be read".into(), status: Some(status), sent: true }
            }
        }
        400..=499 if !is_unsettled(status) => {
            let (code, message) = error_body(status, &body);
            Outcome::Rejected { status, code, message, body, request_id }
        }
        _ => {
            let (_, message) = error_body(status, &body);
            Outcome::Unknown { reason: format!("HTTP {status}: {message}"), status: Some(status), sent: true }
        }
    }
}

pub fn is_json(body: &[u8]) -> bool {
    // What is skipped is not looked into, so that text which is not UTF-8 would pass.
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Alpaca's `{"code", "message"}`, or what can be said about anything else: a proxy's page, an empty body.
pub fn error_body(status: u16, body: &[u8]) -> (Option<i64>, String) {
    #[derive(Deserialize)]
    struct Body {
        code: Option<serde_json::Value>,
        message: Option<serde_json::Value>,
    }
    if let Ok(parsed) = serde_json::from_slice::<Body>(body) {
        let code = parsed.code.and_then(|code| match code {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        });
        let message = match parsed.message {
            Some(serde_json::Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => format!("no message with HTTP {status}"),
        };
        return (code, message);
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        (None, format!("no message with HTTP {status}"))
    } else if text.starts_with('<') {
        (None, format!("a web page instead of JSON with HTTP {status}"))
    } else {
        (None, text.chars().take(200).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &'static str) -> Outcome {
        judge(status, Bytes::from_static(body.as_bytes()), None, true)
    }

    #[test]
    fn success_with_json_is_accepted() {
        assert!(matches!(of(200, "{\"id\":\"x\"}"), Outcome::Accepted { status: 200, .. }));
    }

    #[test]
    fn success_that_cannot_be_read_is_unknown() {
        assert!(matches!(of(200, "{\"id\":"), Outcome::Unknown { status: Some(200), sent: true, .. }));
        assert!(matches!(of(200, ""), Outcome::Unknown { .. }));
    }

    #[test]
    fn a_cancel_needs_no_body() {
        assert!(matches!(judge(204, Bytes::new(), None, false), Outcome::Accepted { .. }));
    }

    #[test]
    fn refusals_carry_the_code_and_message() {
        let Outcome::Rejected { status, code, message, .. } =
            of(403, r#"{"code":40310000,"message":"insufficient buying power","buying_power":"491.2"}"#)
        else {
            panic!("not rejected")
        };
        assert_eq!((status, code, message.as_str()), (403, Some(40_310_000), "insufficient buying power"));
    }

    #[test]
    fn refusals_without_a_code_are_refusals_all_the_same() {
        let Outcome::Rejected { code, message, .. } = of(401, "<html>nginx</html>") else { panic!("not rejected") };
        assert_eq!(code, None);
        assert_eq!(message, "a web page instead of JSON with HTTP 401");
    }

    #[test]
    fn a_busy_or_broken_venue_is_unknown() {
        for status in [302, 408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(of(status, "{\"message\":\"x\"}"), Outcome::Unknown { .. }), "{status}");
        }
    }
}
