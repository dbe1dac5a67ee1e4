//! A web address that a person wrote.

use serde::Deserialize;

/// `https://...`, or `http://...` where the person says so: many a home has a server without a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebAddress(String);

impl WebAddress {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part that is no secret: paths and queries of such addresses are often all that protects them.
    pub fn host(&self) -> String {
        let uri: Option<http::Uri> = self.0.parse().ok();
        uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
    }

    /// Nobody between here and there can read or change what is said: TLS, or this very computer.
    pub fn is_private(&self) -> bool {
        self.0.starts_with("https://") || matches!(self.host().as_str(), "127.0.0.1" | "[::1]" | "localhost")
    }
}

impl TryFrom<String> for WebAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let uri: http::Uri = text.parse().map_err(|error| format!("{text:?} is no web address: {error}"))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("https" | "http"), Some(host)) if !host.is_empty() => Ok(Self(text)),
            _ => Err(format!("{text:?} is no web address: expected https://...")),
        }
    }
}

impl TryFrom<&str> for WebAddress {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.to_owned().try_into()
    }
}
