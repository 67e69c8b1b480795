//! The crate `oauth2`.

use std::pin::Pin;
use std::time::Instant;

use oauth2::basic::{
    BasicClient, BasicErrorResponse, BasicErrorResponseType, BasicTokenIntrospectionResponse, BasicTokenResponse,
    BasicTokenType,
};
use oauth2::{
    AccessToken, AuthType, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    IntrospectionUrl, RefreshToken, RequestTokenError, RevocationUrl, Scope, StandardRevocableToken,
    TokenIntrospectionResponse as _, TokenResponse as _, TokenUrl,
};
use serde_json::{Value, json};

use crate::http::{HttpError, send};
use crate::process::PATIENCE;
use crate::scenario::{Scenario, Store};

type Client = BasicClient<EndpointNotSet, EndpointNotSet, EndpointSet, EndpointSet, EndpointSet>;
type Error<E> = RequestTokenError<HttpError, E>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth2_over_the_embedded_store() {
    check(Store::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth2_over_redis() {
    check(Store::Redis).await;
}

async fn check(store: Store) {
    let scenario = Scenario::start(store).await;
    for way in ["basic", "post"] {
        let library = Library { scenario: &scenario, way };
        library.introspects().await;
        library.is_refused().await;
        library.revokes_a_grant().await;
        library.refreshes("owner").await;
        library.logs_in_with_any_characters().await;
    }
    let public = Library { scenario: &scenario, way: "none" };
    public.revokes_as_a_public_client().await;
    public.refreshes("public").await;
}

/// The library, sending secrets in one way.
struct Library<'a> {
    scenario: &'a Scenario,
    way: &'static str,
}

type Sent = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send>>;

impl Library<'_> {
    fn text(&self, pointer: &str) -> &str {
        self.scenario.description.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer}"))
    }

    fn client(&self, who: &Value) -> Client {
        let url = |path: &str| format!("{}{path}", self.text("/issuer"));
        let mut client = BasicClient::new(ClientId::new(who["id"].as_str().unwrap().to_owned()));
        if let Some(secret) = who["secret"].as_str() {
            client = client.set_client_secret(ClientSecret::new(secret.to_owned()));
        }
        client
            .set_auth_type(if self.way == "basic" { AuthType::BasicAuth } else { AuthType::RequestBody })
            .set_token_uri(TokenUrl::new(url("/token")).unwrap())
            .set_introspection_url(IntrospectionUrl::new(url("/introspect")).unwrap())
            .set_revocation_url(RevocationUrl::new(url("/revoke")).unwrap())
    }

    fn named(&self, name: &str) -> Client {
        self.client(&self.scenario.description[name])
    }

    fn http(&self) -> impl Fn(HttpRequest) -> Sent + Send + Sync + 'static {
        let ca = self.scenario.ca.clone();
        move |request| {
            let ca = ca.clone();
            Box::pin(async move { send(request, Some(&ca)).await })
        }
    }

    async fn ask(
        &self,
        client: &Client,
        token: &str,
    ) -> Result<BasicTokenIntrospectionResponse, Error<BasicErrorResponse>> {
        client.introspect(&AccessToken::new(token.to_owned())).request_async(&self.http()).await
    }

    async fn is_active(&self, token: &str) -> bool {
        self.ask(&self.named("resource_server"), token).await.unwrap().active()
    }

    async fn introspects(&self) {
        let server = self.named("resource_server");
        let audience = self.text("/audience").to_owned();
        let answer = self.ask(&server, self.text("/tokens/active")).await.unwrap();
        assert!(answer.active());
        assert_eq!(answer.client_id().unwrap().as_str(), self.text("/owner/id"));
        assert_eq!(answer.sub(), Some("alice"));
        assert_eq!(answer.username(), Some("alice@example.com"));
        assert_eq!(answer.iss(), Some(self.text("/issuer")));
        assert_eq!(answer.aud(), Some(&vec![audience.clone()]));
        let scopes: Vec<&str> = answer.scopes().unwrap().iter().map(|scope| scope.as_str()).collect();
        assert_eq!(scopes, ["read", "write"]);
        assert_eq!((answer.exp().unwrap() - answer.iat().unwrap()).num_seconds(), 900);
        assert!(answer.jti().is_some());

        let several = self.ask(&server, self.text("/tokens/several_audiences")).await.unwrap();
        assert_eq!(several.aud(), Some(&vec![audience, self.text("/other_audience").to_owned()]));
        let bare = self.ask(&server, self.text("/tokens/no_scope")).await.unwrap();
        assert!(bare.active() && bare.scopes().is_none());
        assert!(self.is_active(self.text("/tokens/imported")).await);

        let unknown = self.scenario.description["unknown"].as_array().unwrap();
        let dead = ["/tokens/expired", "/tokens/revoked"].map(|pointer| self.text(pointer));
        for token in unknown.iter().map(|token| token.as_str().unwrap()).chain(dead) {
            let answer = self.ask(&server, token).await.unwrap();
            assert!(!answer.active() && answer.sub().is_none() && answer.exp().is_none(), "{token}");
        }
        let begun = Instant::now();
        while self.is_active(self.text("/tokens/ending")).await {
            assert!(begun.elapsed() < PATIENCE, "a token outlives its time");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn is_refused(&self) {
        let token = self.text("/tokens/active");
        let id = self.text("/resource_server/id");
        for who in [json!({"id": id, "secret": "wrong"}), json!({"id": "nobody", "secret": "wrong"})] {
            let wrong = self.client(&who);
            let asked = code(self.ask(&wrong, token).await.unwrap_err());
            assert_eq!(asked, BasicErrorResponseType::InvalidClient);
            let request = wrong.exchange_client_credentials();
            let asked = code(request.request_async(&self.http()).await.unwrap_err());
            assert_eq!(asked, BasicErrorResponseType::InvalidClient);
            assert_eq!(self.refused_revocation(&wrong, token).await, "invalid_client");
        }
        let asked = code(self.ask(&self.named("stranger"), token).await.unwrap_err());
        assert_eq!(asked, BasicErrorResponseType::UnauthorizedClient);
        assert_eq!(self.refused_revocation(&self.named("stranger"), token).await, "invalid_grant");
        assert!(self.is_active(token).await);

        let application = self.client(&self.scenario.description["applications"][0]);
        let request = application.exchange_client_credentials().add_scope(Scope::new("admin".into()));
        let asked = code(request.request_async(&self.http()).await.unwrap_err());
        assert_eq!(asked, BasicErrorResponseType::InvalidScope);
    }

    async fn refused_revocation(&self, client: &Client, token: &str) -> String {
        let token = StandardRevocableToken::AccessToken(AccessToken::new(token.to_owned()));
        match client.revoke_token(token).unwrap().request_async(&self.http()).await.unwrap_err() {
            RequestTokenError::ServerResponse(answer) => answer.error().as_ref().to_owned(),
            other => panic!("not the answer of a server: {other}"),
        }
    }

    async fn revoke(&self, client: &Client, token: StandardRevocableToken) {
        client.revoke_token(token).unwrap().request_async(&self.http()).await.unwrap();
    }

    async fn revokes_a_grant(&self) {
        let grant = &self.scenario.description["grants"][self.way];
        let text = |name: &str| grant[name].as_str().unwrap().to_owned();
        let owner = self.named("owner");
        assert!(self.is_active(&text("access_token")).await);
        // A refresh token is its owner's business alone.
        assert!(!self.is_active(&text("refresh_token")).await);
        assert!(self.ask(&owner, &text("refresh_token")).await.unwrap().active());
        self.revoke(&owner, RefreshToken::new(text("refresh_token")).into()).await;
        for name in ["access_token", "refresh_token"] {
            assert!(!self.ask(&owner, &text(name)).await.unwrap().active(), "{name}");
        }
    }

    async fn refresh(
        &self,
        client: &Client,
        token: &RefreshToken,
        scope: Option<&str>,
    ) -> Result<BasicTokenResponse, Error<BasicErrorResponse>> {
        let scopes = scope.map(|name| Scope::new(name.to_owned()));
        client.exchange_refresh_token(token).add_scopes(scopes).request_async(&self.http()).await
    }

    /// Each refresh token works once, and whoever uses a spent one ends the grant (RFC 9700 section 4.14.2).
    async fn refreshes(&self, who: &str) {
        let who = self.named(who);
        let server = Library { scenario: self.scenario, way: "basic" };
        let grant = |at: usize, name: &str| self.text(&format!("/rotations/{}/{at}/{name}", self.way)).to_owned();
        let first = RefreshToken::new(grant(0, "refresh_token"));
        let mut access = vec![grant(0, "access_token")];
        let mut current = RefreshToken::new(first.secret().clone());
        for scope in [Some("read"), None] {
            let made = self.refresh(&who, &current, scope).await.unwrap();
            assert_eq!(made.token_type(), &BasicTokenType::Bearer);
            // What was granted stays with the grant: asking for less once does not lose the rest (RFC 6749 section 6).
            let scopes: Vec<&str> = made.scopes().unwrap().iter().map(|scope| scope.as_str()).collect();
            assert_eq!(scopes.join(" "), scope.unwrap_or("read write"));
            let next = made.refresh_token().unwrap();
            assert_ne!(next.secret(), current.secret());
            current = RefreshToken::new(next.secret().clone());
            access.push(made.access_token().secret().clone());
            assert!(server.is_active(made.access_token().secret()).await);
        }
        let refusal = async |token: &RefreshToken, scope| code(self.refresh(&who, token, scope).await.unwrap_err());
        assert_eq!(refusal(&current, Some("admin")).await, BasicErrorResponseType::InvalidScope);
        for token in [&first, &current] {
            assert_eq!(refusal(token, None).await, BasicErrorResponseType::InvalidGrant);
        }
        for token in access {
            assert!(!server.is_active(&token).await);
        }
        let made = self.refresh(&who, &RefreshToken::new(grant(1, "refresh_token")), None).await.unwrap();
        let token = made.refresh_token().unwrap();
        self.revoke(&who, RefreshToken::new(token.secret().clone()).into()).await;
        assert_eq!(refusal(token, None).await, BasicErrorResponseType::InvalidGrant);
        assert!(!server.is_active(made.access_token().secret()).await);
    }

    async fn logs_in_with_any_characters(&self) {
        let applications = self.scenario.description["applications"].as_array().unwrap();
        for (who, scope) in applications
            .iter()
            .map(|who| (who, vec!["read", "write"]))
            .chain([(&self.scenario.description["without_scope"], vec![])])
        {
            let client = self.client(who);
            let made = client.exchange_client_credentials().request_async(&self.http()).await;
            let made = made.unwrap_or_else(|error| panic!("{who} by {}: {error}", self.way));
            let scopes = made.scopes().map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>());
            assert_eq!(scopes.unwrap_or_default(), scope);
            assert_eq!(made.expires_in().unwrap().as_secs(), 900);
            let token = made.access_token().secret();
            let answer = self.ask(&client, token).await.unwrap();
            assert!(answer.active());
            assert_eq!(answer.client_id().unwrap().as_str(), who["id"].as_str().unwrap());
            assert_eq!(answer.sub().unwrap(), format!("client:{}", who["id"].as_str().unwrap()));
            assert_eq!(answer.scopes().map_or(0, Vec::len), scope.len());
            // Twice: a token that is revoked already is no error (RFC 7009 section 2.2).
            for _ in 0..2 {
                self.revoke(&client, AccessToken::new(token.clone()).into()).await;
                assert!(!self.ask(&client, token).await.unwrap().active());
            }
            self.revoke(&client, AccessToken::new("never issued".into()).into()).await;
        }
        let reader = self.client(&applications[1]);
        let request = reader.exchange_client_credentials().add_scope(Scope::new("read".into()));
        let token = request.request_async(&self.http()).await.unwrap();
        let answer = self.ask(&reader, token.access_token().secret()).await.unwrap();
        assert_eq!(answer.scopes().unwrap().iter().map(|scope| scope.as_str()).collect::<Vec<_>>(), ["read"]);
    }

    async fn revokes_as_a_public_client(&self) {
        let token = self.text("/tokens/of_public");
        let server = Library { scenario: self.scenario, way: "basic" };
        assert!(server.is_active(token).await);
        self.revoke(&self.named("public"), AccessToken::new(token.to_owned()).into()).await;
        assert!(!server.is_active(token).await);
    }
}

/// The code of an answer that the library took for an error of the server, as it should.
fn code(error: Error<BasicErrorResponse>) -> BasicErrorResponseType {
    match error {
        RequestTokenError::ServerResponse(answer) => answer.error().clone(),
        other => panic!("not the answer of a server: {other}"),
    }
}
