//! The side that dials, in an encrypted handshake.

use super::keys::{KEY_BYTES, KeyPair, Secret};
use super::{Agreed, Fresh, Method, Methods, PAD_BYTES_MAX, VERIFICATION, bits, collect, seek};
use crate::core::cipher::Keystream;
use crate::core::fault::Fault;
use crate::core::id::InfoHash;
use crate::wire::read::Fields;

/// What we chose or what follows, after the verification: method and length of the padding.
const ANSWER_BYTES: usize = 4 + 2;

/// Dials; its memory is bounded by the longest padding.
#[derive(Debug)]
pub struct Initiator {
    pair: KeyPair,
    swarm: InfoHash,
    offered: u32,
    opening: Vec<u8>,
    held: Vec<u8>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Their public key comes.
    Key,
    /// Their padding, up to the enciphered verification.
    Seek {
        mark: [u8; 8],
        streams: Streams,
    },
    /// What they chose.
    Answer {
        streams: Streams,
    },
    /// Their second padding.
    Pad {
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

impl Initiator {
    /// For `swarm`, offering `methods`; `opening` goes out as early as it can. What to say first
    /// is appended to `say`.
    pub fn new(
        fresh: &Fresh,
        swarm: InfoHash,
        methods: Methods<'_>,
        opening: &[u8],
        say: &mut Vec<u8>,
    ) -> Initiator {
        let pair = KeyPair::new(fresh.private);
        say.extend_from_slice(pair.public());
        say.extend_from_slice(fresh.pad.get(..PAD_BYTES_MAX).unwrap_or(&fresh.pad));
        Initiator {
            pair,
            swarm,
            offered: bits(methods),
            opening: opening.to_vec(),
            held: Vec::new(),
            step: Step::Key,
        }
    }

    /// Takes bytes off the front of `input`, appends what is to be said to `say`, and gives what
    /// was agreed on; `None` when more bytes are needed. A fault is final.
    pub fn hear(&mut self, input: &mut &[u8], say: &mut Vec<u8>) -> Result<Option<Agreed>, Fault> {
        loop {
            let step = std::mem::replace(&mut self.step, Step::Over);
            self.step = match step {
                Step::Key => {
                    if !collect(&mut self.held, KEY_BYTES, input) {
                        self.step = Step::Key;
                        return Ok(None);
                    }
                    self.got_key(say)?
                }
                Step::Seek { mark, streams } => {
                    let most = PAD_BYTES_MAX + mark.len();
                    match seek(&mut self.held, &mark, most, input) {
                        Err(()) => {
                            return Err(Fault::nobody("encrypted handshake: no answer in it"));
                        }
                        Ok(false) => {
                            self.step = Step::Seek { mark, streams };
                            return Ok(None);
                        }
                        Ok(true) => {
                            self.held.clear();
                            Step::Answer { streams }
                        }
                    }
                }
                Step::Answer { streams } => {
                    if !collect(&mut self.held, ANSWER_BYTES, input) {
                        self.step = Step::Answer { streams };
                        return Ok(None);
                    }
                    self.got_answer(streams)?
                }
                Step::Pad { mut streams, method, len } => {
                    if !collect(&mut self.held, len, input) {
                        self.step = Step::Pad { streams, method, len };
                        return Ok(None);
                    }
                    streams.receive.apply(&mut self.held);
                    let (send, receive) = (streams.send.key(), streams.receive.key());
                    return Ok(Some(Agreed { method, send, receive, opening: Vec::new() }));
                }
                Step::Over => return Err(Fault::nobody("encrypted handshake: it is over")),
            };
        }
    }

    /// The third step: which swarm, what we offer, our first words.
    fn got_key(&mut self, say: &mut Vec<u8>) -> Result<Step, Fault> {
        let theirs = self.held.first_chunk().copied().unwrap_or([0; KEY_BYTES]);
        self.held.clear();
        let secret: Secret = self.pair.agree(&theirs)?;
        let mut send = Keystream::new(secret.of_initiator(&self.swarm));
        let mut receive = Keystream::new(secret.of_responder(&self.swarm));
        say.extend_from_slice(&secret.mark());
        say.extend_from_slice(&secret.names(&self.swarm));
        let clear = say.len();
        say.extend_from_slice(&VERIFICATION);
        say.extend_from_slice(&self.offered.to_be_bytes());
        // No padding of ours here.
        say.extend_from_slice(&[0, 0]);
        let opening = u16::try_from(self.opening.len()).unwrap_or(0);
        say.extend_from_slice(&opening.to_be_bytes());
        say.extend_from_slice(self.opening.get(..usize::from(opening)).unwrap_or_default());
        send.apply(say.get_mut(clear..).unwrap_or_default());
        let mut mark = VERIFICATION;
        receive.apply(&mut mark);
        Ok(Step::Seek { mark, streams: Streams { send, receive } })
    }

    fn got_answer(&mut self, mut streams: Streams) -> Result<Step, Fault> {
        streams.receive.apply(&mut self.held);
        let mut fields = Fields(&self.held);
        let (chosen, len) = (fields.u32().unwrap_or(0), fields.u16().unwrap_or(u16::MAX));
        self.held.clear();
        let methods = [Method::Plain, Method::Rc4];
        let method = methods
            .into_iter()
            .find(|method| method.bit() == chosen && chosen & self.offered != 0)
            .ok_or(Fault::peer("encrypted handshake: it chose what was not offered"))?;
        let len = usize::from(len);
        if len > PAD_BYTES_MAX {
            return Err(Fault::peer("encrypted handshake: padding too long"));
        }
        Ok(Step::Pad { streams, method, len })
    }
}
