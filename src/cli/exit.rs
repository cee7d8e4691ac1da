//! Exit codes, in one place.

use crate::core::report::Ending;

/// Every ending with its code and what the code means, in the order of the codes.
pub const CODES: [(Ending, u8, &str); 12] = [
    (Ending::Done, 0, "done and verified"),
    (Ending::Internal, 1, "an error inside lmk"),
    (Ending::Usage, 2, "the command line asks for something that cannot be"),
    (Ending::NotFound, 3, "name not found"),
    (Ending::Disk, 4, "the disk or the file system refused"),
    (Ending::Network, 5, "tracker or network"),
    (Ending::Verification, 6, "bytes that do not match their hash"),
    (Ending::Refused, 7, "refused by a policy or by a lock of another process"),
    (Ending::Ambiguous, 8, "several contents carry the name"),
    (Ending::NoSource, 9, "no source within --timeout"),
    (Ending::Interrupted, 130, "interrupted (Ctrl-C)"),
    (Ending::Terminated, 143, "terminated"),
];

/// The exit code of the process for an ending.
pub fn code(ending: Ending) -> u8 {
    match ending {
        Ending::Done => 0,
        Ending::Internal => 1,
        Ending::Usage => 2,
        Ending::NotFound => 3,
        Ending::Disk => 4,
        Ending::Network => 5,
        Ending::Verification => 6,
        Ending::Refused => 7,
        Ending::Ambiguous => 8,
        Ending::NoSource => 9,
        Ending::Interrupted => 130,
        Ending::Terminated => 143,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_function_gives() {
        for (ending, number, _) in CODES {
            assert_eq!(code(ending), number, "{ending:?}");
        }
    }
}
