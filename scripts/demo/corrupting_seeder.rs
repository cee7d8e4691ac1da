//! A seeder that lies, for demonstrations and tests: it publishes a file honestly and then sends
//! zeros in place of every nth block.
//!
//!     corrupting_seeder N seeder --file FILE [OPTIONS]      the options of `lmk seeder`; N = 1: all
//!
//! The role is the library's own, driven by the library's own loop; what stands between them turns
//! spans of the file into spans of a hole. No protocol is needed for that, and none is known here.

use lmk::cli::machine::{Machine, resolve};
use lmk::cli::planned::plan;
use lmk::cli::typed::{self, Typed, Wish};
use lmk::core::chunk::{Chunk, FileSpan};
use lmk::core::id::{FileId, Ticket};
use lmk::core::io::{Effect, FileDone, FileOp, Input, OpenMode, Outbox, Role};
use lmk::core::report::Snapshot;
use lmk::core::time::{Span, Time};
use lmk::engine::Plan;
use lmk::node::Node;
use lmk::node::plan::Job;
use lmk::reactor::{Options, Reactor};
use lmk::view::json::Json;
use lmk::view::output::Output;
use lmk::view::{Showing, View};
use std::path::PathBuf;
use std::process::ExitCode;

/// A role whose file spans are swapped, now and then, for spans of `hole`.
struct Liar {
    honest: Node,
    /// One block of every so many is a lie.
    every: u64,
    served: u64,
    path: PathBuf,
    opening: Option<Ticket>,
    hole: Option<FileId>,
}

impl Liar {
    fn lie(&mut self, span: &mut FileSpan) {
        self.served += 1;
        if let Some(hole) = self.hole.filter(|_| self.served.is_multiple_of(self.every)) {
            span.file = hole;
        }
    }
}

impl Role for Liar {
    fn on(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Born => {
                let open = FileOp::Open { path: self.path.clone(), mode: OpenMode::Read };
                self.opening = Some(out.file(open));
            }
            Input::File { ticket, done } if self.opening == Some(ticket) => {
                if let FileDone::Opened(Ok((file, _))) = done {
                    self.hole = Some(file);
                    out.file(FileOp::Remove { path: self.path.clone() });
                }
                return;
            }
            _ => {}
        }
        let before = out.effects.len();
        self.honest.on(now, input, out);
        for effect in out.effects.iter_mut().skip(before) {
            if let Effect::Send { chunk: Chunk::File(span), .. } = effect {
                self.lie(span);
            }
        }
    }

    fn deadline(&self) -> Time {
        self.honest.deadline()
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        self.honest.snapshot(now)
    }
}

/// A hole as large as the file of the plan, in the directory for temporary files.
fn hole_for(plan: &Plan) -> Result<PathBuf, String> {
    let Plan::Node(node) = plan else { return Err("only a seeder can lie".into()) };
    let Job::Seed(seed) = &node.job else { return Err("only a seeder can lie".into()) };
    let of_path = |error| format!("{}: {error}", seed.path.display());
    let size = std::fs::metadata(&seed.path).map_err(of_path)?.len();
    let path = std::env::temp_dir().join(format!("lmk-hole.{}", std::process::id()));
    let made = std::fs::File::create_new(&path).and_then(|file| file.set_len(size));
    made.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn seed() -> Result<(), String> {
    let usage = "usage: corrupting_seeder N seeder --file FILE [OPTIONS]";
    let mut args: Vec<_> = std::env::args_os().collect();
    let every = args.get(1).and_then(|n| n.to_str()?.parse().ok()).filter(|n| *n > 0);
    let every: u64 = every.ok_or(usage)?;
    args.remove(1);
    let Ok(Typed::Work { wish, .. }) = typed::read(args) else { return Err(usage.into()) };
    let Wish::Seed { .. } = *wish else { return Err(usage.into()) };
    let machine = Machine::look().map_err(|fatal| fatal.line)?;
    let plan = plan(*wish, false, &machine, resolve).map_err(|fatal| fatal.line)?;
    let path = hole_for(&plan)?;
    let Plan::Node(plan) = plan else { return Err(usage.into()) };
    let honest = Node::new(plan);
    let liar = Liar { honest, every, served: 0, path, opening: None, hole: None };
    let mut reactor = Reactor::new(liar, Options::default()).map_err(|fatal| fatal.line)?;
    let mut view = Json::new(Output::stdout(), Showing::default());
    loop {
        let mut events = Vec::new();
        let turned = reactor.turn(Span::secs(1), &mut |event| events.push(event));
        for event in &events {
            view.event(reactor.now(), event);
        }
        if turned.map_err(|fatal| fatal.line)?.is_some() {
            return Ok(());
        }
    }
}

fn main() -> ExitCode {
    match seed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("corrupting_seeder: {line}");
            ExitCode::from(2)
        }
    }
}
