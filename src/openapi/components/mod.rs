//! The objects that requests and answers consist of, by name: those of each listener, and here what both have.

mod admin;
mod public;

use serde_json::{Value, json};

use super::schema::{
    Member, client_id, identifier, list_of_at_most, may, moment, must, one_of, open, printable, sized, text,
};
use crate::client::metadata::{MAX_AUDIENCE_BYTES, MAX_AUDIENCES};
use crate::jose::algorithm::Algorithm;
use crate::user::name::Email;
use crate::user::password::Password;
use crate::user::record::Session;

pub(super) use self::admin::admin;
pub(super) use self::public::{accounts, public};

const STATUSES: [&str; 4] = ["ready", "draining", "store unavailable", "store unsafe"];

const TOKEN_TYPES: [&str; 2] = ["Bearer", "DPoP"];

fn filled() -> Value {
    json!({"type": "string", "minLength": 1})
}

fn error() -> Value {
    open(vec![
        must("error", text(), "A code for programs (RFC 6749 section 5.2)."),
        must(
            "error_description",
            json!({"type": "string", "pattern": r"^[ !#-\[\]-~]*$"}),
            "What is wrong, in words for the people who write the caller.",
        ),
        may("field", text(), "The member of the request that is at fault, at the routes of accounts."),
        may("reason", text(), "What is wrong with that member, in a word for programs."),
    ])
}

fn details() -> Value {
    let detail = json!({"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}});
    json!({"type": "array", "items": detail})
}

fn description() -> Value {
    open(vec![
        must("openapi", text(), "The version of the specification."),
        must("info", json!({"type": "object"}), "What is described."),
        must("paths", json!({"type": "object"}), "By path."),
    ])
}

fn user_members() -> Vec<Member> {
    vec![
        must(
            "username",
            filled(),
            "1 to 64 letters, digits, dots, hyphens and underscores, with a letter or digit at each end.",
        ),
        must("email", sized(3, Email::MAX_BYTES), "An email address."),
        must("password", password(), "Of the length that is configured, and not one that is guessed first."),
    ]
}

fn password() -> Value {
    json!({"type": "string", "maxLength": 3 * Password::MAX_BYTES})
}

fn session() -> Vec<Member> {
    vec![
        must("id", identifier(), "Names it."),
        must("client_id", client_id(), "The application that the user logged in with."),
        must("created_at", moment(), "When that was."),
        must("refreshed_at", moment(), "When it was last used for new tokens."),
        must("expires_at", moment(), "When it ends at the latest."),
        may("user_agent", sized(1, Session::MAX_USER_AGENT_BYTES), "What the program said it was."),
    ]
}

fn audiences() -> Value {
    list_of_at_most(MAX_AUDIENCES, printable(1, MAX_AUDIENCE_BYTES))
}

fn algorithm() -> Value {
    one_of(Algorithm::ALL.map(Algorithm::name))
}

fn format() -> Value {
    one_of(["opaque", "jwt"])
}
