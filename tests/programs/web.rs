//! Servers of the web for one test: each answers one request a connection with what a closure makes
//! of it, in plain or over TLS.

use crate::bed::Bed;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where the certificates of tests lie.
pub fn certificate(name: &str) -> String {
    format!("{}/tests/vectors/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

/// A server in plain.
pub fn web(
    bed: &Bed,
    answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> (SocketAddr, Receiver<String>) {
    serve(bed.ip(1), |stream| stream, answer)
}

/// A server over TLS at `localhost`, with one of the certificates of tests.
pub fn secure_web(
    name: &str,
    answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> (SocketAddr, Receiver<String>) {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate(name)).unwrap().collect();
    let key = PrivateKeyDer::from_pem_file(certificate("server").replace(".pem", ".key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.unwrap(), key)
        .unwrap();
    let config = Arc::new(config);
    let seal = move |stream: TcpStream| {
        StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
    };
    serve(Ipv4Addr::LOCALHOST.into(), seal, answer)
}

fn serve<S: Read + Write + Send + 'static>(
    ip: IpAddr,
    wrap: impl Fn(TcpStream) -> S + Send + 'static,
    answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let (at, (sender, got)) = (listener.local_addr().unwrap(), channel());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let (stream, sender, answer) = (wrap(stream), sender.clone(), answer.clone());
            thread::spawn(move || converse(stream, &*answer, &sender));
        }
    });
    (at, got)
}

/// One request after the other, as long as the answers leave the connection open: those that give
/// a part do.
fn converse(
    mut stream: impl Read + Write,
    answer: &dyn Fn(&str) -> Vec<u8>,
    sender: &std::sync::mpsc::Sender<String>,
) {
    loop {
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => request.push(byte[0]),
                _ => return,
            }
        }
        let request = String::from_utf8_lossy(&request).into_owned();
        let said = answer(&request);
        let _ = stream.write_all(&said);
        let _ = stream.flush();
        let _ = sender.send(request);
        if !said.starts_with(b"HTTP/1.1 206 Part\r\n") {
            return;
        }
    }
}

/// First and last byte that a request asks for.
pub fn asked_range(request: &str) -> (usize, usize) {
    let (_, range) = request.split_once("\r\nRange: bytes=").unwrap();
    let (first, last) = range.lines().next().unwrap().split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

/// The part of a file that a request asks for.
pub fn part(file: &[u8], request: &str) -> Vec<u8> {
    let (first, last) = asked_range(request);
    let (body, size) = (&file[first..=last], file.len());
    let head = format!(
        "HTTP/1.1 206 Part\r\nContent-Range: bytes {first}-{last}/{size}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
