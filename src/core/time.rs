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

/// Unix seconds at the end of the year 9999.
const YEAR_10000_S: u64 = 253_402_300_800;

/// `2026-01-31 23:59` of a Unix second (proleptic Gregorian, as in RFC 3339); one beyond the year
/// 9999 stays a number.
pub fn utc(unix_s: u64) -> String {
    if unix_s >= YEAR_10000_S {
        return format!("{unix_s} s");
    }
    let (mut days, minutes) = (unix_s / 86_400, unix_s % 86_400 / 60);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02}", days + 1, minutes / 60, minutes % 60)
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

    #[test]
    fn dates_read_as_in_a_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (1_767_225_599, "2025-12-31 23:59"),
            (1_798_761_599, "2026-12-31 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
            (YEAR_10000_S - 1, "9999-12-31 23:59"),
            (u64::MAX, "18446744073709551615 s"),
        ] {
            assert_eq!(utc(unix_s), text);
        }
    }
}
