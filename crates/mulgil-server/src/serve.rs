//! A server from its first connection to its last.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{
    app::{App, stopped},
    config::Config,
    connection::{Admitted, Connection, Connections, Moving},
    control::Control,
    guard::Guard,
    health::Checkup,
    metrics::Counts,
    pages::{Pages, Sessions},
    presence::Presence,
    random, routes,
    token::Token,
    verb_route::Recent,
};

/// How long a connection stays open when the server stops.
const LINGER: Duration = Duration::from_millis(250);

/// How long a server that can take no connection waits before it tries again: files may be short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection is told that finds every other one at work.
const TURNED_AWAY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// How a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut off because they did not end in time.
    pub cut_connections: usize,
    /// Verbs that had to be cut off.
    pub cut_verbs: usize,
}

/// Takes an address to serve at; port 0 takes a free one.
///
/// # Errors
/// [`codes::NOT_LOOPBACK`], [`codes::LISTEN_FAILED`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Fault> {
    check_loopback(address)?;
    TcpListener::bind(address).await.map_err(|error| {
        let fault = Diagnostic::error(codes::LISTEN_FAILED, format!("cannot serve at {address}: {error}"));
        Box::new(
            fault
                .with_remedy("choose another port with `--port`, or end the program that has this one")
                .with_retry(Retry::AfterHumanFix),
        )
    })
}

/// Serves until `shutdown` is done, and then for as long as what was begun takes, within a bound. Says
/// in the data folder where it is, and takes that back at its end. The caller holds the environment's
/// lock.
///
/// # Errors
/// [`codes::NOT_LOOPBACK`]; a coded fault where the token cannot be read or made.
pub async fn serve(
    listener: TcpListener,
    control: Arc<dyn Control>,
    pages: Option<Arc<dyn Pages>>,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<Drained, Fault> {
    let address = listener.local_addr().map_err(|error| listen_failed(&error))?;
    check_loopback(address)?;
    let token = Token::load_or_make(&config.data_dir, &config.environment)?;
    let presence = Presence {
        address,
        pid: std::process::id(),
        started_at: (config.clock)().to_timestamp(),
        version: config.version.clone(),
        instance: random::hex(&random::secret()?),
    };
    presence.write(&config.data_dir, &config.environment)?;
    let (stop, stopping) = watch::channel(false);
    let app = Arc::new(App {
        control,
        sessions: Sessions::new()?,
        address,
        instance: presence.instance.clone(),
        guard: Guard::new(token, address, pages.is_some()),
        pages,
        stopping,
        checkup: Checkup::default(),
        counts: Counts::default(),
        recent: Recent::new(config.limits.verbs),
        streams: Arc::new(Semaphore::new(config.limits.streams)),
        verbs: std::sync::Mutex::default(),
        config,
    });
    let mut tasks = accept(&app, listener, shutdown).await;
    // Nobody listens to `stop` where nothing is open any more; then nobody has to be told.
    let _ = stop.send(true);
    let drained = drain(&app, &mut tasks).await;
    presence.remove(&app.config.data_dir, &app.config.environment);
    Ok(drained)
}

fn check_loopback(address: SocketAddr) -> Result<(), Fault> {
    let is_loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if is_loopback {
        return Ok(());
    }
    let fault = Diagnostic::error(
        codes::NOT_LOOPBACK,
        format!("{address} can be reached from other machines, and this version has no login"),
    );
    Err(Box::new(fault.with_remedy(
        "serve at 127.0.0.1, and reach it from elsewhere through a tunnel: `ssh -L 4455:127.0.0.1:4455 host`",
    )))
}

fn listen_failed(error: &io::Error) -> Fault {
    let fault = Diagnostic::error(codes::LISTEN_FAILED, format!("cannot serve: {error}"));
    Box::new(fault.with_retry(Retry::AfterHumanFix))
}

/// Takes connections until the server is to stop; gives those that are still open.
async fn accept(app: &Arc<App>, listener: TcpListener, shutdown: impl Future<Output = ()>) -> JoinSet<()> {
    let connections = Arc::new(Connections::new(app.config.limits.connections));
    let router = routes::router(Arc::clone(app));
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let socket = tokio::select! {
            () = &mut shutdown => return tasks,
            accepted = listener.accept() => accepted,
        };
        while tasks.try_join_next().is_some() {}
        let Ok((socket, _)) = socket else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connection = match connections.admit() {
            Admitted::Taken(connection) => connection,
            Admitted::InPlaceOf(connection) => {
                app.counts.turned_away();
                connection
            }
            Admitted::Full => {
                app.counts.turned_away();
                turn_away(socket);
                continue;
            }
        };
        app.counts.connections(connections.count());
        let (app, router, connections) = (Arc::clone(app), router.clone(), Arc::clone(&connections));
        tasks.spawn(async move {
            attend(Arc::clone(&app), router, Arc::clone(&connection), socket).await;
            connections.leave(&connection);
            app.counts.connections(connections.count());
        });
    }
}

/// Says that there is no room, as far as that takes no time: a fresh socket takes this much at once.
fn turn_away(socket: TcpStream) {
    use std::io::Write as _;
    // Not through the runtime, which would first wait to hear that the socket can be written to.
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write(TURNED_AWAY);
    }
}

/// Answers what comes over one connection.
async fn attend(app: Arc<App>, router: Router, connection: Arc<Connection>, socket: TcpStream) {
    // Answers are small and waited for.
    let _ = socket.set_nodelay(true);
    let limits = app.config.limits;
    let mut stopping = app.stopping.clone();
    let io = TokioIo::new(Moving::new(socket, limits.write_stall));
    let service = service_fn(|request| {
        let answer = Arc::clone(&app).answer(router.clone(), Arc::clone(&connection), request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let mut serving = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_headers(limits.headers)
            .max_buf_size(limits.header_bytes)
            .serve_connection(io, service)
    );
    tokio::select! {
        _ = serving.as_mut() => return,
        () = connection.closed() => return,
        () = stopped(&mut stopping) => {}
    }
    // Who has just asked whether this is the server is about to say what it wants, and is told that it stops:
    // of a connection that breaks it could not know what came of it.
    tokio::select! {
        _ = serving.as_mut() => return,
        () = tokio::time::sleep(LINGER) => {}
    }
    Pin::as_mut(&mut serving).graceful_shutdown();
    // How a connection broke is no matter to anyone here.
    let _ = serving.await;
}

/// Waits for what was begun, within the bound: connections first, because they may begin a verb still.
async fn drain(app: &App, tasks: &mut JoinSet<()>) -> Drained {
    let mut verbs = JoinSet::new();
    let all = async {
        while tasks.join_next().await.is_some() {}
        verbs = begun(app);
        while verbs.join_next().await.is_some() {}
    };
    let is_done = tokio::time::timeout(app.config.limits.drain, all).await.is_ok();
    let mut unseen = begun(app);
    while tasks.try_join_next().is_some() || verbs.try_join_next().is_some() || unseen.try_join_next().is_some() {}
    let drained = Drained {
        cut_connections: tasks.len(),
        cut_verbs: verbs.len() + unseen.len(),
    };
    if !is_done {
        tasks.shutdown().await;
        verbs.shutdown().await;
        unseen.shutdown().await;
    }
    drained
}

/// The verbs that are being done.
fn begun(app: &App) -> JoinSet<()> {
    std::mem::take(&mut *app.verbs.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}
