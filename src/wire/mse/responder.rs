//! The side that was dialled, in an encrypted handshake.

use super::keys::{KEY_BYTES, KeyPair, Secret};
use super::{
    Agreed, Fresh, Method, Methods, OPENING_BYTES_MAX, PAD_BYTES_MAX, VERIFICATION, bits, collect,
    seek,
};
use crate::core::cipher::Keystream;
use crate::core::fault::Fault;
use crate::core::id::InfoHash;
use crate::core::mark::mark;
use crate::wire::read::Fields;

/// Verification, what is offered, length of the padding.
const OFFER_BYTES: usize = VERIFICATION.len() + 4 + 2;

/// Was dialled; its memory is bounded by the longest padding and the longest first words.
#[derive(Debug)]
pub struct Responder {
    secret: Secret,
    held: Vec<u8>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Their padding, up to the mark.
    Seek,
    /// Which swarm.
    Name,
    /// What they offer.
    Offer {
        streams: Streams,
    },
    /// Their second padding, and the length of their first words.
    Pad {
        streams: Streams,
        method: Method,
        len: usize,
    },
    /// Their first words.
    Opening {
        streams: Streams,
        method: Method,
        len: usize,
    },
    Over,
}

#[derive(Debug)]
struct Streams {
    send: Keystream,
    receive: Keystream,
}

impl Responder {
    /// For one whose public key came: two powers are computed. What to say first is appended to
    /// `say`.
    pub fn new(
        fresh: &Fresh,
        theirs: &[u8; KEY_BYTES],
        say: &mut Vec<u8>,
    ) -> Result<Responder, Fault> {
        let pair = KeyPair::new(fresh.private);
        let secret = pair.agree(theirs)?;
        say.extend_from_slice(pair.public());
        say.extend_from_slice(fresh.pad.get(..PAD_BYTES_MAX).unwrap_or(&fresh.pad));
        Ok(Responder { secret, held: Vec::new(), step: Step::Seek })
    }

    /// Takes bytes off the front of `input`, appends what is to be said to `say`, and gives what
    /// was agreed on; `None` when more bytes are needed. `swarms` are those we know, `methods`
    /// those we take. A fault is final.
    pub fn hear(
        &mut self,
        input: &mut &[u8],
        (swarms, methods): (&[InfoHash], Methods<'_>),
        say: &mut Vec<u8>,
    ) -> Result<Option<Agreed>, Fault> {
        loop {
            let step = std::mem::replace(&mut self.step, Step::Over);
            let need = match &step {
                Step::Seek | Step::Over => 0,
                Step::Name => 20,
                Step::Offer { .. } => OFFER_BYTES,
                Step::Pad { len, .. } => len + 2,
                Step::Opening { len, .. } => *len,
            };
            if !collect(&mut self.held, need, input) {
                self.step = step;
                return Ok(None);
            }
            self.step = match step {
                Step::Seek => {
                    if !self.found_mark(input)? {
                        self.step = Step::Seek;
                        return Ok(None);
                    }
                    Step::Name
                }
                Step::Name => self.got_name(swarms)?,
                Step::Offer { streams } => self.got_offer(streams, methods, say)?,
                Step::Pad { mut streams, method, len } => {
                    streams.receive.apply(&mut self.held);
                    let mut fields = Fields(self.held.get(len..).unwrap_or_default());
                    let len = fields.u16().map_or(usize::MAX, usize::from);
                    if len > OPENING_BYTES_MAX {
                        return Err(Fault::peer("encrypted handshake: first words too long"));
                    }
                    self.held.clear();
                    Step::Opening { streams, method, len }
                }
                Step::Opening { mut streams, method, .. } => {
                    streams.receive.apply(&mut self.held);
                    let (send, receive) = (streams.send.key(), streams.receive.key());
                    let opening = std::mem::take(&mut self.held);
                    return Ok(Some(Agreed { method, send, receive, opening }));
                }
                Step::Over => return Err(Fault::nobody("encrypted handshake: it is over")),
            };
        }
    }

    fn found_mark(&mut self, input: &mut &[u8]) -> Result<bool, Fault> {
        let mark = self.secret.mark();
        let found = seek(&mut self.held, &mark, PAD_BYTES_MAX + mark.len(), input);
        let found = found.map_err(|()| {
            mark!("D01");
            Fault::peer("handshake: neither the BitTorrent protocol nor an encrypted one")
        })?;
        if found {
            self.held.clear();
        }
        Ok(found)
    }

    fn got_name(&mut self, swarms: &[InfoHash]) -> Result<Step, Fault> {
        let named = |swarm: &&InfoHash| self.secret.names(swarm)[..] == self.held[..];
        let swarm = swarms.iter().find(named);
        let swarm = swarm.ok_or(Fault::nobody("encrypted handshake: a content we do not have"))?;
        self.held.clear();
        let send = Keystream::new(self.secret.of_responder(swarm));
        let receive = Keystream::new(self.secret.of_initiator(swarm));
        Ok(Step::Offer { streams: Streams { send, receive } })
    }

    /// The fourth step: what we choose.
    fn got_offer(
        &mut self,
        mut streams: Streams,
        methods: Methods<'_>,
        say: &mut Vec<u8>,
    ) -> Result<Step, Fault> {
        streams.receive.apply(&mut self.held);
        let mut fields = Fields(&self.held);
        let verification = fields.array();
        let (offered, len) = (fields.u32().unwrap_or(0), fields.u16().unwrap_or(u16::MAX));
        if verification != Some(VERIFICATION) {
            return Err(Fault::peer("encrypted handshake: it does not verify"));
        }
        let common = methods.iter().find(|method| method.bit() & offered & bits(methods) != 0);
        let method =
            *common.ok_or(Fault::nobody("encrypted handshake: no method that both take"))?;
        let len = usize::from(len);
        if len > PAD_BYTES_MAX {
            return Err(Fault::peer("encrypted handshake: padding too long"));
        }
        self.held.clear();
        let clear = say.len();
        say.extend_from_slice(&VERIFICATION);
        say.extend_from_slice(&method.bit().to_be_bytes());
        // No padding of ours here.
        say.extend_from_slice(&[0, 0]);
        streams.send.apply(say.get_mut(clear..).unwrap_or_default());
        Ok(Step::Pad { streams, method, len })
    }
}
