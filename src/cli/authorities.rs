//! `--ca-file`: authorities that are believed beside those of the system.

use super::machine::Machine;
use super::planned::absolute;
use crate::core::fault::Fatal;
use crate::core::report::{Ending, foreign_bytes};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Largest file read: that of a whole system has 200 KiB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The certificates of a PEM file, each as DER.
pub fn read(path: Option<&Path>, machine: &Machine) -> Result<Vec<Vec<u8>>, Fatal> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let failed = |ending, why: &str| {
        let shown = foreign_bytes(path.as_os_str().as_bytes());
        Fatal { ending, line: format!("--ca-file {shown}: {why}") }
    };
    let bytes = (machine.load)(&absolute(path, machine), FILE_BYTES_MAX)
        .map_err(|error| failed(Ending::Disk, &error.to_string()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = read.map_err(|_| failed(Ending::Usage, "it is no file of PEM certificates"))?;
    if found.is_empty() {
        return Err(failed(Ending::Usage, "there is no PEM certificate in it"));
    }
    Ok(found.into_iter().map(|der| der.to_vec()).collect())
}
