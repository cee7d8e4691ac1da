//! Seeds that no run had before; who fails with one prints it.

/// So many, from the system.
pub fn fresh(count: usize) -> Vec<u64> {
    let random = || {
        let mut bytes = [0; 8];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
        u64::from_le_bytes(bytes)
    };
    (0..count).map(|_| random()).collect()
}
