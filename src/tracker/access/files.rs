//! The files of access: keys and lists, read before the tracker listens, on SIGHUP, and the keys
//! whenever they change. What cannot be read or does not parse changes nothing.

use super::{Access, List};
use crate::core::fault::Fatal;
use crate::core::id::Ticket;
use crate::core::io::{FileDone, FileError, FileOp, Meta, Outbox};
use crate::core::report::{Ending, Event, foreign};
use crate::core::time::{Span, Time};
use crate::tracker::plan::AccessPlan;
use crate::wire::token_keys::{FILE_BYTES_MAX, TokenJudge, TokenKeys};
use std::path::{Path, PathBuf};

/// How often the file of keys is looked at.
pub const LOOK: Span = Span::secs(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Keys,
    /// Whether the keys changed.
    KeysMeta,
    Allow,
    Deny,
}

/// What is on its way.
#[derive(Debug)]
pub struct Files {
    asked: Vec<(Ticket, What, PathBuf)>,
    /// The lists of a reading under way, allowed and denied, and what was wrong with one of them.
    coming: Option<(List, List)>,
    wrong: Option<Fatal>,
    /// Everything was read once.
    ready: bool,
    keys_meta: Option<Meta>,
    look_at: Time,
}

impl Files {
    pub fn new(plan: &AccessPlan) -> Files {
        let nothing = plan.keys_file.is_none() && plan.allow.is_empty() && plan.deny.is_empty();
        Files {
            asked: Vec::new(),
            coming: None,
            wrong: None,
            ready: nothing,
            keys_meta: None,
            look_at: Time::NEVER,
        }
    }
}

impl Access {
    /// Whether everything was read that had to be.
    pub fn is_ready(&self) -> bool {
        self.files.ready
    }

    /// Reads all files, at the start and on SIGHUP. What is under way already is waited for.
    pub fn load(&mut self, out: &mut Outbox) {
        if self.files.asked.iter().any(|(_, what, _)| *what != What::KeysMeta) {
            return;
        }
        self.files.coming = Some(Default::default());
        self.files.wrong = None;
        self.load_keys(out);
        let allow = self.plan.allow.iter().map(|path| (What::Allow, path));
        let deny = self.plan.deny.iter().map(|path| (What::Deny, path));
        for (what, path) in allow.chain(deny) {
            let bytes_max = super::lists::FILE_BYTES_MAX;
            let ticket = out.file(FileOp::Load { path: path.clone(), bytes_max });
            self.files.asked.push((ticket, what, path.clone()));
        }
    }

    fn load_keys(&mut self, out: &mut Outbox) {
        let Some(path) = self.plan.keys_file.clone() else { return };
        let stat = out.file(FileOp::Stat { path: path.clone() });
        self.files.asked.push((stat, What::KeysMeta, path.clone()));
        let load = out.file(FileOp::Load { path: path.clone(), bytes_max: FILE_BYTES_MAX });
        self.files.asked.push((load, What::Keys, path));
    }

    /// When [`Access::tick`] has something to do.
    pub fn deadline(&self) -> Time {
        self.files.look_at
    }

    /// Looks whether the keys changed.
    pub fn tick(&mut self, now: Time, out: &mut Outbox) {
        if now < self.files.look_at {
            return;
        }
        self.files.look_at = Time::NEVER;
        if let Some(path) = self.plan.keys_file.clone() {
            let stat = out.file(FileOp::Stat { path: path.clone() });
            self.files.asked.push((stat, What::KeysMeta, path));
        }
    }

    pub fn has_asked(&self, ticket: Ticket) -> bool {
        self.files.asked.iter().any(|(asked, ..)| *asked == ticket)
    }

    /// An answer to a question of ours. An error ends the tracker: it does not start without the
    /// lists it was given.
    pub fn got_file(
        &mut self,
        now: Time,
        ticket: Ticket,
        done: FileDone,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Some(at) = self.files.asked.iter().position(|(asked, ..)| *asked == ticket) else {
            return Ok(());
        };
        let (_, what, path) = self.files.asked.remove(at);
        match (what, done) {
            (What::KeysMeta, FileDone::Meta(meta)) => self.got_keys_meta(now, meta.ok(), out),
            (What::Keys, FileDone::Loaded(loaded)) => self.got_keys(&path, loaded, out),
            (what, FileDone::Loaded(loaded)) => self.got_list(what, &path, loaded),
            _ => {}
        }
        if what == What::KeysMeta || self.files.asked.iter().any(|(_, w, _)| *w != What::KeysMeta) {
            return Ok(());
        }
        self.got_all(out)
    }

    fn got_keys_meta(&mut self, now: Time, meta: Option<Meta>, out: &mut Outbox) {
        let changed = self.files.keys_meta != meta;
        self.files.keys_meta = meta;
        self.files.look_at = now + LOOK;
        let coming = self.files.asked.iter().any(|(_, what, _)| *what == What::Keys);
        if changed
            && !coming
            && let Some(path) = self.plan.keys_file.clone()
        {
            let load = out.file(FileOp::Load { path: path.clone(), bytes_max: FILE_BYTES_MAX });
            self.files.asked.push((load, What::Keys, path));
        }
    }

    fn got_keys(&mut self, path: &Path, loaded: Result<Vec<u8>, FileError>, out: &mut Outbox) {
        let keys = match loaded {
            Ok(bytes) => TokenKeys::read(&bytes),
            Err(FileError::NotFound) => Ok(TokenKeys::default()),
            Err(error) => Err(error.reason()),
        };
        match keys {
            Ok(keys) => {
                self.judge = TokenJudge::new(&keys);
                self.epoch += 1;
                if self.judge.is_empty() {
                    let line =
                        "nobody is let in yet: there is no key; make a token with `lmk token`";
                    out.tell(Event::warning("no_keys", line));
                }
            }
            Err(why) => {
                let path = foreign(&path.to_string_lossy());
                let line =
                    format!("cannot use the keys of tokens in {path}: {why}; those before go on");
                out.tell(Event::warning("keys", line));
            }
        }
    }

    fn got_list(&mut self, what: What, path: &Path, loaded: Result<Vec<u8>, FileError>) {
        let Some((allow, deny)) = &mut self.files.coming else { return };
        let list = if what == What::Allow { allow } else { deny };
        let shown = foreign(&path.to_string_lossy());
        let wrong = match loaded {
            Ok(bytes) => list.read(&bytes).err().map(|(line, why)| Fatal {
                ending: Ending::Usage,
                line: format!("{shown}:{line}: {why}"),
            }),
            Err(error) => {
                let line = format!("{shown}: {}", error.reason());
                Some(Fatal { ending: Ending::Disk, line })
            }
        };
        if self.files.wrong.is_none() {
            self.files.wrong = wrong;
        }
    }

    /// Everything asked for has come: the lists count, or those before go on.
    fn got_all(&mut self, out: &mut Outbox) -> Result<(), Fatal> {
        // Keys that changed are read alone.
        let Some((allow, deny)) = self.files.coming.take() else { return Ok(()) };
        match self.files.wrong.take() {
            None if self.plan.allow.is_empty() && self.plan.deny.is_empty() => {}
            None => {
                (self.allow, self.deny) = (allow, deny);
                if self.files.ready {
                    out.tell(Event::info("lists", "the lists of access were read again"));
                }
            }
            Some(fatal) if !self.files.ready => return Err(fatal),
            Some(Fatal { line, .. }) => {
                let line = format!("{line}; the lists read before go on");
                out.tell(Event::warning("lists", line));
            }
        }
        self.files.ready = true;
        Ok(())
    }
}
