//! What the routes of the admin listener do.

use http::{Method, StatusCode};

use super::operation::{Answer, Callers, Operation};
use super::schema::{self, text, within};
use super::{accounts, public, refusals};
use crate::admin::{Route, clients, keys, users};
use crate::client::Right;
use crate::http::error::ApiError;

const OPERATOR: Callers = Callers::Header(&[Right::Admin]);

/// The operations of a route, and what kind of thing it is.
pub(super) fn describe(route: &Route) -> (&'static str, Vec<Operation>) {
    match route {
        Route::Tokens => ("Tokens", vec![issue()]),
        Route::TokenRevocation => ("Tokens", vec![revoke()]),
        Route::TokenImport => ("Tokens", vec![import()]),
        Route::TokenApproval => ("Tokens", vec![approve()]),
        Route::Revocations => ("Tokens", vec![revoke_all()]),
        Route::Clients => ("Clients", vec![list_clients(), create_client()]),
        Route::Client(_) => ("Clients", vec![show_client(), replace_client(), change_client(), delete_client()]),
        Route::ClientAction(_, action) => ("Clients", vec![act_on_client(*action)]),
        Route::Keys => ("Keys", vec![list_keys()]),
        Route::KeyRotation => ("Keys", vec![rotate_keys()]),
        Route::Key(_, keys::Action::Retire) => ("Keys", vec![retire_key()]),
        Route::Key(_, keys::Action::Remove) => ("Keys", vec![remove_key()]),
        Route::Users(route) => ("Users", of_users(*route)),
        Route::Metrics => ("Operations", vec![metrics()]),
        Route::Liveness => ("Operations", vec![public::liveness()]),
        Route::Readiness => ("Operations", vec![public::readiness()]),
        Route::Description => (
            "Operations",
            vec![public::document("description", "Description", "This description, of all routes of this listener")],
        ),
        Route::Unknown => ("", Vec::new()),
    }
}

/// For clients with a right; those without are refused.
fn with(callers: Callers, method: Method, id: &'static str, summary: &'static str) -> Operation {
    let right = match callers {
        Callers::Header([right, ..]) => *right,
        _ => Right::Admin,
    };
    Operation::new(method, id, summary).callers(callers).refuses([
        ApiError::insufficient_scope(StatusCode::FORBIDDEN, right),
        ApiError::forbidden("The client may not do this"),
    ])
}

fn changed(operation: Operation) -> Operation {
    operation.answers(Answer::json(StatusCode::OK, "Changed", "It is so now, whether or not it was before."))
}

fn issue() -> Operation {
    with(Callers::Header(&[Right::Issue, Right::Admin]), Method::POST, "issueToken", "Issues a token for a client")
        .text("For authorization servers, which log users in and leave tokens to this service.")
        .json("IssueRequest")
        .answers(Answer::json(StatusCode::CREATED, "IssuedToken", "The token."))
        .refuses([
            ApiError::invalid_request("(which member is wrong, and what the rule is)"),
            ApiError::bad_request("unauthorized_client", "The client is revoked"),
            ApiError::bad_request("invalid_scope", "A scope stands for a right that cannot be given"),
            ApiError::conflict("The token exists already"),
            ApiError::internal("issuing"),
        ])
}

fn import() -> Operation {
    let callers = Callers::Header(&[Right::Import, Right::Admin]);
    with(callers, Method::POST, "importTokens", "Takes over up to 1,000 access tokens that were issued elsewhere")
        .text("Each is judged for itself. To send them again does no harm: what was revoked is not brought back.")
        .json("ImportQuestion")
        .answers(Answer::json(StatusCode::OK, "ImportAnswer", "What became of each."))
        .refuses([
            ApiError::invalid_request("tokens.imports is off"),
            ApiError::invalid_request("There are more than 1000 tokens"),
            ApiError::internal("importing"),
        ])
}

fn revoke() -> Operation {
    let callers = Callers::Header(&[Right::Revoke, Right::Admin]);
    changed(with(callers, Method::POST, "revokeToken", "Revokes one token by value, `jti` or grant"))
        .text("200 says that no node says active any more, and 503 that this is not certain: ask again.")
        .json("TokenReference")
        .refuses([
            ApiError::invalid_request("Exactly one of token, jti and grant_id must be given"),
            ApiError::not_found(),
        ])
}

fn approve() -> Operation {
    changed(with(OPERATOR, Method::POST, "approveToken", "Lets a token that was revoked be active again"))
        .json("TokenReference")
        .refuses([
            ApiError::invalid_request("Exactly one of token, jti and grant_id must be given"),
            ApiError::not_found(),
            ApiError::conflict("(it was revoked for good, or there are too many of its grant)"),
        ])
}

fn revoke_all() -> Operation {
    changed(with(OPERATOR, Method::POST, "revokeTokens", "Revokes all tokens of a client, of a user, of both, or all"))
        .text("One write, whatever their number; whether there are any is not looked up.")
        .json("BulkRevocation")
        .refuses([
            ApiError::invalid_request("Either client_id, sub or both must be given, or all must be true"),
            ApiError::invalid_request("client_id must have 1 to 128 printable ASCII characters"),
            ApiError::invalid_request("sub must have 1 to 1024 bytes"),
            ApiError::invalid_request("before must not be in the future; it is seconds since 1970"),
        ])
}

/// Of a client that is written.
fn metadata() -> [ApiError; 3] {
    [
        ApiError::bad_request("invalid_client_metadata", "(which member is wrong, and what the rule is)"),
        ApiError::conflict("(it exists, is declared in the configuration, or was changed at the same time)"),
        ApiError::internal("hashing"),
    ]
}

fn paged(operation: Operation, after: serde_json::Value) -> Operation {
    operation
        .query("limit", within(1, 1000, 100), "How many there are on a page.")
        .query("after", after, "The `next` of the page before.")
        .refuses(refusals::page())
}

fn list_clients() -> Operation {
    paged(with(OPERATOR, Method::GET, "listClients", "Lists clients, a page at a time"), schema::client_id())
        .answers(Answer::json(StatusCode::OK, "Clients", "A page of clients."))
}

fn create_client() -> Operation {
    let id = "$response.body#/client_id";
    let created = Answer::json(StatusCode::CREATED, "ClientWithSecret", "The client, with its secret if it has one.")
        .link("showClient", "client_id", id)
        .link("changeClient", "client_id", id)
        .link("deleteClient", "client_id", id)
        .link("approveClient", "client_id", id)
        .link("revokeClient", "client_id", id)
        .link("rotateSecret", "client_id", id);
    with(OPERATOR, Method::POST, "createClient", "Makes a client (RFC 7591 section 2)")
        .text("Members that are not known are ignored, as RFC 7591 has it.")
        .optional_json("NewClient")
        .answers(created)
        .refuses(metadata())
}

fn show_client() -> Operation {
    with(OPERATOR, Method::GET, "showClient", "Shows a client")
        .answers(Answer::json(StatusCode::OK, "Client", "The client, without its secrets."))
        .refuses([ApiError::not_found()])
}

const CHANGE: &str = "A record that was read may be sent back whole: `client_id` and `state` are refused only where \
     they say something else. The secret is changed by rotating it.";

fn replace_client() -> Operation {
    with(OPERATOR, Method::PUT, "replaceClient", "Sets all members of a client")
        .text(CHANGE)
        .optional_json("ClientMetadata")
        .answers(Answer::json(StatusCode::OK, "Client", "The client as it is now."))
        .refuses(metadata())
        .refuses([ApiError::not_found()])
}

fn change_client() -> Operation {
    with(OPERATOR, Method::PATCH, "changeClient", "Changes the members of a client that are given")
        .text(CHANGE)
        .optional_json("ClientMetadata")
        .answers(Answer::json(StatusCode::OK, "Client", "The client as it is now."))
        .refuses(metadata())
        .refuses([ApiError::not_found()])
}

/// Of a client that is changed in another way than by its members.
fn unchangeable() -> [ApiError; 2] {
    [
        ApiError::not_found(),
        ApiError::conflict("(it is declared in the configuration, or was changed at the same time)"),
    ]
}

fn delete_client() -> Operation {
    with(OPERATOR, Method::DELETE, "deleteClient", "Removes a client; its tokens are active no more")
        .answers(Answer::empty(StatusCode::NO_CONTENT, "It is gone."))
        .refuses(unchangeable())
}

fn act_on_client(action: clients::Action) -> Operation {
    match action {
        clients::Action::Approve => {
            changed(with(OPERATOR, Method::POST, "approveClient", "Lets a client and its tokens be accepted again"))
                .ignored_body()
                .refuses(unchangeable())
        }
        clients::Action::Revoke => {
            changed(with(OPERATOR, Method::POST, "revokeClient", "Refuses a client and all its tokens"))
                .ignored_body()
                .refuses(unchangeable())
        }
        clients::Action::RotateSecret => {
            with(OPERATOR, Method::POST, "rotateSecret", "Gives a client a new secret, which is shown this once")
                .optional_json("SecretRotation")
                .answers(Answer::json(StatusCode::OK, "ClientWithSecret", "The client with its new secret."))
                .refuses(unchangeable())
                .refuses([
                    ApiError::bad_request("invalid_client_metadata", "(it has no secret)"),
                    ApiError::internal("hashing"),
                ])
        }
    }
}

fn all_keys(operation: Operation) -> Operation {
    operation.answers(Answer::json(StatusCode::OK, "Keys", "The keys as they are now."))
}

fn list_keys() -> Operation {
    all_keys(with(OPERATOR, Method::GET, "listKeys", "Lists the signing keys"))
}

/// Of keys that are changed.
fn too_many() -> [ApiError; 2] {
    [ApiError::conflict("(too many keys are still needed)"), ApiError::internal("sealing")]
}

fn rotate_keys() -> Operation {
    all_keys(with(OPERATOR, Method::POST, "rotateKeys", "Lets the standby key take over"))
        .optional_json("KeyRotation")
        .refuses(too_many())
}

fn retire_key() -> Operation {
    all_keys(with(OPERATOR, Method::POST, "retireKey", "Takes a key out of use; what it has signed stays valid"))
        .refuses(too_many())
        .refuses([ApiError::not_found()])
}

fn remove_key() -> Operation {
    with(OPERATOR, Method::DELETE, "removeKey", "Takes a key away with everything that it has signed")
        .text("For a key that others have: every token that it has signed is refused from then on.")
        .answers(Answer::empty(StatusCode::NO_CONTENT, "It is gone."))
        .refuses([ApiError::not_found(), ApiError::internal("sealing")])
}

/// All of them answer 404 where there are no accounts.
fn of_users(route: users::Route) -> Vec<Operation> {
    let operations = match route {
        users::Route::All => vec![list_users(), create_user()],
        users::Route::One(_) => vec![show_user(), delete_user()],
        users::Route::Act(_, users::Action::Disable) => {
            let operation = with(OPERATOR, Method::POST, "disableUser", "Ends all sessions, and lets nobody log in");
            vec![changed(operation).ignored_body()]
        }
        users::Route::Act(_, users::Action::Enable) => {
            vec![changed(with(OPERATOR, Method::POST, "enableUser", "Lets the user log in again")).ignored_body()]
        }
        users::Route::Act(_, users::Action::Password) => vec![set_password()],
        users::Route::Sessions(_) => vec![list_sessions(), end_sessions()],
        users::Route::Session(..) => vec![end_session()],
    };
    let refused = || [ApiError::not_found(), ApiError::internal("accounts")];
    operations.into_iter().map(|operation| operation.refuses(refused())).collect()
}

fn list_users() -> Operation {
    paged(with(OPERATOR, Method::GET, "listUsers", "Lists users, a page at a time, or finds one"), schema::identifier())
        .query("username", text(), "The user of this name, if there is one.")
        .query("email", text(), "The user of this email address, if there is one; with `username`, who has both.")
        .answers(Answer::json(StatusCode::OK, "Users", "A page of users."))
}

fn create_user() -> Operation {
    let id = "$response.body#/id";
    let created = Answer::json(StatusCode::CREATED, "User", "The user.")
        .link("showUser", "user_id", id)
        .link("deleteUser", "user_id", id)
        .link("disableUser", "user_id", id)
        .link("enableUser", "user_id", id)
        .link("listSessions", "user_id", id);
    with(OPERATOR, Method::POST, "createUser", "Makes a user")
        .json("NewUser")
        .answers(created)
        .refuses(accounts::user_faults())
}

fn show_user() -> Operation {
    with(OPERATOR, Method::GET, "showUser", "Shows a user").answers(Answer::json(
        StatusCode::OK,
        "User",
        "The user, without anything of the password.",
    ))
}

fn delete_user() -> Operation {
    with(OPERATOR, Method::DELETE, "deleteUser", "Removes a user, whose sessions and tokens end")
        .answers(Answer::empty(StatusCode::NO_CONTENT, "The user is gone."))
}

fn set_password() -> Operation {
    with(OPERATOR, Method::POST, "setPassword", "Sets another password, for a user who has forgotten it")
        .text("Every session and token of the user ends.")
        .json("NewPassword")
        .answers(Answer::empty(StatusCode::NO_CONTENT, "It is set."))
        .refuses(accounts::password_faults("password"))
}

fn list_sessions() -> Operation {
    with(OPERATOR, Method::GET, "listSessions", "Lists where a user is logged in").answers(Answer::json(
        StatusCode::OK,
        "Sessions",
        "The sessions, without any token.",
    ))
}

fn end_sessions() -> Operation {
    with(OPERATOR, Method::DELETE, "endSessions", "Ends all sessions of a user")
        .answers(Answer::empty(StatusCode::NO_CONTENT, "They have ended."))
}

fn end_session() -> Operation {
    with(OPERATOR, Method::DELETE, "endSession", "Ends one session of a user")
        .answers(Answer::empty(StatusCode::NO_CONTENT, "It has ended."))
}

fn metrics() -> Operation {
    let answer = Answer::empty(StatusCode::OK, "Every number, as Prometheus reads it; docs/metrics.md has the list.");
    Operation::new(Method::GET, "metrics", "The numbers of this node").answers(answer.or("text/plain", text()))
}
