//! How an address is spoken to first: in plain, or in an encrypted handshake. Whoever takes plain
//! ones never sees another; whoever hangs up on a plain one is tried once more.

use crate::peer::Encryption;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Manner {
    /// In plain, as nothing is known of it.
    #[default]
    Plain,
    /// Encrypted, because it hung up on a plain handshake.
    Trying,
    /// Encrypted, and that it took.
    Encrypted,
    /// In plain: that it took, or it took neither.
    PlainOnly,
}

impl Manner {
    pub fn is_encrypted(self, policy: Encryption) -> bool {
        match policy {
            Encryption::Allow => matches!(self, Manner::Trying | Manner::Encrypted),
            Encryption::Require => true,
            Encryption::Off => false,
        }
    }

    /// It hung up before it shook hands.
    pub fn refused(self, policy: Encryption) -> Manner {
        match self {
            Manner::Plain if policy == Encryption::Allow => Manner::Trying,
            Manner::Plain | Manner::Encrypted => Manner::Plain,
            Manner::Trying | Manner::PlainOnly => Manner::PlainOnly,
        }
    }

    /// It shook hands.
    pub fn taken(self) -> Manner {
        match self {
            Manner::Trying | Manner::Encrypted => Manner::Encrypted,
            Manner::Plain | Manner::PlainOnly => Manner::PlainOnly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_answered_by_one_encrypted_try() {
        let policy = Encryption::Allow;
        let second = Manner::default().refused(policy);
        assert!(!Manner::default().is_encrypted(policy) && second.is_encrypted(policy));
        assert!(second.taken().is_encrypted(policy), "it is remembered");
        let neither = second.refused(policy);
        assert!(!neither.is_encrypted(policy) && !neither.refused(policy).is_encrypted(policy));
        assert!(!Manner::default().taken().refused(policy).is_encrypted(policy));
        assert!(!second.taken().refused(policy).is_encrypted(policy), "it may be another by now");
    }

    #[test]
    fn whoever_requires_or_refuses_encryption_never_changes() {
        let all = [Manner::Plain, Manner::Trying, Manner::Encrypted, Manner::PlainOnly];
        for manner in all {
            assert!(manner.is_encrypted(Encryption::Require));
            assert!(!manner.is_encrypted(Encryption::Off));
            assert_ne!(manner.refused(Encryption::Off), Manner::Trying);
        }
    }
}
