//! What a connection may be given: everything that answers over TCP are made from.

use super::figures::Figures;
use super::http::pages::Pages;
use super::registry::Registry;
use super::ticket::Tickets;
use std::net::IpAddr;

pub struct Desk<'a> {
    pub registry: &'a mut Registry,
    pub tickets: &'a mut Tickets,
    pub pages: &'a mut Pages,
    /// Our addresses on the network.
    pub ours: &'a [IpAddr],
    pub figures: Figures,
}
