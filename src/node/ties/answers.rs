//! What follows from the answer to a control request.

use super::{Tie, Ties};
use crate::announce::catalogue::CatalogueClient;
use crate::announce::control::{self, Ready};
use crate::core::io::Outbox;
use crate::core::time::Time;
use crate::wire::token::DENIED;

impl Ties {
    pub(super) fn got_control(&mut self, heard: control::Heard, now: Time, out: &mut Outbox) {
        match heard {
            control::Heard::Ready(ready) => {
                self.knows_slots = true;
                let (open, returning_s) = (ready.is_open(), ready.returning_s());
                self.news.push(Tie::Ready { open, returning_s });
                if self.wanted {
                    self.dial(&ready, now, out);
                }
            }
            control::Heard::Busy { .. } => {}
            control::Heard::Refused(status) if status.is_denial() => {
                self.news.push(Tie::Denied);
                self.try_later(now);
            }
            control::Heard::Stock(text) if text == DENIED => {
                self.news.push(Tie::Denied);
                self.try_later(now);
            }
            control::Heard::Refused(status) => {
                self.news.push(Tie::Refused(format!("it answers {status:?}")));
                self.try_later(now);
            }
            control::Heard::Stock(text) => {
                self.news.push(Tie::Refused(format!("it has no names ({text})")));
                self.try_later(now);
            }
        }
    }

    fn dial(&mut self, ready: &Ready, now: Time, out: &mut Outbox) {
        let catalogue = CatalogueClient::dial(now, ready, self.node_key.clone(), out);
        self.catalogue = Some(catalogue.with_token(self.token.as_ref()));
    }
}
