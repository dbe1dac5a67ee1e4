//! Small requests to web servers. Everything that comes back is bounded: time, redirects, size.
//!
//! The certificates are those of the system. Each request has a thread of its own, which the end of the daemon does not
//! wait for, and a connection of its own: there are a few a day.

use std::{sync::Arc, thread, time::Duration};

use http::{HeaderMap, Uri};
use rustls::crypto::aws_lc_rs;
use tokio::sync::oneshot;
use ureq::{
    Agent, AsSendBody, Proxy,
    tls::{RootCerts, TlsConfig},
};

/// From the first lookup of the name to the last byte.
pub const REQUEST_SECONDS_MAX: Duration = Duration::from_secs(10);

/// Apple's lists are some hundred kB.
pub const REPLY_BYTES_MAX: u64 = 4_000_000;

const REDIRECTS_MAX: u32 = 3;

/// What a server said.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status, 200 to 299 or 304.
    pub status: u16,
    /// `ETag` and the like.
    pub headers: HeaderMap,
    /// At most [`REPLY_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// Why there is no reply. The text never holds the address, whose path is a secret for many services.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// It said no.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// It took too long.
    #[error("no answer in {} seconds", REQUEST_SECONDS_MAX.as_secs())]
    Timeout,
    /// It said too much.
    #[error("the answer is larger than {REPLY_BYTES_MAX} bytes")]
    TooLarge,
    /// It sent on and on.
    #[error("sent on to another address more than {REDIRECTS_MAX} times")]
    Redirects,
    /// It could not be reached or understood.
    #[error("{0}")]
    Failed(String),
}

impl WebError {
    /// The HTTP status, when it was one.
    pub const fn status(&self) -> Option<u16> {
        if let Self::Status(status) = self { Some(*status) } else { None }
    }
}

impl From<ureq::Error> for WebError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::Timeout,
            ureq::Error::BodyExceedsLimit(_) => Self::TooLarge,
            ureq::Error::TooManyRedirects => Self::Redirects,
            // These two would tell the address.
            ureq::Error::BadUri(_) => Self::Failed("not a web address".into()),
            ureq::Error::RequireHttpsOnly(_) => Self::Failed("sent on to an address without TLS".into()),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Fetches.
///
/// # Errors
/// When there is no reply, or one that is neither a success nor "not modified".
pub async fn get(address: &str, headers: HeaderMap) -> Result<Reply, WebError> {
    on_a_thread(http::Request::get(address), headers, ()).await
}

/// Sends.
///
/// # Errors
/// When there is no reply, or one that is no success.
pub async fn post(address: &str, headers: HeaderMap, body: String) -> Result<Reply, WebError> {
    on_a_thread(http::Request::post(address), headers, body).await
}

async fn on_a_thread<B: AsSendBody + Send + 'static>(
    request: http::request::Builder,
    headers: HeaderMap,
    body: B,
) -> Result<Reply, WebError> {
    let mut request = request.body(body).map_err(|_| WebError::Failed("not a web address".into()))?;
    request.headers_mut().extend(headers);
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("web".into())
        // Who asked may have gone.
        .spawn(move || drop(sender.send(send(request))))
        .map_err(|error| WebError::Failed(error.to_string()))?;
    receiver.await.unwrap_or_else(|_| Err(WebError::Failed("the request broke off".into())))
}

fn send<B: AsSendBody>(request: http::Request<B>) -> Result<Reply, WebError> {
    let mut response = agent(request.uri()).run(request)?;
    let status = response.status();
    if !status.is_success() && status != http::StatusCode::NOT_MODIFIED {
        return Err(WebError::Status(status.as_u16()));
    }
    let body = response.body_mut().with_config().limit(REPLY_BYTES_MAX).read_to_vec()?;
    Ok(Reply { status: status.as_u16(), headers: std::mem::take(response.headers_mut()), body })
}

fn agent(address: &Uri) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build();
    let here = matches!(address.host(), Some("127.0.0.1" | "[::1]" | "localhost"));
    Agent::config_builder()
        .tls_config(tls)
        // Whoever began with TLS is not sent on to where there is none.
        .https_only(address.scheme_str() == Some("https"))
        .proxy(if here { None } else { Proxy::try_from_env() })
        .timeout_global(Some(REQUEST_SECONDS_MAX))
        .max_redirects(REDIRECTS_MAX)
        .max_redirects_will_error(true)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("backstay/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}
