//! What is recorded: a closed set, so that readers of the log can rely on the names.

/// Makes the set of acts from one list.
macro_rules! acts {
    ($($(#[$what:meta])* $variant:ident = $text:literal,)+) => {
        /// Something that somebody does, or tries to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Act { $($(#[$what])* $variant,)+ }

        impl Act {
            /// All acts.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in the log.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

acts! {
    /// A token is issued by an operator or an authorization server, or taken over by value.
    TokenIssue = "token.issue",
    /// Tokens that were issued elsewhere are taken over, many at once.
    TokenImport = "token.import",
    /// A token is revoked, at `/revoke` or by an operator.
    TokenRevoke = "token.revoke",
    /// A token is approved again.
    TokenApprove = "token.approve",
    /// All tokens of a client, a user or both are revoked, or all there are.
    TokenRevokeAll = "token.revoke_all",
    /// A refresh token came a second time, and ended its grant.
    TokenReuse = "token.reuse",
    /// Clients are listed.
    ClientList = "client.list",
    /// A client is created.
    ClientCreate = "client.create",
    /// A client is read.
    ClientRead = "client.read",
    /// A client's record is changed.
    ClientUpdate = "client.update",
    /// A client is deleted.
    ClientDelete = "client.delete",
    /// A client gets another secret.
    ClientRotateSecret = "client.rotate_secret",
    /// A client is revoked, with its tokens.
    ClientRevoke = "client.revoke",
    /// A client is approved again.
    ClientApprove = "client.approve",
    /// Signing keys are listed.
    KeyList = "key.list",
    /// The next signing key takes over.
    KeyRotate = "key.rotate",
    /// A signing key signs no more.
    KeyRetire = "key.retire",
    /// A signing key is taken away with all that it has signed.
    KeyRemove = "key.remove",
    /// Users are listed.
    UserList = "user.list",
    /// A user is created, by an operator.
    UserCreate = "user.create",
    /// A user is read.
    UserRead = "user.read",
    /// A user is deleted.
    UserDelete = "user.delete",
    /// A user may not log in any more.
    UserDisable = "user.disable",
    /// A user may log in again.
    UserEnable = "user.enable",
    /// A user gets another password, by an operator or by itself.
    UserPassword = "user.password",
    /// The sessions of a user are listed.
    SessionList = "session.list",
    /// A session ends: by its user, by a logout, or by an operator.
    SessionEnd = "session.end",
    /// All sessions of a user end.
    SessionEndAll = "session.end_all",
    /// The settings are read anew.
    ConfigReload = "config.reload",
}

impl Act {
    /// Whether it changes nothing: recorded only when it is refused.
    pub const fn reads(self) -> bool {
        matches!(
            self,
            Self::ClientList | Self::ClientRead | Self::KeyList | Self::UserList | Self::UserRead | Self::SessionList
        )
    }

    /// Whether it only takes rights away. Such an act is never refused for want of the log: that a stolen token lives
    /// on is worse than a line that is missing.
    pub const fn takes_away(self) -> bool {
        matches!(
            self,
            Self::TokenRevoke
                | Self::TokenRevokeAll
                | Self::TokenReuse
                | Self::ClientDelete
                | Self::ClientRevoke
                | Self::KeyRetire
                | Self::KeyRemove
                | Self::UserDelete
                | Self::UserDisable
                | Self::SessionEnd
                | Self::SessionEndAll
        )
    }
}
