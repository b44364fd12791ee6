//! Who asks: the first parameter of everything that reads or changes a row of data.

use crate::failure::Failure;
use std::borrow::Cow;
use tutti_engine::run::Owner;

/// What a caller may do. `viewer < operator < admin`; `payer` stands beside them and only `admin` holds it implicitly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Anybody, known or not.
    Public,
    /// Read.
    Viewer,
    /// Run, cancel, approve.
    Operator,
    /// Start what buys.
    Payer,
    /// Register, configure, clear, keys.
    Admin,
}

impl Role {
    /// The word in tokens and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Payer => "payer",
            Self::Admin => "admin",
        }
    }
}

/// The roles of one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// No role at all.
    pub const NONE: Self = Self(0);
    /// Every role.
    pub const ADMIN: Self = Self(0b1111);

    /// These and one more, with all that it includes.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        let bits = match role {
            Role::Public => 0,
            Role::Viewer => 0b0001,
            Role::Operator => 0b0011,
            Role::Payer => 0b0100,
            Role::Admin => 0b1111,
        };
        Self(self.0 | bits)
    }

    /// Whether they cover `role`.
    #[must_use]
    pub fn hold(self, role: Role) -> bool {
        let needed = Self::NONE.with(role).0;
        self.0 & needed == needed
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Nothing crosses a tenant.
    pub tenant: Cow<'static, str>,
    /// The user inside the tenant.
    pub user: Cow<'static, str>,
    /// What the caller may do.
    pub roles: Roles,
    /// The client's once-only key for what it is about to start.
    pub once_key: Option<String>,
    /// W3C trace context, passed on to every outgoing call.
    pub traceparent: Option<String>,
}

impl Caller {
    /// The caller while no login is configured: `default/local`, with every role.
    #[must_use]
    pub fn local() -> Self {
        Self { tenant: "default".into(), user: "local".into(), roles: Roles::ADMIN, once_key: None, traceparent: None }
    }

    /// Whether a row of this owner exists for the caller: one's own, and for an admin the whole tenant's.
    #[must_use]
    pub fn sees(&self, owner: &Owner) -> bool {
        self.tenant == owner.tenant && (self.user == owner.user || self.roles.hold(Role::Admin))
    }

    /// Refuses a caller without `role`.
    ///
    /// # Errors
    /// `PermissionDenied`, naming the role.
    pub fn must_hold(&self, role: Role) -> Result<(), Failure> {
        if self.roles.hold(role) {
            return Ok(());
        }
        Err(Failure::denied(format!("this needs the role {}", role.as_str())))
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner { tenant: self.tenant.to_string(), user: self.user.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_nest_and_payer_stands_aside() {
        let operator = Roles::NONE.with(Role::Operator);
        assert!(operator.hold(Role::Viewer) && operator.hold(Role::Operator) && operator.hold(Role::Public));
        assert!(!operator.hold(Role::Admin) && !operator.hold(Role::Payer));
        assert!(Roles::ADMIN.hold(Role::Payer) && !Roles::NONE.hold(Role::Viewer));
    }

    #[test]
    fn rows_of_others_do_not_exist() {
        let owner = |tenant: &str, user: &str| Owner { tenant: tenant.into(), user: user.into() };
        let mut caller = Caller { roles: Roles::NONE.with(Role::Operator), ..Caller::local() };
        assert!(caller.sees(&owner("default", "local")));
        assert!(!caller.sees(&owner("default", "ann")) && !caller.sees(&owner("acme", "local")));
        caller.roles = Roles::ADMIN;
        assert!(caller.sees(&owner("default", "ann")) && !caller.sees(&owner("acme", "local")));
    }
}
