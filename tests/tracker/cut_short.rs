//! A list that ends early: `lmk ls` against the tracker, over connections that are cut.

use super::http_pages::listed;
use super::world::{World, addr};
use lmk::core::chunk::Chunk;
use lmk::core::id::ConnId;
use lmk::core::io::{Closed, Effect, Input, Outbox, Role};
use lmk::core::mark::expect_mark;
use lmk::core::report::{Ending, Event};
use lmk::jobs::Job;
use lmk::jobs::plan::{Ask, JobPlan};
use std::net::SocketAddr;

const NAMES: u32 = 5000;
/// More than the hello and its first page take, less than both pages.
const CUT_BYTES: usize = 600_000;

/// A job and the tracker it asks. Its connections are cut when so many bytes came over them.
struct Line {
    world: World,
    job: Job,
    out: Outbox,
    from: SocketAddr,
    cuts: Vec<usize>,
    open: Option<(ConnId, ConnId, usize)>,
    told: Vec<Event>,
    ended: Option<Ending>,
}

impl Line {
    fn new(ask: Ask, cuts: &[usize]) -> Line {
        let mut world = World::local();
        listed(&mut world, NAMES);
        let plan = JobPlan {
            ask,
            tracker: addr("127.0.0.1:6969"),
            tracker_text: "127.0.0.1:6969".to_owned(),
            token: None,
            seed: 5,
            table: false,
        };
        let (job, out, from) = (Job::new(plan), Outbox::default(), addr("127.0.0.1:50"));
        let cuts = cuts.to_vec();
        let (open, told, ended) = (None, Vec::new(), None);
        Line { world, job, out, from, cuts, open, told, ended }
    }

    fn on(&mut self, input: Input<'_>) {
        self.job.on(self.world.now, input, &mut self.out);
    }

    /// What the job wishes is done, until it wishes nothing.
    fn run(mut self) -> (Vec<Event>, Option<Ending>) {
        self.on(Input::Born);
        for _ in 0..1000 {
            let effects = std::mem::take(&mut self.out.effects);
            for effect in effects {
                self.perform(effect);
            }
            self.receive();
            if self.ended.is_some() {
                break;
            }
        }
        (self.told, self.ended)
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Datagram { start, len, .. } => {
                let asked = self.out.bytes(start, len).to_vec();
                if let Some(answer) = self.world.datagram(self.from, &asked) {
                    let (from, to) = (addr("127.0.0.1:6969"), self.from.ip());
                    self.on(Input::Datagram { from, to, bytes: &answer });
                }
            }
            Effect::Dial { conn, .. } => {
                self.open = Some((conn, self.world.accept(self.from), 0));
                self.on(Input::Connected { conn, local: self.from });
            }
            Effect::Send { chunk, .. } => {
                let bytes = match &chunk {
                    Chunk::Head(head) => head.bytes().to_vec(),
                    Chunk::Arena { start, len } => self.out.bytes(*start, *len).to_vec(),
                    Chunk::File(_) => panic!("a job sends no file"),
                };
                let (_, at_tracker, _) = self.open.expect("it is connected");
                self.world.bytes(at_tracker, &bytes);
            }
            Effect::Tell(event) => self.told.push(event),
            Effect::End(ending) => self.ended = Some(ending),
            _ => {}
        }
    }

    /// What the tracker sent reaches the job, as far as the connection holds.
    fn receive(&mut self) {
        let Some((conn, at_tracker, before)) = self.open else { return };
        let mut bytes = self.world.take(at_tracker);
        let cut = self.cuts.first().copied().filter(|cut| before + bytes.len() > *cut);
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut - before));
        self.open = Some((conn, at_tracker, before + bytes.len()));
        self.on(Input::Bytes { conn, bytes: &bytes });
        if cut.is_some() {
            self.cuts.remove(0);
            self.world.end(at_tracker);
            self.open = None;
            self.on(Input::Closed { conn, why: Closed::ByPeer });
        }
    }
}

fn names(told: &[Event]) -> Vec<String> {
    let entries = told.iter().filter(|event| event.kind == "entry");
    entries.map(|event| event.line.rsplit("  ").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_list_that_is_cut_once_is_told_whole_and_each_name_once() {
    let (told, ended) =
        expect_mark!("C08", Line::new(Ask::List { glob: None }, &[CUT_BYTES]).run());
    assert_eq!(ended, Some(Ending::Done));
    let names = names(&told);
    assert_eq!(names.len(), NAMES as usize);
    assert!(names.is_sorted_by(|one, other| one < other), "twice, or out of order");
}

#[test]
fn a_list_that_is_cut_twice_says_how_far_it_came() {
    let (told, ended) = Line::new(Ask::List { glob: None }, &[CUT_BYTES, 1000]).run();
    assert_eq!(ended, Some(Ending::Network));
    let said = &told.last().unwrap().line;
    let whole = names(&told).len();
    assert!(whole > 0 && whole < NAMES as usize, "{whole}");
    assert!(said.contains(&format!("ended early, twice, after {whole} entries")), "{said}");
}

#[test]
fn a_question_about_one_name_is_asked_once_more_too() {
    let ask = Ask::Info { name: "name 000007".to_owned() };
    let (told, ended) = Line::new(ask, &[60]).run();
    assert_eq!((ended, names(&told).len()), (Some(Ending::Done), 1));
}
