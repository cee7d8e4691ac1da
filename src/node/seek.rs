//! Finding what is wanted: reach the tracker, look the name up, fetch the metainfo, check it.

use super::choice;
use super::plan::Want;
use super::shared::Shared;
use super::ties::Tie;
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::glob::Glob;
use crate::core::id::{Hash32, InfoHash};
use crate::core::io::Outbox;
use crate::core::report::{Ending, foreign};
use crate::core::time::{Span, Time};
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::code;
use crate::wire::catalogue::entry::Listed;
use crate::wire::catalogue::request::{Request, Watch, What};

/// Without a tracker a wanted name cannot be found: so long it may take to say what it is.
const TRACKER: Span = Span::secs(5);
/// Seconds after the restart of a tracker within which its publishers are back.
const RETURN_S: u32 = 15;

#[derive(Debug)]
enum Phase {
    /// No catalogue connection yet.
    Reaching,
    LookingUp {
        number: u64,
    },
    /// Nobody has published the name yet: the tracker tells when somebody does.
    Watching {
        number: u64,
    },
    /// The metainfo comes in several answers.
    Learning {
        listed: Box<Listed>,
        parts: Vec<Part>,
    },
}

/// One part of the metainfo that was asked for.
#[derive(Debug)]
struct Part {
    what: What,
    number: u64,
    bytes: Option<Vec<u8>>,
}

#[derive(Debug)]
pub struct Seek {
    want: Want,
    phase: Phase,
    /// Since when we wait for the tracker to be of use.
    since: Time,
    /// How long a name may be unknown (`--wait`), and until when that is.
    wait: Option<Span>,
    wait_until: Option<Time>,
    /// Why it is not there, as it was found last.
    missing: Option<Fatal>,
    /// Why it was not, when last it was not.
    lost: Option<String>,
}

impl Seek {
    pub fn new(want: Want, wait: Option<Span>) -> Seek {
        let (since, lost, wait_until, missing) = (Time::ZERO, None, None, None);
        Seek { want, phase: Phase::Reaching, since, wait, wait_until, missing, lost }
    }

    pub fn start(&mut self, now: Time) {
        self.since = now;
        self.wait_until = self.wait.map(|wait| now + wait);
    }

    /// What is waited for, while the name is not there.
    pub fn waiting(&self) -> Option<String> {
        self.missing.as_ref()?;
        Some(format!("nobody has published {} yet; waiting", foreign(&self.want.name)))
    }

    /// Bytes of the content, as soon as the list says so.
    pub fn size(&self) -> Option<u64> {
        match &self.phase {
            Phase::Learning { listed, .. } => Some(listed.entry.size),
            _ => None,
        }
    }

    pub fn deadline(&self) -> Time {
        match self.phase {
            // While it waits anyway, a tracker that went away may come back.
            _ if self.missing.is_some() => self.wait_until.unwrap_or(Time::NEVER),
            Phase::Reaching | Phase::LookingUp { .. } => self.since + TRACKER,
            Phase::Watching { .. } => Time::NEVER,
            // Long metainfo may take its time; the connection ends if nothing comes.
            Phase::Learning { .. } => Time::NEVER,
        }
    }

    /// The deadline has come.
    pub fn too_late(&self, tracker: &str) -> Fatal {
        if let Some(missing) = &self.missing {
            return missing.clone();
        }
        let advice = "start one with `lmk tracker`, or name it with --tracker HOST[:PORT]";
        let line = match (&self.lost, &self.phase) {
            (Some(why), _) => format!("the tracker at {tracker} is of no use: {why}"),
            (None, Phase::Reaching) => format!("no tracker answers at {tracker}; {advice}"),
            (None, _) => format!("the tracker at {tracker} does not say what it has; try again"),
        };
        Fatal { ending: Ending::Network, line }
    }

    /// News of the tracker; the content once it is known.
    pub fn got_tie(
        &mut self,
        shared: &mut Shared,
        tie: Tie,
        now: Time,
        out: &mut Outbox,
    ) -> Result<Option<Content>, Fatal> {
        match (tie, &self.phase) {
            (Tie::Ready { returning_s: Some(age_s), .. }, _) => {
                let back = now + Span::secs(RETURN_S.saturating_sub(age_s).into());
                self.wait_until = self.wait_until.max(Some(back));
            }
            (Tie::Opened, _) => self.look_up(shared, now, out),
            (Tie::Answered { number, answer }, Phase::LookingUp { number: ours })
                if number == *ours =>
            {
                self.got_found(shared, answer, now, out)?;
            }
            (Tie::Answered { number, answer }, Phase::Watching { number: ours })
                if number == *ours =>
            {
                self.got_news(shared, answer, now, out)?;
            }
            (Tie::Answered { number, answer }, Phase::Learning { .. }) => {
                return self.got_metainfo(number, answer);
            }
            (Tie::Lost(why), phase) => {
                if matches!(phase, Phase::Learning { .. }) {
                    self.since = now;
                }
                self.phase = Phase::Reaching;
                self.lost = Some(why);
            }
            (Tie::Denied, _) => return Err(shared.denied()),
            (Tie::Refused(text), Phase::Reaching) => {
                let tracker = &shared.plan.tracker_text;
                let line = format!("the tracker at {tracker} refuses: {text}");
                return Err(Fatal { ending: Ending::Network, line });
            }
            _ => {}
        }
        Ok(None)
    }

    fn look_up(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let names = vec![self.want.name.clone()];
        if let Some(number) = shared.ties.ask(Request::Lookup { names }, now, out) {
            self.phase = Phase::LookingUp { number };
        }
    }

    fn got_found(
        &mut self,
        shared: &mut Shared,
        answer: Answer,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Answer::Found { entries, generation } = answer else { return Err(unexpected(&answer)) };
        let listed = match choice::choose(&self.want, entries) {
            Err(missing) if self.may_wait(&missing, now) => {
                return self.watch(shared, (missing, generation), now, out);
            }
            chosen => chosen?,
        };
        (self.missing, shared.waiting) = (None, None);
        let hash = swarm_hash(&listed)?;
        let mut asked = vec![What::V2Info];
        // A content of one piece has no piece layer.
        if listed.entry.size > u64::from(listed.entry.piece_bytes) {
            asked.push(What::Layers);
        }
        if listed.entry.v1.is_some() {
            asked.push(What::V1Info);
        }
        let mut parts = Vec::new();
        for what in asked {
            let request = Request::Fetch { hash, what, offset: 0 };
            let number = shared.ties.ask(request, now, out).unwrap_or(u64::MAX);
            parts.push(Part { what, number, bytes: None });
        }
        self.phase = Phase::Learning { listed: Box::new(listed), parts };
        Ok(())
    }

    /// Whether something that is not there may come yet.
    fn may_wait(&self, missing: &Fatal, now: Time) -> bool {
        missing.ending == Ending::NotFound && self.wait_until.is_some_and(|until| now < until)
    }

    fn watch(
        &mut self,
        shared: &mut Shared,
        (missing, generation): (Fatal, u64),
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let names = vec![Glob::escaped(&self.want.name)];
        // What is there already was not it: only what comes after may be.
        let watch = Request::Watch(Watch { names, since: Some(generation) });
        self.missing = Some(missing);
        shared.waiting = self.waiting();
        if let Some(number) = shared.ties.ask(watch, now, out) {
            self.phase = Phase::Watching { number };
        }
        Ok(())
    }

    /// The tracker told of entries under the name: perhaps one of them is meant.
    fn got_news(
        &mut self,
        shared: &mut Shared,
        answer: Answer,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let behind = match answer {
            Answer::Watched(watched) if watched.items.is_empty() => return Ok(()),
            Answer::Watched(_) => false,
            Answer::Refused(refused) if refused.code == code::RESYNC => true,
            // A tracker that does not know how to tell.
            Answer::Refused(_) if self.missing.is_some() => {
                return self.missing.clone().map_or(Ok(()), Err);
            }
            answer => return Err(unexpected(&answer)),
        };
        if let (false, Phase::Watching { number }) = (behind, &self.phase) {
            shared.ties.unwatch(*number, out);
        }
        self.look_up(shared, now, out);
        Ok(())
    }

    fn got_metainfo(&mut self, number: u64, answer: Answer) -> Result<Option<Content>, Fatal> {
        let Phase::Learning { listed, parts } = &mut self.phase else { return Ok(None) };
        let Some(part) = parts.iter_mut().find(|part| part.number == number) else {
            return Ok(None);
        };
        part.bytes = match answer {
            Answer::Data(bytes) => Some(bytes),
            // Without the companion we only cannot serve stock clients.
            Answer::Refused(_) if part.what == What::V1Info => Some(Vec::new()),
            // In a folder each file may be one piece; that none lacks is seen from the rest.
            Answer::Refused(refused)
                if part.what == What::Layers && refused.code == code::NO_METAINFO =>
            {
                Some(Vec::new())
            }
            answer => return Err(unexpected(&answer)),
        };
        match parts.iter().all(|part| part.bytes.is_some()) {
            true => check(listed, parts).map(Some),
            false => Ok(None),
        }
    }
}

fn swarm_hash(listed: &Listed) -> Result<InfoHash, Fatal> {
    listed.entry.v2.map(Hash32::truncated).ok_or_else(|| Fatal {
        ending: Ending::Verification,
        line: format!(
            "{} has no SHA-256 identity; fetch it with a BitTorrent client",
            foreign(&listed.entry.name)
        ),
    })
}

/// The metainfo must be what the entry's hashes name, and describe a content of its size.
fn check(listed: &Listed, parts: &[Part]) -> Result<Content, Fatal> {
    let name = foreign(&listed.entry.name);
    let wrong = |why: String| Fatal {
        ending: Ending::Verification,
        line: format!("the tracker's metainfo of {name} is wrong ({why}); nothing was written"),
    };
    let part = |what| {
        let part = parts.iter().find(|part| part.what == what);
        part.and_then(|part| part.bytes.as_deref()).filter(|bytes| !bytes.is_empty())
    };
    let (v1, v2) = (part(What::V1Info), part(What::V2Info));
    let content = Content::from_parts(v1, v2, part(What::Layers))
        .map_err(|error| wrong(error.to_string()))?;
    let v1_hash = content.v1.as_ref().map(|v1| v1.info_hash);
    if content.v2.as_ref().map(|v2| v2.info_hash) != listed.entry.v2
        || v1_hash.is_some_and(|hash| Some(hash) != listed.entry.v1)
    {
        return Err(wrong("it does not match its hash".into()));
    }
    if content.data_bytes() != listed.entry.size {
        return Err(wrong("it has another size than the list says".into()));
    }
    Ok(content)
}

fn unexpected(answer: &Answer) -> Fatal {
    let why = match answer {
        Answer::Refused(refused) => refused.text.clone(),
        _ => "an answer to another question".into(),
    };
    Fatal { ending: Ending::Network, line: format!("the tracker cannot serve the list: {why}") }
}
