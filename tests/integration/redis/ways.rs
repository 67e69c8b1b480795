//! The ways in: sockets, TLS, users and their permissions.

use introspectd::config::RedisConfig;
use introspectd::store::StoreErrorKind;
use introspectd::store::redis::RedisStore;

use super::{everything_works, insert, is_up, with_url};
use crate::support::eventually;
use crate::support::redis::{PREFIX, RedisServer};

#[tokio::test]
async fn a_unix_socket_and_another_database_serve_as_well() {
    let server = RedisServer::start().await;
    let socket = with_url(&server, &format!("{}?db=1", server.unix_url())).await;
    everything_works(&socket).await;
    let database = with_url(&server, &server.url_with("", 2)).await;
    everything_works(&database).await;
    assert!(server.keys().await.is_empty(), "database 0 was used");
    let none = with_url(&server, &server.url_with("", 99)).await;
    assert_eq!(insert(&none, 1).await.unwrap_err().kind(), StoreErrorKind::Refused);
}

#[tokio::test]
async fn tls_works_with_the_right_authority_and_not_with_another() {
    let server = RedisServer::start_encrypted().await;
    let store = server.store().await;
    everything_works(&store).await;
    let other = RedisServer::start_encrypted().await;
    let config = RedisConfig { ca_file: Some(other.ca_file()), ..server.config() };
    let distrustful = RedisStore::open(&config).await.unwrap();
    assert_eq!(distrustful.probe().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(distrustful.clients(None, 1).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(server.connections().await, 4, "two of the hot path, the one that listens, and one of the pool");
    store.close().await;
}

#[tokio::test]
async fn a_user_with_the_documented_permissions_can_do_everything() {
    let server = RedisServer::start().await;
    let documented = "+get +set +setrange +getrange +exists +del +unlink +pexpiretime +time \
                      +zadd +zrem +zrange +eval +evalsha +select +ping +unwatch \
                      +info +client|no-evict +client|tracking +config|get +wait +pexpire +hset +hdel +hgetall";
    let keys = format!("~{PREFIX}*");
    let mut words = vec!["ACL", "SETUSER", "itd", "on", ">pass word#1", &keys, "-@all"];
    words.extend(documented.split_whitespace());
    server.command::<()>(&words).await;
    let store = with_url(&server, &server.url_with("itd:pass%20word%231@", 0)).await;
    everything_works(&store).await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_without_being_shown_until_it_is_right() {
    let server = RedisServer::start().await;
    server.command::<()>(&["ACL", "SETUSER", "itd", "on", ">right", "~*", "+@all"]).await;
    let store = with_url(&server, &server.url_with("itd:hunter2@", 0)).await;
    let error = insert(&store, 1).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Refused);
    assert!(!format!("{error} {error:?} {store:?}").contains("hunter2"), "{error:?}");
    server.command::<()>(&["ACL", "SETUSER", "itd", ">hunter2"]).await;
    eventually("it is let in", async || is_up(&store).await).await;
    // Taken away while connected, a permission is missed at the next call.
    server.command::<()>(&["ACL", "SETUSER", "itd", "-evalsha"]).await;
    assert_eq!(insert(&store, 1).await.unwrap_err().kind(), StoreErrorKind::Refused);
    server.command::<()>(&["CONFIG", "SET", "requirepass", "secret"]).await;
    let anonymous = server.store().await;
    assert_eq!(insert(&anonymous, 1).await.unwrap_err().kind(), StoreErrorKind::Refused);
}
