//! A session of Zenoh, as nodes use it.

use std::sync::Arc;

use zenoh::liveliness::LivelinessToken;
use zenoh::sample::SampleKind;
use zenoh::{Session, Wait};

use lunatic_nodes::Identity;
use lunatic_nodes::driver::Inlet;
use lunatic_nodes::fabric::{Brought, Fabric};

use crate::config::{OpenError, Settings};
use crate::keys;
use crate::senders::Senders;

/// Carries the frames of one node over Zenoh.
///
/// Do not close and reopen it within one process: Zenoh may keep connections of closed sessions.
pub struct ZenohFabric {
    senders: Arc<Senders>,
    session: Session,
    /// While it exists, others see this node.
    _token: LivelinessToken,
}

impl ZenohFabric {
    /// Opens the session: from now on, other nodes see this one, and `inlet` receives what they send. Blocks while the
    /// first addresses are tried.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says why the session could not be opened.
    pub fn open(settings: &Settings, inlet: Inlet) -> Result<Arc<Self>, OpenError> {
        let config = settings.to_zenoh()?;
        let session = zenoh::open(config).wait().map_err(OpenError::Zenoh)?;
        let token = declare(&session, settings, inlet).map_err(OpenError::Zenoh)?;
        let senders = Senders::new(session.clone(), settings.cluster.clone());
        Ok(Arc::new(Self {
            senders,
            session,
            _token: token,
        }))
    }

    /// Returns the id of this session in Zenoh.
    pub fn session_id(&self) -> String {
        self.session.zid().to_string()
    }
}

/// First declares frames for this node, then the other nodes, then the presence of this one.
fn declare(session: &Session, settings: &Settings, inlet: Inlet) -> Result<LivelinessToken, zenoh::Error> {
    let (cluster, own) = (&settings.cluster, settings.identity.clone());
    let frames = inlet.clone();
    // Called on a thread of Zenoh: must not block.
    session
        .declare_subscriber(keys::inbox(cluster, own.id(cluster)))
        .callback(move |sample| frames.bring(Brought::Frame(sample.payload().to_bytes().into_owned())))
        .background()
        .wait()?;
    let token = keys::token(cluster, &own);
    session
        .liveliness()
        .declare_subscriber(keys::tokens(cluster))
        .history(true)
        .callback(move |sample| {
            let node = keys::node_of(sample.key_expr().as_str()).filter(|node| *node != own);
            if let Some(node) = node {
                inlet.bring(match sample.kind() {
                    SampleKind::Put => Brought::Seen(node),
                    SampleKind::Delete => Brought::Lost(node),
                });
            }
        })
        .background()
        .wait()?;
    session.liveliness().declare_token(token).wait()
}

impl Fabric for ZenohFabric {
    fn send(&self, to: &Identity, frame: Vec<u8>) {
        self.senders.send(to, frame);
    }
}
