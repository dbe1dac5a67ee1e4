//! A small web server on this computer that says what a test wants, right or wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    Ok(String),
    /// With an `ETag`; whoever has it gets 304.
    Tagged(&'static str, String),
    Status(u16),
    /// Sends on to the very same place.
    RedirectLoop,
    /// Promises all of it and breaks off in the middle.
    Truncated(String),
    /// Never ends.
    Endless,
    /// Says nothing and keeps the connection.
    Silent,
}

type Answering = Arc<Mutex<Box<dyn Fn(&Request) -> Answer + Send>>>;

/// Serves until it is dropped.
pub struct WebServer {
    address: String,
    asked: Arc<Mutex<Vec<Request>>>,
    answering: Answering,
    serving: JoinHandle<()>,
}

impl WebServer {
    pub async fn start(answer: impl Fn(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let answering: Answering = Arc::new(Mutex::new(Box::new(answer)));
        let (log, answers) = (asked.clone(), answering.clone());
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, log.clone(), answers.clone()));
            }
        });
        Self { address, asked, answering, serving }
    }

    /// `http://127.0.0.1:port`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on.
    pub fn answer(&self, answer: impl Fn(&Request) -> Answer + Send + 'static) {
        *self.answering.lock().unwrap() = Box::new(answer);
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One request a connection. Whoever asks may hang up at any time.
async fn converse(socket: TcpStream, log: Arc<Mutex<Vec<Request>>>, answers: Answering) -> Option<()> {
    let mut socket = BufReader::new(socket);
    let request = read(&mut socket).await?;
    let answer = answers.lock().unwrap()(&request);
    log.lock().unwrap().push(request.clone());
    let whole = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let reply = match answer {
        Answer::Ok(body) => whole(&body),
        Answer::Tagged(tag, _) if request.headers.get("if-none-match").is_some_and(|known| known == tag) => {
            "HTTP/1.1 304 Not Modified\r\n\r\n".into()
        }
        Answer::Tagged(tag, body) => whole(&body).replacen("\r\n", &format!("\r\nETag: {tag}\r\n"), 1),
        Answer::Status(status) => format!("HTTP/1.1 {status} So It Is\r\nContent-Length: 2\r\n\r\nno"),
        Answer::RedirectLoop => {
            format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", request.path)
        }
        Answer::Truncated(body) => {
            let reply = whole(&body);
            reply[..reply.len() - body.len() / 2].to_owned()
        }
        Answer::Endless => {
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"services\": [").await.ok()?;
            loop {
                socket.write_all(&[b' '; 64 * 1024]).await.ok()?;
            }
        }
        Answer::Silent => {
            socket.read_to_end(&mut Vec::new()).await.ok()?;
            return None;
        }
    };
    socket.write_all(reply.as_bytes()).await.ok()?;
    socket.shutdown().await.ok()
}

async fn read(socket: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    socket.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some(Request { method, path, headers, body: String::from_utf8(body).ok()? })
}
