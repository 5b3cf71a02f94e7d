//! Virtual time: nanoseconds since power-on. Nothing here reads a clock.

use std::ops::{Add, AddAssign, Mul, Sub};

/// A point in virtual time, nanoseconds since power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Instant {
    ns: u64,
}

/// A length of virtual time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Duration {
    ns: u64,
}

impl Instant {
    /// Power-on.
    pub const ZERO: Self = Self { ns: 0 };

    /// From nanoseconds since power-on.
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Self { ns }
    }

    /// Nanoseconds since power-on.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.ns
    }

    /// Time since `earlier`, zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration { ns: self.ns.saturating_sub(earlier.ns) }
    }
}

impl Duration {
    /// No time.
    pub const ZERO: Self = Self { ns: 0 };

    /// From nanoseconds.
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Self { ns }
    }

    /// From microseconds.
    #[must_use]
    pub const fn from_micros(us: u64) -> Self {
        Self { ns: us.saturating_mul(1_000) }
    }

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self { ns: ms.saturating_mul(1_000_000) }
    }

    /// In nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.ns
    }

    /// In whole microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.ns / 1_000
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self { ns: self.ns.saturating_add(span.ns) }
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Add for Duration {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { ns: self.ns.saturating_add(other.ns) }
    }
}

impl Sub for Duration {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { ns: self.ns.saturating_sub(other.ns) }
    }
}

impl Mul<usize> for Duration {
    type Output = Self;

    fn mul(self, count: usize) -> Self {
        Self { ns: self.ns.saturating_mul(count as u64) }
    }
}

impl From<Duration> for std::time::Duration {
    fn from(span: Duration) -> Self {
        Self::from_nanos(span.ns)
    }
}
