package server

import (
	"cmp"
	"context"
	"crypto/x509"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/admission"
	"github.com/bandfleet/bandfleet/server/api"
	"github.com/bandfleet/bandfleet/server/artifacts"
	"github.com/bandfleet/bandfleet/server/asks"
	"github.com/bandfleet/bandfleet/server/bands"
	"github.com/bandfleet/bandfleet/server/catalogue"
	"github.com/bandfleet/bandfleet/server/certificates"
	"github.com/bandfleet/bandfleet/server/faults"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/notify"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/policy"
	"github.com/bandfleet/bandfleet/server/schedule"
	"github.com/bandfleet/bandfleet/server/secrets"
	"github.com/bandfleet/bandfleet/server/sessions"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/upkeep"
)

// Limits of the one port.
const (
	// maxMessage is the largest message that is read, in bytes.
	maxMessage = 4 << 20
	// maxHeader is the largest header list, in bytes.
	maxHeader = 16 << 10
	// ioBuffer is the size of a connection's read and write buffers: with ten thousand connections the default of 32 KB
	// would be most of the memory.
	ioBuffer = 4 << 10
	// window is how much a peer may send ahead of what is read, on one stream and on one connection. It is fixed, because gRPC
	// finds out whether a greater one pays by a ping and its answer for every message that comes in; and it bounds the memory
	// that a connection can take.
	window = 64 << 10
	// maxCalls is how many calls one connection may have at a time.
	maxCalls = 128
	// handshakePatience is how long a connection may take to become one.
	handshakePatience = 20 * time.Second
	// idlePatience is how long a connection may have no call.
	idlePatience = 5 * time.Minute
)

// compose makes the parts and ties them together: first what knows the fleet, then what answers calls.
func (s *Server) compose(ctx context.Context) error {
	s.gate = admission.NewGate(admission.Config{Log: s.cfg.Log})
	s.registry = sessions.NewRegistry(s.gate, s.cfg.Log)
	epoch, err := readEpoch(ctx, s.store)
	if err != nil {
		return err
	}
	if err := s.openDomain(ctx, epoch); err != nil {
		return err
	}
	resolvers := s.inv.Resolvers()
	resolvers[access.Job] = s.engine.Sites
	resolvers[access.Artifact] = s.artifacts.Sites
	resolvers[access.Schedule] = s.scheduler.Sites
	resolvers[access.Fault] = s.faults.Sites
	resolvers[access.Guided] = s.guided.Sites
	authorizer, err := access.NewAuthorizer(s.store, time.Now, resolvers)
	if err != nil {
		return err
	}
	fleet, err := s.inv.CountInService(ctx)
	if err != nil {
		return err
	}
	s.grpc = s.newGRPC(authorizer)
	s.register(epoch, fleet)
	return nil
}

// openDomain opens the parts over the store. Imports that were cut short are finished before jobs go by what they bring.
func (s *Server) openDomain(ctx context.Context, epoch *epoch) (err error) {
	s.notices, err = notify.New(notify.Config{Store: s.store, Receivers: s.cfg.Receivers, Host: hostname(), Now: time.Now, Log: s.cfg.Log})
	if err != nil {
		return err
	}
	s.inv = inventory.New(inventory.Config{Store: s.store, CA: s.ca.Fingerprint(), Presence: s.registry})
	if err := s.inv.FinishImports(ctx); err != nil {
		return err
	}
	s.catalogue, err = catalogue.Open(ctx, catalogue.Config{Store: s.store, Offers: s.inv, Keys: s.cfg.PackKeys, Now: time.Now, Log: s.cfg.Log})
	if err != nil {
		return err
	}
	s.secrets = secrets.New(secrets.Config{Store: s.store, Terminals: s.inv, Now: time.Now})
	s.certificates = certificates.New(certificates.Config{
		Store: s.store, Inventory: s.inv, Own: s.ownCertificates, Now: time.Now, AgentLife: cmp.Or(s.cfg.AgentCertificateTTL, pki.DefaultAgentTTL),
		Notices: s.notices,
	})
	s.faults = faults.New(faults.Config{
		Store: s.store, Inventory: s.inv, Catalogue: func() faults.Catalogue { return s.catalogue.Current() }, Online: s.registry.Online, Notices: s.notices,
		CatalogueChanged: s.catalogue.Changed, Now: mortalClock(), Log: s.cfg.Log,
	})
	if s.freezes, err = policy.OpenFreezes(ctx, s.store, mortalClock()); err != nil {
		return err
	}
	s.engine, err = jobs.Open(ctx, jobs.Config{
		Store: mortalStore(s.store), Inventory: s.inv, Link: mortalLink(s.registry), Secrets: s.secrets, Scans: s.certificates, Findings: s.faults,
		Notices: s.notices, Freezes: s.freezes, Epoch: epoch.Current, Now: mortalClock(), Log: s.cfg.Log,
	})
	if err != nil {
		return err
	}
	s.artifacts, err = artifacts.Open(ctx, artifacts.Config{
		Store: s.store, Dir: artifacts.PathIn(s.cfg.DataDir), Tasks: s.engine, Terminals: s.inv, Limits: s.cfg.Artifacts,
		Now: time.Now, Log: s.cfg.Log,
	})
	if err != nil {
		return err
	}
	s.openGuided()
	if err := s.openPolicies(ctx); err != nil {
		return err
	}
	s.scheduler = schedule.New(schedule.Config{Store: s.store, Jobs: s.engine, Operators: s.inv, Now: mortalClock(), Log: s.cfg.Log})
	return s.scheduler.MakeDefaults(ctx)
}

// openGuided opens the desk of guided tasks and the register of bands, which makes some.
func (s *Server) openGuided() {
	now := mortalClock()
	s.guided = guided.New(guided.Config{
		Store: s.store, Inventory: s.inv, Catalogue: func() guided.Catalogue { return s.catalogue.Current() }, Questions: s.engine,
		Faults: s.faults, Notices: s.notices, Now: now, Log: s.cfg.Log,
		TellBand: func(w store.Writer, serial, by, note string) error {
			return inventory.NoteBand(w, now(), serial, by, note)
		},
	})
	s.faults.SetGuided(s.guided)
	s.bands = bands.New(bands.Config{Store: s.store, Inventory: s.inv, Tasks: s.guided, Now: now})
}

// openPolicies opens what decides on faults.
func (s *Server) openPolicies(ctx context.Context) (err error) {
	s.policies, err = policy.Open(ctx, policy.Config{
		Store: s.store, Catalogue: s.catalogue, Inventory: s.inv, Faults: s.faults, Jobs: s.engine, Guided: s.guided, Breakers: s.faults,
		Freezes: s.freezes, Notices: s.notices, Online: s.registry.Online, Now: mortalClock(), Log: s.cfg.Log,
	})
	return err
}

// hostname is this machine's, in what receivers are told.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "fleetd"
	}
	return name
}

// ownCertificates are those that the server uses now.
func (s *Server) ownCertificates() (own certificates.Own, err error) {
	server, err := s.ca.ServerCertificate()
	if err != nil {
		return own, err
	}
	own.Server = server.Leaf
	own.Authority, err = x509.ParseCertificate(s.ca.TrustBundle()[0])
	return own, err
}

// register puts the services on the port. fleet is how many terminals are in service.
func (s *Server) register(epoch *epoch, fleet int) {
	enrolment := api.NewEnrolment(s.inv, s.ca)
	s.desk = asks.New(asks.Config{
		Tasks: s.engine, Inventory: s.inv, Secrets: s.secrets, Scans: s.certificates, Link: s.registry, Now: mortalClock(), Log: s.cfg.Log,
	})
	s.policies.Attach(s.desk)
	s.agents = sessions.New(sessions.Config{
		Registry: s.registry, Engine: mortalEngine(s.engine), Inventory: s.inv, Renewer: enrolment, Artifacts: s.artifacts, Asks: s.desk, Terminal: caller,
		Faults: s.faults, Orders: s.policies, Epoch: epoch, Fleet: fleet, Now: mortalClock(), Log: s.cfg.Log,
	})
	s.health = health.NewServer()
	healthv1.RegisterHealthServer(s.grpc, s.health)
	agentv1.RegisterEnrollmentServiceServer(s.grpc, enrolment)
	agentv1.RegisterAgentServiceServer(s.grpc, s.agents)
	fleetv1.RegisterJobServiceServer(s.grpc, api.NewJobs(s.engine, s.inv, s.registry))
	fleetv1.RegisterInventoryServiceServer(s.grpc, api.NewInventory(s.inv, s.registry, siteReaders{s.engine, s.policies}, s.bands, s.secrets, s.certificates))
	fleetv1.RegisterAccessServiceServer(s.grpc, api.NewAccess(s.inv, s.ca, s.engine, s.cfg.Version))
	fleetv1.RegisterArtifactServiceServer(s.grpc, api.NewArtifacts(s.artifacts))
	fleetv1.RegisterGuidedServiceServer(s.grpc, api.NewGuided(s.guided))
	fleetv1.RegisterScheduleServiceServer(s.grpc, api.NewSchedules(s.scheduler))
	fleetv1.RegisterSecretServiceServer(s.grpc, api.NewSecrets(s.secrets, s.engine))
	fleetv1.RegisterCertificateServiceServer(s.grpc, api.NewCertificates(s.certificates))
	fleetv1.RegisterCatalogueServiceServer(s.grpc, api.NewCatalogue(s.catalogue))
	fleetv1.RegisterNotificationServiceServer(s.grpc, api.NewNotifications(s.notices))
	fleetv1.RegisterFaultServiceServer(s.grpc, api.NewFaults(s.faults, s.policies))
	fleetv1.RegisterPolicyServiceServer(s.grpc, api.NewPolicies(s.policies))
	backups := upkeep.NewBackups(s.store, upkeep.Path(s.cfg.DataDir), time.Now)
	fleetv1.RegisterMaintenanceServiceServer(s.grpc, api.NewMaintenance(backups))
}

// siteReaders go by the settings of sites.
type siteReaders struct {
	*jobs.Engine
	policies *policy.Engine
}

// SiteChanged tells them that a site's settings were written.
func (r siteReaders) SiteChanged(ctx context.Context, name string) error {
	r.policies.SiteChanged()
	return r.Engine.SiteChanged(ctx, name)
}

// caller is the terminal that a call's certificate speaks for.
func caller(ctx context.Context) *storagev1.TerminalRecord {
	if p := access.From(ctx); p != nil {
		return p.Terminal
	}
	return nil
}

// newGRPC makes the one server for operators and agents.
func (s *Server) newGRPC(authorizer *access.Authorizer) *grpc.Server {
	guard := api.NewGuard(authorizer, s.cfg.Log)
	creds := s.gate.Bound(credentials.NewTLS(identity.ServerTLS(s.ca.ServerCertificate, s.ca.Pool())))
	return grpc.NewServer(
		grpc.Creds(boundStrangers(creds, s.cfg.Log)),
		grpc.ChainUnaryInterceptor(guard.Unary),
		grpc.ChainStreamInterceptor(guard.Stream),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idlePatience, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.ConnectionTimeout(handshakePatience),
		grpc.ReadBufferSize(ioBuffer),
		grpc.WriteBufferSize(ioBuffer),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
	)
}
