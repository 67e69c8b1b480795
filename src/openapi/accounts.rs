//! What the routes of accounts do.

use http::header::{SET_COOKIE, VARY};
use http::{Method, StatusCode};

use super::operation::{Answer, Callers, Operation};
use super::refusals;
use super::schema::one_of;
use crate::http::accounts::Route;
use crate::http::error::ApiError;

/// What a route does.
pub(super) fn describe(route: Route) -> Operation {
    let operation = match route {
        Route::Register => register(),
        Route::Login => login(),
        Route::Refresh => refresh(),
        Route::Logout => logout(),
        Route::Password => password(),
        Route::Sessions => sessions(),
        Route::Session(_) => end_session(),
    };
    operation.shared(&VARY)
}

const TOKENS: &str = "The tokens; where the application is set up for it, the refresh token as a cookie.";
const COOKIE: &str = "The refresh token of a browser, or its end.";

fn tokens(status: StatusCode) -> Answer {
    Answer::json(status, "Tokens", TOKENS).header(SET_COOKIE, COOKIE)
}

/// What keeps pages of others out.
fn page() -> [ApiError; 2] {
    [
        ApiError::access_denied("The header X-Requested-With is missing"),
        ApiError::access_denied("The request comes from a page of another origin"),
    ]
}

/// What every route can be refused with that takes a name, a password or a session.
fn guesses() -> [ApiError; 2] {
    [ApiError::too_many_requests(1), refusals::unavailable()]
}

fn unknown_client() -> ApiError {
    ApiError::invalid_request("There is no such client").about("client_id", "unknown")
}

/// What can be wrong with a password that is to be set.
pub(super) fn password_faults(member: &'static str) -> Vec<ApiError> {
    ["malformed", "too_short", "common", "context"]
        .map(|reason| ApiError::invalid_request("(what is wrong with the password)").about(member, reason))
        .into()
}

/// What can be wrong with a user that is to be made.
pub(super) fn user_faults() -> Vec<ApiError> {
    let mut refusals = password_faults("password");
    refusals.push(ApiError::invalid_request("(what is wrong with the username)").about("username", "malformed"));
    refusals.push(ApiError::invalid_request("(what is wrong with the email address)").about("email", "malformed"));
    refusals.push(ApiError::conflict("The username is taken").about("username", "taken"));
    refusals.push(ApiError::conflict("The email address is taken").about("email", "taken"));
    refusals
}

const FROM_A_PAGE: &str = "A browser whose refresh token is a cookie sends `X-Requested-With`, from a page of the \
     application. A slash at the end of the path changes nothing.";

fn register() -> Operation {
    Operation::new(Method::POST, "register", "Makes a user, who is logged in at once")
        .text(FROM_A_PAGE)
        .header("X-Requested-With", "Anything: it shows that a script of the page has sent the request.")
        .json("Registration")
        .answers(tokens(StatusCode::CREATED))
        .refuses(user_faults())
        .refuses(page())
        .refuses(guesses())
        .refuses([unknown_client(), ApiError::not_found()])
}

fn login() -> Operation {
    Operation::new(Method::POST, "login", "Takes a name and a password for tokens")
        .text(FROM_A_PAGE)
        .header("X-Requested-With", "Anything: it shows that a script of the page has sent the request.")
        .json("Login")
        .answers(tokens(StatusCode::OK))
        .refuses(page())
        .refuses(guesses())
        .refuses([unknown_client(), ApiError::invalid_credentials()])
}

/// What a refresh token can be refused with that is shown in the header or as a cookie.
fn shown() -> Vec<ApiError> {
    let mut refusals = refusals::bearer();
    refusals.extend(page());
    refusals.extend([
        ApiError::session_over(),
        ApiError::invalid_request("A token is shown as Bearer or as a cookie"),
        ApiError::invalid_request("There are two refresh tokens: one as Bearer and one as a cookie"),
        ApiError::invalid_request("The cookie is there twice"),
    ]);
    refusals
}

fn refresh() -> Operation {
    Operation::new(Method::POST, "refresh", "Takes a refresh token for the next one and an access token")
        .text(FROM_A_PAGE)
        .callers(Callers::Session)
        .header("X-Requested-With", "Anything: it shows that a script of the page has sent the request.")
        .optional_json("Refresh")
        .answers(tokens(StatusCode::OK))
        .refuses(shown())
}

fn logout() -> Operation {
    Operation::new(Method::POST, "logout", "Ends a session with every token of it, or all of a user")
        .text(
            "204 also when there is no session, or it has ended. An access token of the session will do as well. Only \
             who has a live session may end all of them.",
        )
        .callers(Callers::Session)
        .header("X-Requested-With", "Anything: it shows that a script of the page has sent the request.")
        .query("all", one_of(["true", "false"]), "Whether every session of the user ends.")
        .optional_json("Logout")
        .answers(Answer::empty(StatusCode::NO_CONTENT, "It has ended.").header(SET_COOKIE, COOKIE))
        .refuses(shown())
        .refuses([ApiError::invalid_request("The query can be all=true or all=false")])
}

fn password() -> Operation {
    Operation::new(Method::POST, "changePassword", "Sets another password for the old one")
        .text("Every session and token of the user ends; the one that asks gets a new one in the answer.")
        .callers(Callers::User)
        .header("X-Requested-With", "Anything: it shows that a script of the page has sent the request.")
        .json("PasswordChange")
        .answers(tokens(StatusCode::OK))
        .answers(Answer::empty(StatusCode::NO_CONTENT, "It is set, and there is no new session: log in."))
        .refuses(page())
        .refuses(password_faults("new_password"))
        .refuses([
            ApiError::missing_token(),
            ApiError::invalid_credentials(),
            ApiError::invalid_request("The new password is the old one").about("new_password", "unchanged"),
        ])
}

fn sessions() -> Operation {
    Operation::new(Method::GET, "listOwnSessions", "Lists where the user is logged in")
        .callers(Callers::User)
        .answers(Answer::json(StatusCode::OK, "OwnSessions", "The sessions, without any token."))
        .refuses([ApiError::missing_token()])
}

fn end_session() -> Operation {
    Operation::new(Method::DELETE, "endOwnSession", "Ends one session of the user")
        .callers(Callers::User)
        .answers(Answer::empty(StatusCode::NO_CONTENT, "It has ended."))
        .refuses([ApiError::missing_token(), ApiError::not_found()])
}
