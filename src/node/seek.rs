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
    /// The metainfo comes in two answers.
    Learning {
        listed: Box<Listed>,
        info: (u64, Option<Vec<u8>>),
        layers: (u64, Option<Vec<u8>>),
    },
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
        let mut ask =
            |what| shared.ties.ask(Request::Fetch { hash, what, offset: 0 }, now, out).unwrap_or(0);
        let info = (ask(What::V2Info), None);
        // A content of one piece has no piece layer.
        let layered = listed.entry.size > u64::from(listed.entry.piece_bytes);
        let layers = if layered { (ask(What::Layers), None) } else { (u64::MAX, Some(Vec::new())) };
        self.phase = Phase::Learning { listed: Box::new(listed), info, layers };
        Ok(())
    }

    fn got_metainfo(&mut self, number: u64, answer: Answer) -> Result<Option<Content>, Fatal> {
        let Phase::Learning { listed, info, layers } = &mut self.phase else { return Ok(None) };
        let Answer::Data(bytes) = answer else { return Err(unexpected(&answer)) };
        if number == info.0 {
            info.1 = Some(bytes);
        } else if number == layers.0 {
            layers.1 = Some(bytes);
        }
        let (Some(info), Some(layers)) = (&info.1, &layers.1) else { return Ok(None) };
        let layers = Some(layers.as_slice()).filter(|layers| !layers.is_empty());
        check(listed, info, layers).map(Some)
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

/// The metainfo must be what the entry's hash names, and describe a content of its size.
fn check(listed: &Listed, info: &[u8], layers: Option<&[u8]>) -> Result<Content, Fatal> {
    let name = foreign(&listed.entry.name);
    let wrong = |why: String| Fatal {
        ending: Ending::Verification,
        line: format!("the tracker's metainfo of {name} is wrong ({why}); nothing was written"),
    };
    let content = Content::from_info(info, layers).map_err(|error| wrong(error.to_string()))?;
    if content.v2.as_ref().map(|v2| v2.info_hash) != listed.entry.v2 {
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
