//! Listening on a port, and answering one request after the other on each connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{Bad, Connection, Host, Request, Response, Stream};
use crate::tls::Tls;

/// How long a connection may take to end when the server stops.
const FAREWELL: Duration = Duration::from_millis(500);

/// What is done about a request.
#[derive(Debug)]
pub enum Outcome {
    /// An answer.
    Reply(Response),
    /// Sent as it is, and then the connection goes on or ends.
    Raw(Vec<u8>, bool),
    /// Nothing is sent any more.
    Gone,
}

/// How a connection is taken.
#[derive(Debug)]
pub struct Admission<S> {
    /// What is known of it.
    pub session: S,
    /// How many bytes are read before it is dropped.
    pub left: Option<u64>,
}

/// What a server does with connections and requests.
pub trait Service: Host + Sized + 'static {
    /// What is known of a connection.
    type Session: Send;

    /// Ends everything.
    fn stop(&self) -> &CancellationToken;
    /// What has to be waited for.
    fn tasks(&self) -> &TaskTracker;
    /// For connections with TLS.
    fn tls(&self) -> &Tls;
    /// A connection came; without an admission it is dropped.
    fn opened(&self, secure: bool) -> Option<Admission<Self::Session>>;
    /// It is over, admitted or not.
    fn closed(&self);
    /// Something that was no request is answered with this status.
    fn refused(&self, status: u16);
    /// Answers a request.
    fn answer(
        self: &Arc<Self>,
        session: &mut Self::Session,
        request: Request,
    ) -> impl Future<Output = Outcome> + Send;
}

/// Takes connections until the service stops.
pub async fn listen<S: Service>(listener: TcpListener, service: Arc<S>, secure: bool) {
    loop {
        let accepted = tokio::select! {
            () = service.stop().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Out of file descriptors, say: the next one may do better.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let admission = service.opened(secure);
        let open = Open(Arc::clone(&service));
        let task = Arc::clone(&service);
        service.tasks().spawn(async move {
            let overdue = async {
                task.stop().cancelled().await;
                tokio::time::sleep(FAREWELL).await;
            };
            if let Some(admission) = admission {
                tokio::select! {
                    () = overdue => {}
                    () = serve(stream, &task, secure, admission) => {}
                }
            }
            drop(open);
        });
    }
}

/// Tells the service when a connection is over.
struct Open<S: Service>(Arc<S>);

impl<S: Service> Drop for Open<S> {
    fn drop(&mut self) {
        self.0.closed();
    }
}

async fn serve<S: Service>(
    stream: TcpStream,
    service: &Arc<S>,
    secure: bool,
    admission: Admission<S::Session>,
) {
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn Stream> = if secure {
        match service.tls().acceptor.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        }
    } else {
        Box::new(stream)
    };
    let mut connection = Connection::new(stream, Arc::<S>::clone(service), admission.left);
    let mut session = admission.session;
    loop {
        let request = tokio::select! {
            () = service.stop().cancelled() => return,
            request = connection.request() => request,
        };
        let request = match request {
            Ok(request) => request,
            Err(Bad::Gone) => return,
            Err(Bad::Refused(status, why)) => {
                let mut response = Response::new(status, why);
                response.close = true;
                service.refused(status);
                let _ = connection.send(&response.bytes()).await;
                return match status {
                    413 => connection.linger().await,
                    _ => connection.close().await,
                };
            }
        };
        let close = request.close;
        match service.answer(&mut session, request).await {
            Outcome::Gone => return,
            Outcome::Raw(bytes, goes_on) => {
                if connection.send(&bytes).await.is_err() || !goes_on {
                    return connection.close().await;
                }
            }
            Outcome::Reply(mut response) => {
                response.close |= close;
                if connection.send(&response.bytes()).await.is_err() || response.close {
                    return connection.close().await;
                }
            }
        }
    }
}
