//! On what terms a swarm is taken part in: chosen at its birth.

use super::Swarm;
use crate::core::limits::{CONVERSATIONS_MAX, PAGES_BYTES_MAX};
use crate::core::rng::Rng;
use crate::core::throttle::Limit;
use crate::leecher::picker::Order;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Conversations at a time, those that are being dialled included.
    pub conversations_max: usize,
    /// Bytes of content a second that leave, and that are asked for.
    pub limit_up: Limit,
    pub limit_down: Limit,
    /// Bytes of pieces held in memory while they fill; a few pieces in any case.
    pub pages_bytes: u64,
    /// In which order pieces are fetched.
    pub order: Order,
    pub company: Company,
}

/// Who else takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Company {
    /// Those who found the content under its name at our tracker: whoever comes is served in turn.
    #[default]
    Ours,
    /// Anybody: the content came by a .torrent or a magnet link.
    Strangers,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            conversations_max: CONVERSATIONS_MAX,
            limit_up: None,
            limit_down: None,
            pages_bytes: PAGES_BYTES_MAX,
            order: Order::default(),
            company: Company::default(),
        }
    }
}

impl Swarm {
    /// Takes part on these terms; said before anything else.
    pub fn on(mut self, terms: Terms, rng: &mut Rng) -> Swarm {
        if terms.company == Company::Strangers {
            self.serve.among_strangers(rng.fork(0xc4));
        }
        self.limit(terms.limit_up, terms.limit_down);
        if let Some(fetch) = &mut self.fetch {
            fetch.hold(terms.pages_bytes);
            fetch.fetch_in(terms.order);
            fetch.begin_anywhere(terms.company == Company::Strangers);
        }
        self.neighbours.rank(terms.company == Company::Strangers);
        self.terms = terms;
        self.us.exchanges = self.exchanges();
        self
    }

    /// From now on no more than so much a second, up and down.
    pub fn limit(&mut self, up: Limit, down: Limit) {
        (self.terms.limit_up, self.terms.limit_down) = (up, down);
        self.serve.limit(up);
        if let Some(fetch) = &mut self.fetch {
            fetch.limit(down);
        }
    }
}
