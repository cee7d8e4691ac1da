//! The seeder's work: open the file, remember or make its hashes, publish it, announce it, and say
//! the line that a receiver types.

mod folder;
mod knowing;
mod picture;
mod said;
mod written;

use super::check::Check;
use super::file_watch::FileWatch;
use super::hashing::{Hashing, Step};
use super::layout::Layout;
use super::memory;
use super::places::show;
use super::plan::{SeedPlan, TorrentFrom};
use super::publish;
use super::say;
use super::shared::Shared;
use super::ties::Tie;
use super::torrent::TorrentFile;
use super::withdraw::Withdrawing;
use crate::content::metainfo::{Content, FolderHasher};
use crate::core::fault::Fatal;
use crate::core::id::{FileId, Ticket};
use crate::core::io::{FileDone, FileError, FileOp, Meta, OpenMode, Outbox};
use crate::core::limits::TORRENT_BYTES_MAX;
use crate::core::name;
use crate::core::report::{Ending, Event, bytes_text, foreign};
use crate::core::time::Time;
use crate::peer::Identity;
use crate::seeder::walk::Walk;
use crate::wire::catalogue::answer::Answer;
use std::rc::Rc;

#[derive(Debug)]
pub(super) enum Phase {
    /// The .torrent says what the file must be.
    Reading(TorrentFile),
    Opening(Ticket),
    /// It is a folder: its files are found.
    Walking(Box<Walk>),
    Remembering(Ticket),
    Hashing(Box<Hashing>),
    /// Is the file what the .torrent says?
    Checking(Box<Check>),
    /// Was the file changed while it was hashed?
    Looking(Ticket, Box<Content>),
    /// The content is known; the rest depends on the tracker.
    Sharing(FileWatch),
    /// The file is not what it was: tracker and peers are told, then the process ends.
    Withdrawing(Withdrawing),
}

#[derive(Debug)]
pub struct Share {
    plan: SeedPlan,
    /// The name in the catalogue.
    name: String,
    pub(super) phase: Option<Phase>,
    file: Option<(FileId, Meta)>,
    /// The files of the folder, until they are hashed.
    folder: Option<Box<FolderHasher>>,
    /// The request to publish that waits for its answer.
    publishing: Option<u64>,
    /// The catalogue lists it.
    published: bool,
    /// Identities that the tracker has heard of.
    announced: Vec<Identity>,
    told: bool,
    /// The .torrent on its way to its file.
    torrent: Option<Ticket>,
    /// What a .torrent says that the file is.
    pub(super) said: Option<Rc<Content>>,
}

impl Share {
    /// The work, or why the file cannot be published under its name.
    pub fn new(plan: SeedPlan) -> Result<Share, Fatal> {
        let listed = plan.torrent.as_ref().is_none_or(|torrent| torrent.listed);
        let named = match &plan.publish_as {
            _ if !listed => Ok(String::from_utf8_lossy(&plan.file_name).into_owned()),
            Some(name) => name::check(name.as_bytes()).map(str::to_owned),
            None => name::from_file_name(&plan.file_name),
        };
        let name = named.map_err(|why| {
            let line = format!(
                "{} cannot be published under this name: {why}; give another with --as NAME",
                show(&plan.path)
            );
            Fatal { ending: Ending::Usage, line }
        })?;
        Ok(Share {
            plan,
            name,
            phase: None,
            file: None,
            folder: None,
            publishing: None,
            published: !listed,
            announced: Vec::new(),
            told: false,
            torrent: None,
            said: None,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn start(&mut self, out: &mut Outbox) {
        match self.plan.torrent.as_ref().map(|torrent| &torrent.from) {
            Some(TorrentFrom::File(path, order)) => {
                let mut file = TorrentFile::new(path.clone(), *order);
                file.load(out);
                self.phase = Some(Phase::Reading(file));
            }
            _ => self.open(&Layout::File, out),
        }
    }

    pub(super) fn open(&mut self, layout: &Layout, out: &mut Outbox) {
        let op = layout.open(self.plan.path.clone(), OpenMode::Read);
        self.phase = Some(Phase::Opening(out.file(op)));
    }

    /// The name in the info dicts: the one given with `--as`, else the file's own bytes.
    fn info_name(&self) -> &[u8] {
        self.plan.publish_as.as_ref().map_or(&self.plan.file_name, |name| name.as_bytes())
    }

    fn cannot(&self, error: FileError) -> Fatal {
        let (path, reason) = (show(&self.plan.path), error.reason());
        let next = match error {
            FileError::NotFound => "check the path after --file",
            FileError::Denied => "make it readable, or run as a user who may read it",
            FileError::NotRegular => "name a file or a folder with --file",
            _ => "then run the same command again",
        };
        Fatal { ending: Ending::Disk, line: format!("{path}: {reason}; {next}") }
    }

    /// A file operation came back; hands back what is not ours.
    pub fn got_file(
        &mut self,
        shared: &mut Shared,
        (ticket, done): (Ticket, FileDone),
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<FileDone>, Fatal> {
        if self.torrent.take_if(|ours| *ours == ticket).is_some() {
            self.wrote_torrent(&done, out)?;
            return Ok(None);
        }
        match (self.phase.take(), done) {
            (Some(phase @ (Phase::Reading(_) | Phase::Checking(_))), done) => {
                return self.got_said(shared, phase, (ticket, done), out);
            }
            (Some(Phase::Opening(ours)), FileDone::Opened(Err(FileError::IsDirectory)))
                if ours == ticket && self.said.is_none() =>
            {
                self.walk(out);
            }
            (Some(Phase::Walking(walk)), done @ FileDone::Listed(_)) => {
                self.walked(walk, (ticket, done), out)?;
            }
            (Some(Phase::Opening(ours)), FileDone::Opened(opened)) if ours == ticket => {
                self.opened(opened.map_err(|error| self.cannot(error))?, now, out)?;
            }
            (Some(Phase::Remembering(ours)), FileDone::Loaded(loaded)) if ours == ticket => {
                self.remembered(shared, loaded.ok(), now, out)?;
            }
            (Some(Phase::Hashing(mut hashing)), done) => {
                match hashing.got_file(ticket, done, now, out) {
                    Ok(step) => self.hashed(hashing, step, out)?,
                    Err(done) => {
                        self.phase = Some(Phase::Hashing(hashing));
                        return Ok(Some(done));
                    }
                }
            }
            (Some(Phase::Looking(ours, content)), FileDone::Meta(meta)) if ours == ticket => {
                self.looked_at(shared, (meta, content), now, out)?;
            }
            (Some(Phase::Sharing(mut watch)), done) => {
                let looked = watch.got_file(ticket, done);
                self.phase = Some(Phase::Sharing(watch));
                match looked {
                    Ok(true) => {}
                    Ok(false) => self.withdraw(shared, now, out),
                    Err(done) => return Ok(Some(done)),
                }
            }
            (phase, done) => {
                self.phase = phase;
                return Ok(Some(done));
            }
        }
        Ok(None)
    }

    fn opened(
        &mut self,
        (file, meta): (FileId, Meta),
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        self.file = Some((file, meta));
        if self.said.is_some() {
            return self.check(out);
        }
        match &self.plan.hash_cache {
            Some(directory) => {
                let path = memory::path(directory, &meta);
                let op = FileOp::Load { path, bytes_max: TORRENT_BYTES_MAX as u64 };
                self.phase = Some(Phase::Remembering(out.file(op)));
            }
            None => self.hash(now, out)?,
        }
        Ok(())
    }

    fn hash(&mut self, now: Time, out: &mut Outbox) -> Result<(), Fatal> {
        let Some((file, meta)) = self.file else { return Ok(()) };
        let size = self.folder.as_ref().map_or(meta.size, |folder| folder.files().data_bytes());
        let line = format!("hashing {} ({})", foreign(&self.name), bytes_text(size));
        out.tell(Event::info("hashing", line).number("size", size));
        let hasher = self.hasher(&meta)?;
        self.phase = Some(Phase::Hashing(Box::new(Hashing::start(file, hasher, now, out))));
        Ok(())
    }

    fn refused(&self, why: &str) -> Fatal {
        let line = format!("{}: {why}; another name may do: --as NAME", show(&self.plan.path));
        Fatal { ending: Ending::Usage, line }
    }

    fn changed(&self) -> Fatal {
        let path = show(&self.plan.path);
        let line = format!("{path} changed while it was hashed, not published; start again");
        Fatal { ending: Ending::Disk, line }
    }

    fn hashed(&mut self, hashing: Box<Hashing>, step: Step, out: &mut Outbox) -> Result<(), Fatal> {
        let Some((file, _)) = self.file else { return Ok(()) };
        self.phase = Some(match step {
            Step::More => Phase::Hashing(hashing),
            Step::Whole(content) => Phase::Looking(out.file(FileOp::StatOpen { file }), content),
            Step::Failed(error) => return Err(self.cannot(error)),
            Step::Changed => return Err(self.changed()),
            Step::Refused(error) => return Err(self.refused(&error.to_string())),
        });
        Ok(())
    }

    fn publish(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let Some(swarm) = &shared.swarm else { return };
        let request = publish::request(&self.name, swarm.content(), self.plan.sign.as_ref());
        self.publishing = shared.ties.ask(request, now, out);
    }

    /// News of the tracker.
    pub fn got_tie(
        &mut self,
        shared: &mut Shared,
        tie: Tie,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        if let Some(Phase::Withdrawing(withdrawing)) = &mut self.phase {
            withdrawing.got_tie(&tie);
            return Ok(());
        }
        match tie {
            Tie::Opened => self.publish(shared, now, out),
            Tie::Answered { number, answer } if self.publishing == Some(number) => {
                self.publishing = None;
                self.got_published(shared, answer, now, out)?;
            }
            Tie::Denied => return Err(shared.denied()),
            // The list is gone with the connection: perhaps the tracker restarted.
            Tie::Lost(_) if self.is_listed() => self.published = false,
            Tie::Named { identity, .. } => {
                if !self.announced.contains(&identity) {
                    self.announced.push(identity);
                }
                self.tell(shared, out);
            }
            _ => {}
        }
        Ok(())
    }

    fn got_published(
        &mut self,
        shared: &mut Shared,
        answer: Answer,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        if let Answer::Refused(refused) = answer {
            if !publish::is_final(refused.code) {
                shared.ties.start_over(now, out);
                return Ok(());
            }
            let name = foreign(&self.name);
            let line = format!("the tracker refuses {name}: {}; try --as NAME", refused.text);
            return Err(Fatal { ending: Ending::Refused, line });
        }
        self.published = true;
        if self.told {
            let line = format!("{} is listed again", foreign(&self.name));
            out.tell(Event::info("published", line));
        }
        // A tracker that lost its list has lost its swarms, too.
        shared.ties.hurry(now);
        if shared.listens_at.is_some() {
            shared.announce(&[Identity::V2, Identity::V1], now, out);
        }
        self.tell(shared, out);
        Ok(())
    }

    /// The listener is open: what waited for its port goes on.
    pub fn got_listening(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let listens = shared.listens_at.is_some();
        if listens && self.published && matches!(self.phase, Some(Phase::Sharing(_))) {
            shared.announce(&[Identity::V2, Identity::V1], now, out);
            // Trackers of strangers are not waited for.
            if !self.is_listed() && !self.told {
                self.told = true;
                return say::seeding_torrent(shared, &self.name, out);
            }
        }
        if self.told && self.is_listed() {
            // We listen elsewhere than we said.
            shared.ties.hurry(now);
            say::seeding(shared, &self.name, out);
        }
    }

    /// Once it can be had: the lines that say so.
    fn tell(&mut self, shared: &Shared, out: &mut Outbox) {
        let Some(swarm) = &shared.swarm else { return };
        let all = swarm.identities().count();
        if self.told || !self.published || self.announced.len() < all {
            return;
        }
        self.told = true;
        say::seeding(shared, &self.name, out);
        self.write_torrent(shared, out);
    }
}
