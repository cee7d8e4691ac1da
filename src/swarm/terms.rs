//! On what terms a swarm is taken part in: chosen at its birth.

use super::Swarm;
use crate::core::limits::CONVERSATIONS_MAX;
use crate::core::throttle::Limit;
use crate::leecher::picker::Order;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Conversations at a time, those that are being dialled included.
    pub conversations_max: usize,
    /// Bytes of content a second that leave, and that are asked for.
    pub limit_up: Limit,
    pub limit_down: Limit,
    /// In which order pieces are fetched.
    pub order: Order,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            conversations_max: CONVERSATIONS_MAX,
            limit_up: None,
            limit_down: None,
            order: Order::default(),
        }
    }
}

impl Swarm {
    /// Takes part on these terms; said before anything else.
    pub fn on(mut self, terms: Terms) -> Swarm {
        self.serve.limit(terms.limit_up);
        if let Some(fetch) = &mut self.fetch {
            fetch.limit(terms.limit_down);
            fetch.fetch_in(terms.order);
        }
        self.terms = terms;
        self
    }
}
