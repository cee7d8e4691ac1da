//! Web seeds (BEP 19): servers of the web that have the file, as sources of a swarm. To the swarm
//! each is a peer that has everything and serves at once: what the swarm says to it is translated
//! into requests for ranges, what comes of these into blocks. So all that is known of sources
//! (who is slow, who lies, what is asked twice) holds for them, too.

mod parts;
mod reserve;
mod seat;
mod source;

use crate::announce::resolver::Found;
use crate::core::id::ConnId;
use crate::core::io::{Closed, Outbox};
use crate::core::limits::WEB_SEEDS_MAX;
use crate::core::time::Time;
use crate::swarm::Swarm;
use reserve::Reserve;
use source::WebSource;

/// How often what is said on both sides may lead to more of it before the next input is heard.
const ROUNDS_MAX: usize = 64;

/// The web seeds of one content.
#[derive(Debug, Default)]
pub struct WebSeeds {
    /// Those that are not taken up yet: there is no swarm.
    urls: Vec<String>,
    sources: Vec<WebSource>,
    /// They are asked only when peers give nothing.
    reserve: Option<Reserve>,
}

impl WebSeeds {
    /// The servers that a .torrent or a magnet link names; they are taken up once there is a swarm.
    pub fn add(&mut self, urls: &[String]) {
        for url in urls.iter().take(WEB_SEEDS_MAX) {
            // The same one twice would be one peer with two conversations.
            if !self.urls.contains(url) {
                self.urls.push(url.clone());
            }
        }
    }

    /// The same, of those that are spared: peers come first.
    pub fn add_reserve(&mut self, urls: &[String]) {
        self.add(urls);
        self.reserve = (!self.urls.is_empty()).then(Reserve::default);
    }

    /// Those in reserve are called in, or rest again.
    fn call_in(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) -> bool {
        let Some(reserve) = &mut self.reserve else { return true };
        let given = self.sources.iter().map(WebSource::given_bytes).sum();
        let called = reserve.is_called(swarm, given, now);
        if !called {
            for mut source in std::mem::take(&mut self.sources) {
                reserve.gave += source.given_bytes();
                source.rest(swarm, now, out);
                self.urls.extend(source.into_text());
            }
        }
        called
    }

    fn take_up(&mut self, swarm: &mut Swarm, now: Time, out: &mut Outbox) {
        if !self.call_in(swarm, now, out) {
            return;
        }
        for url in std::mem::take(&mut self.urls) {
            if self.sources.len() < WEB_SEEDS_MAX && !swarm.is_complete() {
                self.sources.extend(WebSource::new(&url, swarm.content(), out));
            }
        }
    }

    pub fn deadline(&self) -> Time {
        let reserve = self.reserve.as_ref().map_or(Time::NEVER, Reserve::deadline);
        self.sources.iter().map(WebSource::deadline).fold(reserve, Time::min)
    }

    /// Names to look up.
    pub fn take_lookups(&mut self) -> Vec<String> {
        self.sources.iter_mut().filter_map(WebSource::take_lookup).collect()
    }

    pub fn got_found(
        &mut self,
        found: &Found,
        swarm: &mut Option<Swarm>,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(swarm) = swarm else { return };
        self.sources.iter_mut().for_each(|source| source.got_found(found, swarm, now, out));
    }

    fn of(&mut self, conn: ConnId) -> Option<&mut WebSource> {
        self.sources.iter_mut().find(|source| source.conn() == Some(conn))
    }

    /// A dial succeeded; `false` if it is not ours.
    pub fn got_connected(
        &mut self,
        conn: ConnId,
        swarm: &mut Option<Swarm>,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        let (Some(source), Some(swarm)) = (self.of(conn), swarm) else { return false };
        source.got_connected(swarm, now, out);
        true
    }

    pub fn got_bytes(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        swarm: &mut Option<Swarm>,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        let (Some(source), Some(swarm)) = (self.of(conn), swarm) else { return false };
        source.got_bytes(bytes, swarm, now, out);
        true
    }

    pub fn got_closed(
        &mut self,
        (conn, why): (ConnId, Closed),
        swarm: &mut Option<Swarm>,
        now: Time,
        out: &mut Outbox,
    ) -> bool {
        let (Some(source), Some(swarm)) = (self.of(conn), swarm) else { return false };
        source.got_closed(why, swarm, now, out);
        true
    }

    /// The swarm is given up: its seats are no more, and the next swarm is joined at once.
    pub fn swarm_gone(&mut self, now: Time, out: &mut Outbox) {
        self.sources.iter_mut().for_each(|source| source.swarm_gone(now, out));
        if let Some(reserve) = &mut self.reserve {
            *reserve = Reserve::default();
            let texts = std::mem::take(&mut self.sources).into_iter().map(WebSource::into_text);
            self.urls.extend(texts.flatten());
        }
    }

    /// Does what is due, and translates what the swarm said since: `out` had `before` wishes then.
    pub fn settle(
        &mut self,
        before: usize,
        swarm: &mut Option<Swarm>,
        now: Time,
        out: &mut Outbox,
    ) {
        let Some(swarm) = swarm else { return };
        self.take_up(swarm, now, out);
        self.sources.iter_mut().for_each(|source| source.tick(swarm, now, out));
        for _ in 0..ROUNDS_MAX {
            let mut heard = false;
            for source in &mut self.sources {
                heard |= source.hear_swarm(before, swarm, now, out);
            }
            if !heard {
                return;
            }
        }
    }
}
