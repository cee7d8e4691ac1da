//! Control requests of ours: who may, what the tracker can do, and a ticket for the catalogue.

use super::{CAPS, Datagram, Datagrams, POLL_S, Silence, World};
use crate::core::limits::CATALOGUE_FRAME_BYTES_MAX;
use crate::core::time::Time;
use crate::tracker::access::Pass;
use crate::tracker::ticket::{Holder, LIFETIME_S, READ, WRITE};
use crate::wire::catalogue::LIST_PAGE_MAX;
use crate::wire::control::{
    ControlRequest, ControlResponse, Op, Status, VERSION, caps, common_version,
};
use crate::wire::token::{self, scope};

impl Datagrams {
    pub(super) fn control(
        &mut self,
        now: Time,
        news: Datagram<'_>,
        world: &mut World<'_>,
    ) -> Result<(), Silence> {
        let request = ControlRequest::decode(news.bytes).ok_or(Silence)?;
        let unix_s = world.registry.unix_s(now);
        if !self.knows(request.cid, request.tid, unix_s, news)? {
            return Ok(());
        }
        let ip = news.from.ip().to_canonical();
        let access = &mut world.registry.access;
        let token = token::in_url_data(&request.url_data);
        let response = match access.opens(request.op, ip, token, unix_s) {
            Ok(pass) => self.ready(now, &request, news, pass, world),
            Err(status) if access.tells_denial(now, ip) => {
                ControlResponse::bare(request.tid, VERSION, status)
            }
            Err(_) => return Err(Silence),
        };
        response.encode(&mut self.answer);
        Ok(())
    }

    fn ready(
        &self,
        now: Time,
        request: &ControlRequest,
        news: Datagram<'_>,
        pass: Pass,
        world: &mut World<'_>,
    ) -> ControlResponse {
        let Some(version) = common_version((VERSION, VERSION), request.versions) else {
            return ControlResponse::bare(request.tid, 0, Status::BadVersion);
        };
        let (names, unix_s) = (&world.registry.names, world.registry.unix_s(now));
        let open = self.listening.is_some_and(|at| !at.ip().is_loopback());
        let open = if open { caps::OPEN } else { 0 };
        let answer = ControlResponse {
            generation: names.generation(),
            names: names.listed(),
            caps: CAPS | open | if world.returning { caps::RETURNING } else { 0 },
            age_s: u32::try_from(now.secs().max(1)).unwrap_or(u32::MAX),
            max_frame: CATALOGUE_FRAME_BYTES_MAX,
            max_page: LIST_PAGE_MAX,
            ..ControlResponse::bare(request.tid, version, Status::Ready)
        };
        let rights = match request.op {
            Op::Hello => return answer,
            Op::Other(_) => return ControlResponse { status: Status::BadOp, ..answer },
            Op::Read if request.since != 0 && request.since == answer.generation => {
                return ControlResponse { status: Status::NotModified, seconds: POLL_S, ..answer };
            }
            Op::Read => READ,
            Op::Write if pass.scope & scope::READ == 0 => WRITE,
            Op::Write => READ | WRITE,
        };
        let reserved = world.tickets.reserved(unix_s);
        let ip = news.from.ip().to_canonical();
        // Where somebody has more than its share, a place is made when the ticket is used.
        let gives_way = || world.callers.greediest(ip).next().is_some();
        if world.open + reserved as usize >= world.open_max && !gives_way() {
            let seconds = 1 + reserved / LIFETIME_S as u32;
            return ControlResponse { status: Status::Busy, seconds, ..answer };
        }
        if !world.tickets.is_modest(ip, unix_s) {
            // The oldest of its own are over by then.
            return ControlResponse { status: Status::Busy, seconds: LIFETIME_S as u32, ..answer };
        }
        let holder = Holder { ip, nonce: &request.nonce, owner: pass.owner.unwrap_or_default() };
        let ticket = world.tickets.give(holder, rights, unix_s);
        ControlResponse { seconds: LIFETIME_S as u32, ticket, ..answer }
    }
}
