//! TLS on a dialled connection (RFC 8446, RFC 5246): the other side proves who it is to the
//! authorities of this machine, unless a person said of that host that it need not. Bytes go in and
//! out as the socket has them; the role sees plaintext only.

use super::Reactor;
use super::unproven::AnyCertificate;
use crate::core::io::{Distrust, Role};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

/// Plaintext that is sealed before what was sealed has left, bytes.
const SEALED_AHEAD_BYTES: usize = 64 * 1024;

/// Whom this machine believes; read when it is first asked.
#[derive(Default)]
pub(super) struct Trust {
    /// Authorities named beside those of the system, as DER.
    further: Vec<Vec<u8>>,
    /// Hosts that need not prove who they are.
    unproven: Vec<String>,
    config: Option<Result<Arc<ClientConfig>, Distrust>>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("further", &self.further.len()).finish_non_exhaustive()
    }
}

impl Trust {
    pub fn new(further: Vec<Vec<u8>>, unproven: Vec<String>) -> Trust {
        Trust { further, unproven, config: None }
    }

    /// A session with the host of this name (or address), before its first byte.
    pub fn session(&mut self, name: &str) -> Result<Tls, Distrust> {
        let is_unproven = self.unproven.iter().any(|host| host.eq_ignore_ascii_case(name));
        let name = ServerName::try_from(name.to_owned()).map_err(|_| Distrust::OtherName)?;
        let further = &self.further;
        let config = match is_unproven {
            true => believe_anybody()?,
            false => self.config.get_or_insert_with(|| configure(further)).clone()?,
        };
        let session = ClientConnection::new(config, name).map_err(|e| distrust(&e))?;
        Ok(Tls { session, untold: None, over: false })
    }
}

impl<R: Role> Reactor<R> {
    /// Believes these authorities too, each an X.509 certificate in DER, and takes any certificate
    /// of the hosts `unproven`.
    pub fn with_authorities(self, further: Vec<Vec<u8>>, unproven: Vec<String>) -> Reactor<R> {
        Reactor { trust: Trust::new(further, unproven), ..self }
    }
}

fn configure(further: &[Vec<u8>]) -> Result<Arc<ClientConfig>, Distrust> {
    let mut roots = RootCertStore::empty();
    // What of the system's store cannot be read is as good as not there.
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    let further = further.iter().map(|der| CertificateDer::from(der.clone()));
    roots.add_parsable_certificates(further);
    if roots.is_empty() {
        return Err(Distrust::NoAuthorities);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|e| distrust(&e))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// For a host that need not prove who it is.
fn believe_anybody() -> Result<Arc<ClientConfig>, Distrust> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let any = Arc::new(AnyCertificate::new(&provider));
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|e| distrust(&e))?.dangerous();
    Ok(Arc::new(builder.with_custom_certificate_verifier(any).with_no_client_auth()))
}

fn distrust(error: &Error) -> Distrust {
    let Error::InvalidCertificate(why) = error else { return Distrust::Protocol };
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Distrust::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Distrust::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Distrust::OtherName
        }
        CertificateError::UnknownIssuer => Distrust::UnknownIssuer,
        _ => Distrust::Certificate,
    }
}

/// One session.
pub(super) struct Tls {
    session: ClientConnection,
    /// The connection is established, from this address of ours; the role hears of it once the
    /// other side is who it should be.
    untold: Option<SocketAddr>,
    /// The other side said that nothing follows.
    over: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("untold", &self.untold).finish_non_exhaustive()
    }
}

impl Tls {
    /// The socket is connected.
    pub fn established(&mut self, local: SocketAddr) {
        self.untold = Some(local);
    }

    /// Our address, told once when the other side has proven itself.
    pub fn proven(&mut self) -> Option<SocketAddr> {
        if self.is_shaking() { None } else { self.untold.take() }
    }

    pub fn is_shaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether the other side said that nothing follows.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Takes what came from the socket and appends its plaintext to `plain`.
    pub fn took(&mut self, mut sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), Distrust> {
        while !sealed.is_empty() && !self.over {
            self.session.read_tls(&mut sealed).map_err(|_| Distrust::Protocol)?;
            let state = self.session.process_new_packets().map_err(|e| distrust(&e))?;
            self.over = state.peer_has_closed();
            let (before, len) = (plain.len(), state.plaintext_bytes_to_read());
            plain.resize(before + len, 0);
            let room = plain.get_mut(before..).unwrap_or_default();
            self.session.reader().read_exact(room).map_err(|_| Distrust::Protocol)?;
        }
        Ok(())
    }

    /// Whether there is something to write that needs no plaintext.
    pub fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// Whether plaintext may be sealed now.
    pub fn takes_plain(&self) -> bool {
        !self.is_shaking()
    }

    /// Seals plaintext; -> how many bytes of it were taken.
    pub fn seal(&mut self, plain: &[u8]) -> usize {
        let plain = plain.get(..SEALED_AHEAD_BYTES).unwrap_or(plain);
        // Into memory, which does not fail.
        self.session.writer().write(plain).unwrap_or(0)
    }

    /// Writes what is sealed. -> bytes that left; 0 if the socket is full.
    pub fn write(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        match self.session.write_tls(socket) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }
}
