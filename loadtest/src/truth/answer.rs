//! Judging an answer.

use std::borrow::Cow;

use serde::Deserialize;

use super::Expected;

/// RFC 7662 section 2.2: `active` is required, and is a boolean. A member given twice makes it no answer.
#[derive(Deserialize)]
struct Answer<'a> {
    active: bool,
    #[serde(borrow, default)]
    sub: Option<Cow<'a, str>>,
}

/// Judges for one thread.
///
/// Most answers repeat, byte for byte, the last one for the same token. Such a one is judged as its twin was, without
/// being read again: the bytes are the same, and so is the token. What is remembered is what they say, never whether it
/// is true.
#[derive(Debug)]
pub(crate) struct Judge {
    remembered: Vec<Option<Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    token: usize,
    says_active: bool,
    bytes: Box<[u8]>,
}

/// Tokens whose last answer is remembered, by the low bits of their numbers.
const REMEMBERED: usize = 4096;
/// Longer answers are read each time.
const LONGEST_REMEMBERED: usize = 2048;
/// RFC 7662 section 2.2, the answer that says nothing else.
const INACTIVE: &[u8] = br#"{"active":false}"#;

impl Judge {
    /// Remembers nothing yet.
    pub(crate) fn new() -> Self {
        Self { remembered: (0..REMEMBERED).map(|_| None).collect() }
    }

    /// Whether an answer for a token is true.
    pub(crate) fn is_true(&mut self, token: usize, subject: Option<&str>, body: &[u8], expected: Expected) -> bool {
        self.says_active(token, subject, body).is_some_and(|active| expected.allows(active))
    }

    /// What the answer says; `None` when it is none, or is one about somebody else.
    fn says_active(&mut self, token: usize, subject: Option<&str>, body: &[u8]) -> Option<bool> {
        if body == INACTIVE {
            return Some(false);
        }
        let place = &mut self.remembered[token % REMEMBERED];
        if let Some(last) = place
            && last.token == token
            && *last.bytes == *body
        {
            return Some(last.says_active);
        }
        let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
        let about_somebody_else = subject.is_some_and(|subject| answer.sub.as_deref() != Some(subject));
        if answer.active && about_somebody_else {
            return None;
        }
        if body.len() <= LONGEST_REMEMBERED {
            *place = Some(Remembered { token, says_active: answer.active, bytes: body.into() });
        }
        Some(answer.active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(body: &[u8], expected: Expected) -> bool {
        let mut judge = Judge::new();
        let first = judge.is_true(7, None, body, expected);
        assert_eq!(judge.is_true(7, None, body, expected), first, "judged otherwise the second time");
        first
    }

    #[test]
    fn only_the_truth_is_true() {
        assert!(judge(br#"{"active":true,"sub":"alice"}"#, Expected::Active));
        assert!(judge(br#"{"active":false}"#, Expected::Inactive));
        assert!(judge(br#" { "sub" : "a", "active" : false } "#, Expected::Inactive));
        assert!(judge(br#"{"active":true}"#, Expected::Either));
        let lies: [&[u8]; 11] = [
            br#"{"active":false}"#,
            br#"{"active":"true"}"#,
            br#"{"active":1}"#,
            br#"{"active":true,"active":true}"#,
            br#"{"\u0061ctive":true,"active":false}"#,
            br#"{"sub":"alice"}"#,
            br#"{"nested":{"active":true}}"#,
            br#"{"active":true"#,
            br#"{"active":true}{"active":true}"#,
            b"\xff",
            b"",
        ];
        for lie in lies {
            assert!(!judge(lie, Expected::Active), "{}", String::from_utf8_lossy(lie));
        }
    }

    #[test]
    fn the_same_bytes_are_no_excuse_once_the_truth_has_changed() {
        let mut judge = Judge::new();
        let body = br#"{"active":true}"#;
        assert!(judge.is_true(1, None, body, Expected::Active));
        assert!(judge.is_true(1, None, body, Expected::Either));
        assert!(!judge.is_true(1, None, body, Expected::Inactive));
    }

    #[test]
    fn an_answer_about_somebody_else_is_a_lie() {
        let mut judge = Judge::new();
        let body = br#"{"active":true,"sub":"alice"}"#;
        assert!(judge.is_true(1, Some("alice"), body, Expected::Active));
        // The neighbour in the list of what is remembered must not be taken for the token itself.
        assert!(!judge.is_true(1 + REMEMBERED, Some("bob"), body, Expected::Active));
        assert!(!judge.is_true(2, Some("bob"), body, Expected::Active));
        assert!(!judge.is_true(2, Some("bob"), br#"{"active":true}"#, Expected::Active));
        assert!(judge.is_true(2, Some("bob"), br#"{"active":false}"#, Expected::Inactive));
    }
}
