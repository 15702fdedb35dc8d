//! What the benches share: the two ends of a sealing session.

use std::sync::Arc;
use std::time::Duration;

use postern_kit::clock::{Clock as _, SystemClock};
use postern_kit::keys::SigningKey;
use postern_kit::random::{self, SeededRandom};
use postern_kit::tls::Certificate;
use postern_proto::certificate::{REPLICA_SERVER_NAME, Role};
use postern_proto::ids::{AgentId, ObjectId, ReplicaId, RequestId, TenantId};
use postern_proto::names::OnPremisesName;
use postern_proto::password::Password;
use postern_proto::seal::{
    AnnouncedKey, Credentials, Header, OpeningSession, Replica, SealingKeyPair, SealingSession, Stream,
};
use postern_proto::wire::channel;

/// Why the parts could not be made.
pub type Failed = Box<dyn std::error::Error>;

/// A replica and an agent that know each other.
pub struct Ends {
    random: SeededRandom,
    root: Certificate,
    replica: Replica,
    agent_key: SigningKey,
    sealing_key: Arc<SealingKeyPair>,
    stream: Stream,
    name: OnPremisesName,
    password: Password,
}

impl Ends {
    /// Makes both, from a fixed seed.
    ///
    /// # Errors
    /// If a certificate cannot be made.
    pub fn new() -> Result<Self, Failed> {
        let random = SeededRandom::new(1);
        let root_key = SigningKey::generate(&random).rcgen()?;
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&root_key)?.der().clone();
        let issuer = rcgen::Issuer::new(params, root_key);
        let (id, key) = (ReplicaId::generate(&random), SigningKey::generate(&random));
        let mut params = rcgen::CertificateParams::new([REPLICA_SERVER_NAME.to_owned()])?;
        params.subject_alt_names.push(rcgen::SanType::URI(
            Role::CloudReplica(id).to_string().try_into()?,
        ));
        let chain = vec![params.signed_by(&key.rcgen()?, &issuer)?.der().clone()];
        Ok(Self {
            root,
            replica: Replica { id, key, chain },
            agent_key: SigningKey::generate(&random),
            sealing_key: Arc::new(SealingKeyPair::generate(&random)),
            stream: Stream {
                nonce: random::array(&random),
                tenant: TenantId::generate(&random),
                agent: AgentId::generate(&random),
            },
            name: "alice@corp.example".parse()?,
            password: Password::new("Fixture-Passw0rd-1".to_owned())?,
            random,
        })
    }

    /// The replica's half of opening a session: check the announced key, agree, sign.
    ///
    /// # Errors
    /// If the announcement is not taken.
    pub fn establish(&self) -> Result<(SealingSession, channel::Session), Failed> {
        let announcement = self.sealing_key.announce(&self.stream, &self.agent_key);
        let key = AnnouncedKey::verify(&self.stream, &announcement, &self.agent_key.public_key())?;
        Ok(SealingSession::establish(
            &self.stream,
            &key,
            &self.replica,
            &self.random,
        )?)
    }

    /// The agent's half: verify the chain and the signature, agree.
    ///
    /// # Errors
    /// If the announcement is not taken.
    pub fn accept(&self, announcement: &channel::Session) -> Result<OpeningSession, Failed> {
        let key = self.sealing_key.clone();
        Ok(OpeningSession::accept(
            &self.stream,
            key,
            announcement,
            &self.root,
            SystemClock.now(),
        )?)
    }

    /// Seals one request.
    ///
    /// # Errors
    /// If the session is used up.
    pub fn seal(
        &self,
        session: &mut SealingSession,
    ) -> Result<(channel::SealedRequest, postern_proto::seal::VerdictOpener), Failed> {
        let header = Header {
            request: RequestId::generate(&self.random),
            domain: "corp.example".parse()?,
            deadline: Duration::from_secs(15),
        };
        let credentials = Credentials {
            object: ObjectId::from_bytes([7; 16]),
            name: &self.name,
            password: &self.password,
        };
        Ok(session.seal(&header, &credentials)?)
    }
}
