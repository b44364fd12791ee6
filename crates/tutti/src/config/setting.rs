//! One row of the list of settings, and the macro that writes a concern's struct and its rows from the same lines.

use super::form::AnyForm;

/// Whether this version uses a setting.
#[derive(Clone, Copy)]
pub enum Use {
    /// It does.
    Now,
    /// It does not yet; a set value is accepted and named in a note.
    Later,
    /// It does not, and starting as if it did would be a lie: a set value (for a switch: an "on") stops the start.
    Refused(&'static str),
}

/// A setting: everything that help, checks, `.env.example` and `tutti config` say about it comes from here.
pub struct Setting {
    /// The variable's name; in `tutti.toml` the same in lower case.
    pub name: &'static str,
    /// What its text must look like.
    pub form: &'static dyn AnyForm,
    /// The text that stands for it when nobody sets it.
    pub default: Option<&'static str>,
    /// One sentence for people.
    pub about: &'static str,
    /// Whether this version uses it.
    pub used: Use,
}

/// Settings that belong together.
pub struct Concern {
    /// A heading.
    pub title: &'static str,
    /// The rows.
    pub settings: &'static [Setting],
}

/// Writes a concern: `NAME: field: Type = form, default, sentence;`.
macro_rules! concern {
    ($(#[$doc:meta])* $concern:ident, $title:literal {
        $($name:ident: $field:ident: $type:ty = $form:expr, $default:expr, $about:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $concern {
            $(#[doc = $about] pub $field: $type,)*
        }

        impl $concern {
            /// The rows of this concern.
            pub const CONCERN: $crate::config::setting::Concern = $crate::config::setting::Concern {
                title: $title,
                settings: &[$($crate::config::setting::Setting {
                    name: stringify!($name),
                    form: &$form,
                    default: $default,
                    about: $about,
                    used: $crate::config::setting::Use::Now,
                },)*],
            };

            /// The typed values.
            pub fn read(values: &$crate::config::values::Values) -> Result<Self, $crate::config::values::Problem> {
                Ok(Self { $($field: values.get(stringify!($name), &$form)?,)* })
            }
        }
    };
}
pub(super) use concern;
