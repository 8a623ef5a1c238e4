//! Where commands go: the trading host, opened by TCP, and TLS where its URL asks for it; and what their heads say.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use reqwest::Url;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::line::{Io, Request};

/// How long an address is waited for while there is another.
const SLOW: Duration = Duration::from_secs(1);

pub struct Target {
    base: Url,
    host: String,
    port: u16,
    server: Option<ServerName<'static>>,
    headers: HeaderMap,
}

impl Target {
    /// `headers` go with every request. `Err` says what is wrong with the URL.
    pub fn new(url: &str, mut headers: HeaderMap) -> Result<Self, String> {
        let base = Url::parse(&format!("{}/", url.trim_end_matches('/'))).map_err(|error| error.to_string())?;
        let host = base.host_str().ok_or("it names no host")?.trim_matches(['[', ']']).to_owned();
        let port = base.port_or_known_default().ok_or("it names no port")?;
        let named = base.port().map_or_else(
            || base.host_str().map(str::to_owned),
            |port| base.host_str().map(|host| format!("{host}:{port}")),
        );
        let named = HeaderValue::try_from(named.unwrap_or_default()).map_err(|error| error.to_string())?;
        headers.insert(HOST, named);
        let server = match base.scheme() {
            "https" => Some(ServerName::try_from(host.clone()).map_err(|error| error.to_string())?),
            _ => None,
        };
        Ok(Self { base, host, port, server, headers })
    }

    /// `None` where the path is none.
    pub fn request(
        &self,
        method: hyper::Method,
        path: &str,
        params: &[(String, String)],
        body: Option<&Bytes>,
    ) -> Option<Request> {
        let mut url = self.base.join(&format!("./{}", path.trim_start_matches('/'))).ok()?;
        if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(params);
        }
        let mut request = Request::new(Full::new(body.cloned().unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() = match url.query() {
            Some(query) => format!("{}?{query}", url.path()).parse(),
            None => url.path().parse(),
        }
        .ok()?;
        *request.headers_mut() = self.headers.clone();
        if body.is_some() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Some(request)
    }

    /// By the host's addresses in turn. One that leads nowhere (IPv6 without a way out) must not take all of the time.
    async fn connect(&self) -> io::Result<TcpStream> {
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        let mut addresses = lookup_host((self.host.as_str(), self.port)).await?.peekable();
        while let Some(address) = addresses.next() {
            let opening = TcpStream::connect(address);
            let opened = match addresses.peek() {
                None => opening.await,
                Some(_) => match timeout(SLOW, opening).await {
                    Ok(opened) => opened,
                    Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer"))),
                },
            };
            match opened {
                Ok(tcp) => return Ok(tcp),
                Err(why) => error = why,
            }
        }
        Err(error)
    }

    pub async fn open(&self) -> io::Result<Box<dyn Io>> {
        let tcp = self.connect().await?;
        tcp.set_nodelay(true)?;
        match &self.server {
            None => Ok(Box::new(tcp)),
            Some(server) => {
                let connector = TlsConnector::from(Arc::clone(&crate::tls::config()));
                Ok(Box::new(connector.connect(server.clone(), tcp).await?))
            }
        }
    }
}
