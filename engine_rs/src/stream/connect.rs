//! Opening the socket: TCP, TLS where the URL asks for it, and the WebSocket upgrade.

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::CONTENT_TYPE;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::backoff::Cause;
use super::config::{Codec, Config};
use super::session::Lost;

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// `Err` says what can't be connected to with this configuration.
pub fn check(config: &Config) -> Result<(), String> {
    let request = request(config)?;
    match request.uri().scheme_str() {
        Some("ws" | "wss") => {}
        _ => return Err(format!("{:?} is neither ws nor wss", config.url)),
    }
    address(&request).map(drop)
}

fn request(config: &Config) -> Result<Request, String> {
    let mut request =
        config.url.as_str().into_client_request().map_err(|error| format!("{:?} is not a URL: {error}", config.url))?;
    let codec = match config.codec {
        Codec::Json => "application/json",
        Codec::Msgpack => "application/msgpack",
    };
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(codec));
    if config.header_auth {
        for (name, secret) in [("apca-api-key-id", &config.key), ("apca-api-secret-key", &config.secret)] {
            let mut value = HeaderValue::from_str(secret.expose())
                .map_err(|_| format!("the value for {name} has characters that no HTTP header can carry"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
    }
    Ok(request)
}

fn address(request: &Request) -> Result<(String, u16), String> {
    let uri = request.uri();
    let host = uri.host().ok_or_else(|| format!("{uri} names no host"))?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("wss") { 443 } else { 80 });
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

/// Connect within the configured time.
pub async fn open(config: &Config) -> Result<Socket, Lost> {
    let lost = |reason: String| Lost { cause: Cause::Lost, reason };
    match tokio::time::timeout(config.connect_timeout, upgrade(config)).await {
        Ok(result) => result,
        Err(_) => Err(lost(format!("no connection within {:?}", config.connect_timeout))),
    }
}

async fn upgrade(config: &Config) -> Result<Socket, Lost> {
    let lost = |reason: String| Lost { cause: Cause::Lost, reason };
    let request = request(config).map_err(lost)?;
    let (host, port) = address(&request).map_err(lost)?;
    let tcp =
        TcpStream::connect((host.as_str(), port)).await.map_err(|error| lost(format!("no connection: {error}")))?;
    tcp.set_nodelay(true).map_err(|error| lost(format!("no connection: {error}")))?;
    let connector = Connector::Rustls(crate::tls::config());
    match client_async_tls_with_config(request, tcp, None, Some(connector)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let status = response.status().as_u16();
            let cause = match status {
                406 | 429 => Cause::Busy,
                401 | 403 => Cause::Refused,
                _ => Cause::Lost,
            };
            Err(Lost { cause, reason: format!("HTTP {status} instead of a stream") })
        }
        Err(error) => Err(lost(format!("no stream: {error}"))),
    }
}
