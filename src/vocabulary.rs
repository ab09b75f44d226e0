//! Fixed sets of words, such as the states of a deploy: each an enum, made by one table that people's words, the
//! database and the audit log all read.

/// Makes an enum of words. Its table gives the variants, the words for them, and the way back; `$what` and `$example` are
/// for the refusal of any other word.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident, $what:literal, $example:literal {
        $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every one, in the order in which they are offered.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The words for them, in the same order.
            pub const WORDS: &[&str] = &[$($word,)*];

            /// The word, as people write it and the database keeps it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::invalid::Invalid;

            fn from_str(word: &str) -> Result<Self, $crate::invalid::Invalid> {
                $name::ALL.iter().copied().find(|known| known.as_str() == word).ok_or_else(|| {
                    let why = format!("It must be one of {}.", $name::WORDS.join(", "));
                    $crate::invalid::Invalid::new($what, why, $example)
                })
            }
        }
    };
}

pub(crate) use vocabulary;
