//! A tracker that lies: it speaks the real formats, and says what the test wants it to say.

use lmk::content::metainfo::{Content, ContentHasher};
use lmk::wire::catalogue::answer::{Answer, Refused};
use lmk::wire::catalogue::code;
use lmk::wire::catalogue::entry::{Entry, Listed, flag};
use lmk::wire::catalogue::frame::{FrameLimits, FrameReader};
use lmk::wire::catalogue::hello::{Hello, HelloReply};
use lmk::wire::catalogue::request::{Request, What};
use lmk::wire::control::{ControlRequest, ControlResponse, Status, VERSION};
use lmk::wire::udp::{self, AnnounceResponse, Response};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;

const FRAME_MAX: u32 = 1024 * 1024;

/// What the tracker says.
pub struct Script {
    /// What a look-up finds, whatever name was asked for.
    pub entries: Vec<Listed>,
    pub info: Vec<u8>,
    pub layers: Vec<u8>,
    /// Whom an announce names.
    pub peers: Vec<SocketAddr>,
    pub manners: Manners,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Manners {
    Fine,
    /// A control request earns the error of a tracker that knows BEP 15 alone.
    Stock,
    /// Datagrams are read and not answered.
    Mute,
    /// The catalogue takes connections and closes them.
    HangsUp,
    /// A look-up is never answered.
    NoAnswer,
}

impl Script {
    /// The truth about `bytes` under `name`, without any peer.
    pub fn of(name: &str, bytes: &[u8]) -> Script {
        let content = content(name, bytes);
        Script {
            entries: vec![listed(name, &content)],
            info: content.v2.as_ref().unwrap().info.clone(),
            layers: content.piece_layers().unwrap_or_default(),
            peers: Vec::new(),
            manners: Manners::Fine,
        }
    }

    /// Opens the tracker at `ip`. It lives as long as the test run.
    pub fn play(self, ip: IpAddr) -> SocketAddr {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(at).unwrap();
        let script = Arc::new(self);
        let datagrams = script.clone();
        thread::spawn(move || datagrams.answer_datagrams(&socket));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let script = script.clone();
                // A client that goes away ends its conversation with an error.
                thread::spawn(move || script.serve(stream).err());
            }
        });
        at
    }

    fn answer_datagrams(&self, socket: &UdpSocket) {
        let mut bytes = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            let answer = self.answer(&bytes[..len]);
            if !answer.is_empty() && self.manners != Manners::Mute {
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        if let Some(request) = ControlRequest::decode(bytes) {
            if self.manners == Manners::Stock {
                let text = "unknown action".to_owned();
                Response::Error { tid: request.tid, text }.encode(false, &mut answer);
                return answer;
            }
            let bare = ControlResponse::bare(request.tid, VERSION, Status::Ready);
            let more = ControlResponse { seconds: 20, max_frame: FRAME_MAX, max_page: 100, ..bare };
            more.encode(&mut answer);
            return answer;
        }
        match udp::Request::decode(bytes) {
            Ok(udp::Request::Connect { tid }) => {
                Response::Connect { tid, cid: 7 }.encode(false, &mut answer);
            }
            Ok(udp::Request::Announce(request)) => {
                let (tid, peers) = (request.tid, self.peers.clone());
                let announced =
                    AnnounceResponse { tid, interval_s: 5, leechers: 1, seeders: 1, peers };
                Response::Announce(announced).encode(false, &mut answer);
            }
            _ => {}
        }
        answer
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        if self.manners == Manners::HangsUp {
            return Ok(());
        }
        let (mut held, mut part) = (Vec::new(), [0; 4096]);
        let len = loop {
            let got = stream.read(&mut part)?;
            held.extend_from_slice(&part[..got]);
            if let Some((_, len)) = Hello::decode(&held).map_err(|_| std::io::ErrorKind::Other)? {
                break len;
            }
        };
        let mut said = Vec::new();
        HelloReply {
            version: VERSION,
            status: Status::Ready,
            max_frame: FRAME_MAX,
            generation: 1,
            time_s: 1_800_000_000,
        }
        .encode(&mut said);
        stream.write_all(&said)?;
        let mut reader = FrameReader::new(FrameLimits::TRACKER);
        let mut bytes = held.split_off(len);
        loop {
            let mut rest = &bytes[..];
            while let Ok(Some(message)) = reader.next(&mut rest) {
                let request = Request::decode(&message).map_err(|_| std::io::ErrorKind::Other)?;
                let Some(answer) = self.catalogue(&request) else { continue };
                said.clear();
                answer.encode(message.stream, FRAME_MAX, &mut said);
                stream.write_all(&said)?;
            }
            let got = stream.read(&mut part)?;
            if got == 0 {
                return Ok(());
            }
            bytes = part[..got].to_vec();
        }
    }

    fn catalogue(&self, request: &Request) -> Option<Answer> {
        match request {
            Request::Lookup { .. } if self.manners == Manners::NoAnswer => None,
            Request::Lookup { .. } => {
                Some(Answer::Found { entries: self.entries.clone(), generation: 1 })
            }
            Request::Fetch { what: What::V2Info, .. } => Some(Answer::Data(self.info.clone())),
            Request::Fetch { what: What::Layers, .. } => Some(Answer::Data(self.layers.clone())),
            // The companion is for stock clients: without it a leecher gets on.
            Request::Fetch { what: What::V1Info, .. } => Some(Answer::Refused(Refused {
                code: code::NO_METAINFO,
                text: "no v1 info".into(),
                retry_s: None,
            })),
            Request::Ping => Some(Answer::Pong),
            _ => None,
        }
    }
}

pub fn content(name: &str, bytes: &[u8]) -> Content {
    let mut hasher = ContentHasher::new(name.as_bytes(), bytes.len() as u64).unwrap();
    hasher.update(bytes);
    hasher.finish().unwrap()
}

pub fn listed(name: &str, content: &Content) -> Listed {
    let entry = Entry {
        name: name.to_owned(),
        v1: content.v1.as_ref().map(|v1| v1.info_hash),
        v2: content.v2.as_ref().map(|v2| v2.info_hash),
        size: content.geometry.size(),
        piece_bytes: content.geometry.piece_length(),
        flags: flag::V1 | flag::V2,
        sha256: None,
        signed: None,
    };
    Listed {
        entry,
        generation: 1,
        time_s: 1_800_000_000,
        owner: None,
        complete: 1,
        incomplete: 0,
        available: 1,
    }
}
