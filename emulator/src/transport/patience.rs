//! Looking before sleeping: a client that goes on at once is met awake.
//!
//! A loader's conversation is one block, one answer, one block. Where both sides sleep in between,
//! most of the time goes into waking processors up. So a server whose client is quick looks for its
//! next bytes for a moment before it sleeps.

use std::time::{Duration, Instant};

/// How long to look.
const LOOK: Duration = Duration::from_micros(60);
/// A client that took longer to go on is not worth looking for.
const QUICK: Duration = Duration::from_micros(150);

/// What a server knows of its client's pace.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Patience {
    /// End of the last turn that took bytes of the client.
    last: Option<Instant>,
    is_quick: bool,
}

impl Patience {
    /// Bytes of the client came at `begin`, and were worked on until `end`.
    pub(super) fn heard(&mut self, begin: Instant, end: Instant) {
        let is_quick = |last| begin.saturating_duration_since(last) < QUICK;
        self.is_quick = self.last.replace(end).is_some_and(is_quick);
    }

    /// Until when to look before sleeping.
    pub(super) fn until(&self) -> Option<Instant> {
        self.last.filter(|_| self.is_quick).map(|last| last + LOOK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn only_a_quick_client_is_looked_for() {
        let start = Instant::now();
        let mut patience = Patience::default();
        patience.heard(start, start);
        assert_eq!(patience.until(), None, "nothing is known yet");
        let end = start + QUICK;
        patience.heard(start + QUICK / 2, end);
        assert_eq!(patience.until(), Some(end + LOOK));
        patience.heard(end + QUICK, end + QUICK);
        assert_eq!(patience.until(), None, "it took its time");
    }
}
