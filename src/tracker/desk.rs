//! What a connection may be given: everything that answers over TCP are made from.

use super::figures::Figures;
use super::http::pages::Pages;
use super::registry::Registry;
use super::ticket::Tickets;
use crate::core::io::Outbox;
use crate::core::time::Time;
use std::net::IpAddr;

pub struct Desk<'a> {
    pub now: Time,
    pub registry: &'a mut Registry,
    pub tickets: &'a mut Tickets,
    pub pages: &'a mut Pages,
    /// Our addresses on the network.
    pub ours: &'a [IpAddr],
    pub figures: Figures,
    /// Where wishes go.
    pub out: &'a mut Outbox,
}

impl Desk<'_> {
    /// Unix seconds.
    pub fn unix_s(&self) -> u64 {
        self.registry.unix_s(self.now)
    }
}
