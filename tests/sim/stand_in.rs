//! The simplest programs that could do the job: a tracker that remembers one address, a seeder that
//! sends the file whole, a leecher that asks again until it has it. They try the stage of the
//! swarms and its laws, apart from the roles the stage is built for.

use crate::scripted::role;
use lmk::core::chunk::{Chunk, FileSpan};
use lmk::core::id::{ConnId, FileId};
use lmk::core::io::{FileDone, FileError, FileOp, Input, OpenMode, Outbox, Role};
use lmk::core::report::{Ending, Snapshot, Transfer};
use lmk::core::time::{Span, Time};
use lmk::node::plan::{FetchPlan, Job, NodePlan, SeedPlan};
use lmk::sim::swarm::Cast;
use lmk::tracker::plan::TrackerPlan;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const IDLE: Span = Span::secs(90);

pub const CAST: Cast = Cast { tracker, node, bears_disks: false };

/// Makes a part file's byte wrong on its way to the disk.
pub const CORRUPTS: Cast = Cast { node: |plan| leecher_with(plan, Bug::CorruptsAByte), ..CAST };
/// Waits for ever in a black hole.
pub const WAITS: Cast = Cast { node: |plan| leecher_with(plan, Bug::WaitsForEver), ..CAST };
/// Shows more bytes done than there are.
pub const BOASTS: Cast = Cast { node: |plan| leecher_with(plan, Bug::Boasts), ..CAST };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    CorruptsAByte,
    WaitsForEver,
    Boasts,
}

fn tracker(plan: TrackerPlan) -> Box<dyn Role> {
    let mut seeder: Option<SocketAddr> = None;
    role(move |_, input, out| {
        match input {
            Input::Born => {
                out.listen(plan.bind, plan.bind.port(), true, true);
            }
            Input::Datagram { from, bytes: b"seeding", .. } => seeder = Some(from),
            Input::Datagram { from, to, bytes: b"who" } => {
                let answer = seeder.map(|seeder| seeder.to_string()).unwrap_or_default();
                out.datagram(from, to, answer.as_bytes());
            }
            _ => {}
        }
        Time::NEVER
    })
}

fn node(plan: NodePlan) -> Box<dyn Role> {
    leecher_with(plan, Bug::None)
}

fn leecher_with(plan: NodePlan, bug: Bug) -> Box<dyn Role> {
    match plan.job.clone() {
        Job::Seed(job) => seeder(plan, job),
        Job::Fetch(job) => Box::new(Leecher::new(plan, job, bug)),
    }
}

fn listen(plan: &NodePlan, out: &mut Outbox) {
    out.listen(SocketAddr::new(ANY, 6881), 6999, true, true);
    assert!(plan.slots > 0);
}

fn seeder(plan: NodePlan, job: SeedPlan) -> Box<dyn Role> {
    let mut file: Option<(FileId, u64)> = None;
    role(move |now, input, out| {
        match input {
            Input::Born => {
                out.file(FileOp::Open { path: job.path.clone(), mode: OpenMode::Read });
            }
            Input::File { done: FileDone::Opened(Ok((id, meta))), .. } => {
                file = Some((id, meta.size));
                listen(&plan, out);
            }
            Input::Accepted { conn, .. } => {
                if let Some((file, size)) = file {
                    out.send(conn, &size.to_be_bytes());
                    let len = size as u32;
                    out.send_chunk(conn, Chunk::File(FileSpan { file, offset: 0, len }));
                    out.close_after_flush(conn);
                }
            }
            Input::Wake if file.is_some() => out.datagram(plan.tracker, ANY, b"seeding"),
            _ => {}
        }
        now + Span::secs(2)
    })
}

struct Leecher {
    plan: NodePlan,
    job: FetchPlan,
    bug: Bug,
    conn: Option<ConnId>,
    heard: Vec<u8>,
    heard_at: Time,
    /// Steps of writing that were answered.
    written: u32,
    target: PathBuf,
    part: PathBuf,
    file: Option<FileId>,
    done: bool,
    deadline: Time,
}

impl Leecher {
    fn new(plan: NodePlan, job: FetchPlan, bug: Bug) -> Leecher {
        let target = job.directory.join(&job.want.name);
        Leecher {
            plan,
            bug,
            conn: None,
            heard: Vec::new(),
            heard_at: Time::ZERO,
            written: 0,
            part: target.with_extension("part"),
            target,
            job,
            file: None,
            done: false,
            deadline: Time::NEVER,
        }
    }

    fn whole(&self) -> bool {
        let size = self.heard.first_chunk().map(|size| u64::from_be_bytes(*size));
        size.is_some_and(|size| self.heard.len() as u64 == 8 + size)
    }

    /// The next step of keeping what was heard; `step` counts the answers.
    fn keep(&mut self, out: &mut Outbox) {
        let Some(file) = self.file else { return };
        let directory = self.job.directory.clone();
        let op = match self.written {
            0 => {
                let mut page = self.heard[8..].to_vec();
                if let Some(byte) = page.last_mut().filter(|_| self.bug == Bug::CorruptsAByte) {
                    *byte ^= 1;
                }
                FileOp::Write { file, offset: 0, page }
            }
            1 => FileOp::SetLen { file, len: self.heard.len() as u64 - 8 },
            2 => FileOp::Sync { file, meta: false },
            3 => {
                let (from, to) = (self.part.clone(), self.target.clone());
                FileOp::Rename { from, to, replace: true }
            }
            4 => FileOp::SyncDir { path: directory },
            _ => {
                self.done = true;
                if !self.job.keep_seeding {
                    out.end(Ending::Done);
                }
                return;
            }
        };
        out.file(op);
    }
}

impl Role for Leecher {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let waking = matches!(input, Input::Wake);
        match input {
            Input::Born => listen(&self.plan, out),
            Input::Datagram { bytes, .. } => {
                let seeder = str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
                if let Some(seeder) = seeder.filter(|_| self.conn.is_none() && !self.whole()) {
                    self.heard.clear();
                    self.heard_at = now;
                    self.conn = Some(out.dial(seeder));
                }
            }
            Input::Bytes { bytes, .. } => {
                self.heard.extend_from_slice(bytes);
                self.heard_at = now;
            }
            Input::Closed { .. } => {
                self.conn = None;
                if self.whole() {
                    out.file(FileOp::Open { path: self.part.clone(), mode: OpenMode::Update });
                }
            }
            Input::File { done: FileDone::Opened(Err(FileError::NotFound)), .. } => {
                out.file(FileOp::Open { path: self.part.clone(), mode: OpenMode::CreateNew });
            }
            Input::File { done: FileDone::Opened(result), .. } => {
                self.file = result.ok().map(|(file, _)| file);
                self.keep(out);
            }
            Input::File { .. } => {
                self.written += 1;
                self.keep(out);
            }
            _ => {}
        }
        match self.conn {
            Some(conn) if now.since(self.heard_at) > IDLE && self.bug != Bug::WaitsForEver => {
                self.heard_at = now;
                out.close(conn);
            }
            None if waking && !self.whole() => out.datagram(self.plan.tracker, ANY, b"who"),
            _ => {}
        }
        if waking || self.deadline == Time::NEVER {
            self.deadline = now + Span::secs(1);
        }
    }

    fn deadline(&self) -> Time {
        self.deadline
    }

    fn snapshot(&self, _: Time) -> Snapshot {
        let size = self.heard.len().saturating_sub(8) as u64;
        let boast = u64::from(self.bug == Bug::Boasts);
        let done = if self.done { size } else { 0 } + boast;
        let size = size.max(1);
        let transfer =
            Transfer { size, done: done.max(u64::from(self.done)), ..Transfer::default() };
        Snapshot { transfer: Some(transfer), ..Snapshot::default() }
    }
}
