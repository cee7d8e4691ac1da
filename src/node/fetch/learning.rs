//! From a name to a content: look it up, fetch its metainfo, check it against its hash.

use super::{Fetch, Phase};
use crate::content::metainfo::Content;
use crate::core::fault::Fatal;
use crate::core::id::{Hash32, InfoHash};
use crate::core::io::Outbox;
use crate::core::name;
use crate::core::report::{Ending, foreign};
use crate::core::time::Time;
use crate::node::choice;
use crate::node::shared::Shared;
use crate::node::target::Target;
use crate::wire::catalogue::answer::Answer;
use crate::wire::catalogue::entry::Listed;
use crate::wire::catalogue::request::{Request, What};
use std::rc::Rc;

impl Fetch {
    pub(super) fn look_up(&mut self, shared: &mut Shared, now: Time, out: &mut Outbox) {
        let names = vec![self.plan.want.name.clone()];
        if let Some(number) = shared.ties.ask(Request::Lookup { names }, now, out) {
            self.phase = Phase::LookingUp { number };
        }
    }

    pub(super) fn got_found(
        &mut self,
        shared: &mut Shared,
        answer: Answer,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Answer::Found { entries, .. } = answer else {
            return Err(unexpected(&answer));
        };
        let listed = choice::choose(&self.plan.want, entries)?;
        let hash = swarm_hash(&listed)?;
        self.size = listed.entry.size;
        let mut ask =
            |what| shared.ties.ask(Request::Fetch { hash, what, offset: 0 }, now, out).unwrap_or(0);
        let info = (ask(What::V2Info), None);
        // A content of one piece has no piece layer.
        let layered = listed.entry.size > u64::from(listed.entry.piece_bytes);
        let layers = if layered { (ask(What::Layers), None) } else { (u64::MAX, Some(Vec::new())) };
        self.phase = Phase::Learning { listed: Box::new(listed), info, layers };
        Ok(())
    }

    pub(super) fn got_metainfo(
        &mut self,
        shared: &mut Shared,
        number: u64,
        answer: Answer,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let Phase::Learning { listed, info, layers } = &mut self.phase else { return Ok(()) };
        let Answer::Data(bytes) = answer else { return Err(unexpected(&answer)) };
        if number == info.0 {
            info.1 = Some(bytes);
        } else if number == layers.0 {
            layers.1 = Some(bytes);
        }
        let (Some(info), Some(layers)) = (&info.1, &layers.1) else { return Ok(()) };
        let layers = Some(layers.as_slice()).filter(|layers| !layers.is_empty());
        let content = check_content(listed, info, layers)?;
        shared.ties.hang_up(out);
        self.place(content, now, out)
    }

    /// The metainfo is what its hash says: where does the file go?
    pub(super) fn place(
        &mut self,
        content: Content,
        now: Time,
        out: &mut Outbox,
    ) -> Result<(), Fatal> {
        let file_name = name::target_file_name(&self.plan.want.name).map_err(|why| Fatal {
            ending: Ending::Refused,
            line: format!("{}: {why}; not written", foreign(&self.plan.want.name)),
        })?;
        let target = Target::start(&self.plan, Rc::new(content), file_name, out);
        self.phase = Phase::Placing(Box::new(target));
        self.started = now;
        Ok(())
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
fn check_content(listed: &Listed, info: &[u8], layers: Option<&[u8]>) -> Result<Content, Fatal> {
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
