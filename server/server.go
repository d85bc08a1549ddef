// Package server is the composition root of the control server: it opens the parts, ties them together, serves until it is
// told to stop, and stops them in the order in which nothing is lost. cmd/fleetd calls it with a checked configuration.
package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/bandfleet/bandfleet/proto/catalogue/signing"
	"github.com/bandfleet/bandfleet/server/admission"
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
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/schedule"
	"github.com/bandfleet/bandfleet/server/secrets"
	"github.com/bandfleet/bandfleet/server/sessions"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/upkeep"
)

// contextFile is the administrator's context in the data directory.
const contextFile = "admin.yaml"

// How long a stop may take. The sum stays below what service managers wait for.
const (
	goodbyePatience = 5 * time.Second
	callPatience    = 3 * time.Second
)

// tidyEvery is how often old requests and jobs are forgotten.
const tidyEvery = time.Hour

// Config is what a server is made of.
type Config struct {
	// DataDir holds everything that the server keeps; it is made if need be.
	DataDir string
	// Listen is the address to listen on; port 0 takes a free one.
	Listen string
	// Advertise is the address that operators dial; empty means the one that is listened on.
	Advertise string
	Version   string
	// AgentCertificateTTL is the validity of agents' certificates; 0 means the authority's default.
	AgentCertificateTTL time.Duration
	// JobRetention is how long jobs are kept after they are done; 0 keeps them for ever. Audit records are always kept.
	JobRetention time.Duration
	// Artifacts bound the files that tasks bring.
	Artifacts artifacts.Limits
	// PackKeys are those whose packs of the catalogue are taken.
	PackKeys []signing.PublicKey
	// Receivers are told what happens; they must have been checked.
	Receivers []notify.ReceiverConfig
	Log       *slog.Logger
}

// Server is a server that listens.
type Server struct {
	cfg       Config
	store     *store.Bolt
	ca        *pki.Authority
	inv       *inventory.Inventory
	gate      *admission.Gate
	registry  *sessions.Registry
	agents    *sessions.Service
	engine    *jobs.Engine
	artifacts *artifacts.Keeper
	scheduler *schedule.Scheduler
	faults    *faults.Desk
	guided    *guided.Desk
	bands     *bands.Register
	freezes   *policy.Freezes
	policies  *policy.Engine
	secrets   *secrets.Keeper
	catalogue *catalogue.Shelf
	// certificates are what scans found on terminals.
	certificates *certificates.Keeper
	desk         *asks.Desk
	notices      *notify.Desk
	health       *health.Server
	grpc         *grpc.Server
	listener     net.Listener
	// adminContext is the file that the first start has written, empty at later ones.
	adminContext string
}

// New opens the data directory and listens. Nothing is answered before Run.
func New(ctx context.Context, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := s.mustBeWhole(); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	var err error
	// First of all, because it is what keeps a second server away from the directory.
	if s.store, err = store.Open(upkeep.Path(s.cfg.DataDir)); err != nil {
		return err
	}
	if err := mustHaveCA(ctx, s.cfg.DataDir, s.store); err != nil {
		return err
	}
	if s.ca, err = pki.Open(pki.Config{Dir: s.cfg.DataDir, AgentTTL: s.cfg.AgentCertificateTTL}); err != nil {
		return err
	}
	if err := s.compose(ctx); err != nil {
		return err
	}
	if s.listener, err = net.Listen("tcp", s.cfg.Listen); err != nil {
		return fmt.Errorf("listen on %s: %w; choose another address, or stop what has it", s.cfg.Listen, err)
	}
	return s.bootstrap(ctx)
}

// mustBeWhole refuses a directory that has lost its store: without it a fleet would begin anew under the CA that it has, and
// give ids and names to new machines that others still hold certificates for. A start that was cut short leaves no such
// directory, for the store is made first.
func (s *Server) mustBeWhole() error {
	_, noStore := os.Stat(upkeep.Path(s.cfg.DataDir))
	_, noCA := os.Stat(filepath.Join(s.cfg.DataDir, pki.CertificateFile))
	if errors.Is(noStore, fs.ErrNotExist) && noCA == nil {
		return fmt.Errorf("data directory %q: has a certificate authority and no %s; restore the directory from a backup, "+
			"or move it away to set the fleet up anew", s.cfg.DataDir, upkeep.StoreFile)
	}
	return nil
}

// migrate brings the store of an earlier release to this one's schema.
func (s *Server) migrate(ctx context.Context) error {
	old, err := upkeep.Migrate(ctx, s.cfg.DataDir, time.Now())
	if old != "" {
		s.cfg.Log.Info("the store was migrated to this release's schema", "version", store.SchemaVersion, "old", old)
	}
	return err
}

// mustHaveCA refuses to make a new CA for a fleet that has one: no member would know it.
func mustHaveCA(ctx context.Context, dataDir string, st store.Store) error {
	_, noCA := os.Stat(filepath.Join(dataDir, pki.CertificateFile))
	if !errors.Is(noCA, fs.ErrNotExist) {
		return nil
	}
	begun, err := store.Any(ctx, st, store.TableOperators)
	if err != nil || !begun {
		return err
	}
	return fmt.Errorf("data directory %q: has a store and no %s; restore the directory from a backup", dataDir, pki.CertificateFile)
}

// Addr is the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// AdminContext is the administrator's context file when this start has written it, else empty.
func (s *Server) AdminContext() string { return s.adminContext }

// Run serves until ctx ends, then stops: nobody new is let in, agents are told to come back, results that have arrived are
// stored, and last the store is closed.
func (s *Server) Run(ctx context.Context) error {
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	engine := make(chan error, 1)
	go func() { engine <- s.engine.Run(engineCtx) }()
	keepers := together(engineCtx, s.tidy, s.artifacts.Run, s.agents.Run, s.notices.Run, s.faults.Run)
	controllersCtx, stopControllers := context.WithCancel(engineCtx)
	defer stopControllers()
	controllers := together(controllersCtx, s.scheduler.Run, s.guided.Run, s.policies.Run)
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(s.listener) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("serve: %w", err)
	}
	s.cfg.Log.Info("stopping", "sessions", s.registry.Count())
	s.health.Shutdown()
	s.registry.Shutdown(goodbyePatience)
	// Before the engine, which they create jobs with and ask.
	stopControllers()
	controllers.Wait()
	stopEngine()
	err = errors.Join(err, <-engine)
	keepers.Wait()
	s.stopCalls()
	return errors.Join(err, s.close())
}

// together runs parts beside each other until ctx ends.
func together(ctx context.Context, parts ...func(context.Context)) *sync.WaitGroup {
	var running sync.WaitGroup
	for _, run := range parts {
		running.Go(func() { run(ctx) })
	}
	return &running
}

// tidy forgets what is old, at the start and now and then.
func (s *Server) tidy(ctx context.Context) {
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		s.forget(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) forget(ctx context.Context) {
	now := time.Now()
	if err := requests.Prune(ctx, s.store, now); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("old requests were not forgotten", "error", err)
	}
	if err := errors.Join(s.secrets.Sweep(ctx), s.certificates.Sweep(ctx), s.notices.Sweep(ctx), s.policies.Sweep(ctx)); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("what nobody needs any more was not all removed", "error", err)
	}
	for more := s.cfg.JobRetention > 0; more && ctx.Err() == nil; {
		n, rest, err := jobs.Sweep(ctx, s.store, now.Add(-s.cfg.JobRetention), now)
		if n > 0 {
			s.cfg.Log.Info("jobs whose retention is over were deleted", "jobs", n)
		}
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("old jobs were not deleted", "error", err)
		}
		more = rest
	}
}

// stopCalls lets the calls that run come to their end, but not for long.
func (s *Server) stopCalls() {
	timer := time.AfterFunc(callPatience, s.grpc.Stop)
	defer timer.Stop()
	s.grpc.GracefulStop()
}

// close gives back what open took, as far as it came.
func (s *Server) close() error {
	var err error
	if s.listener != nil {
		if closing := s.listener.Close(); !errors.Is(closing, net.ErrClosed) {
			err = closing
		}
	}
	if s.desk != nil {
		s.desk.Close()
	}
	if s.artifacts != nil {
		err = errors.Join(err, s.artifacts.Close())
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}
