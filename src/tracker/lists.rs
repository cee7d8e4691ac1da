//! The TCP side: who is connected, for how long, who has the turn, and who had to go. Answers are
//! produced only while little waits to be sent, so that a slow reader costs little.

use super::admission::Bounds;
use super::callers::Callers;
use super::connection::{Connection, Ends, Phase, Verdict};
use super::desk::Desk;
use super::held::{Budget, Held, Share};
use super::registry::Registry;
use super::source::Source;
use super::turns::Turns;
use crate::core::id::ConnId;
use crate::core::limits::DESCRIPTORS_MAX;
use crate::core::mark::mark;
use crate::core::time::Span;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Descriptors that are no connection: files of the database, sockets, and some to spare.
pub const DESCRIPTORS_KEPT: u64 = 512;
/// Connections in all, those promised to ticket holders included, where the system lets us have all
/// descriptors that we ask for.
pub const CONNECTIONS_MAX: usize = (DESCRIPTORS_MAX - DESCRIPTORS_KEPT) as usize;
/// Connections looked at for one that gives way.
const GIVE_WAY_LOOKS: usize = 1024;
/// Time for a hello, or for the first bytes of another protocol.
pub const HELLO: Span = Span::secs(5);
/// Silence after which a connection that is owed nothing is closed.
pub const IDLE: Span = Span::secs(30);
/// Time without any byte taken of what waits to be sent.
pub const STALLED: Span = Span::secs(10);

/// Connections there may be when the system lets a process have `descriptors`.
pub fn connections_max(descriptors: u64) -> usize {
    let kept = DESCRIPTORS_KEPT.min((descriptors / 2).max(32));
    let most = usize::try_from(descriptors.saturating_sub(kept)).unwrap_or(usize::MAX);
    most.clamp(1, CONNECTIONS_MAX)
}

#[derive(Debug)]
pub struct Lists {
    /// Limits per address count for private addresses too.
    public: bool,
    /// Connections in all.
    most: usize,
    conns: BTreeMap<ConnId, Connection>,
    /// Those that are not closing, by where they come from.
    pub(super) callers: Callers,
    turns: Turns,
    /// Bytes held back.
    held: Budget,
    /// Connections taken since the start.
    pub taken: u64,
    /// Connections dropped for what they said, since the last [`Lists::take_dropped`].
    dropped: u64,
}

impl Lists {
    pub fn new(bounds: &Bounds) -> Lists {
        Lists {
            public: bounds.public,
            most: bounds.connections,
            conns: BTreeMap::new(),
            callers: Callers::new(bounds.public),
            turns: Turns::default(),
            held: Budget::default(),
            taken: 0,
            dropped: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.conns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// The lengths of its tables.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let own = [
            ("connections", self.conns.len()),
            ("connection_origins", self.callers.len()),
            ("held_bytes", self.held.bytes()),
            ("held_sources", self.held.sources()),
        ];
        own.into_iter().chain(self.turns.tables())
    }

    /// How many connections broke the protocol since last asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Bytes of requests and answers kept for one connection; what is queued at the driver not
    /// counted.
    pub fn held(&self, conn: ConnId) -> usize {
        match self.conns.get(&conn).map(|connection| &connection.phase) {
            Some(Phase::Opening(bytes)) => bytes.len(),
            Some(Phase::Catalogue(conversation)) => conversation.held(),
            Some(Phase::Http(exchange)) => exchange.held(),
            Some(Phase::Closing) | None => 0,
        }
    }

    pub fn accepted(
        &mut self,
        conn: ConnId,
        remote: SocketAddr,
        local: SocketAddr,
        desk: &mut Desk<'_>,
    ) {
        let source = remote.ip().to_canonical();
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let limited = Source::limited(source, self.public).is_some();
        let ends = Ends { source, local, limited };
        let phase = match self.callers.admits(source) && self.has_room(source, desk) {
            true => {
                self.taken += 1;
                self.callers.came(source, conn);
                Phase::Opening(Vec::new())
            }
            false => {
                mark!("C03");
                desk.out.close(conn);
                Phase::Closing
            }
        };
        self.conns.insert(conn, Connection::new(desk.now, conn, ends, phase));
    }

    /// Whether a connection from an address finds a place. If all are taken, whoever has most of
    /// them gives one up: the one that was silent longest of those that are owed nothing, and of
    /// all if there is none.
    fn has_room(&mut self, source: IpAddr, desk: &mut Desk<'_>) -> bool {
        // One that is closing has its descriptor still.
        if self.conns.len() < self.most {
            return true;
        }
        let rank = |conn: ConnId| {
            let connection = self.conns.get(&conn)?;
            Some((connection.is_owed(), connection.active(), conn))
        };
        let looked = self.callers.greediest(source).take(GIVE_WAY_LOOKS).filter_map(rank);
        let Some((.., conn)) = looked.min() else { return false };
        desk.out.close(conn);
        self.over(conn, desk.registry);
        true
    }

    /// A connection is not spoken with any more: it is closing, or gone. Its node is a source no
    /// more, its watches are told no more.
    fn over(&mut self, conn: ConnId, registry: &mut Registry) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        self.turns.forget(conn);
        registry.registrations.drop_node(conn);
        registry.watch_bytes = registry.watch_bytes.saturating_sub(connection.watch_bytes());
        let (source, held) = (connection.ends.source, connection.held_back());
        let _less = self.held.moved(Share::of(source, self.public), held, Held::default());
        if let Phase::Closing = std::mem::replace(&mut connection.phase, Phase::Closing) {
            return;
        }
        self.callers.went(source, conn);
    }

    pub fn got_bytes(&mut self, conn: ConnId, bytes: &[u8], desk: &mut Desk<'_>) {
        self.with(conn, desk, |connection, desk| connection.got_bytes(bytes, desk));
    }

    /// Bytes left the queue: time to go on with what was held back.
    pub fn sent(&mut self, conn: ConnId, bytes: u64, desk: &mut Desk<'_>) {
        self.with(conn, desk, |connection, desk| {
            connection.sent(desk.now, bytes);
            connection.go_on(desk)
        });
    }

    /// Changes were kept, or could not be: time for the answers that say so.
    pub fn stored(&mut self, desk: &mut Desk<'_>) {
        for conn in desk.registry.keeping.take_waiting() {
            self.go_on(conn, desk);
        }
    }

    pub fn closed(&mut self, conn: ConnId, registry: &mut Registry) {
        self.over(conn, registry);
        if self.conns.remove(&conn).is_some_and(|connection| connection.is_owed()) {
            mark!("C07");
        }
    }

    /// The regular work of a second: connections that are too slow end, others get their share of
    /// requests.
    pub fn tick(&mut self, desk: &mut Desk<'_>) {
        let (now, unix_s) = (desk.now, desk.unix_s());
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in ids {
            let Some(connection) = self.conns.get_mut(&conn) else { continue };
            if connection.is_over(now) || !connection.is_welcome(&desk.registry.access, unix_s) {
                desk.out.close(conn);
                self.over(conn, desk.registry);
            } else if connection.refill() {
                self.go_on(conn, desk);
            }
        }
    }

    /// The catalogue changed perhaps: those who watch are told in this turn.
    pub fn note_generation(&mut self, generation: u64) {
        self.turns.generation = generation;
    }

    /// Whether somebody could go on at once.
    pub fn has_work(&self) -> bool {
        self.turns.is_anyones()
    }

    /// A new turn: what waited for it goes on, each in its turn.
    pub fn work(&mut self, desk: &mut Desk<'_>) {
        desk.registry.work.refill();
        let generation = self.turns.generation;
        let conns = &self.conns;
        let due = self.turns.begin(|conn| conns.get(&conn).is_some_and(|c| c.has_work(generation)));
        for conn in due {
            if !desk.registry.work.is_left() {
                return self.turns.go_on_with(conn);
            }
            self.go_on(conn, desk);
        }
    }

    fn go_on(&mut self, conn: ConnId, desk: &mut Desk<'_>) {
        self.with(conn, desk, Connection::go_on);
    }

    /// Does something with a connection, keeps the books and does what it comes to.
    fn with(
        &mut self,
        conn: ConnId,
        desk: &mut Desk<'_>,
        work: impl FnOnce(&mut Connection, &mut Desk<'_>) -> Verdict,
    ) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let held = connection.held_back();
        let before = desk.out.effects.len();
        let mut verdict = work(connection, desk);
        connection.count_sent(desk.out, before);
        self.turns.note(conn, connection.has_work(self.turns.generation));
        self.turns.note_watching(conn, connection.watch_bytes() > 0);
        let share = Share::of(connection.ends.source, self.public);
        if !self.held.moved(share, held, connection.held_back()) {
            verdict = Verdict::Drop;
        }
        match verdict {
            Verdict::Go => return,
            Verdict::Served => {}
            Verdict::Drop | Verdict::Refused => self.dropped += 1,
        }
        match verdict {
            Verdict::Drop => desk.out.close(conn),
            _ => desk.out.close_after_flush(conn),
        }
        self.over(conn, desk.registry);
    }
}
