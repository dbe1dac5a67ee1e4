//! A daemon that says what a test wants and records what it is asked.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use backstay_shared::{
    ids::RunId,
    overview::Overview,
    protocol::{ClientMessage, PROTOCOL, Refusal, Reply, Request, ServerMessage},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast, mpsc},
    task::JoinSet,
    time::timeout,
};

const WAIT: Duration = Duration::from_secs(10);

/// A daemon on a real socket. Dropping it ends its connections, as a crash would.
pub struct FakeDaemon {
    state: Arc<State>,
    requests: mpsc::UnboundedReceiver<Request>,
    tasks: JoinSet<()>,
    socket: PathBuf,
}

struct State {
    /// The overview new subscribers get, and its number.
    latest: Mutex<(u64, Overview)>,
    pushes: broadcast::Sender<ServerMessage>,
    refusal: Mutex<Option<Refusal>>,
    requests: mpsc::UnboundedSender<Request>,
}

impl FakeDaemon {
    /// Listens on this path, taking it from an earlier one, and shows this overview until another is pushed.
    pub fn start(socket: &Path, overview: Overview) -> Self {
        if let Err(error) = std::fs::remove_file(socket) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        }
        let listener = UnixListener::bind(socket).unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            latest: Mutex::new((0, overview)),
            pushes: broadcast::channel(64).0,
            refusal: Mutex::new(None),
            requests: sender,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, state.clone()));
        Self { state, requests, tasks, socket: socket.to_owned() }
    }

    /// Sends this overview to every subscriber, also when it is the same as before.
    pub fn push(&self, overview: Overview) {
        let mut latest = self.state.latest.lock().unwrap();
        *latest = (latest.0 + 1, overview.clone());
        // An error means that nobody has subscribed yet.
        self.state.pushes.send(ServerMessage::Overview { sequence: latest.0, overview }).ok();
    }

    /// Answers the next request for a backup with this.
    pub fn refuse_next(&self, refusal: Refusal) {
        *self.state.refusal.lock().unwrap() = Some(refusal);
    }

    /// The next request other than for the overview.
    ///
    /// # Panics
    /// When none comes within ten seconds.
    pub async fn request(&mut self) -> Request {
        timeout(WAIT, self.requests.recv()).await.expect("a request within ten seconds").unwrap()
    }

    /// The requests that have arrived and were not asked for by [`Self::request`].
    pub fn more_requests(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }

    /// Says goodbye, ends every connection and removes the socket.
    pub async fn stop(mut self) {
        self.state.pushes.send(ServerMessage::Goodbye).ok();
        self.tasks.shutdown().await;
        std::fs::remove_file(&self.socket).unwrap();
    }
}

async fn accept(listener: UnixListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = state.clone();
        connections.spawn(async move {
            // A client that goes away is no matter.
            serve(stream, &state).await.ok();
        });
    }
}

async fn serve(stream: UnixStream, state: &State) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines: Lines<BufReader<OwnedReadHalf>> = BufReader::new(read).lines();
    let hello = ServerMessage::Hello { protocol: PROTOCOL, version: "0.0.0".to_owned(), pid: std::process::id() };
    send(&mut write, &hello).await?;
    let mut pushes = None;
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let ClientMessage { id, request } = serde_json::from_str(&line)?;
                if request == Request::Subscribe {
                    pushes = Some(state.pushes.subscribe());
                }
                send(&mut write, &ServerMessage::Reply { id, reply: reply(state, request) }).await?;
            }
            push = next(&mut pushes) => send(&mut write, &push).await?,
        }
    }
}

fn reply(state: &State, request: Request) -> Reply {
    if matches!(request, Request::Subscribe | Request::Overview) {
        let (sequence, overview) = state.latest.lock().unwrap().clone();
        return Reply::Overview { sequence, overview: Box::new(overview) };
    }
    if request == Request::TakeNotifications {
        return Reply::Done;
    }
    state.requests.send(request.clone()).ok();
    match (state.refusal.lock().unwrap().take(), request) {
        (Some(refusal), _) => Reply::Refused(refusal),
        (None, Request::BackUp { .. }) => Reply::Started { run: RunId(1) },
        (None, Request::Unknown) => Reply::Refused(Refusal::UnknownRequest),
        (None, _) => Reply::Done,
    }
}

/// The next push; never before the subscription.
async fn next(pushes: &mut Option<broadcast::Receiver<ServerMessage>>) -> ServerMessage {
    match pushes {
        Some(pushes) => pushes.recv().await.expect("a test pushes fewer than 64 overviews at once"),
        None => std::future::pending().await,
    }
}

async fn send(write: &mut OwnedWriteHalf, message: &ServerMessage) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    write.write_all(&line).await
}
