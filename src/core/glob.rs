//! Patterns for names, as a shell has them: `*` any run of characters, `?` one character, `[a-z]`
//! and `[!a-z]` one of a set or none of it, `\x` the character `x` itself.

/// Longest pattern taken, bytes: a name with every character escaped.
pub const GLOB_BYTES_MAX: usize = 510;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Char(char),
    Any,
    Run,
    Set { not: bool, ranges: Vec<(char, char)> },
}

/// A pattern that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob {
    pieces: Vec<Piece>,
}

impl Glob {
    /// Reads a pattern, or says what is wrong with it.
    pub fn new(text: &str) -> Result<Glob, &'static str> {
        let mut chars = text.chars();
        let mut pieces = Vec::new();
        while let Some(c) = chars.next() {
            let piece = match c {
                '*' => Piece::Run,
                '?' => Piece::Any,
                '[' => set(&mut chars)?,
                '\\' => Piece::Char(chars.next().ok_or("a glob that ends in a backslash")?),
                c => Piece::Char(c),
            };
            // Two stars in a row say no more than one.
            if piece != Piece::Run || pieces.last() != Some(&Piece::Run) {
                pieces.push(piece);
            }
        }
        Ok(Glob { pieces })
    }

    /// The pattern that fits `name` alone.
    pub fn escaped(name: &str) -> String {
        let mut text = String::with_capacity(name.len());
        for c in name.chars() {
            if matches!(c, '*' | '?' | '[' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text
    }

    /// What every name that fits begins with.
    pub fn prefix(&self) -> String {
        let chars = self.pieces.iter().map_while(|piece| match piece {
            Piece::Char(c) => Some(*c),
            _ => None,
        });
        chars.collect()
    }

    /// Bytes kept for it.
    pub fn bytes(&self) -> usize {
        let set = |piece: &Piece| match piece {
            Piece::Set { ranges, .. } => size_of_val(&ranges[..]),
            _ => 0,
        };
        size_of_val(&self.pieces[..]) + self.pieces.iter().map(set).sum::<usize>()
    }

    /// Whether the pattern fits its prefix and nothing else.
    pub fn is_name(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Char(_)))
    }

    /// Whether `name` fits. Adds what it took to `steps`: at most the product of both lengths.
    pub fn fits(&self, name: &str, steps: &mut u64) -> bool {
        let (mut pieces, mut rest) = (&self.pieces[..], name.chars());
        // Behind the last star: where its run may grow by one character.
        let mut retry: Option<(&[Piece], std::str::Chars<'_>)> = None;
        loop {
            *steps += 1;
            if let Some((Piece::Run, later)) = pieces.split_first() {
                (pieces, retry) = (later, Some((later, rest.clone())));
                continue;
            }
            let mut next = rest.clone();
            let goes_on = match (pieces.split_first(), next.next()) {
                (None, None) => return true,
                (Some((piece, later)), Some(c)) if piece.takes(c) => {
                    (pieces, rest) = (later, next);
                    true
                }
                _ => false,
            };
            if goes_on {
                continue;
            }
            let Some((later, grown)) = &mut retry else { return false };
            if grown.next().is_none() {
                return false;
            }
            (pieces, rest) = (later, grown.clone());
        }
    }
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Piece::Char(own) => *own == c,
            Piece::Any => true,
            Piece::Run => false,
            Piece::Set { not, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *not
            }
        }
    }
}

/// The rest of a set after its `[`. A `]` at its start is one of the set.
fn set(chars: &mut std::str::Chars<'_>) -> Result<Piece, &'static str> {
    const OPEN: &str = "a glob with a [ that is not closed";
    let mut next = chars.next().ok_or(OPEN)?;
    let not = matches!(next, '!' | '^');
    if not {
        next = chars.next().ok_or(OPEN)?;
    }
    let mut ranges = Vec::new();
    loop {
        let first = if next == '\\' { chars.next().ok_or(OPEN)? } else { next };
        let mut ahead = chars.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                *chars = ahead;
                last
            }
            _ => first,
        };
        ranges.push((first, last));
        next = chars.next().ok_or(OPEN)?;
        if next == ']' {
            return Ok(Piece::Set { not, ranges });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(glob: &str, name: &str) -> bool {
        Glob::new(glob).unwrap().fits(name, &mut 0)
    }

    #[test]
    fn patterns_mean_what_a_shell_means() {
        for (glob, yes, no) in [
            ("big.zip", "big.zip", "big.zipp"),
            ("*.zip", ".zip", "zip"),
            ("a*b*c", "axxbxbc", "axxbxb"),
            ("?", "ü", ""),
            ("[a-c]x", "bx", "dx"),
            ("[!a-c]x", "dx", "bx"),
            ("[]]", "]", "["),
            ("[a-]", "-", "b"),
            ("\\*", "*", "x"),
            ("**", "", "\0never"),
            ("*[0-9][0-9].iso", "debian-12.iso", "debian-1.iso"),
        ] {
            assert!(fits(glob, yes), "{glob} {yes}");
            assert!(no == "\0never" || !fits(glob, no), "{glob} {no}");
        }
        for bad in ["[", "[a", "a\\", "[!"] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_work_is_bounded_by_the_product_of_the_lengths() {
        let glob = Glob::new(&("a*".repeat(120) + "b")).unwrap();
        let mut steps = 0;
        assert!(!glob.fits(&"a".repeat(255), &mut steps));
        assert!(steps < 242 * 256, "{steps}");
    }

    /// The plain recursion that the loop stands for.
    fn naive(pieces: &[Piece], name: &[char]) -> bool {
        match (pieces.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((Piece::Run, later)), rest) => {
                naive(later, name) || rest.is_some_and(|(_, rest)| naive(pieces, rest))
            }
            (Some((piece, later)), Some((c, rest))) => piece.takes(*c) && naive(later, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_loop_agrees_with_the_recursion(glob in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            let read = Glob::new(&glob).unwrap();
            let chars: Vec<char> = name.chars().collect();
            prop_assert_eq!(read.fits(&name, &mut 0), naive(&read.pieces, &chars));
        }

        #[test]
        fn an_escaped_name_fits_itself_alone(name in any::<String>(), other in any::<String>()) {
            let glob = Glob::new(&Glob::escaped(&name)).unwrap();
            prop_assert!(glob.is_name() && glob.prefix() == name);
            prop_assert!(glob.fits(&name, &mut 0));
            prop_assert_eq!(glob.fits(&other, &mut 0), name == other);
        }
    }
}
