//! Which copy of a record this is, within the process.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no other record in this process has or ever had: what was made for one record is found by it, and by
/// no other, whatever the two hold. A copy has another one, since it may be changed.
#[derive(Debug)]
pub struct Serial(u64);

impl Serial {
    /// The number.
    pub fn number(&self) -> u64 {
        self.0
    }
}

impl Default for Serial {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Clone for Serial {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// It is no part of what a record says.
impl PartialEq for Serial {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_have_the_same_number_a_copy_included() {
        let one = Serial::default();
        let numbers = [one.number(), one.clone().number(), Serial::default().number()];
        assert!(numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[0] != numbers[2], "{numbers:?}");
    }
}
