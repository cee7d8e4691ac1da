//! Finding what is wanted: reach the tracker, look the name up, fetch the metainfo, check it.

use super::choice;
use super::plan::Want;
use super::shared::Shared;
use super::ties::Tie;
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::id::{Hash32, InfoHash};
use crate::core::io::Outbox;
use crate::core::report::{Ending, foreign};
use crate::core::time::{Span, Time};
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::entry::Listed;
use crate::wire::catalogue::request::{Request, What};

/// Without a tracker a wanted name cannot be found: so long it may take to say what it is.
const TRACKER: Span = Span::secs(5);

#[derive(Debug)]
enum Phase {
    /// No catalogue connection yet.
    Reaching,
    LookingUp {
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
    /// Why it was not, when last it was not.
    lost: Option<String>,
}

impl Seek {
    pub fn new(want: Want) -> Seek {
        Seek { want, phase: Phase::Reaching, since: Time::ZERO, lost: None }
    }

    pub fn start(&mut self, now: Time) {
        self.since = now;
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
            Phase::Reaching | Phase::LookingUp { .. } => self.since + TRACKER,
            // Long metainfo may take its time; the connection ends if nothing comes.
            Phase::Learning { .. } => Time::NEVER,
        }
    }

    /// The deadline has come.
    pub fn too_late(&self, tracker: &str) -> Fatal {
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
            (Tie::Opened, _) => self.look_up(shared, now, out),
            (Tie::Answered { number, answer }, Phase::LookingUp { number: ours })
                if number == *ours =>
            {
                self.got_found(shared, answer, now, out)?;
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
        let Answer::Found { entries, .. } = answer else { return Err(unexpected(&answer)) };
        let listed = choice::choose(&self.want, entries)?;
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

    fn got_metainfo(&mut self, number: u64, answer: Answer) -> Result<Option<Content>, Fatal> {
        let Phase::Learning { listed, parts } = &mut self.phase else { return Ok(None) };
        let Some(part) = parts.iter_mut().find(|part| part.number == number) else {
            return Ok(None);
        };
        part.bytes = match answer {
            Answer::Data(bytes) => Some(bytes),
            // Without the companion we only cannot serve stock clients.
            Answer::Refused(_) if part.what == What::V1Info => Some(Vec::new()),
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
    if content.geometry.size() != listed.entry.size {
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
