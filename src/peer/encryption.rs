//! Conversations that hide what they are (MSE): whether we take part, and how one that we opened
//! goes on from its encrypted handshake to the peer wire.

use crate::core::cipher::Keystream;
use crate::core::fault::Fault;
use crate::core::id::{ConnId, InfoHash};
use crate::core::io::Outbox;
use crate::core::mac::Key;
use crate::core::rng::Rng;
use crate::wire::mse::{Agreed, Fresh, Initiator, Method, Methods};
use std::borrow::Cow;

/// Whether conversations are encrypted (`--encryption`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encryption {
    /// With those who want it: the handshake is hidden, the rest only if they insist.
    Allow,
    /// All of them, from the first byte to the last.
    Require,
    #[default]
    Off,
}

impl Encryption {
    /// How the bytes after the handshake may travel, what we like better first.
    pub fn methods(self) -> Methods<'static> {
        match self {
            Encryption::Allow => &[Method::Plain, Method::Rc4],
            Encryption::Require => &[Method::Rc4],
            Encryption::Off => &[],
        }
    }
}

/// The policy, and what each handshake needs anew.
#[derive(Clone, Debug)]
pub struct Encrypting {
    pub policy: Encryption,
    keys: Key,
    made: u64,
    rng: Rng,
}

impl Default for Encrypting {
    fn default() -> Encrypting {
        Encrypting::new(Encryption::Off, &[0; 32], Rng::new(0))
    }
}

impl Encrypting {
    /// `secret`: bytes of the system that nobody else knows.
    pub fn new(policy: Encryption, secret: &[u8; 32], rng: Rng) -> Encrypting {
        let keys = Key::new(secret).derive(b"encrypted handshakes");
        Encrypting { policy, keys, made: 0, rng }
    }

    /// Another source, which never gives what this one gives.
    pub fn fork(&mut self) -> Encrypting {
        let label = self.fresh().private;
        let keys = self.keys.derive(&label);
        Encrypting { policy: self.policy, keys, made: 0, rng: self.rng.fork(0) }
    }

    pub fn fresh(&mut self) -> Fresh {
        self.made += 1;
        let mut private = [0; 20];
        self.keys.tag(&[&self.made.to_be_bytes()], &mut private);
        let mut pad = vec![0; self.rng.between(0, 512) as usize];
        self.rng.fill(&mut pad);
        Fresh { private, pad }
    }
}

/// What follows an encrypted handshake: what came behind it, deciphered, and from here on the
/// driver's work, if so agreed.
pub fn agreed<'a>(
    conn: ConnId,
    agreed: &Agreed,
    rest: &'a [u8],
    out: &mut Outbox,
) -> Cow<'a, [u8]> {
    if agreed.method == Method::Plain {
        return Cow::Borrowed(rest);
    }
    let mut receive = Keystream::new(agreed.receive);
    let mut rest = rest.to_vec();
    receive.apply(&mut rest);
    out.encipher(conn, agreed.send, receive.key());
    Cow::Owned(rest)
}

/// What an encrypted handshake with a peer we dialled needs; `None` for one in plain.
pub type Offer = Option<(Fresh, Methods<'static>)>;

/// The encrypted handshake of a conversation we opened, while it is on.
#[derive(Debug, Default)]
pub struct Veil(Option<Box<Initiator>>);

impl Veil {
    /// Sends our first words: as they are, or behind an encrypted handshake.
    pub fn open(
        (conn, swarm): (ConnId, InfoHash),
        words: &[u8; 68],
        offer: Offer,
        out: &mut Outbox,
    ) -> Veil {
        let Some((fresh, methods)) = offer else {
            out.send(conn, words);
            return Veil(None);
        };
        let mut say = Vec::new();
        let initiator = Initiator::new(&fresh, swarm, methods, words, &mut say);
        out.send(conn, &say);
        Veil(Some(Box::new(initiator)))
    }

    /// What of `bytes` is the peer wire, once an encrypted handshake is over, if there is one.
    pub fn lift<'a>(
        &mut self,
        conn: ConnId,
        mut bytes: &'a [u8],
        out: &mut Outbox,
    ) -> Result<Cow<'a, [u8]>, Fault> {
        let Some(initiator) = &mut self.0 else { return Ok(Cow::Borrowed(bytes)) };
        let mut say = Vec::new();
        let heard = initiator.hear(&mut bytes, &mut say)?;
        if !say.is_empty() {
            out.send(conn, &say);
        }
        let Some(done) = heard else { return Ok(Cow::Borrowed(&[])) };
        self.0 = None;
        Ok(agreed(conn, &done, bytes, out))
    }
}
