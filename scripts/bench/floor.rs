//! The floor: what one thread can do on this machine. It reads a loopback TCP stream, hashes every
//! 16 KiB with SHA-256 and writes new pages of a file; another process feeds it with pread and write
//! of 128 KiB. No protocol, no choice, no check: nothing that moves a file can be faster than this
//! without doing less.
//!
//!     floor FILE TARGET [--no-hash]     copies FILE to TARGET and prints one line of figures

use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::{Command, exit};
use std::time::Instant;

const LEAF: usize = 16 * 1024;
const FEED: usize = 128 * 1024;
const READ: usize = 1024 * 1024;

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["feed", file, addr] => feed(file, addr),
        [file, target] => copy(file, target, true),
        [file, target, "--no-hash"] => copy(file, target, false),
        _ => {
            eprintln!("usage: floor FILE TARGET [--no-hash]");
            exit(2)
        }
    }
}

fn feed(file: &str, addr: &str) -> std::io::Result<()> {
    let file = File::open(file)?;
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; FEED];
    let mut offset = 0;
    loop {
        let got = file.read_at(&mut buffer, offset)?;
        if got == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..got])?;
        offset += got as u64;
    }
}

fn copy(file: &str, target: &str, hash: bool) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?.to_string();
    let target = OpenOptions::new().create(true).write(true).truncate(true).open(target)?;
    let started = Instant::now();
    let mut feeder = Command::new(std::env::current_exe()?).args(["feed", file, &addr]).spawn()?;
    let (mut stream, _) = listener.accept()?;
    let (mut buffer, mut held, mut offset) = (vec![0; READ], 0, 0u64);
    let mut sum = [0u8; 32];
    loop {
        let got = stream.read(&mut buffer[held..])?;
        held += got;
        let whole = if got == 0 { held } else { held - held % LEAF };
        if hash {
            for leaf in buffer[..whole].chunks(LEAF) {
                let digest: [u8; 32] = Sha256::digest(leaf).into();
                sum.iter_mut().zip(digest).for_each(|(a, b)| *a ^= b);
            }
        }
        target.write_all_at(&buffer[..whole], offset)?;
        offset += whole as u64;
        buffer.copy_within(whole..held, 0);
        held -= whole;
        if got == 0 {
            break;
        }
    }
    feeder.wait()?;
    let wall = started.elapsed().as_secs_f64();
    let gib = offset as f64 / (1u64 << 30) as f64;
    println!(
        "floor bytes={offset} wall_s={wall:.3} s_per_gib={:.3} sum={:02x}",
        wall / gib,
        sum[0]
    );
    Ok(())
}
