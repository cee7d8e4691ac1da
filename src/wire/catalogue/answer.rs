//! What the catalogue answers.

use super::entry::{Item, Listed};
use super::frame::{FIN, Message, RAW, write_frame, write_message};
use super::hello::Owner;
use super::keys::{Keys, parse_payload};
use super::{ERROR_TEXT_BYTES_MAX, RAW_FRAME_BYTES, kind};
use crate::core::bencode::Writer;
use crate::core::fault::{Fault, Refusal};
use crate::core::report::foreign_bytes;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Pong,
    Published {
        generation: u64,
        owner: Owner,
        /// Bits of [`super::entry::flag`].
        flags: u32,
    },
    Unpublished {
        generation: u64,
    },
    Updated {
        generation: u64,
    },
    Page(Page),
    /// Every entry with one of the names looked up, names without an entry left out.
    Found {
        entries: Vec<Listed>,
        generation: u64,
    },
    /// The bytes of a FETCH from its offset.
    Data(Vec<u8>),
    Stat(Stat),
    /// News of a WATCH: several of them on its stream.
    Watched(Watched),
    /// The WATCH of this stream has ended as asked.
    Unwatched,
    Registered {
        generation: u64,
        /// Contents that the node is bound to now.
        contents: u64,
        /// Seconds of silence after which they are forgotten.
        lease_s: u32,
    },
    Refused(Refused),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watched {
    pub items: Vec<Item>,
    /// What came up to here is told, once nothing `more` is on its way.
    pub generation: u64,
    /// There is more to tell at once.
    pub more: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    pub items: Vec<Item>,
    /// For the next page; `None` = this was the last.
    pub cursor: Option<Vec<u8>>,
    pub generation: u64,
    /// Names listed in all.
    pub names: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    pub names: u64,
    pub generation: u64,
    /// Unix seconds.
    pub time_s: u64,
    pub seeders: u64,
    pub leechers: u64,
    /// What is published cannot be saved at present.
    pub not_saving: Option<NotSaving>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotSaving {
    /// Safe to show.
    pub why: String,
    /// Unix second since when.
    pub since_s: u64,
    /// Changes that wait to be saved.
    pub changes: u64,
}

impl NotSaving {
    fn read(keys: Keys<'_, '_>) -> Result<Option<NotSaving>, Refusal> {
        let Some(why) = keys.bytes_maybe(b'w')? else { return Ok(None) };
        let (since_s, changes) = (keys.uint(b'z')?, keys.uint(b'u')?);
        Ok(Some(NotSaving { why: foreign_bytes(why), since_s, changes }))
    }

    /// The last keys of an answer to STAT.
    fn write(&self, writer: &mut Writer) {
        writer.key(b"u").uint(self.changes);
        writer.key(b"w").bytes(self.why.as_bytes());
        writer.key(b"z").uint(self.since_s);
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// One of [`super::code`], or a later one.
    pub code: u8,
    /// Safe to show.
    pub text: String,
    /// Seconds after which asking again makes sense.
    pub retry_s: Option<u32>,
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        let text = refusal.what.to_owned();
        Answer::Refused(Refused { code: refusal.code, text, retry_s: None })
    }
}

impl Answer {
    /// Reads an answer that came to a client.
    pub fn decode(message: Message) -> Result<Answer, Fault> {
        const FETCHED: u8 = kind::ANSWER | kind::FETCH;
        const WATCHED: u8 = kind::ANSWER | kind::WATCH;
        match (message.kind, message.raw) {
            (FETCHED, true) => Ok(Answer::Data(message.payload)),
            (kind::ANSWER, false) => Ok(Answer::Pong),
            (WATCHED, false) if message.payload.is_empty() => Ok(Answer::Unwatched),
            (_, true) => Err(Fault::peer("catalogue answer: RAW where a dictionary must be")),
            (FETCHED, false) => Err(Fault::peer("catalogue answer: a FETCH without RAW")),
            (answered, false) => {
                let doc = parse_payload(&message.payload).map_err(fault)?;
                keyed(answered, Keys(doc.root())).map_err(fault)?.ok_or(UNKNOWN)
            }
        }
    }

    /// Appends the frames of the answer; `frame_max` is what the client takes. A pong goes on
    /// stream 0 whatever `stream` says.
    pub fn encode(&self, stream: u16, frame_max: u32, out: &mut Vec<u8>) {
        match self {
            Answer::Pong => write_frame(kind::ANSWER, FIN, 0, &[], out),
            Answer::Unwatched => write_frame(kind::ANSWER | kind::WATCH, FIN, stream, &[], out),
            Answer::Data(data) => {
                let frame_max = frame_max.min(RAW_FRAME_BYTES as u32);
                write_message((kind::ANSWER | kind::FETCH, RAW, stream), data, frame_max, out);
            }
            keyed => {
                let mut writer = Writer::new();
                writer.begin_dict();
                let answered = write_keys(keyed, &mut writer);
                writer.end();
                write_message((answered, 0, stream), &writer.finish(), frame_max, out);
            }
        }
    }

    /// The type of the request this answers; `None` for an error, which answers any.
    pub fn answers(&self) -> Option<u8> {
        match self {
            Answer::Pong => Some(kind::PING),
            Answer::Published { .. } => Some(kind::PUBLISH),
            Answer::Unpublished { .. } => Some(kind::UNPUBLISH),
            Answer::Updated { .. } => Some(kind::UPDATE),
            Answer::Page(_) => Some(kind::LIST),
            Answer::Found { .. } => Some(kind::LOOKUP),
            Answer::Data(_) => Some(kind::FETCH),
            Answer::Stat(_) => Some(kind::STAT),
            Answer::Watched(_) | Answer::Unwatched => Some(kind::WATCH),
            Answer::Registered { .. } => Some(kind::REGISTER),
            Answer::Refused(_) => None,
        }
    }
}

const UNKNOWN: Fault = Fault::peer("catalogue answer: an unknown type");

fn fault(refusal: Refusal) -> Fault {
    Fault::peer(refusal.what)
}

fn keyed(answered: u8, keys: Keys<'_, '_>) -> Result<Option<Answer>, Refusal> {
    if answered == kind::ERROR {
        return refused(keys).map(Some);
    }
    if answered & kind::ANSWER == 0 {
        return Ok(None);
    }
    let generation = keys.uint(b'g')?;
    Ok(Some(match answered & !kind::ANSWER {
        kind::PUBLISH => {
            let owner = Owner(keys.array_maybe(b'o')?.unwrap_or_default());
            Answer::Published { generation, owner, flags: keys.count(b'f')? }
        }
        kind::UNPUBLISH => Answer::Unpublished { generation },
        kind::UPDATE => Answer::Updated { generation },
        kind::LIST => {
            let items = keys.list(b'e')?.map(|item| Item::read(Keys(item)));
            Answer::Page(Page {
                items: items.collect::<Result<_, _>>()?,
                cursor: keys.bytes_maybe(b'c')?.map(<[u8]>::to_vec),
                generation,
                names: keys.uint(b'n')?,
            })
        }
        kind::LOOKUP => {
            let entries = keys.list(b'e')?.map(|item| Listed::read(Keys(item)));
            Answer::Found { entries: entries.collect::<Result<_, _>>()?, generation }
        }
        kind::STAT => Answer::Stat(Stat {
            names: keys.uint(b'n')?,
            generation,
            time_s: keys.uint(b't')?,
            seeders: keys.uint(b's')?,
            leechers: keys.uint(b'i')?,
            not_saving: NotSaving::read(keys)?,
        }),
        kind::WATCH => {
            let items = keys.list(b'e')?.map(|item| Item::read(Keys(item)));
            let items = items.collect::<Result<_, _>>()?;
            Answer::Watched(Watched { items, generation, more: keys.count(b'm')? != 0 })
        }
        kind::REGISTER => Answer::Registered {
            generation,
            contents: keys.uint(b'n')?,
            lease_s: keys.count(b's')?,
        },
        _ => return Ok(None),
    }))
}

fn refused(keys: Keys<'_, '_>) -> Result<Answer, Refusal> {
    let text = keys.bytes_maybe(b'm')?.unwrap_or_default();
    let retry_s = keys.uint_maybe(b'r')?.map(|s| u32::try_from(s).unwrap_or(u32::MAX));
    Ok(Answer::Refused(Refused {
        code: u8::try_from(keys.uint(b'c')?).unwrap_or(u8::MAX),
        text: foreign_bytes(text),
        retry_s,
    }))
}

/// Writes the keys of a bencoded answer and gives its type.
fn write_keys(answer: &Answer, writer: &mut Writer) -> u8 {
    match answer {
        Answer::Pong | Answer::Unwatched | Answer::Data(_) => {}
        Answer::Published { generation, owner, flags } => {
            writer.key(b"f").uint((*flags).into());
            writer.key(b"g").uint(*generation);
            writer.key(b"o").bytes(&owner.0);
        }
        Answer::Unpublished { generation } | Answer::Updated { generation } => {
            writer.key(b"g").uint(*generation);
        }
        Answer::Page(page) => {
            if let Some(cursor) = &page.cursor {
                writer.key(b"c").bytes(cursor);
            }
            writer.key(b"e").begin_list();
            page.items.iter().for_each(|item| item.write(writer));
            writer.end().key(b"g").uint(page.generation);
            writer.key(b"n").uint(page.names);
        }
        Answer::Found { entries, generation } => {
            writer.key(b"e").begin_list();
            entries.iter().for_each(|listed| listed.write(writer));
            writer.end().key(b"g").uint(*generation);
        }
        Answer::Stat(stat) => {
            writer.key(b"g").uint(stat.generation);
            writer.key(b"i").uint(stat.leechers);
            writer.key(b"n").uint(stat.names);
            writer.key(b"s").uint(stat.seeders);
            writer.key(b"t").uint(stat.time_s);
            stat.not_saving.iter().for_each(|not_saving| not_saving.write(writer));
        }
        Answer::Watched(watched) => {
            writer.key(b"e").begin_list();
            watched.items.iter().for_each(|item| item.write(writer));
            writer.end().key(b"g").uint(watched.generation);
            if watched.more {
                writer.key(b"m").uint(1);
            }
        }
        Answer::Registered { generation, contents, lease_s } => {
            writer.key(b"g").uint(*generation);
            writer.key(b"n").uint(*contents);
            writer.key(b"s").uint((*lease_s).into());
        }
        Answer::Refused(refused) => {
            let text = shortened(&refused.text);
            writer.key(b"c").uint(refused.code.into());
            writer.key(b"m").bytes(text.as_bytes());
            if let Some(seconds) = refused.retry_s {
                writer.key(b"r").uint(seconds.into());
            }
        }
    }
    answer.answers().map_or(kind::ERROR, |asked| kind::ANSWER | asked)
}

/// At most the bytes an ERROR text may have, cut between characters.
fn shortened(text: &str) -> &str {
    let mut end = text.len().min(ERROR_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
