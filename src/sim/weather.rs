//! What a seed brings: the nature of the network and the disks, which holds for ever, and the
//! faults, which cease at [`Weather::heal_at`].

use crate::core::rng::Rng;
use crate::core::time::{Span, Time};

/// What a stream of random numbers is for. Each use has its own stream, so that a new one leaves
/// the others as they were and an old seed keeps its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    Udp = 1,
    Tcp,
    Files,
    Wakes,
    Crash,
    /// Drawn by whoever builds a world: sizes, starts, restarts.
    Scene,
    /// Seeds of the nodes.
    Nodes,
    /// Content of the files.
    Content,
    /// Times of commits.
    Stores,
    /// The weather itself; every dial has a stream of its own from here on.
    Dials = 1000,
}

/// The stream of random numbers of a seed for one purpose.
pub fn stream(seed: u64, purpose: Purpose) -> Rng {
    Rng::new(seed).fork(purpose as u64)
}

/// A planted bug of the world itself: the laws must catch it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// `Sent` is never told.
    ForgottenSent,
    /// `Closed` is told twice now and then.
    ClosedTwice,
    /// Now and then a byte of a stream is delivered twice.
    ByteTwice,
}

/// The nature of one world. Probabilities are per mille (`_pm`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Weather {
    /// From here on no fault is started.
    pub heal_at: Time,

    /// One way, at the least.
    pub latency: Span,
    /// Added to it, uniform from zero.
    pub jitter: Span,
    /// Bytes a second, for each direction of each stream.
    pub rate: u64,
    /// Bytes of one direction of a stream that are on the way or not yet taken by the other role.
    pub window_bytes: u64,
    /// Largest segment, bytes.
    pub segment_bytes: u64,
    /// A delivery is cut short with this probability, to 1..=`cut_bytes`.
    pub cut_pm: u64,
    pub cut_bytes: u64,
    /// Largest datagram payload that arrives, bytes.
    pub datagram_bytes: usize,
    /// A file operation takes this long, at the least and at the most.
    pub file_latency: (Span, Span),
    /// Completions come in the order of the wishes.
    pub files_in_order: bool,
    /// `Wake` comes late by at most this.
    pub wake_late: Span,
    /// An unanswered dial ends after this.
    pub dial_timeout: Span,
    /// A sector or directory entry that was not synced survives a power cut with this probability.
    pub survive_pm: u64,

    pub udp_loss_pm: u64,
    pub udp_twice_pm: u64,
    /// A datagram is late by up to two seconds: others overtake it.
    pub udp_late_pm: u64,
    /// The first packet of a dial is lost for good.
    pub dial_lost_pm: u64,
    pub dial_refused_pm: u64,
    /// A stream is reset some time after it was established.
    pub reset_pm: u64,
    /// A stream turns into a black hole: nothing arrives any more, and nobody says so.
    pub dark_pm: u64,
    /// A segment is late by up to three seconds (it was lost and sent again).
    pub stall_pm: u64,
    /// A file operation takes up to five seconds.
    pub file_stall_pm: u64,

    pub planted: Option<Planted>,
}

impl Weather {
    /// A local network and disk without faults: quick, and every delivery whole.
    pub fn calm() -> Weather {
        Weather {
            heal_at: Time::ZERO,
            latency: Span::us(100),
            jitter: Span::ZERO,
            rate: 100_000_000,
            window_bytes: 256 * 1024,
            segment_bytes: 64 * 1024,
            cut_pm: 0,
            cut_bytes: 1,
            datagram_bytes: 1472,
            file_latency: (Span::us(20), Span::us(20)),
            files_in_order: true,
            wake_late: Span::ZERO,
            dial_timeout: Span::secs(30),
            survive_pm: 0,
            udp_loss_pm: 0,
            udp_twice_pm: 0,
            udp_late_pm: 0,
            dial_lost_pm: 0,
            dial_refused_pm: 0,
            reset_pm: 0,
            dark_pm: 0,
            stall_pm: 0,
            file_stall_pm: 0,
            planted: None,
        }
    }

    /// The nature of network and disk from a seed, still without faults.
    pub fn fair(seed: u64) -> Weather {
        let mut dial = Dials { seed, next: 0 };
        let latency = dial.drawn(20, 30_000);
        let jitter = dial.switched(10, 100_000);
        let rate = dial.drawn(200_000, 200_000_000);
        let window_bytes = dial.drawn(4 * 1024, 4 * 1024 * 1024);
        let segment_bytes = dial.drawn(1448, 64 * 1024);
        let cut_pm = dial.switched(10, 500);
        let cut_bytes = dial.drawn(1, 20_000);
        let file_low = dial.drawn(1, 1_000);
        let file_high = file_low + dial.switched(1, 20_000);
        let files_in_order = dial.switched(1, 1) == 0;
        let wake_late = dial.switched(1, 20_000);
        let survive_pm = [0, 500, 1000][dial.drawn(1, 3) as usize - 1];
        Weather {
            latency: Span::us(latency),
            jitter: Span::us(jitter),
            rate,
            window_bytes,
            segment_bytes,
            cut_pm,
            cut_bytes,
            file_latency: (Span::us(file_low), Span::us(file_high)),
            files_in_order,
            wake_late: Span::us(wake_late),
            survive_pm,
            dial_timeout: Span::secs(dial.drawn(10, 127)),
            ..Weather::calm()
        }
    }

    /// Nature and faults of a seed: every fault is on with probability 1/2, its intensity
    /// log-uniform.
    pub fn rough(seed: u64, heal_at: Time) -> Weather {
        // The faults have dials of their own, behind the ones of `fair`.
        let mut dial = Dials { seed, next: 100 };
        Weather {
            heal_at,
            udp_loss_pm: dial.switched(5, 300),
            udp_twice_pm: dial.switched(5, 200),
            udp_late_pm: dial.switched(5, 300),
            dial_lost_pm: dial.switched(5, 300),
            dial_refused_pm: dial.switched(5, 300),
            reset_pm: dial.switched(20, 600),
            dark_pm: dial.switched(10, 300),
            stall_pm: dial.switched(1, 50),
            file_stall_pm: dial.switched(1, 30),
            ..Weather::fair(seed)
        }
    }
}

struct Dials {
    seed: u64,
    next: u64,
}

impl Dials {
    fn stream(&mut self) -> Rng {
        self.next += 1;
        Rng::new(self.seed).fork(Purpose::Dials as u64 + self.next)
    }

    /// Log-uniform in `low..=high`.
    fn drawn(&mut self, low: u64, high: u64) -> u64 {
        log_uniform(&mut self.stream(), low, high)
    }

    /// Zero with probability 1/2, else as `drawn`.
    fn switched(&mut self, low: u64, high: u64) -> u64 {
        let mut rng = self.stream();
        let on = rng.chance(500);
        let value = log_uniform(&mut rng, low, high);
        if on { value } else { 0 }
    }
}

/// Uniform among the doublings of `low` up to `high`, then uniform within one. Integers alone, so
/// that a seed means the same on every machine.
pub fn log_uniform(rng: &mut Rng, low: u64, high: u64) -> u64 {
    let low = low.max(1);
    let doublings = (high / low).max(1).ilog2();
    let start = low << rng.below(u64::from(doublings) + 1);
    rng.between(start, (start * 2).min(high).max(start))
}

pub(super) struct Randomness {
    pub udp: Rng,
    pub tcp: Rng,
    pub files: Rng,
    pub wakes: Rng,
    pub crash: Rng,
    pub nodes: Rng,
    pub stores: Rng,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_weather_and_every_fault_is_on_in_about_half_of_them() {
        assert_eq!(Weather::rough(5, Time::ZERO), Weather::rough(5, Time::ZERO));
        let all: Vec<Weather> = (0..400).map(|seed| Weather::rough(seed, Time::ZERO)).collect();
        let on = |dial: fn(&Weather) -> u64| all.iter().filter(|w| dial(w) > 0).count();
        for dial in [
            on(|w| w.udp_loss_pm),
            on(|w| w.udp_twice_pm),
            on(|w| w.dark_pm),
            on(|w| w.reset_pm),
            on(|w| w.cut_pm),
            on(|w| w.file_stall_pm),
        ] {
            assert!((150..250).contains(&dial), "{dial} of 400");
        }
        assert!(all.iter().all(|w| w.udp_loss_pm <= 300 && w.window_bytes >= 4096));
        assert!(all.iter().any(|w| w.survive_pm == 0) && all.iter().any(|w| w.survive_pm == 1000));
    }

    #[test]
    fn a_drawn_value_stays_in_its_range_and_reaches_both_halves() {
        let mut rng = Rng::new(1);
        let drawn: Vec<u64> = (0..1000).map(|_| log_uniform(&mut rng, 4, 1000)).collect();
        assert!(drawn.iter().all(|x| (4..=1000).contains(x)));
        assert!(drawn.iter().any(|x| *x < 8) && drawn.iter().any(|x| *x > 700));
    }
}
