//! One connection: sends a question, and judges what comes back.

use std::io;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::plan::{Question, Target};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer is true.
    Right,
    /// The answer is not true, or is no introspection answer.
    Wrong,
    /// Another status than 200.
    Refused(StatusCode),
    /// No answer: the connection broke.
    Broken,
    /// No answer in time.
    Late,
}

/// A kept-alive connection of HTTP/1.1.
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

/// More than any introspection answer has.
const MAX_ANSWER_BYTES: usize = 1 << 20;

impl Connection {
    /// Connects; the task that moves its bytes runs on the current thread.
    pub(crate) async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Its fault, if it has one, is also the fault of the request that waits for it.
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Self(sender))
    }

    /// Whether it can carry another request: the server may have closed it.
    pub(crate) async fn is_usable(&mut self) -> bool {
        self.0.ready().await.is_ok()
    }

    /// Asks, and judges the answer.
    pub(crate) async fn ask(&mut self, target: &Target, question: &Question) -> Verdict {
        let mut request = Request::new(Full::new(question.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, target.authority.clone());
        headers.insert(AUTHORIZATION, target.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let Ok(response) = self.0.send_request(request).await else { return Verdict::Broken };
        let status = response.status();
        match Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await {
            Err(_) => Verdict::Broken,
            Ok(_) if status != StatusCode::OK => Verdict::Refused(status),
            Ok(body) => judge(&body.to_bytes(), question.active),
        }
    }
}

/// RFC 7662 section 2.2: `active` is required, and is a boolean. Given twice, it is not an answer.
fn judge(body: &[u8], truth: bool) -> Verdict {
    #[derive(Deserialize)]
    struct Answer {
        active: bool,
    }
    match serde_json::from_slice(body) {
        Ok(Answer { active }) if active == truth => Verdict::Right,
        _ => Verdict::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_truth_is_right() {
        assert_eq!(judge(br#"{"active":true,"sub":"alice"}"#, true), Verdict::Right);
        assert_eq!(judge(br#"{"active":false}"#, false), Verdict::Right);
        let lies: [&[u8]; 7] = [
            br#"{"active":false}"#,
            br#"{"active":"true"}"#,
            br#"{"active":1}"#,
            br#"{"active":true,"active":true}"#,
            br#"{"sub":"alice"}"#,
            br#"{"active":true"#,
            b"",
        ];
        for lie in lies {
            assert_eq!(judge(lie, true), Verdict::Wrong, "{}", String::from_utf8_lossy(lie));
        }
    }
}
