//! Time is a number. The clock itself is read in one file of the reactor; everyone else is told.

use std::fmt;
use std::ops::{Add, Sub};

/// A moment: nanoseconds since the process (or the simulated world) was born.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

/// A length of time in nanoseconds. All arithmetic saturates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span(pub u64);

impl Time {
    pub const ZERO: Time = Time(0);
    /// Later than anything that happens: "no deadline".
    pub const NEVER: Time = Time(u64::MAX);

    /// The span from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since birth.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn secs(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000_000))
    }
    pub const fn ms(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000))
    }
    pub const fn us(n: u64) -> Span {
        Span(n.saturating_mul(1_000))
    }
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    pub const fn times(self, n: u64) -> Span {
        Span(self.0.saturating_mul(n))
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Span {
    /// For people: `340 ms`, `12.3 s`, `4 min 05 s`, `2 h 10 min`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.as_secs();
        match self.0 {
            0..1_000_000_000 => write!(f, "{} ms", self.as_ms()),
            1_000_000_000..60_000_000_000 => write!(f, "{:.1} s", self.as_secs_f64()),
            60_000_000_000..3_600_000_000_000 => write!(f, "{} min {:02} s", s / 60, s % 60),
            _ => write!(f, "{} h {:02} min", s / 3600, s / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Time(5).since(Time(9)), Span::ZERO);
        assert_eq!(Time::NEVER + Span::secs(1), Time::NEVER);
        assert_eq!(Time(5) - Span(9), Time::ZERO);
        assert_eq!(Span::secs(u64::MAX), Span(u64::MAX));
    }

    #[test]
    fn spans_read_as_a_person_would_say_them() {
        let said: Vec<String> =
            [Span::ms(340), Span::ms(12_340), Span::secs(245), Span::secs(7_800)]
                .iter()
                .map(Span::to_string)
                .collect();
        assert_eq!(said, ["340 ms", "12.3 s", "4 min 05 s", "2 h 10 min"]);
    }
}
